"""The leaf of a part in few bytes: what its fields hold, of which its JSON is made again when it is read.

There are far more parts than anything else in a log, each on the event loop before a send. Packing one takes a quarter
of the time of encoding and compressing it, and two thirds of the room. What is hashed and proved is the JSON, so it is
written here as it is for good, digit by digit as `records.encode` writes it; a leaf whose fields do not fit (another
form of id, a choice above 255, ...) is no packed one.
"""

from __future__ import annotations

import struct
from datetime import date
from functools import lru_cache
from typing import Final

from safeguards.exchange import ChannelId, ChannelKind

# The numbers are in the log: they are never used again for something else.
KINDS: Final = ("content", "reasoning", "refusal", "tool_name", "tool_arguments")
_NUMBERS: Final = {kind: KINDS.index(kind.value) for kind in ChannelKind}
_KEPT: Final = 128  # beside the kind: the text is kept, so its commitment and place follow

_BARE: Final = struct.Struct(">BBBdQII")
_SEALED: Final = struct.Struct(">BBBdQII32s8sI")
_TIME: Final = struct.Struct(">d")
_BEFORE_TIME: Final = 3
_PLACE: Final = struct.Struct(">HHI")
_CLASS: Final = "content-"
_EPOCH: Final = date(2020, 1, 1).toordinal()
_MOST_ID: Final = 32
# Where Python and everybody else write the shortest decimal without an exponent.
_EARLIEST, _LATEST = 1.0, 1e15
_SHORTEST_MICRO, _LONGEST_MICRO = 1_000, 10**15


class PackedError(ValueError):
    """Bytes that `pack` did not make; the message quotes nothing."""


def packed_id(one: str) -> bytes:
    """A request's id as a packed leaf has it, empty if it can have none such."""
    try:
        data = bytes.fromhex(one)
    except ValueError:
        return b""
    return data if len(data) <= _MOST_ID and data.hex() == one else b""


def packed_place(retention: str, day: str, first: int) -> bytes:
    """A segment of bodies as a packed leaf names it, empty if it cannot."""
    days = retention.removeprefix(_CLASS)
    try:
        data = _PLACE.pack(int(days), date.fromisoformat(day).toordinal() - _EPOCH, first)
    except (ValueError, struct.error):
        return b""
    return data if _place(data) == f"{retention}/{day}/{first}" else b""


def pack(
    time: float,
    monotonic: float,
    one: bytes,
    channel: ChannelId,
    start: int,
    chars: int,
    commitment: bytes = b"",
    place: bytes = b"",
    offset: int = 0,
) -> bytes:
    """A part's leaf, empty if it does not fit; ``one`` and ``place`` are packed, ``commitment`` is the digest."""
    micro = int(monotonic * 1e6 + 0.5)
    if not (one and _EARLIEST <= time < _LATEST and _SHORTEST_MICRO <= micro < _LONGEST_MICRO):
        return b""
    kind = _NUMBERS[channel.kind]
    try:
        if commitment:
            if not place:
                return b""
            said = _SEALED.pack(
                kind | _KEPT, channel.choice, channel.part, time, micro, start, chars, commitment, place, offset
            )
        else:
            said = _BARE.pack(kind, channel.choice, channel.part, time, micro, start, chars)
    except struct.error:
        return b""
    return said + one


def unpack(data: bytes) -> bytes:
    """The JSON of the leaf; raises PackedError."""
    if data and data[0] >= _KEPT:
        at = _SEALED.size
        if not at < len(data) <= at + _MOST_ID:
            raise PackedError("a packed leaf of another size")
        kind, choice, part, time, micro, start, chars, commitment, place, offset = _SEALED.unpack_from(data)
        kind -= _KEPT
        tail = f',"commitment":"{commitment.hex()}","body":"{_place(place)}:{offset}"'
    else:
        at = _BARE.size
        if not at < len(data) <= at + _MOST_ID:
            raise PackedError("a packed leaf of another size")
        kind, choice, part, time, micro, start, chars = _BARE.unpack_from(data)
        tail = ""
    if kind >= len(KINDS) or not (_EARLIEST <= time < _LATEST and _SHORTEST_MICRO <= micro < _LONGEST_MICRO):
        raise PackedError("a packed leaf with fields that none has")
    return (
        f'{{"record":"part","time":{time!r},"monotonic":{micro / 1e6!r},"id":"{data[at:].hex()}",'
        f'"channel":"{_channel(kind, choice, part)}","start":{start},"chars":{chars}{tail}}}'
    ).encode()


def about(data: bytes) -> tuple[float, bytes]:
    """When the part of a leaf that `unpack` takes came, and the packed id of its request."""
    return _TIME.unpack_from(data, _BEFORE_TIME)[0], data[(_SEALED if data[0] >= _KEPT else _BARE).size :]


@lru_cache(maxsize=256)
def _channel(kind: int, choice: int, part: int) -> str:
    return f"{KINDS[kind]}[{f'{choice}.{part}' if part else choice}]"


@lru_cache(maxsize=64)
def _place(data: bytes) -> str:
    days, day, first = _PLACE.unpack(data)
    return f"{_CLASS}{days}/{date.fromordinal(_EPOCH + day).isoformat()}/{first}"
