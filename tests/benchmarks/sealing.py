"""What proof costs: hashing a record, sealing a log in the supervisor, and verifying all of it.

No process and no network: a log of 4 KB records is written, sealed and verified where temporary files lie. A worker
pays nothing for it; the first figure is what it would pay if it hashed its records itself.
"""

import os
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Final

from guard.audit.frames import compact, encode
from guard.audit.records import Kind
from guard.audit.sealer import Sealer
from guard.audit.segments import name
from guard.audit.signing_keys import open_keys
from guard.audit.tree import leaf_hash
from guard.audit.verify import verify
from guard.clock import SystemClock
from tests.benchmarks.process import PROXY_CORE, on_core
from tests.guard.audit.leaf_dictionary import samples

RECORD: Final = 4096
SEGMENT_RECORDS: Final = 16_000
MEGA: Final = 1_000_000
ROUNDS: Final = 3

Figure = tuple[str, list[float], str]


def records(count: int) -> list[bytes]:
    """Intents of about 4 KB, each of another request."""
    filler = "x" * (RECORD - 60)
    return [b'{"record":"intent","id":"%012x","text":"%b"}' % (number, filler.encode()) for number in range(count)]


def write_log(directory: Path, count: int) -> int:
    """A writer's segments with so many records; returns their bytes."""
    directory.mkdir(parents=True)
    size = 0
    for first in range(1, count + 1, SEGMENT_RECORDS):
        many = range(first, min(first + SEGMENT_RECORDS, count + 1))
        data = b"".join(encode(Kind.INTENT, at, payload) for at, payload in zip(many, records(len(many)), strict=True))
        (directory / name(first)).write_bytes(data)
        size += len(data)
    return size


def write_leaves(directory: Path, leaves: list[bytes]) -> None:
    """A writer's only segment, compressed as a worker writes it."""
    directory.mkdir(parents=True)
    frames = (compact(Kind.CONTROL, at, leaf) for at, leaf in enumerate(leaves, 1))
    (directory / name(1)).write_bytes(b"".join(frames))


def verified(audit: Path, state: Path, count: int) -> float:
    """Seal what a folder holds, and verify it; seconds of the latter."""
    ring = open_keys(state, audit, origin=None, configured=None)
    sealer = Sealer(audit, ring, SystemClock(), 3600.0)
    while sealer.round({}).writers[0].size < count:
        pass
    sealer.close()
    began = time.perf_counter()
    if not verify(audit, ring.log.key).intact:
        raise RuntimeError("the log is not intact")
    return time.perf_counter() - began


def measure(count: int = 50_000) -> list[Figure]:
    """Hash, seal and verify a log of so many records, a few times over."""
    payloads = records(min(count, 10_000))
    hashing: list[float] = []
    sealing: list[float] = []
    idle: list[float] = []
    verifying: list[float] = []
    leaves = samples(7, count // 4)
    expanding: list[float] = []
    with on_core(PROXY_CORE):
        for _ in range(ROUNDS):
            began = time.perf_counter()
            for payload in payloads:
                leaf_hash(Kind.INTENT, payload)
            hashing.append((time.perf_counter() - began) / len(payloads) * MEGA)
            with tempfile.TemporaryDirectory(prefix="bench-", dir=os.environ.get("TMPDIR")) as folder:
                audit = Path(folder) / "audit"
                size = write_log(audit / "worker-0", count)
                ring = open_keys(Path(folder) / "state", audit, origin=None, configured=None)
                sealer = Sealer(audit, ring, SystemClock(), 3600.0)
                began, cpu = time.perf_counter(), time.process_time()
                while sealer.round({}).writers[0].size < count:
                    pass
                sealing.append((time.process_time() - cpu) / count * MEGA)
                began = time.perf_counter()
                sealer.round({})
                idle.append((time.perf_counter() - began) * 1000)
                sealer.close()
                began = time.perf_counter()
                report = verify(audit, ring.log.key)
                verifying.append(size / (time.perf_counter() - began) / MEGA)
                if not report.intact:
                    raise RuntimeError(f"the log is not intact: {report.findings[:1]}")
                write_leaves(Path(folder) / "other" / "audit" / "worker-0", leaves)
                taken = verified(Path(folder) / "other" / "audit", Path(folder) / "other" / "state", len(leaves))
                expanding.append(len(leaves) / taken)
    return [
        ("hash one record of 4 KB: what a worker is spared, µs", hashing, f"median {median(hashing):.1f}"),
        ("seal one record in the supervisor (read, check, hash, tree, tiles), CPU µs", sealing, "tiles are synced"),
        ("a round of sealing with nothing new, ms", idle, "every second"),
        ("verify a sealed log of 4 KB records, MB/s", verifying, f"{count:,} records; goal over 200"),
        ("verify a sealed log of compressed leaves, records/s", expanding, f"{len(leaves):,} as requests leave them"),
    ]
