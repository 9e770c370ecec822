"""Reading kept texts: from the leaf to its body, opened by whoever has a key, and held against what the leaf says.

Nothing is trusted: the place in a leaf must be one, the body must open where it lies for the record that names it, and
every text must be the one that the leaf committed to.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from guard.audit import encryption, frames
from guard.audit.body_places import FOLDER, Kind, Opened, Where, bound, where
from guard.audit.encryption import Body, Seal, SealError
from guard.audit.keys import KeyFolder, Stored
from guard.audit.records import Control, Intent, Outcome, Part, Record
from guard.audit.segments import describe, name
from guard.audit.wrapping import DataKey, KeyUnavailableError, Opener, data_key

MAX_CACHED = 256


class ContentError(Exception):
    """A kept text cannot be read; the message says why."""


@dataclass(frozen=True, slots=True)
class Text:
    """A text of a record and where it was: the place in the request, the channel of the answer, or ``comment``."""

    place: str
    text: str


class _Segment:
    """One segment of bodies, read at the places that leaves name; holds no descriptor between calls."""

    def __init__(self, path: Path, said: Where, writer: str) -> None:
        self.path = path
        first = self.frame(0)
        try:
            opened = msgspec.json.decode(first.payload, type=Opened)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise ContentError(f"{path}: damaged at its beginning") from None
        if first.kind != Kind.SALT or first.sequence != said.segment:
            raise ContentError(f"{path}: does not begin as a segment of bodies does")
        if (opened.writer, opened.retention, opened.day) != (writer, said.retention, said.day):
            raise ContentError(f"{path}: was written for another place")
        self.opened = opened
        self.seals: dict[bytes, Seal] = {}

    def frame(self, offset: int) -> frames.Frame:
        """The whole frame that begins there; raises ContentError."""
        try:
            with self.path.open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                if not 0 <= offset < size:
                    raise ContentError(f"{self.path}: ends before byte {offset}")
                file.seek(offset)
                head = file.read(frames.HEADER)
                length = frames.payload_length(head)
                scan = frames.scan(head + file.read(min(length, size - offset)))
        except FileNotFoundError:
            raise ContentError(f"{self.path}: is gone: deleted, or never reached the disk") from None
        except OSError as error:
            raise ContentError(f"{self.path}: {describe(error)}") from None
        if not scan.frames:
            raise ContentError(f"{self.path}: no whole frame at byte {offset} ({scan.end})")
        return scan.frames[0]

    def body_at(self, offset: int, one: str, key: Callable[[bytes], DataKey]) -> Body:
        """The body there; raises ContentError."""
        frame = self.frame(offset)
        if frame.kind == Kind.TEXT:
            plain = self._opened(frame, Kind.TEXT, one, key)
            return Body(plain[: encryption.SALT], (plain[encryption.SALT :],))
        try:
            return encryption.unpack(encryption.expanded(self._opened(frame, Kind.BODY, one, key)))
        except SealError as error:
            raise ContentError(f"{self.path}: byte {offset}: {error}") from None

    def blob_at(self, offset: int, match: bytes, key: Callable[[bytes], DataKey]) -> bytes:
        """The text there; raises ContentError."""
        try:
            return encryption.expanded(self._opened(self.frame(offset), Kind.BLOB, match, key))
        except SealError as error:
            raise ContentError(f"{self.path}: byte {offset}: {error}") from None

    def _opened(self, frame: frames.Frame, kind: Kind, one: str | bytes, key: Callable[[bytes], DataKey]) -> bytes:
        if frame.kind != kind:
            raise ContentError(f"{self.path}: another kind of frame than the leaf says, number {frame.sequence}")
        seal = self.seals.get(frame.payload[:8])
        if seal is None:
            found = key(frame.payload[:8])
            seal = Seal(found.secret, self.opened.salt, self.opened.context(self.path.name))
            self.seals[found.id] = seal
        try:
            return seal.open(frame.sequence, bound(kind, one), frame.payload[8:])
        except SealError as error:
            raise ContentError(f"{self.path}: number {frame.sequence}: {error}") from None


class Contents:
    """Opens the texts of a request log with the keys that one opener can open."""

    def __init__(self, audit: Path, folder: KeyFolder, opener: Opener) -> None:
        """Take where the log is, where its wrapped keys are, and who opens them."""
        self._audit = audit
        self._folder = folder
        self._opener = opener
        self._segments: dict[Path, _Segment] = {}
        self._keys: dict[tuple[str, str], dict[bytes, Stored]] = {}
        self._open: dict[Path, DataKey] = {}

    def texts(self, writer: str, record: Record) -> tuple[Text, ...]:
        """The texts that a record keeps, in its order, none if it keeps none; raises ContentError.

        Of a flagged outcome whose parts hold what was released, they are those of the whole exchange.
        """
        if isinstance(record, Intent) and record.body:
            body = self._body(writer, record.body, record.id)
            said = [one.commitment for one in record.passages]
            return _checked([one.place for one in record.passages], body, said)
        if isinstance(record, Part) and record.body:
            return _checked([record.channel], self._body(writer, record.body, record.id), [record.commitment])
        if isinstance(record, Control) and record.body:
            return _checked(["comment"], self._body(writer, record.body, record.subject), [record.commitment])
        if isinstance(record, Outcome) and record.body:
            body = self._body(writer, record.body, record.id)
            said = [one.commitment for one in record.released]
            return _checked([one.channel for one in record.released], body, said)
        return ()

    def flagged(self, writer: str, record: Outcome) -> tuple[Text, ...]:
        """The whole of a flagged exchange, none if it was not; raises ContentError."""
        if not record.flagged:
            return ()
        body = self._body(writer, record.flagged, record.id)
        return _checked(list(body[0].labels), body, [])

    def keys(self, retention: str, day: str) -> tuple[DataKey, ...]:
        """The keys of a class and day that can be opened; raises ContentError for damaged ones."""
        found = []
        for stored in self._stored(retention, day).values():
            try:
                found.append(self._unwrapped(stored))
            except KeyUnavailableError:
                continue  # another opener's
        return tuple(found)

    def _body(self, writer: str, place: str, one: str) -> tuple[Body, list[bytes]]:
        try:
            said = where(place)
        except ValueError:
            raise ContentError("the leaf names no place of a body") from None
        segment = self._segment(writer, said)

        def key(wanted: bytes) -> DataKey:
            return self._key(said, wanted)

        body = segment.body_at(said.offset, one, key)
        texts = [
            text if isinstance(text, bytes) else segment.blob_at(text.offset, text.match, key) for text in body.texts
        ]
        return body, texts

    def _segment(self, writer: str, said: Where) -> _Segment:
        path = self._audit / writer / FOLDER / said.retention / said.day / name(said.segment)
        segment = self._segments.get(path)
        if segment is None:
            if len(self._segments) >= MAX_CACHED:
                self._segments.clear()
            segment = self._segments[path] = _Segment(path, said, writer)
        return segment

    def _stored(self, retention: str, day: str) -> dict[bytes, Stored]:
        known = self._keys.get((retention, day))
        if known is None:
            try:
                known = {
                    bytes.fromhex(stored.file.id): stored
                    for stored in self._folder.of(day)
                    if stored.file.retention == retention
                }
            except OSError as error:
                raise ContentError(f"{self._folder.directory / day}: {describe(error)}") from None
            except KeyUnavailableError as error:
                raise ContentError(f"data key: {error}") from None
            self._keys[retention, day] = known
        return known

    def _key(self, said: Where, wanted: bytes) -> DataKey:
        stored = self._stored(said.retention, said.day).get(wanted)
        if stored is None:
            # Another process may have made it since.
            self._keys.pop((said.retention, said.day))
            stored = self._stored(said.retention, said.day).get(wanted)
        if stored is None:
            raise ContentError(f"its data key of {said.day} is gone: destroyed with its time, or shredded")
        try:
            return self._unwrapped(stored)
        except KeyUnavailableError as error:
            raise ContentError(f"its data key of {said.day}: {error}") from None

    def _unwrapped(self, stored: Stored) -> DataKey:
        key = self._open.get(stored.path)
        if key is None:
            key = self._open[stored.path] = data_key(stored.file, self._opener.open(stored.file))
        return key


def _checked(places: Sequence[str], opened: tuple[Body, list[bytes]], said: Sequence[str]) -> tuple[Text, ...]:
    body, texts = opened
    if len(texts) != len(places):
        raise ContentError("the body holds another number of texts than its leaf")
    for index, (text, commitment) in enumerate(zip(texts, said, strict=False)):
        if encryption.commitment(body.salt, index, text) != commitment:
            raise ContentError(f"text {index} is not the one that its leaf committed to")
    try:
        return tuple(Text(place, encryption.decoded(text)) for place, text in zip(places, texts, strict=True))
    except SealError as error:
        raise ContentError(str(error)) from None
