"""``guard audit ship``: one round of copies by hand, where no guard runs that makes them by itself."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from typing import Final

from guard.app import SYSTEM_CLOCK
from guard.audit.directory import InUseError
from guard.audit.render import moment, printable
from guard.audit.segments import LedgerError, describe
from guard.cli.options import add_config
from guard.policy.load import load
from guard.serve.sealing import log_key
from guard.serve.shipping import Shipment, hold, open_shipper, open_sink, shipment
from guard.shipping.heads import read_heads
from guard.shipping.store import StoreError

EVERY_SECONDS: Final = 1.0


def add(group: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    ship = group.add_parser(
        "ship",
        help="copy what is sealed and has no copy yet to storage.ship, once",
        description="A running guard does so by itself. Goes on where the last round ended, compares what is there "
        "already and replaces nothing, and tells storage.ship.otlp_logs; 1 if anything has no copy or was not told.",
    )
    add_config(ship)
    ship.set_defaults(run=_ship)


def _ship(arguments: argparse.Namespace) -> int:
    config = load(arguments.config)
    try:
        given = shipment(config, log_key(config))
        if given is None:
            return _failed("guard.yaml does not say under `storage.ship` where copies go")
        held = hold(given.state)
    except InUseError:
        return _failed("a running guard ships this log by itself; guard_audit_ship_lag_seconds says how far it is")
    except LedgerError as error:
        return _failed(str(error))
    try:
        tell = _Progress(lambda: shipper.counts.objects, lambda: shipper.counts.bytes)
        shipper = open_shipper(given, SYSTEM_CLOCK, tell)
        problems = shipper.round()
        status = shipper.status()
        problems += _tell(given)
    except (StoreError, LedgerError) as error:
        return _failed(str(error))
    except OSError as error:
        return _failed(f"{error.filename or given.audit}: {describe(error)}")
    finally:
        os.close(held)
    for problem in problems:
        _failed(problem)
    sys.stdout.write(f"{status.objects} objects, {status.bytes} bytes to {given.section.to}\n")
    sys.stdout.write(f"every record before {moment(status.shipped_to)} has a copy\n")
    return 1 if problems else 0


def _tell(given: Shipment) -> tuple[str, ...]:
    """Tell the collector of records, where there is one; what is wrong with it is not wrong with the copies."""
    sink = open_sink(given)
    if sink is None:
        return ()
    try:
        return sink.round(given.audit, read_heads(given.audit).sizes)
    except StoreError as error:
        return (str(error),)


class _Progress:
    """Says on standard error every second how far it is, if it takes longer than that."""

    def __init__(self, objects: Callable[[], int], size: Callable[[], int]) -> None:
        self._objects = objects
        self._size = size
        self._said = time.monotonic()

    def __call__(self) -> None:
        now = time.monotonic()
        if now - self._said >= EVERY_SECONDS:
            self._said = now
            sys.stderr.write(f"guard: {self._objects()} objects, {self._size() / 1_048_576:.1f} MiB shipped\n")


def _failed(words: str) -> int:
    sys.stderr.write(f"guard: {printable(words)}\n")
    return 1
