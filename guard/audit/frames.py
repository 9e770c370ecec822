"""Framing of the ledger: bytes to frames and back, without touching a file.

A frame is ``magic[4] version[1] kind[1] length[4] sequence[8] crc32[4] payload[length]``, big-endian; the CRC covers
the header before it and the payload as it stands there. In a frame of version 2 that is what
`compression.squeezed_leaf` made of it, in one of version 3 what `part_leaf.pack` did; whoever reads gets what it was
made of, so hashes and proofs know nothing of it.
A scan ends at the first byte that is not part of a whole, expected frame.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from enum import StrEnum

from msgspec import Struct

from guard.audit.compression import CompressionError, expanded, squeezed_leaf
from guard.audit.part_leaf import PackedError, unpack

# 0xF5 never occurs in UTF-8, so a frame's beginning can be told from text when a damaged file is looked at by hand.
MAGIC = b"\xf5ASG"
VERSION = 1
COMPACT = 2
PACKED = 3
# How many times longer than it lies on the disk a payload may be, lest a forged segment fill a reader's memory.
MAX_EXPANSION = 64
MAX_PAYLOAD = 64 * 1024 * 1024
MAX_SEQUENCE = 2**64 - 1
# Of what is searched for a frame behind damage: records that may be missing, and bytes of which a checksum is made.
MAX_MISSING = 4 * 1024 * 1024
MAX_TRIED = 256 * 1024 * 1024

_HEAD = struct.Struct(">4sBBIQ")
_CRC = struct.Struct(">I")
_BEGIN = struct.Struct(">4sBBIQI")  # both
_VERSIONS = frozenset({VERSION, COMPACT, PACKED})
HEADER = _BEGIN.size
_CHECKED = _HEAD.size


class End(StrEnum):
    """Why a scan stopped where it did."""

    COMPLETE = "complete"
    TORN = "torn"
    NOT_A_FRAME = "not_a_frame"
    TOO_LONG = "too_long"
    CHECKSUM = "checksum"
    COMPRESSION = "compression"
    VERSION = "version"
    SEQUENCE = "sequence"


class Frame(Struct, frozen=True, gc=False):
    """One whole frame; ``offset`` is where it begins in its segment and ``size`` how long it is there, in bytes.

    ``packed`` is the leaf that its payload was made of, if it is a packed one.
    """

    kind: int
    sequence: int
    offset: int
    payload: bytes
    size: int
    packed: bytes = b""


@dataclass(frozen=True, slots=True)
class Scan:
    """The frames found, the offset where the last of them ends, and why nothing follows it."""

    frames: tuple[Frame, ...]
    offset: int
    end: End


def encode(kind: int, sequence: int, payload: bytes) -> bytes:
    """One frame; raises ValueError for a kind, sequence or payload out of range (``MAX_PAYLOAD`` bytes)."""
    return _encode(VERSION, kind, sequence, payload)


def compact(kind: int, sequence: int, payload: bytes) -> bytes:
    """The same with its payload compressed, where that makes it shorter."""
    if len(payload) <= MAX_PAYLOAD:
        shorter = squeezed_leaf(payload)
        if len(shorter) < len(payload) <= MAX_EXPANSION * len(shorter):
            return _encode(COMPACT, kind, sequence, shorter)
    return encode(kind, sequence, payload)


def packed(kind: int, sequence: int, payload: bytes) -> bytes:
    """One frame of a packed leaf."""
    return _encode(PACKED, kind, sequence, payload)


def _encode(version: int, kind: int, sequence: int, payload: bytes) -> bytes:
    size = len(payload)
    if size > MAX_PAYLOAD:
        raise ValueError(f"payload: {size} bytes, at most {MAX_PAYLOAD}")
    try:
        head = _HEAD.pack(MAGIC, version, kind, size, sequence)
    except struct.error:
        raise ValueError(f"kind {kind} or sequence {sequence} is out of range") from None
    return head + _CRC.pack(zlib.crc32(payload, zlib.crc32(head))) + payload


def payload_length(head: bytes | bytearray) -> int:
    """How long the payload after these `HEADER` bytes says it is, at most ``MAX_PAYLOAD``; 0 for too few bytes."""
    return min(_HEAD.unpack_from(head)[3], MAX_PAYLOAD) if len(head) >= HEADER else 0


class Scanner:
    """Cuts a growing segment into frames.

    ``first`` is the sequence the first frame must have, None to accept any. ``offset`` is the end of the last whole
    frame; ``end`` is COMPLETE or TORN while more bytes could still help, and anything else for good.
    """

    def __init__(self, first: int | None = None, offset: int = 0) -> None:
        """Begin at this offset, where a frame begins."""
        self._rest = bytearray()  # the beginning of a frame, and how many bytes it takes to judge it again
        self._wanted = 0
        self._next = first
        self.offset = offset
        self.end = End.COMPLETE

    @property
    def expected(self) -> int:
        """The sequence of the frame that must come next; 0 accepts any."""
        return self._next or 0

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that these bytes complete; none after the scan has stopped for good."""
        if self.end not in {End.COMPLETE, End.TORN}:
            return []
        rest = self._rest
        if rest:
            rest += data
            if len(rest) < self._wanted:
                return []
            data = bytes(rest)
            rest.clear()
        frames: list[Frame] = []
        at, size, offset, following = 0, len(data), self.offset, self._next
        self.end = End.COMPLETE
        while at < size:  # every frame of every log comes by here
            begin = at + HEADER
            if size < begin:
                self.end = _wrong(data, at)
                break
            magic, version, kind, length, sequence, expected = _BEGIN.unpack_from(data, at)
            stop = begin + length
            payload = data[begin:stop]
            if (
                magic != MAGIC
                or size < stop
                or length > MAX_PAYLOAD
                or zlib.crc32(payload, zlib.crc32(data[at : at + _CHECKED])) != expected
                or version not in _VERSIONS
                or (following is not None and sequence != following)
            ):
                self.end = _wrong(data, at)
                break
            leaf = b""
            if version != VERSION:
                try:
                    if version == PACKED:
                        leaf = payload
                        payload = unpack(leaf)
                    else:
                        payload = expanded(payload, min(MAX_PAYLOAD, MAX_EXPANSION * length))
                except (PackedError, CompressionError):
                    self.end = End.COMPRESSION
                    break
            frames.append(Frame(kind, sequence, offset, payload, HEADER + length, leaf))
            following = sequence + 1
            offset += HEADER + length
            at = stop
        self.offset, self._next = offset, following
        if self.end is End.TORN:
            rest += data[at:]
            self._wanted = HEADER + payload_length(rest) if len(rest) >= HEADER else 0
        return frames


