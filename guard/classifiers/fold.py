"""Folding: the one view of a text in which rules are compared, character by character and so independent of chunks.

Each character becomes zero or more: compatibility forms are taken apart, combining marks and invisible characters are
dropped, case is removed, and every run of white space is one space. The original is never altered; offsets of the
folded text lead back to it. What it does not undo: look-alike letters of other scripts, spelling with gaps, encodings.
"""

from __future__ import annotations

import re
import unicodedata

_DROPPED = frozenset({"Cc", "Cf", "Mn", "Me", "Cs", "Co"})
# Above the last ideograph there are only tags, variation selectors, private use and what is not assigned: nothing that
# reads as text, so all of it is dropped. The rest is 200,000 characters, which the table may hold all of: a text that
# cycled through more than it holds would cost microseconds a character, on every reading.
_LAST = 0x3134F
_BEYOND = re.compile(f"[{chr(_LAST + 1)}-\U0010ffff]+")
_RUNS = re.compile(r"[\x00-\x7f]+|[^\x00-\x7f]+")


def _fold_character(character: str) -> str:
    if character.isspace():
        return " "
    folded = []
    for part in unicodedata.normalize("NFKD", character):
        if part.isspace():
            folded.append(" ")
        elif unicodedata.category(part) not in _DROPPED:
            # Case folding may bring marks back (a dotted capital I does), so what it yields is taken apart once more.
            # The dotless i is a case variant of I that case folding leaves alone.
            again = unicodedata.normalize("NFKD", part.casefold().replace("\u0131", "i"))
            folded.extend(each for each in again if unicodedata.category(each) not in _DROPPED)
    return "".join(folded)


class _Table(dict[int, str]):
    """What `str.translate` asks for each character; filled as characters turn up, up to ``_LAST``."""

    def __missing__(self, point: int) -> str:
        if point > _LAST:
            return ""
        folded = self[point] = _fold_character(chr(point))
        return folded


_TABLE = _Table()


class Folder:
    """Folds a growing text; the only thing it remembers is whether the last character was a space."""

    __slots__ = ("_space",)

    def __init__(self) -> None:
        """Begin as after a space, so that leading white space vanishes."""
        self._space = True

    def fold(self, text: str) -> tuple[str, list[int] | None]:
        """Fold more text: the folded text, and for each of its characters the index in ``text`` it comes from.

        None instead of the list means that they are the same indexes, which is the ordinary case.
        """
        plain = text.isascii()
        # Of ASCII, what is printable changes its case alone, which takes a fifth of the time.
        folded = text.lower() if plain and text.isprintable() else text.translate(_TABLE)
        if not folded:
            return "", None
        if plain and len(folded) == len(text) and "  " not in folded and not (self._space and folded[0] == " "):
            self._space = folded[-1] == " "
            return folded, None
        kept: list[str] = []
        origin: list[int] = []
        space = self._space
        for index, character in enumerate(text):
            for part in _TABLE[ord(character)]:
                if part == " ":
                    if space:
                        continue
                    space = True
                else:
                    space = False
                kept.append(part)
                origin.append(index)
        self._space = space
        return "".join(kept), origin


def fold_all(text: str) -> str:
    """Fold a complete text; the same as feeding it to a `Folder` in any pieces."""
    if not text.isascii():
        text = _BEYOND.sub("", text)
    if text.isascii() or len(text.encode("utf-8", "surrogatepass")) > len(text) * 17 // 16:
        folded = text.translate(_TABLE)
    else:  # ASCII is translated ten times as fast, and a few typographic quotes shall not take that away
        folded = "".join([run.translate(_TABLE) for run in _RUNS.findall(text)])
    while "  " in folded:
        folded = folded.replace("  ", " ")
    return folded.removeprefix(" ")
