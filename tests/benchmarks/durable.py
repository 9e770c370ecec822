"""What it costs to have every request on the disk before it is forwarded: latency, processor, saturation, space.

No socket: exchanges go into the worker's own ledger, sealed, on its kind of event loop, where temporary files lie, all
of it on one core; at the end two workers' ledgers, on two. Each round first times the disk alone, at the same pace, so
that the two may be compared: an append of 4 KB and its fdatasync. The ledger needs two syncs for each of its own, of
texts and then of leaves. Texts are pieces of the Python documentation, which is in every Python and which the log's
dictionaries were not made from; none comes twice, since a text that comes twice is kept once.
"""

import asyncio
import functools
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from pathlib import Path
from statistics import quantiles
from typing import Final

import uvloop

from guard.audit.keys import DataKeys, KeyFolder
from guard.audit.ledger import Ledger
from guard.audit.sealer import Sealer
from guard.audit.signing_keys import open_keys
from guard.audit.wrapping import Kek
from guard.clock import SystemClock
from guard.serve.garbage import settle
from safeguards.exchange import Channel, Exchange
from safeguards.ports import Keep
from tests.benchmarks.exchanges import CONTENT, Source
from tests.benchmarks.process import LOAD_CORE, PROXY_CORE, as_a_worker, on_core

RECORD: Final = 4096
RATE: Final = 1000  # records a second
TOGETHER: Final = 256  # who wait at once, for saturation
SHAPES: Final = {"whole, no parts": 0, "whole, in one part": 1, "streamed in 8 parts": 8}
PART: Final = " token x"  # what one event of a stream brings
STREAMS: Final = 64
ROUNDS: Final = 3
WORKER_SECONDS: Final = 120.0
MILLI: Final = 1000.0
MICRO: Final = 1_000_000.0

Figure = tuple[str, list[float], str]

_KEEP: Final = Keep(30, 730)


@contextmanager
def opened(folder: Path) -> Iterator[Ledger]:
    """A worker's ledger with keys, in a folder of its own."""
    keys = DataKeys(KeyFolder(folder / "content-keys"), Kek(os.urandom(32).hex()))
    ledger = Ledger.open(folder / "audit" / "worker-0", SystemClock(), keys=keys)
    try:
        yield ledger
    finally:
        ledger.close()


def alone(folder: Path, count: int) -> list[float]:
    """Append 4 KB and sync, so many times at the pace; seconds each."""
    data = os.urandom(RECORD)
    descriptor = os.open(folder / "alone", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    taken = []
    began = time.perf_counter()
    try:
        for number in range(count):
            time.sleep(max(0.0, began + number / RATE - time.perf_counter()))
            at = time.perf_counter()
            os.write(descriptor, data)
            os.fdatasync(descriptor)
            taken.append(time.perf_counter() - at)
    finally:
        os.close(descriptor)
    return taken


async def paced(ledger: Ledger, exchanges: list[Exchange]) -> tuple[list[float], float]:
    """Put them on record at the pace, whether the disk keeps up or not; seconds until durable, and share of a core."""
    taken: list[float] = []
    done = asyncio.Event()

    def durable(at: float, waited: asyncio.Future[None]) -> None:
        waited.result()
        taken.append(time.perf_counter() - at)
        if len(taken) == len(exchanges):
            done.set()

    began, cpu = time.perf_counter(), time.process_time()
    for number, exchange in enumerate(exchanges):
        await asyncio.sleep(max(0.0, began + number / RATE - time.perf_counter()))
        at = time.perf_counter()
        waited = asyncio.ensure_future(_written(ledger, exchange))
        waited.add_done_callback(functools.partial(durable, at))
    await done.wait()
    return taken, (time.process_time() - cpu) / (time.perf_counter() - began)


async def _written(ledger: Ledger, exchange: Exchange) -> None:
    written = ledger.intent(exchange, durable=True, keep=_KEEP)
    if written is not None:
        await written


async def saturated(ledger: Ledger, exchanges: list[Exchange]) -> tuple[float, float]:
    """Put them on record as fast as many who wait for each can; records a second, and processor seconds of each."""
    left = iter(exchanges)

    async def one() -> None:
        for exchange in left:
            await _written(ledger, exchange)

    began, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(one() for _ in range(TOGETHER)))
    count = len(exchanges)
    return count / (time.perf_counter() - began), (time.process_time() - cpu) / count


def _worker(
    folder: Path, core: int, seed: int, count: int, ready: Barrier, spans: "Queue[tuple[float, float]]"
) -> None:
    source = Source(seed)
    exchanges = [source.exchange(RECORD) for _ in range(count)]
    settle()
    with on_core(core), opened(folder) as ledger:
        ready.wait(WORKER_SECONDS)
        began = time.monotonic()
        uvloop.run(saturated(ledger, exchanges))
        spans.put((began, time.monotonic()))


