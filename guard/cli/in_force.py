"""Says where the files of a configuration are not what is in force on this host, and who is named by what is."""

from __future__ import annotations

import sys

from guard.cli.switch import state_of
from guard.policy.config import Config
from guard.policy.load import load
from guard.policy.operators import OperatorsFile
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
