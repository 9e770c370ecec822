"""Reading one regular file, bounded, without ever waiting for it."""

from __future__ import annotations

import os
import stat
from pathlib import Path


class UnreadableError(Exception):
    """Why a file could not be read, as words that follow its name."""


def read_regular(path: Path, limit: int) -> tuple[bytes, int]:
    """Return a file's content, cut one byte above ``limit``, and its permission bits; raises UnreadableError."""
    try:
        # Without O_NONBLOCK a named pipe in place of the file would hang the start.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        raise UnreadableError("is missing") from None
    except (OSError, ValueError) as error:
        raise UnreadableError(_words(error)) from None
    try:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            raise UnreadableError("is not a regular file")
        pieces: list[bytes] = []
        wanted = limit + 1
        while wanted and (piece := os.read(descriptor, wanted)):
            pieces.append(piece)
            wanted -= len(piece)
        return b"".join(pieces), stat.S_IMODE(mode)
    except OSError as error:
        raise UnreadableError(_words(error)) from None
    finally:
        os.close(descriptor)


def _words(error: OSError | ValueError) -> str:
    return f"cannot be read ({error.strerror})" if isinstance(error, OSError) else "cannot be read"
