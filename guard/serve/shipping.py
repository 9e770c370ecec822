"""The process that ships copies of the request log: a child of the supervisor, so that a store's hanging stalls nobody.

Started as ``python -m guard.serve.shipping`` with one JSON argument. It goes on until its standard input ends, which it
also does when the supervisor dies, then ships once more and ends. What it tells stands in `guard.shipping.status`.
"""

from __future__ import annotations

import json
import os
import random
import select
import signal
import sys
from collections.abc import Callable
from concurrent import futures
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from guard.app import storage
from guard.audit.directory import InUseError, lock, prepare
from guard.audit.note import Key, parse_key
from guard.audit.segments import LedgerError
from guard.clock import SystemClock
from guard.policy.load import Config, read_secret
from guard.policy.source import ConfigError
from guard.policy.storage import Shipping
from guard.shipping.cursor import FOLDER, Cursor
from guard.shipping.folder import FolderStore
from guard.shipping.heads import read_heads
from guard.shipping.otlp import LogSink
from guard.shipping.s3 import S3Place, S3Store
from guard.shipping.shipper import Shipper, words
from guard.shipping.status import Status, read_status, write_status
from guard.shipping.store import Store, StoreError
from guard.telemetry.logs import Event, JsonLog, Level
from safeguards.ports import Clock

NICE: Final = 10
FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 60.0
TELL_SECONDS: Final = 0.5
MAX_WORDS: Final = 500
LAST_SECONDS: Final = 2.0  # that a collector has for what was sealed last; the supervisor waits longer
CANNOT_START: Final = 2


@dataclass(frozen=True, slots=True)
class Shipment:
    """What is shipped where: the folders of state and of the log, the log's public key, the section of guard.yaml.

    ``directory`` is the configuration's, which the files of its secrets are relative to.
    """

    directory: Path
    state: Path
    audit: Path
    key: Key
    section: Shipping

    def order(self) -> str:
        """As the process that ships is told; no secret is in it, only where they are."""
        told = {"directory": self.directory, "state": self.state, "audit": self.audit, "key": self.key}
        return json.dumps({**told, "section": self.section.model_dump_json()}, default=str)


def read_order(text: str) -> Shipment:
    """Read what `Shipment.order` wrote."""
    given = json.loads(text)
    directory, state, audit = (Path(given[name]) for name in ("directory", "state", "audit"))
    return Shipment(directory, state, audit, parse_key(given["key"]), Shipping.model_validate_json(given["section"]))


def shipment(config: Config, key: Key) -> Shipment | None:
    """What a configuration says of copies of the log with this public key; None if there are to be none."""
    section = config.guard.storage.ship
    return None if section is None else Shipment(config.directory, *storage(config), key, section)


def cursor_of(state: Path, section: Shipping) -> Cursor:
    """How far copies are at this target; raises LedgerError."""
    return Cursor(state, f"{section.to} {section.endpoint or ''}")


def open_store(directory: Path, section: Shipping) -> Store:
    """The store that a section names; raises ConfigError for its secrets, StoreError where boto3 is missing."""
    scheme, _, rest = section.to.partition("://")
    if scheme == "file":
        return FolderStore(Path(rest))
    bucket, _, prefix = rest.partition("/")
    keys = [None if ref is None else read_secret(ref, directory) for ref in (section.access_key, section.secret_key)]
    locked = None if section.lock is None else section.lock.mode.value.upper()
    return S3Store(S3Place(bucket, prefix, section.endpoint, section.region, keys[0], keys[1], locked))


def open_shipper(given: Shipment, clock: Clock, told: Callable[[], None] = lambda: None) -> Shipper:
    """What ships it; ``told`` is called after each object. Raises ConfigError, StoreError, LedgerError."""
    section = given.section
    days = None if section.lock is None else section.lock.days
    store, cursor = open_store(given.directory, section), cursor_of(given.state, section)
    return Shipper(given.audit, given.key, store, cursor, clock, keep_days=days, told=told)


def open_sink(given: Shipment) -> LogSink | None:
    """Who else is told of records, None if nobody is; raises ConfigError and LedgerError."""
    section = given.section.otlp_logs
    if section is None:
        return None
    secret = section.authorization
    cursor = Cursor(given.state, f"otlp {section.endpoint}")
    authorization = None if secret is None else read_secret(secret, given.directory)
    return LogSink(given.key, section.endpoint, cursor, authorization=authorization)


def hold(state: Path) -> int:
    """Keep others from shipping this log until the descriptor is closed; raises InUseError and OSError."""
    folder = state / FOLDER
    prepare(folder)
    return lock(folder)


