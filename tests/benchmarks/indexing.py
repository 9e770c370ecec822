"""What finding one request costs in a log of ten million records: making the indexes, and looking up by them.

No process and no network. The segments are a quarter as long as the guard's, so there are as many as in a log of four
times the bytes: a lookup asks the index of each. What a command costs beside it, Python's start above all, is not here.
"""

import os
import random
import tempfile
import time
from pathlib import Path
from typing import Final

from guard.audit.frames import encode
from guard.audit.indexer import Indexer
from guard.audit.read import Entry, search
from guard.audit.records import Kind
from guard.audit.segments import listing, name
from tests.benchmarks.process import PROXY_CORE, on_core

SEGMENT_RECORDS: Final = 48_000
LOOKUPS: Final = 200
ROUNDS: Final = 3

Figure = tuple[str, list[float], str]

INTENT: Final = (
    b'{"record":"intent","time":%.1f,"monotonic":1.5,"id":"%016x","received":1800000000.0,"key":"app-%d",'
    b'"owner":"team %d","tier":"general","model":"demo","asl":3,"surface":"public","dialect":"openai.chat",'
    b'"operation":"chat","streamed":true,"policy":"%064x","passages":[]}'
)
PART: Final = b'{"record":"part","time":%.1f,"monotonic":1.5,"id":"%016x","channel":"content[0]","start":0,"chars":40}'
OUTCOME: Final = (
    b'{"record":"outcome","time":%.1f,"monotonic":1.5,"id":"%016x","ending":"served","status":200,"code":null,'
    b'"reason":"","decisions":[],"released":[{"channel":"content[0]","received":40,"released":40}],"events":3,'
    b'"sent_bytes":400,"ended":1.0,"seconds":1.0,"upstream_seconds":1.0,"first_byte_seconds":0.1}'
)


def request(number: int) -> int:
    """The id of a request: anything, but always the same."""
    return number * 0x9E3779B97F4A7C15 % 2**64


def write_log(directory: Path, count: int, segment: int) -> int:
    """A writer's segments with so many records, three to a request; returns their bytes."""
    directory.mkdir(parents=True)
    size = 0
    for first in range(1, count + 1, segment):
        frames = []
        for sequence in range(first, min(first + segment, count + 1)):
            number, step = divmod(sequence - 1, 3)
            at, one = 1.8e9 + sequence / 1000, request(number)
            if step == 0:
                frames.append(encode(Kind.INTENT, sequence, INTENT % (at, one, number % 40, number % 7, 1)))
            else:
                kind, form = (Kind.PART, PART) if step == 1 else (Kind.OUTCOME, OUTCOME)
                frames.append(encode(kind, sequence, form % (at, one)))
        size += (directory / name(first)).write_bytes(b"".join(frames))
    return size


def measure(count: int = 10_000_000, segment: int = SEGMENT_RECORDS) -> list[Figure]:
    """Index a log of so many records, then look requests up in it, a few rounds of both."""
    indexing: list[float] = []
    looking: list[float] = []
    with on_core(PROXY_CORE), tempfile.TemporaryDirectory(prefix="bench-", dir=os.environ.get("TMPDIR")) as folder:
        audit = Path(folder) / "audit"
        size = write_log(audit / "worker-0", count, segment)
        segments = len(listing(audit / "worker-0"))
        for turn in range(ROUNDS):
            for path in (audit / "worker-0" / "index").glob("*.idx"):
                path.unlink()
            began, cpu = time.perf_counter(), time.process_time()
            problem = Indexer().round([audit / "worker-0"], size + 1)
            if problem:
                raise RuntimeError(problem)
            indexing.append(count / (time.process_time() - cpu))
            wanted = [
                f"{request(each):016x}"
                for each in random.Random(turn).sample(range(count // 3), min(LOOKUPS, count // 3))
            ]
            took = []
            for one in wanted:
                began = time.perf_counter()
                found = [item for item in search(audit, one) if isinstance(item, Entry)]
                took.append((time.perf_counter() - began) * 1000)
                if len(found) != 3:
                    raise RuntimeError(f"{len(found)} records of {one}")
            looking += took
    where = f"{count:,} records, {size / 2**30:.1f} GiB in {segments} segments"
    return [
        ("index the log, records a second of CPU", indexing, "in the supervisor, off every request's path"),
        ("all records of a request by its id, ms", looking, f"{where}; goal under 10"),
    ]