def _wrong(data: bytes, at: int) -> End:
    """Why no frame begins there, or not the next one."""
    # What is too short to be judged is torn; what already differs from a frame is named at once.
    if len(data) - at < HEADER:
        return End.TORN if MAGIC.startswith(data[at : at + len(MAGIC)]) else End.NOT_A_FRAME
    magic, version, _, length, _, expected = _BEGIN.unpack_from(data, at)
    begin = at + HEADER
    if magic != MAGIC:
        return End.NOT_A_FRAME
    if length > MAX_PAYLOAD:
        return End.TOO_LONG
    if len(data) - begin < length:
        return End.TORN
    if zlib.crc32(data[begin : begin + length], zlib.crc32(data[at : at + _CHECKED])) != expected:
        return End.CHECKSUM
    # Only with a good checksum is another version a newer writer's and not a damaged byte.
    return End.VERSION if version not in _VERSIONS else End.SEQUENCE


def resync(data: bytes, expected: int, begin: int = 0) -> tuple[int, int] | None:
    """Where behind damage the next whole frame begins and its sequence, ``expected`` or more; None if there is none.

    Random bytes that look like one are one in four thousand million, and then its sequence must fit as well.
    """
    tried, at = 0, data.find(MAGIC, begin)
    while 0 <= at <= len(data) - HEADER:
        _, version, _, length, sequence, checksum = _BEGIN.unpack_from(data, at)
        end = at + HEADER + length
        fits = version in _VERSIONS and expected <= sequence <= expected + MAX_MISSING
        if fits and length <= MAX_PAYLOAD and end <= len(data):
            tried += length
            if tried > MAX_TRIED:
                return None
            payload = memoryview(data)[at + HEADER : end]
            if zlib.crc32(payload, zlib.crc32(data[at : at + _HEAD.size])) == checksum:
                return at, sequence
        at = data.find(MAGIC, at + 1)
    return None


def scan(data: bytes, first: int | None = None) -> Scan:
    """All frames of a whole segment, and where and why they end."""
    scanner = Scanner(first)
    frames = scanner.feed(data)
    return Scan(tuple(frames), scanner.offset, scanner.end)
