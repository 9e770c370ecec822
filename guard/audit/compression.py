"""Compressing what the log keeps: each text and each leaf alone, with the help of dictionaries that never change.

The first byte says how: 0 as it is, 1 zstd, 2 and 3 zstd with a dictionary of `dictionaries/`. What is compressed never
shares a window with anybody else's text, so that its size tells nothing of theirs. A dictionary's number is in the
log for good: its file is never changed and never removed (its hash is checked when it is loaded), and a better one gets
the next number. ``text-1`` was written for this purpose; ``leaf-1`` was trained on invented records by
``tests/guard/audit/leaf_dictionary.py``.
"""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path
from typing import Final

import zstandard

FOLDER: Final = Path(__file__).with_name("dictionaries")
SHORTEST: Final = 96  # bytes; below that nothing is gained
LONGEST: Final = 8192  # bytes for which a dictionary and a slow level are worth their time on an event loop

RAW: Final = b"\0"
PLAIN: Final = b"\1"
TEXT: Final = b"\2"
LEAF: Final = b"\3"

_PLAIN_LEVEL: Final = 3
_TEXT_LEVEL: Final = 6
_LEAF_LEVEL: Final = 3


class CompressionError(ValueError):
    """Bytes that `squeezed` and `squeezed_leaf` did not make; the message quotes nothing."""


def _dictionary(name: str, digest: str, kind: int, level: int) -> zstandard.ZstdCompressionDict:
    data = (FOLDER / name).read_bytes()
    if hashlib.sha256(data).hexdigest() != digest:
        raise RuntimeError(f"{FOLDER / name}: not the dictionary that logs are written with; install the guard again")
    made = zstandard.ZstdCompressionDict(data, dict_type=kind)
    made.precompute_compress(level=level)
    return made


_TEXT_1: Final = _dictionary(
    "text-1.txt",
    "1f8eecc40ea3ef72c654421c367a277e43285afb43a85c33c603635c61f048f7",
    zstandard.DICT_TYPE_RAWCONTENT,
    _TEXT_LEVEL,
)
_LEAF_1: Final = _dictionary(
    "leaf-1.zdict",
    "bc654d09cdfbc1f3844db1b035a71b05e5af960979ce82aa93e301f3f6f2ae4a",
    zstandard.DICT_TYPE_FULLDICT,
    _LEAF_LEVEL,
)


class _Contexts(threading.local):
    """What compresses and expands: one of each for every thread, since none may be used by two at once."""

    def __init__(self) -> None:
        """Make this thread's."""
        self.plain = zstandard.ZstdCompressor(level=_PLAIN_LEVEL, write_checksum=False)
        self.text = zstandard.ZstdCompressor(
            level=_TEXT_LEVEL, dict_data=_TEXT_1, write_checksum=False, write_dict_id=False
        )
        self.leaf = zstandard.ZstdCompressor(
            level=_LEAF_LEVEL, dict_data=_LEAF_1, write_checksum=False, write_dict_id=False
        )
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
        mark, shorter = TEXT, _contexts.text.compress(data)
    return mark + shorter if len(shorter) < len(data) else RAW + data


def squeezed_leaf(data: bytes) -> bytes:
    """The same of a leaf of the log."""
    shorter = _contexts.leaf.compress(data)
    return LEAF + shorter if len(shorter) < len(data) else RAW + data


def expanded(data: bytes, most: int) -> bytes:
    """What was squeezed, of at most ``most`` bytes; raises CompressionError."""
    mark = data[:1]
    if mark == RAW:
        return data[1:]
    context = _contexts.expand.get(mark)
    if context is None:
        raise CompressionError("an unknown compression")
    try:
        if not 0 <= zstandard.frame_content_size(data[1:]) <= most:
            raise CompressionError("a compressed text without a size, or of too great a one")
        return context.decompress(data[1:], allow_extra_data=False)
    except zstandard.ZstdError:
        raise CompressionError("a damaged compression") from None
