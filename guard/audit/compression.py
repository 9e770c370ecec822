"""Compressing what the log keeps: each text and each leaf alone, with the help of dictionaries that never change.

The first byte says how: 0 as it is, 1 zstd, 2 and 3 zstd with a dictionary of `dictionaries/` and without its four
first bytes, which are always the same. What is compressed never
shares a window with anybody else's text, so that its size tells nothing of theirs. A dictionary's number is in the
log for good: its file is never changed and never removed (its hash is checked when it is loaded), and a better one gets
the next number. ``tests/guard/audit/text_dictionary.py`` made ``text-1`` of text that was written for it, and
``leaf_dictionary.py`` beside it ``leaf-1`` of invented records.
"""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path
from typing import Final

import zstandard

FOLDER: Final = Path(__file__).with_name("dictionaries")
SHORTEST: Final = 96  # bytes; below that nothing is gained
LONGEST: Final = 8192  # bytes; beyond that a dictionary gains nothing

RAW: Final = b"\0"
PLAIN: Final = b"\1"
TEXT: Final = b"\2"
LEAF: Final = b"\3"

# Higher levels gain a few per cent for two and three times the time, which is the event loop's.
_LEVEL: Final = 3
_MAGIC: Final = zstandard.FRAME_HEADER


class CompressionError(ValueError):
    """Bytes that `squeezed` and `squeezed_leaf` did not make; the message quotes nothing."""


def _dictionary(name: str, digest: str) -> zstandard.ZstdCompressionDict:
    data = (FOLDER / name).read_bytes()
    if hashlib.sha256(data).hexdigest() != digest:
        raise RuntimeError(f"{FOLDER / name}: not the dictionary that logs are written with; install the guard again")
    made = zstandard.ZstdCompressionDict(data, dict_type=zstandard.DICT_TYPE_FULLDICT)
    made.precompute_compress(level=_LEVEL)
    return made


_TEXT_1: Final = _dictionary("text-1.zdict", "661f227bbb449b22827b5e5c6732094ef2365f8c11edef90d75bdaf77b562731")
_LEAF_1: Final = _dictionary("leaf-1.zdict", "bc654d09cdfbc1f3844db1b035a71b05e5af960979ce82aa93e301f3f6f2ae4a")


class _Contexts(threading.local):
    """What compresses and expands: one of each for every thread, since none may be used by two at once."""

    def __init__(self) -> None:
        """Make this thread's."""
        self.plain = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=False)
        self.text = zstandard.ZstdCompressor(level=_LEVEL, dict_data=_TEXT_1, write_checksum=False, write_dict_id=False)
        self.leaf = zstandard.ZstdCompressor(level=_LEVEL, dict_data=_LEAF_1, write_checksum=False, write_dict_id=False)
        self.expand = {
            PLAIN: zstandard.ZstdDecompressor(),
            TEXT: zstandard.ZstdDecompressor(dict_data=_TEXT_1),
            LEAF: zstandard.ZstdDecompressor(dict_data=_LEAF_1),
        }


_contexts: Final = _Contexts()


def squeezed(data: bytes) -> bytes:
    """A text, or a few of one record, with a mark before it: compressed where that helps."""
    if len(data) < SHORTEST:
        return RAW + data
    if len(data) > LONGEST:
        mark, shorter = PLAIN, _contexts.plain.compress(data)
    else:
        mark, shorter = TEXT, _contexts.text.compress(data)[len(_MAGIC) :]
    return mark + shorter if len(shorter) < len(data) else RAW + data


def squeezed_leaf(data: bytes) -> bytes:
    """The same of a leaf of the log."""
    shorter = _contexts.leaf.compress(data)[len(_MAGIC) :]
    return LEAF + shorter if len(shorter) < len(data) else RAW + data


def expanded(data: bytes, most: int) -> bytes:
    """What was squeezed, of at most ``most`` bytes; raises CompressionError."""
    mark = data[:1]
    if mark == RAW:
        return data[1:]
    context = _contexts.expand.get(mark)
    if context is None:
        raise CompressionError("an unknown compression")
    frame = data[1:] if mark == PLAIN else _MAGIC + data[1:]
    try:
        if not 0 <= zstandard.frame_content_size(frame) <= most:
            raise CompressionError("a compressed text without a size, or of too great a one")
        return context.decompress(frame, allow_extra_data=False)
    except zstandard.ZstdError:
        raise CompressionError("a damaged compression") from None
