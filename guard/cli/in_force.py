"""Says where the files of a configuration are not what is in force on this host."""

from __future__ import annotations

import sys

from guard.cli.switch import state_of
from guard.policy.config import Config
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
