"""The index of one segment: where the records of a request lie, and what and when the segment is about.

It lies beside the segments, ``index/seg-N.idx``, and is never trusted: what it points to is read and checked, a part of
it with a wrong checksum counts as missing, and everything in it follows from the segment. It is a row of runs, each
about the frames that follow those of the run before; a segment that is written grows run by run, a sealed one has one.

A run is ``header fences[8 n] blocks facts``: entries of 12 bytes (8 of a hash of the request's id, 4 of the frame's
offset), sorted, in blocks of 340 with a CRC each; the fences are the first key of each block, under the header's CRC;
the facts are JSON under a CRC. Numbers are big-endian. So a lookup reads about 5 KB, wherever the entry is.
"""

from __future__ import annotations

import hashlib
import os
import struct
import zlib
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import msgspec

from guard.audit import frames
from guard.audit.segments import first_of

FOLDER: Final = "index"
MAGIC: Final = b"\xf5ASX"
VERSION: Final = 1
MOST_VALUES: Final = 256
MAX_OFFSET: Final = 2**32 - 1
_HEAD: Final = struct.Struct(f">4sB3x QQQQQ {frames.HEADER}s2x dd II")
_CRC: Final = struct.Struct(">I")
_OFFSET: Final = struct.Struct(">I")
_KEY: Final = 8
_ENTRY: Final = _KEY + _OFFSET.size
_BLOCK: Final = 340
_MAX_FACTS: Final = 1_048_576


class StaleIndexError(Exception):
    """An index that is not this segment's, or is damaged; the segment itself must be read."""


class Facts(msgspec.Struct, frozen=True):
    """Every model, key, owner and tier of the requests that begin there; None where they are more than 256."""

    model: frozenset[str] | None = frozenset()
    key: frozenset[str] | None = frozenset()
    owner: frozenset[str] | None = frozenset()
    tier: frozenset[str] | None = frozenset()

    def merged(self, other: Facts) -> Facts:
        """Both together."""

        def both(one: frozenset[str] | None, two: frozenset[str] | None) -> frozenset[str] | None:
            return None if one is None or two is None or len(one | two) > MOST_VALUES else one | two

        return Facts(*(both(getattr(self, each), getattr(other, each)) for each in self.__struct_fields__))


@dataclass(frozen=True, slots=True)
class Span:
    """What a run is about: frames ``first`` to ``last``, bytes ``begin`` to ``end``, times ``earliest`` to ``latest``.

    ``tail`` is the head of the last frame and stands at ``at``: by it a run is known to be about this very segment.
    """

    first: int
    last: int
    begin: int
    end: int
    at: int
    tail: bytes
    earliest: float
    latest: float


@dataclass(frozen=True, slots=True)
class Run:
    """A run in its file: the place of its parts there, in bytes."""

    span: Span
    count: int
    fences: bytes
    blocks: int
    facts: int
    size: int


def path_of(segment: Path) -> Path:
    """Where the index of a segment lies."""
    return Path(_place(segment))


def key_of(request: str) -> bytes:
    """What stands for a request's id; two ids may have the same."""
    return hashlib.blake2b(request.encode(errors="replace"), digest_size=_KEY).digest()


def entry(key: bytes, offset: int) -> bytes:
    """An entry, as it is sorted and stored."""
    return key + _OFFSET.pack(offset)


def offset_of(one: bytes) -> int:
    """The offset of an entry."""
    offset: int = _OFFSET.unpack_from(one, _KEY)[0]
    return offset


def encode(span: Span, entries: Sequence[bytes], facts: Facts) -> bytes:
    """A run of these sorted entries; raises ValueError for a span that no index can have."""
    said = msgspec.json.encode(facts, order="deterministic")
    if span.end > MAX_OFFSET or len(entries) > MAX_OFFSET or len(said) > _MAX_FACTS:
        raise ValueError("the segment is too long for an index")
    fences = b"".join(each[:_KEY] for each in entries[::_BLOCK])
    numbers = (span.first, span.last, span.begin, span.end, span.at, span.tail, span.earliest, span.latest)
    head = _HEAD.pack(MAGIC, VERSION, *numbers, len(entries), len(said)) + fences
    data = bytearray(head + _CRC.pack(zlib.crc32(head)))
    for at in range(0, len(entries), _BLOCK):
        block = b"".join(entries[at : at + _BLOCK])
        data += block + _CRC.pack(zlib.crc32(block))
    return bytes(data + said + _CRC.pack(zlib.crc32(said)))


