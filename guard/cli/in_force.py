"""Which policy is in force on this host, who is named by it, and whether the files of a configuration hold it."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from guard.approval.profiles import with_profiles
from guard.cli.options import state_of
from guard.policy.bundle import Bundle, read_bundle, read_snapshot
from guard.policy.config import Config
from guard.policy.load import load, understand
from guard.policy.model import GuardConfig
from guard.policy.operators import OperatorsFile
from guard.policy.source import ConfigError, parse
from guard.policy.validate import validate
from guard.state.reloads import posted
from guard.state.snapshots import SnapshotError, Snapshots


def warn(config: Config) -> None:
    """Write a line on standard error if the policy in force here is not what these files hold, or is damaged."""
    snapshots = Snapshots(state_of(config.directory, config.guard))
    try:
        current = snapshots.current()
        if current is not None:
            _kept(snapshots, current.digest)
    except OSError as problem:
        sys.stderr.write(f"guard: {_words(problem)}\n")
        return
    if current is not None and current.digest != config.digest:
        sys.stderr.write(
            f"guard: these files are NOT what is in force here, which is {current.digest[:16]}: see guard status\n"
        )


def operators(config: Config) -> OperatorsFile | None:
    """The people of the policy in force on this host, or of these files where none ever was in force.

    So nobody gives himself a role by a line that two people were to approve. Raises SnapshotError and ConfigError when
    that cannot be known.
    """
    snapshots = Snapshots(state_of(config.directory, config.guard))
    current = snapshots.current()
    if current is None or current.digest == config.digest:
        return config.operators
    place = snapshots.place(current.digest)
    kept = load(place)
    if kept.digest != current.digest:
        raise SnapshotError(f"{place} is not the policy that is in force")
    return kept.operators


def policy_in_force(directory: Path, *, or_files: bool = False) -> tuple[Config, str]:
    """Return the policy in force here, and why the files are another; where none ever was, what the files hold.

    Raises SnapshotError where what was in force is damaged or gone: the files may hold what nobody approved. For who
    only looks or tightens ``or_files`` takes them all the same, and says so on standard error.
    """
    bundle = read_bundle(directory)
    wrong: ConfigError | None = None
    config: Config | None = None
    try:
        config = with_profiles(understand(bundle, directory), time.time())
        state = state_of(directory, config.guard)
    except ConfigError as error:
        wrong = error
        try:
            state = state_of(directory, validate(parse("guard.yaml", bundle.files.get("guard.yaml", b"")), GuardConfig))
        except ConfigError:
            raise error from None
    snapshots = Snapshots(state)
    damaged = ""
    try:
        current = snapshots.current()
        if current is not None and current.digest != bundle.digest:
            kept = _kept(snapshots, current.digest)
            last = posted(state)
            words = str(wrong) if wrong is not None else "" if last is None else last.differs
            return with_profiles(understand(kept, directory), time.time()), words or "they have not been taken up"
    except OSError as problem:
        if not or_files:
            raise
        damaged = _words(problem)
        sys.stderr.write(f"guard: {damaged}; going by the files\n")
    if config is None:
        raise wrong or ConfigError([])
    return config, damaged


def _kept(snapshots: Snapshots, digest: str) -> Bundle:
    """Read the snapshot of this digest; raises SnapshotError if it is not what was put there."""
    kept = read_snapshot(snapshots.place(digest))
    if kept.digest != digest:
        raise SnapshotError(
            f"{snapshots.place(digest)} is not the policy that was put there and is in force: somebody changed it, or "
            "the disk did. A guard that runs puts it back; otherwise put it back yourself"
        )
    return kept


def _words(problem: OSError) -> str:
    return f"it cannot be read which policy is in force here: {problem.strerror or type(problem).__name__}"
