"""``guard audit recover``: what a start does to every log, by hand, and their tiles made anew."""

from __future__ import annotations

import argparse
import asyncio
import sys

from guard.app import SYSTEM_CLOCK, log_disk, storage
from guard.audit.heads import CHECKPOINT, read_head, trusted_head
from guard.audit.ledger import Ledger
from guard.audit.repair import rebuild_tiles
from guard.audit.sealer import logs, open_sealer
from guard.audit.segments import LedgerError
from guard.cli.on_host import who_on_host
from guard.cli.options import add_config
from guard.cli.progress import Progress
from guard.policy.load import Config, load
from guard.serve.sealing import key_ring


def add(group: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = group.add_parser("recover", help="repair what a crash left while the guard is not running")
    add_config(parser)
    parser.set_defaults(run=_recover)


def _recover(arguments: argparse.Namespace) -> int:
    try:
        return asyncio.run(_recovered(load(arguments.config)))
    except LedgerError as error:
        sys.stderr.write(f"guard: {error}\n")
        return 1


async def _recovered(config: Config) -> int:
    """Do what a start does to every log, also to those of workers that are no longer configured, and seal the rest."""
    audit = storage(config)[1]
    ring = key_ring(config)
    # Held until the end: a running guard has it, and one that starts meanwhile must not.
    disk = log_disk(config)
    own = Ledger.open(audit / "supervisor", SYSTEM_CLOCK, disk=disk)
    code, progress = 0, Progress("records")
    try:
        for directory in logs(audit):
            if directory.name != "supervisor":
                Ledger.open(directory, SYSTEM_CLOCK, disk=disk).close()
            try:
                note = read_head(directory)
                if note is not None:
                    origin = f"{ring.origin}/{directory.name}"
                    head = trusted_head(note, origin, ring.log.key, directory / CHECKPOINT)
                    rebuild_tiles(directory, head, progress)
                    progress.end()
            except LedgerError as error:
                sys.stderr.write(f"guard: {error}\n")
                code = 1
            else:
                sys.stdout.write(f"{directory.name}: recovered\n")
        await own.control(who=who_on_host(), what="recover", subject="the request log", reason="guard audit recover")
    finally:
        own.close()
    sealer = open_sealer(audit, ring, SYSTEM_CLOCK, config.guard.audit.epoch_seconds)
    try:
        while any(each.behind for each in sealer.round({}).writers):
            continue
    finally:
        sealer.close()
    return code
