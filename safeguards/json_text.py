"""JSON's escapes undone in a text that may be JSON, so that what its reader will read is judged beside what it spells.

It is not parsed, since what one parser drops another reads: escapes are undone wherever they stand. What they spell may
be JSON again (a document in a string of a document, which tools do take), so they are undone up to `LEVELS` times. An
escape below that stays as it is, as does a text in any other code: no view of a text is what every reader could make
of it.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from safeguards.ports import Hit, Session

LEVELS: Final = 3
_ESCAPE: Final = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.))", re.DOTALL)
# What more text may still make an escape, or the first half of a pair that is one character with what follows.
_UNFINISHED: Final = re.compile(r"\\(?:u[0-9a-fA-F]{0,3})?\Z")
_HALF_AND_NO_MORE: Final = re.compile(r"\\u[dD][89abAB][0-9a-fA-F]{2}(?:\\(?:u[0-9a-fA-F]{0,3})?)?\Z")
_PAIR: Final = re.compile(r"\\u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})")
_POINTS: Final = re.compile(rf"{_PAIR.pattern}|\\u([0-9a-fA-F]{{4}})")
_ASIDE: Final = "\udfff"
_LETTERS: Final = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}
_HALVES: Final = range(0xD800, 0xE000)
_REPLACEMENT: Final = "\N{REPLACEMENT CHARACTER}"


def unescape(text: str) -> str:
    """Undo the escapes of a complete text; half a surrogate pair becomes the replacement character.

    An escape takes half a microsecond at most: a caller may send nothing else.
    """
    if _ASIDE in text:  # half a surrogate pair: no request has one, but nothing here shall depend on that
        return "".join([plain for plain, _ in _runs(text)])
    # A backslash that stands for itself is put aside, so that no later step takes it for the beginning of an escape.
    text = text.replace("\\\\", _ASIDE)
    if "\\u" in text:
        text = _POINTS.sub(_point, text)
    end = "\\" if text.endswith("\\") else ""
    for letter, plain in _LETTERS.items():
        text = text.replace(f"\\{letter}", plain)
    return text.replace("\\", "").replace(_ASIDE, "\\") + end


def readings(text: str) -> list[str]:
    """Return what a complete text says with its escapes undone once, twice, up to `LEVELS` times; none without any."""
    found: list[str] = []
    while "\\" in text and len(found) < LEVELS:
        text = unescape(text)
        found.append(text)
    return found


class Unescaper:
    """Undoes the escapes of a growing text; the same as `unescape`, however it is cut."""

    __slots__ = ("_rest", "_runs", "_written", "raw")

    def __init__(self) -> None:
        """Begin; ``raw`` counts the characters that were taken, apart from an unfinished escape at the end."""
        self.raw = 0
        self._rest = ""
        self._written = 0
        # Of what has been written, in order: where a run begins in it and in the raw text, and whether they run alike.
        self._runs: deque[tuple[int, int, bool]] = deque()

    def feed(self, text: str, *, final: bool) -> str:
        """Take more text; returns what it adds, without an escape that is not finished unless this is the end."""
        text = self._rest + text
        end = len(text) if final else _finished(text)
        self._rest = text[end:]
        added = []
        for plain, length in _runs(text[:end]):
            self._runs.append((self._written, self.raw, len(plain) == length))
            self._written += len(plain)
            self.raw += length
            added.append(plain)
        return "".join(added)

    def raw_offset(self, index: int) -> int:
        """Find where in the raw text this character begins; forgets what lies before it."""
        if index >= self._written:
            self._runs.clear()
            return self.raw
        runs = self._runs
        while len(runs) > 1 and runs[1][0] <= index:
            runs.popleft()
        written, raw, alike = runs[0]
        return raw + index - written if alike else raw


class JsonTextSession:
    """Judges a growing text as it stands and with its escapes undone, level by level.

    A level begins with the first backslash of the one before. Offsets are those of the text as it stands, also of a
    hit's end, which is then not known.
    """

    __slots__ = ("_before", "_begin", "_levels", "_plain", "_unescaped", "_unescaper")

    def __init__(self, begin: Callable[[], Session], levels: int = LEVELS) -> None:
        """Take what begins a session, and how many times escapes are undone, at least once."""
        self._begin = begin
        self._levels = levels
        self._plain = begin()
        self._unescaped: Session | None = None
        self._unescaper = Unescaper()
        self._before: list[str] = []

    def feed(self, text: str, *, final: bool) -> Hit | int:
        """Judge more text in both views: the hit, or the lower of the two offsets."""
        found = self._plain.feed(text, final=final)
        if self._unescaped is None:
            self._before.append(text)
            if "\\" not in text:
                return found
            self._unescaped = self._begin() if self._levels == 1 else JsonTextSession(self._begin, self._levels - 1)
            text = "".join(self._before)
            self._before.clear()
        second = self._unescaped.feed(self._unescaper.feed(text, final=final), final=final)
        if isinstance(found, Hit):
            return found
        if isinstance(second, Hit):
            return replace(second, end=-1)
        return min(found, self._unescaper.raw_offset(second))


def _runs(text: str) -> list[tuple[str, int]]:
    """The text in runs: what each is without escapes, and how many characters it had."""
    runs = []
    end = 0
    position = text.find("\\")
    while position >= 0:
        if position > end:
            runs.append((text[end:position], position - end))
        pair = _PAIR.match(text, position)
        escape = pair or _ESCAPE.match(text, position)
        if escape is None:  # a backslash at the very end
            runs.append(("\\", 1))
            end = position + 1
            break
        plain = _character(*pair.groups()) if pair is not None else _plain(*escape.groups())
        end = escape.end()
        runs.append((plain, end - position))
        position = text.find("\\", end)
    if end < len(text):
        runs.append((text[end:], len(text) - end))
    return runs


def _plain(point: str | None, letter: str) -> str:
    if point is None:
        return _LETTERS.get(letter, letter)
    number = int(point, 16)
    return _REPLACEMENT if number in _HALVES else chr(number)


def _point(escape: re.Match[str]) -> str:
    high, low, point = escape.groups()
    if point is None:
        return _character(high, low)
    return _plain(point, "").replace("\\", _ASIDE)


def _character(high: str, low: str) -> str:
    return chr(0x10000 + ((int(high, 16) - 0xD800) << 10) + int(low, 16) - 0xDC00)


def _finished(text: str) -> int:
    """The end of the last escape that no further text can change."""
    position = text.find("\\")
    while position >= 0:
        if _UNFINISHED.match(text, position) or _HALF_AND_NO_MORE.match(text, position):
            return position
        escape = _PAIR.match(text, position) or _ESCAPE.match(text, position)
        position = len(text) if escape is None else text.find("\\", escape.end())
    return len(text)