class Index:
    """An open index; ``runs`` are those that are whole and follow one another from the segment's first byte on."""

    def __init__(self, segment: Path) -> None:
        """Open the index of this segment; raises OSError, FileNotFoundError too."""
        self._descriptor = os.open(_place(segment), os.O_RDONLY | os.O_CLOEXEC)
        try:
            self.runs = tuple(self._chain(first_of(segment)))
        except BaseException:
            os.close(self._descriptor)
            raise

    def __enter__(self) -> Self:
        """Use it."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        os.close(self._descriptor)

    @property
    def last(self) -> Span | None:
        """The last run's span; its ``last`` and ``end`` say how far the index reaches. None for an empty index."""
        return self.runs[-1].span if self.runs else None

    def offsets(self, key: bytes) -> Iterator[int]:
        """Where the frames with this key begin, in their order; raises StaleIndexError and OSError."""
        for run in self.runs:
            number = max(0, bisect_left(range(len(run.fences) // _KEY), key, key=lambda at: _fence(run, at)) - 1)
            while number * _BLOCK < run.count and _fence(run, number) <= key:
                block = self._block(run, number)
                at = block.find(key)
                while at >= 0:
                    if at % _ENTRY == 0:
                        yield _OFFSET.unpack_from(block, at + _KEY)[0]
                    at = block.find(key, at + 1)
                number += 1

    def entries(self) -> list[bytes]:
        """Every entry of every run; raises StaleIndexError and OSError."""
        return [
            block[at : at + _ENTRY]
            for run in self.runs
            for number in range(-(-run.count // _BLOCK))
            for block in (self._block(run, number),)
            for at in range(0, len(block), _ENTRY)
        ]

    def facts(self) -> Facts:
        """What the whole index says the segment is about; raises StaleIndexError and OSError."""
        whole = Facts()
        for run in self.runs:
            data = self._read(run.facts, run.size - run.facts)
            try:
                whole = whole.merged(msgspec.json.decode(_checked(data), type=Facts))
            except (msgspec.DecodeError, UnicodeDecodeError):
                raise StaleIndexError from None
        return whole

    def _chain(self, first: int) -> Iterator[Run]:
        size, at, begin = os.fstat(self._descriptor).st_size, 0, 0
        while at < size:
            try:
                run = self._run(at, size)
            except StaleIndexError:
                return
            if (run.span.first, run.span.begin) != (first, begin):
                return
            yield run
            at, first, begin = run.size, run.span.last + 1, run.span.end

    def _run(self, at: int, size: int) -> Run:
        head = self._read(at, _HEAD.size)
        magic, version, *numbers, count, said = _HEAD.unpack(head)
        wide = -(-count // _BLOCK) * _KEY
        blocks = at + _HEAD.size + wide + _CRC.size
        facts = blocks + count * _ENTRY + wide // _KEY * _CRC.size
        whole = facts + said + _CRC.size
        if (magic, version) != (MAGIC, VERSION) or whole > size or said > _MAX_FACTS:
            raise StaleIndexError
        data = _checked(head + self._read(at + _HEAD.size, wide + _CRC.size))
        span = Span(*numbers)
        if not span.begin <= span.at < span.end <= MAX_OFFSET:
            raise StaleIndexError
        return Run(span, count, data[_HEAD.size :], blocks, facts, whole)

    def _block(self, run: Run, number: int) -> bytes:
        count = min(_BLOCK, run.count - number * _BLOCK)
        return _checked(self._read(run.blocks + number * (_BLOCK * _ENTRY + _CRC.size), count * _ENTRY + _CRC.size))

    def _read(self, at: int, size: int) -> bytes:
        data = os.pread(self._descriptor, size, at)
        if len(data) != size:
            raise StaleIndexError
        return data


def _place(segment: Path) -> str:
    directory, file = os.path.split(os.fspath(segment))  # a lookup asks for hundreds: pathlib takes as long as reading
    return f"{directory}/{FOLDER}/{file.removesuffix('.log')}.idx"


def _fence(run: Run, number: int) -> bytes:
    return run.fences[number * _KEY : (number + 1) * _KEY]


def _checked(data: bytes) -> bytes:
    """The bytes before a CRC that is theirs; raises StaleIndexError."""
    body = data[: -_CRC.size]
    if _CRC.unpack_from(data, len(body)) != (zlib.crc32(body),):
        raise StaleIndexError
    return body
