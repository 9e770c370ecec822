"""With which policy the guard begins: what its files hold, unless they may not come into force in place of the last.

A restart is no way around two people's approval, and a file that is broken while the host restarts is no reason to be
without a service: in both cases the guard begins with the policy that was in force, and says so in the log, a metric,
the request log and `guard status`. Weakness: which policy was in force is known from the state folder alone; who names
another, or empties it, begins anew.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from guard.approval.profiles import with_profiles
from guard.hooks.hook import Hooks, read_hooks
from guard.notices.forms import Receiver
from guard.notices.receivers import read_receivers
from guard.policy.acceptance import Accepted, Approvals, Asked, NotAcceptedError, accept
from guard.policy.bundle import Bundle, Stamps, UnsettledError, read_bundle, read_settled, read_snapshot, stamps
from guard.policy.compile import Made, check_compiles
from guard.policy.config import Config
from guard.policy.load import Memory, read_secret, understand
from guard.policy.model import GuardConfig
from guard.policy.source import ConfigError, Problem, parse
from guard.policy.validate import validate
from guard.serve.certificates import Certificates, admin_certificates, surface_certificates
from guard.serve.engines import open_engine
from guard.serve.remembering import last_levels
from guard.state.snapshots import Current, SnapshotError, Snapshots


@dataclass(frozen=True, slots=True)
class Checked:
    """A configuration that could be served: understood, compiled, its secrets and certificates read."""

    config: Config
    made: Made
    pepper: bytes
    admin_tls: Certificates | None
    hooks: Hooks
    receivers: tuple[Receiver, ...] = ()


@dataclass(frozen=True, slots=True)
class Beginning:
    """What the guard begins with; ``held`` says why that is not what its files hold, and is empty if it is.

    ``last`` is what was in force before, ``accepted`` the change from it, if there is one. ``seen`` stands for the
    files that were looked at.
    """

    checked: Checked
    bundle: Bundle
    last: Current | None
    accepted: Accepted | None
    held: tuple[str, ...]
    memory: Memory
    seen: Stamps


def check(bundle: Bundle, directory: Path, memory: Memory, now: float, made: Made | None = None) -> Checked:
    """Make sure that it can be served, by making all of it once; raises ConfigError with everything that is wrong.

    ``now`` is seconds since the epoch: what people signed for a time is read as of then.
    """
    config = with_profiles(understand(bundle, directory, memory), now)
    made = check_compiles(config, made=made)
    surface_certificates(config)
    if config.guard.fleet is not None:
        open_engine(config.guard.fleet, config.directory, partial(config.problem, "guard.yaml"))
    pepper = read_secret(config.guard.keys.pepper, config.directory).encode()
    return Checked(config, made, pepper, admin_certificates(config), read_hooks(config), read_receivers(config))


def begin(directory: Path, approvals: Approvals, now: Callable[[], float]) -> Beginning:
    """Decide it; writes nothing. Raises ConfigError, and SnapshotError where what was in force cannot be read."""
    try:
        bundle, seen = read_settled(directory)
    except UnsettledError:
        bundle, seen = read_bundle(directory), {}  # half of a change is found out by its reload
    memory = Memory()
    wrong: ConfigError | None = None
    try:
        checked = check(bundle, directory, memory, now())
    except ConfigError as error:
        wrong = error
    snapshots = Snapshots(_state(bundle, directory, wrong))
    last = snapshots.current()
    if last is None or last.digest == bundle.digest:
        if wrong is not None:
            raise wrong
        if last is None:
            _first(checked.config, approvals, now())
        return Beginning(checked, bundle, last, None, (), memory, seen)
    kept, kept_memory = _kept(snapshots, last.digest), Memory()
    if wrong is not None:
        held = tuple(map(str, wrong.problems))
    else:
        before = understand(kept, directory, kept_memory)
        asked = Asked(before, checked.config, last.remembered, now(), running=False, levels=last_levels(last))
        try:
            return Beginning(checked, bundle, last, accept(asked, approvals), (), memory, seen)
        except NotAcceptedError as refusal:
            held = refusal.reasons
    checked = check(kept, directory, kept_memory, now())
    if directory / checked.config.guard.storage.state != snapshots.folder.parent:
        # The stop orders are in the folder that guard.yaml names now, and this policy would look elsewhere.
        words = "names another folder than the policy in force, which stays in force and would not see the stop orders"
        raise ConfigError([Problem("guard.yaml", 0, "storage.state", words)])
    return Beginning(checked, kept, last, None, held, kept_memory, seen or stamps(directory))


def _first(config: Config, approvals: Approvals, at: float) -> None:
    """Ask about a policy where none was in force; raises ConfigError, since there is nothing to begin with instead."""
    try:
        accept(Asked(None, config, frozenset(), at, running=False), approvals)
    except NotAcceptedError as refusal:
        raise ConfigError(Problem("guard.yaml", 0, "", reason) for reason in refusal.reasons) from None


def _state(bundle: Bundle, directory: Path, wrong: ConfigError | None) -> Path:
    """Where guard.yaml says that the state is; where even that cannot be known, nothing can begin."""
    content = bundle.files.get("guard.yaml")
    if content is None:
        raise wrong or ConfigError(bundle.problems)
    try:
        return directory / validate(parse("guard.yaml", content), GuardConfig).storage.state
    except ConfigError as error:
        raise wrong or error from None


def _kept(snapshots: Snapshots, digest: str) -> Bundle:
    kept = read_snapshot(snapshots.place(digest))
    if kept.digest != digest:
        raise SnapshotError(
            f"{snapshots.place(digest)} is not what was put there, so what its successor changes is not known; put it "
            f"back, or remove {snapshots.folder / 'current'} to take what the configuration directory holds"
        )
    return kept
