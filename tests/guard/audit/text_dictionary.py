"""How ``text-1.zdict`` was made: of ``text_dictionary.txt``, written for it, with statistics from our own documents.

    python -m tests.guard.audit.text_dictionary > text-2.zdict

The text holds what prompts and answers are full of: common words and phrases of English, a little of other languages,
and the forms of code and markup. Needs Debian's libzstd1, for its function that puts text and statistics together.
Another dictionary gets another number; the first stays what it is.
"""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[3]
TEXT: Final = Path(__file__).with_suffix(".txt")
SAMPLE: Final = 2048
LEVEL: Final = 3


class _Parameters(ctypes.Structure):
    _fields_ = (("level", ctypes.c_int), ("notifications", ctypes.c_uint), ("number", ctypes.c_uint))


def samples() -> list[bytes]:
    """Pieces of the documents."""
    paths = [ROOT / "README.md", ROOT / "ARCHITECTURE.md", ROOT / "CHANGELOG.md"]
    whole = b"".join(path.read_bytes() for path in (*paths, *sorted(ROOT.glob("deploy/runbooks/*.md"))))
    return [whole[at : at + SAMPLE] for at in range(0, len(whole) - SAMPLE, SAMPLE)]


def make() -> bytes:
    """The dictionary."""
    library = ctypes.CDLL("libzstd.so.1")
    finalize = library.ZDICT_finalizeDictionary
    finalize.restype = ctypes.c_size_t
    content, pieces = TEXT.read_bytes(), samples()
    made = ctypes.create_string_buffer(len(content) + SAMPLE)
    size = finalize(
        made,
        ctypes.c_size_t(len(made)),
        content,
        ctypes.c_size_t(len(content)),
        b"".join(pieces),
        (ctypes.c_size_t * len(pieces))(*map(len, pieces)),
        ctypes.c_uint(len(pieces)),
        _Parameters(LEVEL, 0, 2),
    )
    if library.ZDICT_isError(ctypes.c_size_t(size)):
        raise RuntimeError("libzstd made no dictionary")
    return made.raw[:size]


if __name__ == "__main__":
    sys.stdout.buffer.write(make())
