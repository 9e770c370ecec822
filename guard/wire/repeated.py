"""Reads events that differ from an earlier one of their stream in one text alone, without parsing the rest again.

Nearly all events of a streamed answer are the same bytes around a few characters of text. Where the bytes up to the
text's opening quote and from its closing quote on equal those of an event that was read in full, and what stands
between is one string of JSON, the event reads as that one did but for this string: there is no other way to read it.
Anything else gets no answer here and is read in full.
"""

from __future__ import annotations

from typing import Final

import msgspec

LONGEST: Final = 65_536  # bytes of a read that is taken here, far less than an event may have
MOST_AROUND: Final = 4_096  # bytes around the text, which each stream holds twice over
MAX_TRIES: Final = 8
_string: Final = msgspec.json.Decoder(str).decode


class Repeated:
    """What the events of one stream look like around their one text.

    When another shape comes it is learnt instead; after `MAX_TRIES` shapes of which none came again, no more are.
    """

    __slots__ = ("_after", "_around", "_before", "_between", "_tries")

    def __init__(self) -> None:
        """Know no shape."""
        self._before = self._after = self._between = b""
        self._around = LONGEST + 1  # bytes of the first two: no event is long enough
        self._tries = 0

    @property
    def learns(self) -> bool:
        """Whether it takes one more shape."""
        return self._tries < MAX_TRIES

    def learn(self, event: bytes, string: bytes) -> None:
        """Take the shape of an event that was read in full; ``string`` is its text as it stands there, with its quotes.

        Where these bytes stand there more than once it is not known which is the text, and nothing is learnt.
        """
        self._tries += 1
        if len(event) - len(string) > MOST_AROUND:
            return
        place = event.find(string)
        if place < 0 or event.rfind(string) != place or string[:1] != b'"' or string[-1:] != b'"':
            return
        self._before, self._after = event[: place + 1], event[place + len(string) - 1 :]
        self._between = self._after + self._before
        self._around = len(self._between)

    def texts(self, read: bytes) -> list[str] | None:
        """Return the texts of a read that is events of the known shape, one after another; None for any other."""
        before, after = self._before, self._after
        if not (self._around <= len(read) <= LONGEST and read.startswith(before) and read.endswith(after)):
            return None
        strings = read[len(before) : len(read) - len(after)].split(self._between)
        try:
            # Each by itself: what is no string alone could be one together with the next.
            texts = [_string(b'"%b"' % string) for string in strings]
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None
        self._tries = 0
        return texts
