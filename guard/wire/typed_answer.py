"""Strict typed reading of an upstream's JSON, and the reader of answers that come in one piece."""

from __future__ import annotations

from typing import Annotated, Any, Final, Generic, TypeVar, get_args

import msgspec
from msgspec import Meta, Raw, Struct, UnsetType

from guard.wire.dialect import Event, Naming
from guard.wire.sse import BadStream
from safeguards.exchange import Channel, ChannelId

# The type of a field that real servers send and that never passes on.
Dropped = Raw | UnsetType
# Numbers pass to the caller uninspected, so they are no longer than a count can be.
Count = Annotated[int, Meta(ge=0, le=1_000_000_000)]
MAX_BODY: Final = 16_777_216
_encode: Final = msgspec.json.Encoder().encode
_S = TypeVar("_S", bound=Struct)


def check_model(naming: Naming, named: object) -> None:
    """Hold the upstream to the name that the policy expects of its model; raises BadStream."""
    if naming.expect_model and named != naming.expect_model:
        raise BadStream("the upstream does not name the model that is expected")


class TypedReader(Generic[_S]):
    """Decodes one kind of struct; unknown fields are dropped, and counted where the struct forbids them."""

    def __init__(self, kind: type[_S]) -> None:
        """Prepare for this kind and everything nested in it."""
        self._kind = kind
        self._decoder = msgspec.json.Decoder(kind)
        self._fields: dict[type[Struct], dict[str, tuple[bool, type[Struct] | None]]] = {}
        self._learn(kind)

    def read(self, data: bytes) -> tuple[_S, int]:
        """Return the struct and how many unknown fields were dropped; raises BadStream."""
        try:
            return self._decoder.decode(data), 0
        except msgspec.ValidationError:
            pass
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise BadStream("an event is not JSON") from None
        try:
            known, dropped = self._prune(msgspec.json.decode(data), self._kind)
            return msgspec.convert(known, self._kind), dropped
        except msgspec.ValidationError:
            raise BadStream("an event has a field of the wrong type") from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            # What the typed reading skipped, the whole reading looks at.
            raise BadStream("an event is not JSON") from None

    def _learn(self, kind: type[Struct]) -> None:
        fields = self._fields[kind] = {}
        for field in msgspec.structs.fields(kind):
            nested = _struct_in(field.type)
            fields[field.encode_name] = (Raw in get_args(field.type), nested)
            if nested is not None and nested not in self._fields:
                self._learn(nested)

    def _prune(self, value: Any, kind: type[Struct]) -> tuple[Any, int]:
        if isinstance(value, list):
            pruned = [self._prune(item, kind) for item in value]
            return [item for item, _ in pruned], sum(dropped for _, dropped in pruned)
        if not isinstance(value, dict):
            return value, 0
        kept: dict[str, Any] = {}
        dropped = 0
        fields = self._fields[kind]
        for key, item in value.items():
            known = fields.get(key)
            if known is None:
                dropped += kind.__struct_config__.forbid_unknown_fields
                continue
            never, nested = known
            if not never:
                kept[key], more = (item, 0) if nested is None else self._prune(item, nested)
                dropped += more
        return kept, dropped


class Gathered:
    """The body of an answer that comes in one piece, bounded in bytes."""

    def __init__(self, limit: int = MAX_BODY) -> None:
        """Begin empty."""
        self._pieces: list[bytes] = []
        self._left = limit

    def add(self, data: bytes) -> None:
        """Keep what a read brought; raises BadStream beyond the bound."""
        self._left -= len(data)
        if self._left < 0:
            raise BadStream("the answer is larger than the limit")
        self._pieces.append(data)

    def whole(self) -> bytes:
        """Hand out the body and let it go."""
        body = b"".join(self._pieces)
        self._pieces.clear()
        return body


class WholeAnswer:
    """Reads an answer that comes in one piece; its one event is the whole body. A dialect says how it is read."""

    def __init__(self, naming: Naming, max_body: int = MAX_BODY) -> None:
        """Begin empty; bound the body in bytes."""
        self.naming = naming
        self.channels: dict[ChannelId, Channel] = {}
        self.touched: list[Channel] = []
        self.done = False
        self.dropped = 0
        self.prompt_tokens: int | None = None
        self.completion_tokens: int | None = None
        self._body = Gathered(max_body)

    def feed(self, data: bytes) -> list[Event]:
        """Gather."""
        self._body.add(data)
        return []

    def finish(self) -> list[Event]:
        """Read the whole body; raises BadStream."""
        event = self._read(self._body.whole())
        self.done = True
        return [event]

    def _read(self, body: bytes) -> Event:
        raise NotImplementedError


def one_line(value: object) -> bytes:
    """JSON that every reader takes for one line: some split at U+0085, U+2028 and U+2029 too, which text may hold."""
    return (
        _encode(value)
        .replace(b"\xc2\x85", b"\\u0085")
        .replace(b"\xe2\x80\xa8", b"\\u2028")
        .replace(b"\xe2\x80\xa9", b"\\u2029")
    )


def _struct_in(kind: Any) -> type[Struct] | None:
    """The struct in ``X``, ``X | None`` or ``list[X]``; there is one at most."""
    if isinstance(kind, type) and issubclass(kind, Struct):
        return kind
    return next((found for each in get_args(kind) if (found := _struct_in(each)) is not None), None)
