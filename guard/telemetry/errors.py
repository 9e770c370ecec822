"""How an error is told without its text: errors of parsers and of libraries quote what they were given."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

FRAMES = 24


def types(error: BaseException) -> list[str]:
    """The type of an error and of those that caused it, at most four."""
    found: list[str] = []
    cause: BaseException | None = error
    while cause is not None and len(found) < 4:  # noqa: PLR2004 - a chain is rarely longer and may be a ring
        found.append(type(cause).__qualname__)
        cause = cause.__cause__ or cause.__context__
    return found


def frames(traceback: TracebackType | None) -> list[str]:
    """The innermost frames of a traceback as ``folder/file.py:line``, outermost first."""
    found: list[str] = []
    while traceback is not None:
        found.append(place(traceback.tb_frame.f_code.co_filename, traceback.tb_lineno))
        traceback = traceback.tb_next
    return found[-FRAMES:]


def place(path: str, line: int) -> str:
    """A line of source as ``folder/file.py:line``."""
    return f"{'/'.join(Path(path).parts[-2:])[-64:]}:{line}"