def side_by_side(folder: Path, count: int) -> float:
    """Two workers at once, each as fast as many who wait for each record can; records a second of both together.

    Not for a process that is kept to one core: those that it starts would know of no other, and share it.
    """
    context = get_context("spawn")
    ready, spans = context.Barrier(2), context.Queue()
    workers = [
        context.Process(target=_worker, args=(folder / f"of-{core}", core, core, count, ready, spans))
        for core in (PROXY_CORE, LOAD_CORE)
    ]
    for worker in workers:
        worker.start()
    found: list[tuple[float, float]] = [spans.get(timeout=WORKER_SECONDS) for _ in workers]
    for worker in workers:
        worker.join()
    return len(workers) * count / (max(ended for _, ended in found) - min(began for began, _ in found))


def part_cost(ledger: Ledger, source: Source, count: int) -> float:
    """Processor seconds for each part of many streams, its text sealed in one file and its leaf in another."""
    streams = [(source.exchange(RECORD), Channel(CONTENT)) for _ in range(STREAMS)]
    for exchange, _ in streams:
        ledger.intent(exchange, durable=False, keep=_KEEP)
    cpu = time.process_time()
    for _ in range(count):
        for exchange, channel in streams:
            channel.append(PART)
            ledger.part(exchange, channel)
            channel.settle()
    return (time.process_time() - cpu) / (count * STREAMS)


def disk_use(folder: Path, source: Source, parts: int, count: int) -> float:
    """Bytes on disk for each exchange of 2 KB asked and 2 KB answered, sealed and all."""
    half = RECORD // 2

    async def write() -> None:
        with opened(folder) as ledger:
            for _ in range(count):
                exchange, answer = source.exchange(half), source.text(half)
                ledger.intent(exchange, durable=False, keep=_KEEP)
                channel = Channel(CONTENT)
                for at in range(0, len(answer) if parts else 0, -(-len(answer) // max(1, parts))):
                    channel.append(answer[at : at - (-len(answer) // parts)])
                    ledger.part(exchange, channel)
                    channel.settle()
                ledger.outcome(exchange, source.outcome(answer), durable=False)

    asyncio.run(write())
    audit = folder / "audit"
    ring = open_keys(folder / "state", audit, origin=None, configured=None)
    sealer = Sealer(audit, ring, SystemClock(), 3600.0)
    while sealer.round({}).writers[0].size < (2 + parts) * count:
        pass
    sealer.close()
    return sum(path.stat().st_size for path in audit.rglob("*") if path.is_file()) / count


def measure(seconds: float = 1.0) -> list[Figure]:
    """All of it, a few rounds over, each with so many times 3,000 paced records."""
    count, source = max(50, int(3000 * seconds)), Source(1)
    most = min(4 * count, 12_000)  # below the bound on open requests
    found: dict[str, list[float]] = {}

    def note(name: str, value: float) -> None:
        found.setdefault(name, []).append(value)

    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory(prefix="bench-", dir=os.environ.get("TMPDIR")) as made, on_core(PROXY_CORE):
            folder = Path(made)
            bare = quantiles(alone(folder, count), n=100)
            exchanges = [source.exchange(RECORD) for _ in range(count + most)]
            with as_a_worker(), opened(folder / "paced") as ledger:
                taken, share = uvloop.run(paced(ledger, exchanges[:count]))
            with as_a_worker(), opened(folder / "saturated") as ledger:
                rate, cost = uvloop.run(saturated(ledger, exchanges[count:]))
            with as_a_worker(), opened(folder / "parts") as ledger:
                note("part", part_cost(ledger, source, max(10, int(200 * seconds))) * MICRO)
            ours = quantiles(taken, n=100)
            for name, at in (("p50", 49), ("p99", 98)):
                note(f"bare {name}", bare[at] * MILLI)
                note(f"ours {name}", ours[at] * MILLI)
                note(f"added {name}", (ours[at] - bare[at]) * MILLI)
            note("share", share * 100)
            note("rate", rate)
            note("cost", cost * MICRO)
            for shape, parts in SHAPES.items():
                note(shape, disk_use(folder / shape, source, parts, max(100, int(1000 * seconds))))
        with tempfile.TemporaryDirectory(prefix="bench-", dir=os.environ.get("TMPDIR")) as made:
            note("both", side_by_side(Path(made), most))
    pace = f"{RATE:,} records/s of 4 KB, sealed and durable"
    return [
        ("the disk alone at that pace, 4 KB and fdatasync, p50 ms", found["bare p50"], f"{count:,} a round"),
        ("the disk alone, p99 ms", found["bare p99"], ""),
        (f"{pace}, p50 ms", found["ours p50"], "two syncs for each of the disk alone"),
        (f"{pace}, p99 ms", found["ours p99"], ""),
        ("added to the disk alone, p50 ms", found["added p50"], "goal within 1"),
        ("added to the disk alone, p99 ms", found["added p99"], "goal within 3"),
        (f"{pace}, % of a core", found["share"], "goal under 35; making the requests not counted"),
        (f"saturation, {TOGETHER} at once, records/s", found["rate"], "one worker on one core; no text twice"),
        ("processor for each record at saturation, µs", found["cost"], "event loop and commit thread"),
        ("saturation of two workers on two cores, records/s", found["both"], "goal over 20,000"),
        ("processor for each part of a stream, µs", found["part"], "two appends; its text sealed"),
        *(
            (f"disk for an exchange of 4 KB, {shape}, bytes", found[shape], "goal under 2,560, proof and keys included")
            for shape in SHAPES
        ),
    ]
