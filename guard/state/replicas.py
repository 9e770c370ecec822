"""What the replicas of a fleet say of themselves, and what that means for an order: who has obeyed and who has not."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from guard.state.acknowledgements import applied_by
from guard.state.engine import MAX_REPORT_BYTES, Heard

SILENT_SECONDS: Final = 5.0
MAX_TOLD: Final = 32
MAX_NAMED: Final = 20
_MAX_WORDS: Final = 200


class Applied(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One order on one replica: how many workers apply it, which do not, and how many streams they cut."""

    order: str
    workers: int
    missing: tuple[str, ...]
    streams_cut: int


class Report(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one replica says: its newest orders, up to where it has read, its lapsed levels, what is wrong."""

    version: int
    position: int
    workers: int
    applied: tuple[Applied, ...]
    lapsed: tuple[int, ...] = ()
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class Replica:
    """One replica as the engine knows it; ``report`` is None for words that this version does not understand."""

    name: str
    ago: float
    report: Report | None

    @property
    def silent(self) -> bool:
        """Whether it was not heard lately."""
        return self.ago > SILENT_SECONDS


@dataclass(frozen=True, slots=True)
class Spread:
    """How far an order has come: replicas and workers that apply it, of how many, and who does not."""

    replicas: int
    replicas_of: int
    workers: int
    workers_of: int
    streams_cut: int
    missing: tuple[str, ...]

    def fields(self) -> dict[str, Any]:
        """What the admin API and the commands tell of it."""
        return {**asdict(self), "missing": list(self.missing)}


_encode = msgspec.json.Encoder().encode
_decoder = msgspec.json.Decoder(Report)


def compose(
    state: Path, expected: Collection[str], orders: Iterable[str], *, position: int, lapsed: Iterable[int], trouble: str
) -> Report:
    """Return what this replica says of these orders, newest last; raises OSError where it cannot be known."""
    told = tuple(orders)[-MAX_TOLD:]
    found = applied_by(state, told, expected)
    applied = tuple(
        Applied(order, len(acks), missing[:MAX_NAMED], sum(ack.streams_cut for ack in acks))
        for order, (acks, missing) in found.items()
    )
    return Report(1, position, len(expected), applied, tuple(sorted(lapsed)), trouble[:_MAX_WORDS])


def encode(report: Report) -> bytes:
    """Write it for the engine, without what would make it too long."""
    raw = _encode(report)
    while len(raw) > MAX_REPORT_BYTES:
        report = msgspec.structs.replace(report, applied=report.applied[1:])
        raw = _encode(report)
    return raw


def read(heard: Iterable[Heard]) -> tuple[Replica, ...]:
    """Return the replicas that the engine has heard."""
    return tuple(Replica(each.replica, each.ago, _read(each.report)) for each in heard)


def spread(order: str, replicas: Collection[Replica]) -> Spread:
    """Say how far an order has come; a replica that was not heard lately has not obeyed, whatever it said before."""
    workers = workers_of = cut = obeyed = 0
    missing: list[str] = []
    for replica in replicas:
        report = replica.report
        if report is None:
            missing.append(f"{replica.name} (another version)")
            continue
        found = next((each for each in report.applied if each.order == order), None)
        workers_of += report.workers if found is None else max(report.workers, found.workers + len(found.missing))
        if found is not None:
            workers += found.workers
            cut += found.streams_cut
        if replica.silent:
            missing.append(f"{replica.name} (not heard for {replica.ago:.0f} s)")
        elif found is None:
            missing.append(f"{replica.name} (has not seen it)")
        elif found.missing or not found.workers:
            missing.append(f"{replica.name} (worker {', '.join(found.missing) or 'none'})")
        else:
            obeyed += 1
    return Spread(obeyed, len(replicas), workers, workers_of, cut, tuple(missing))


def _read(raw: bytes) -> Report | None:
    try:
        report = _decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return report if report.version == 1 else None