def pause_after(failures: int, share: float) -> float:
    """How long to wait after so many failures in a row, doubling to a minute; ``share`` (0 to 1) spreads many hosts."""
    return float(min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(failures - 1, 10)) * (0.5 + share / 2))


class Telling:
    """Rounds of a sink in a thread of its own, so that a collector that hangs holds up no copy.

    It goes on with every round of copies that finds it idle.
    """

    def __init__(self, audit: Path, sink: LogSink) -> None:
        """Take the log and who is told of it."""
        self._audit = audit
        self._sink = sink
        self._thread = ThreadPoolExecutor(1, "tell-records")
        self._round: Future[tuple[str, ...]] | None = None
        self._problem = ""

    def look(self) -> str:
        """What was wrong with the last round that ended, empty if nothing was."""
        if self._round is not None and self._round.done():
            try:
                self._problem = "; ".join(self._round.result())
            except (StoreError, LedgerError, OSError) as error:
                self._problem = words(error)
            self._round = None
        return self._problem

    def go_on(self) -> None:
        """Begin a round unless one runs."""
        self.look()
        if self._round is None:
            self._round = self._thread.submit(self._tell)

    def close(self) -> None:
        """Let what was sealed last be told for a few seconds, and end."""
        self.go_on()
        if self._round is not None:
            futures.wait([self._round], LAST_SECONDS)
        self._sink.close()

    def _tell(self) -> tuple[str, ...]:
        return self._sink.round(self._audit, read_heads(self._audit).sizes) if self._audit.is_dir() else ()


class Loop:
    """Rounds without end, each followed by a pause, until ``ended`` says so; it gets the seconds it may wait."""

    def __init__(self, given: Shipment, clock: Clock, ended: Callable[[float], bool]) -> None:
        """Open everything; raises ConfigError, StoreError, LedgerError."""
        self._state = given.state
        self._every = given.section.every_seconds
        self._clock = clock
        self._ended = ended
        self._problem = ""
        self._told = float("-inf")
        self._shipper = open_shipper(given, clock, self._tell_now_and_then)
        sink = open_sink(given)
        self._telling = None if sink is None else Telling(given.audit, sink)

    def run(self) -> None:
        """Ship until the end, and once more then."""
        failed = 0
        over = False
        while True:
            self._tell()
            try:
                problems = self._shipper.round()
            except (StoreError, LedgerError, OSError) as error:
                self._shipper.counts.failures += 1
                failed += 1
                self._problem = words(error)[:MAX_WORDS]
            else:
                failed = 0
                self._problem = "; ".join(problems)[:MAX_WORDS]
            if self._telling is not None:
                (self._telling.close if over else self._telling.go_on)()
            self._tell()
            if over:
                return
            over = self._pause(pause_after(failed, random.random()) if failed else self._every)  # noqa: S311 - a jitter

    def _pause(self, seconds: float) -> bool:
        """Wait, telling meanwhile how it stands; returns whether the end has come."""
        until = self._clock.steady() + seconds
        while (left := until - self._clock.steady()) > 0:
            if self._ended(min(left, self._every)):
                return True
            self._tell()
        return False

    def _tell_now_and_then(self) -> None:
        if self._clock.steady() - self._told >= TELL_SECONDS:
            self._tell()

    def _tell(self) -> None:
        """Say how it stands; what cannot be said is not, and the lag that others see grows."""
        self._told = self._clock.steady()
        try:
            try:
                told = "" if self._telling is None else self._telling.look()[:MAX_WORDS]
                status = self._shipper.status("; ".join(filter(None, (self._problem, told))))
            except (LedgerError, OSError) as error:
                before = read_status(self._state)
                status = Status(0.0 if before is None else before.shipped_to, words(error)[:MAX_WORDS])
            write_status(self._state, status)
        except OSError:
            return


def _ended(seconds: float) -> bool:
    """Wait for the end of standard input."""
    readable, _, _ = select.select([0], [], [], seconds)
    return bool(readable) and not os.read(0, 4096)


def main(order: str) -> int:
    """Ship; raises ConfigError, StoreError, LedgerError and OSError when it cannot begin."""
    os.nice(NICE)
    given = read_order(order)
    while True:
        try:
            hold(given.state)
            break
        except InUseError:  # one whose supervisor died is on its last round, or somebody ships by hand
            if _ended(FIRST_PAUSE):
                return 0
    Loop(given, SystemClock(), _ended).run()
    return 0


if __name__ == "__main__":
    # As workers: the supervisor alone decides how to end.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    try:
        code = main(sys.argv[1])
    except (ConfigError, StoreError, LedgerError, OSError, ValueError) as problem:
        JsonLog(SystemClock()).emit(Level.ERROR, Event.SHIP_FAILED, reason=f"cannot begin: {problem}")
        code = CANNOT_START
    sys.exit(code)
