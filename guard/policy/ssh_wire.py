"""The few forms that SSH's binary texts are made of (RFC 4251, section 5), read strictly."""

from __future__ import annotations

from typing import Final

_LENGTH: Final = 4


class WireError(ValueError):
    """Bytes that are cut off, too long, or not in the one form that is allowed."""


class WireReader:
    """Takes one value after another from the front of some bytes."""

    def __init__(self, content: bytes) -> None:
        """Begin at the first byte."""
        self._content = content
        self._place = 0

    def take(self, size: int) -> bytes:
        """Return the next bytes, exactly that many; as every method, raises WireError."""
        end = self._place + size
        if end > len(self._content):
            raise WireError("is cut off")
        piece = self._content[self._place : end]
        self._place = end
        return piece

    def number(self) -> int:
        """Return a uint32."""
        return int.from_bytes(self.take(_LENGTH))

    def string(self) -> bytes:
        """Return a string of any bytes; it cannot be longer than what is left."""
        return self.take(self.number())

    def integer(self) -> int:
        """Return an mpint that is positive and in its shortest form."""
        piece = self.string()
        if not piece or piece[0] & 0x80:
            raise WireError("has a number that is not positive")
        if piece[0] == 0 and not (len(piece) > 1 and piece[1] & 0x80):
            raise WireError("has a number that is not in its shortest form")
        return int.from_bytes(piece)

    def end(self) -> None:
        """Make sure that nothing is left."""
        if self._place != len(self._content):
            raise WireError("has bytes after its end")


def wire_string(content: bytes) -> bytes:
    """Write a string as `WireReader.string` reads it."""
    return len(content).to_bytes(_LENGTH) + content
