"""Which policy is in force on this host, who is named by it, and whether the files of a configuration hold it."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from guard.approval.profiles import with_profiles
from guard.cli.options import state_of
from guard.policy.bundle import read_bundle, read_snapshot
from guard.policy.config import Config
from guard.policy.load import load, understand
from guard.policy.model import GuardConfig
from guard.policy.operators import OperatorsFile
from guard.policy.source import ConfigError, parse
from guard.policy.validate import validate
from guard.state.reloads import posted
from guard.state.snapshots import SnapshotError, Snapshots


def warn(config: Config) -> None:
    """Write a line on standard error if a guard here has another policy in force than these files hold."""
    try:
        current = Snapshots(state_of(config.directory, config.guard)).current()
    except (OSError, SnapshotError):
        return  # `guard status` says what is wrong with it
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


def policy_in_force(directory: Path) -> tuple[Config, str]:
    """Return the policy in force here, and why the files are another; where none is known, what the files hold."""
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
    current = snapshots.current()
    if current is not None and current.digest != bundle.digest:
        kept = read_snapshot(snapshots.place(current.digest))
        if kept.digest == current.digest:
            last = posted(state)
            words = str(wrong) if wrong is not None else "" if last is None else last.differs
            return with_profiles(understand(kept, directory), time.time()), words or "they have not been taken up"
    if config is None:
        raise wrong or ConfigError([])
    return config, ""
