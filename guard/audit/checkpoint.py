"""Checkpoints as C2SP tlog-checkpoint defines them: a log's name, its size and its root, to be signed as a note."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from typing import Final

from guard.audit.note import NoteError, decode_base64
from guard.audit.tree import HASH_BYTES, MAX_SIZE

_SIZE: Final = re.compile(r"0|[1-9][0-9]{0,18}")
_LINES: Final = 3


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The head of the log ``origin``: it has ``size`` leaves and this root."""

    origin: str
    size: int
    root: bytes

    def text(self) -> str:
        """The note's text."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


def parse_checkpoint(text: str) -> Checkpoint:
    """Read the text of a checkpoint's note, extension lines left aside; raises NoteError."""
    lines = text.removesuffix("\n").split("\n")
    if not text.endswith("\n") or len(lines) < _LINES or not all(lines):
        raise NoteError("not a checkpoint: it needs an origin, a size and a root")
    origin, size, encoded = lines[:_LINES]
    if not _SIZE.fullmatch(size) or int(size) > MAX_SIZE:
        raise NoteError("the size of a checkpoint is a decimal number")
    root = decode_base64(encoded)
    if len(root) != HASH_BYTES:
        raise NoteError("the root of a checkpoint is a SHA-256 hash")
    return Checkpoint(origin, int(size), root)
