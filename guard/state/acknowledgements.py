"""Who has obeyed: each worker's own file of the orders it applied, and the question which live workers have not.

A worker that has never written its file cannot be missed by it: workers write once before they serve, and a caller
who knows the workers' names passes them. These files are not synced to disk: after a crash there is no worker either.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

MAX_ORDERS = 1_000
_MAX_BYTES = 262_144
_MAX_FILES = 1_024
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_SUFFIX = ".json"


@dataclass(frozen=True, slots=True)
class Ack:
    """One live worker has applied one order: how many streams it cut, and when (seconds since the epoch)."""

    worker: str
    pid: int
    streams_cut: int
    at: float


@dataclass(frozen=True, slots=True)
class _Applied:
    streams_cut: int
    at: float


@dataclass(frozen=True, slots=True)
class _Report:
    pid: int
    started: int
    orders: Mapping[str, _Applied]


def process_started(pid: int) -> int | None:
    """When this process started, in the kernel's ticks since boot; None when it is gone, a zombie, or not visible."""
    try:
        # The name stands in brackets and may hold anything, so count from the last one.
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return None
    return None if fields[0] in {b"Z", b"X"} else int(fields[19])


class Acknowledgements:
    """One worker's file under ``<state>/workers``; keeps the newest 1,000 orders."""

    def __init__(self, state: Path, worker: str, *, pid: int, started: int) -> None:
        """Take the worker's name (1 to 64 of A-Z a-z 0-9 . _ -), its pid and what `process_started` says of it.

        Raises ValueError for another name, OSError when the folder cannot be made.
        """
        if _NAME.fullmatch(worker) is None:
            raise ValueError("worker: 1 to 64 of A-Z a-z 0-9 . _ -")
        folder = state / "workers"
        folder.mkdir(mode=0o700, exist_ok=True)
        self._file = folder / f"{worker}{_SUFFIX}"
        self._aside = folder / f"{worker}.{pid}.tmp"
        self._pid = pid
        self._started = started
        self._orders: dict[str, _Applied] = {}

    def record(self, streams_cut: Mapping[str, int], at: float) -> None:
        """Tell that these orders (id -> streams cut) are in force here; with none of them, that the worker lives.

        Raises OSError when it cannot be written; the orders are told again with the next call.
        """
        self._orders.update((order, _Applied(cut, at)) for order, cut in streams_cut.items())
        # Ids sort by time, so the oldest go; a STOP file's id sorts after them all.
        for order in sorted(self._orders)[:-MAX_ORDERS]:
            del self._orders[order]
        orders = {order: {"streams_cut": one.streams_cut, "at": one.at} for order, one in self._orders.items()}
        record = {"version": 1, "pid": self._pid, "started": self._started, "orders": orders}
        fd = os.open(self._aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(json.dumps(record, sort_keys=True).encode("ascii"))
        self._aside.replace(self._file)

    def forget(self, orders: Iterable[str]) -> None:
        """Tell of these no more, from the next record on: nobody asks about them, and others would go for them."""
        for order in orders:
            self._orders.pop(order, None)

    def withdraw(self) -> None:
        """Remove the file at a clean end."""
        with suppress(FileNotFoundError):
            self._file.unlink()


def waiting_for(
    state: Path,
    order: str,
    expected: Collection[str] = (),
    started: Callable[[int], int | None] = process_started,
) -> tuple[tuple[Ack, ...], tuple[str, ...]]:
    """Which live workers have applied this order, and the names of those that have not.

    Files of dead processes are ignored; a file that cannot be read, and a name in ``expected`` without a live
    acknowledgement, count as missing. Processes must be visible: from another PID namespace every worker looks dead,
    so pass ``expected`` there. Raises OSError when the folder cannot be listed.
    """
    return applied_by(state, (order,), expected, started)[order]


def applied_by(
    state: Path,
    orders: Collection[str],
    expected: Collection[str] = (),
    started: Callable[[int], int | None] = process_started,
) -> dict[str, tuple[tuple[Ack, ...], tuple[str, ...]]]:
    """As `waiting_for`, for several orders by one reading."""
    reports: dict[str, _Report] = {}
    unread: set[str] = set()
    folder = state / "workers"
    names = sorted(path.name for path in folder.iterdir() if path.name.endswith(_SUFFIX)) if folder.exists() else []
    if len(names) > _MAX_FILES:
        raise OSError(f"workers/ holds more than {_MAX_FILES} files")
    for name in names:
        worker = name.removesuffix(_SUFFIX)
        try:
            report = _read(folder / name)
        except FileNotFoundError:
            continue
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            unread.add(ascii(worker)[1:-1])
            continue
        if started(report.pid) == report.started:
            reports[worker] = report
    found = {}
    for order in orders:
        acks = {
            worker: Ack(worker, report.pid, applied.streams_cut, applied.at)
            for worker, report in reports.items()
            if (applied := report.orders.get(order)) is not None
        }
        missing = unread | (set(expected) | reports.keys()) - acks.keys()
        found[order] = (tuple(acks.values()), tuple(sorted(missing)))
    return found


def living(state: Path, started: Callable[[int], int | None] = process_started) -> tuple[str, ...]:
    """Names of the workers whose file is of a process that lives; none where there is no folder.

    A file that cannot be read counts as nobody's, and from another PID namespace nobody is seen. Raises OSError when
    the folder cannot be listed.
    """
    folder = state / "workers"
    found: list[str] = []
    if not folder.exists():
        return ()
    for path in sorted(folder.glob(f"*{_SUFFIX}"))[:_MAX_FILES]:
        with suppress(OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            report = _read(path)
            if started(report.pid) == report.started:
                found.append(ascii(path.name.removesuffix(_SUFFIX))[1:-1])
    return tuple(found)


def _read(path: Path) -> _Report:
    with path.open("rb") as file:
        raw = file.read(_MAX_BYTES + 1)
    if len(raw) > _MAX_BYTES:
        raise ValueError("too large")
    record = json.loads(raw)
    if record["version"] != 1:
        raise ValueError("another version")
    orders = {
        order: _Applied(int(one["streams_cut"]), float(one["at"])) for order, one in dict(record["orders"]).items()
    }
    return _Report(int(record["pid"]), int(record["started"]), orders)
