"""OpenAI embeddings: text in, vectors out, in one piece.

The answer has no channel, because no part of it is text: what passes is typed numbers, each rounded to the 32-bit float
that every known server computes and checked to be finite, as many vectors as inputs, all of one length; names, ids and
every other string are ours. What remains is a documented weakness: an upstream that means to could hide text in the
numbers themselves (32 bits each), and no classifier of text would see it. A vector can also be turned back into much of
its input by those who have the model; that input was the caller's own.
"""

from __future__ import annotations

import binascii
import math
import sys
from array import array
from base64 import b64decode, b64encode
from collections.abc import Mapping
from functools import cache
from typing import Any, Final

import msgspec
from msgspec import UNSET, Struct

from guard.wire.dialect import AnswerReader, Event, Grants, Naming, Request
from guard.wire.kinds import extra_keys
from guard.wire.openai_error import error_body
from guard.wire.openai_inputs import Inputs, Voiced, count
from guard.wire.request import understand, written
from guard.wire.sse import BadStream
from guard.wire.table import Label, Number, OneOf, Record, Refused, Spec, Text
from guard.wire.typed_answer import Count, Dropped, TypedReader, WholeAnswer, check_model
from safeguards.verdict import Code

MAX_INPUTS: Final = 2048
MAX_DIMENSIONS: Final = 16_384
MAX_BODY: Final = 33_554_432
# Writing numbers out digit by digit is slow and keeps other streams waiting: a quarter of a second for either of these.
MAX_PACKED: Final = 4_194_304
MAX_SPELLED: Final = 1_048_576

REQUEST: Final[Mapping[str, Spec]] = {
    "model": Label(limit=256),
    "input": Voiced("user", Inputs(limit=MAX_INPUTS)),
    "user": Text(limit=256),
    "dimensions": Number(1, MAX_DIMENSIONS, whole=True),
    "encoding_format": OneOf("float", "base64"),
    "messages": Refused("send text as input"),
    "stream": Refused("vectors come in one piece"),
}
_ENCODER: Final = msgspec.json.Encoder()


class _Vector(Struct, forbid_unknown_fields=True):
    embedding: list[float] | str
    index: int = 0
    object: Dropped = UNSET
    encoding_format: Dropped = UNSET  # llama.cpp


class _Usage(Struct):
    prompt_tokens: Count = 0


class _Vectors(Struct, forbid_unknown_fields=True):
    data: list[_Vector] = []
    usage: _Usage | None = None
    error: Any = None
    id: Dropped = UNSET
    object: Dropped = UNSET
    encoding_format: Dropped = UNSET  # llama.cpp
    created: Dropped = UNSET
    model: Any = None  # compared, never passed on


_VECTORS: Final = TypedReader(_Vectors)


@cache
def _table(kind: str) -> Record:
    return Record({**extra_keys(kind, OpenAIEmbeddings.operation), **REQUEST}, required=("model", "input"))


class OpenAIEmbeddings:
    """``POST /v1/embeddings``; no key of it can be allowed by name beyond the tables."""

    name = "openai.embeddings"
    operation = "embeddings"
    upstream_path = b"/v1/embeddings"
    names_model = True

    def read_request(self, fields: dict[str, Any], grants: Grants) -> Request:
        """Read strictly by the tables; raises BadField."""
        return understand(_table(grants.kind), fields)

    def write_request(self, request: Request, model: str) -> bytes:
        """Serialise the understood fields; raises BadField for a string that UTF-8 cannot carry."""
        return written(request, model)

    def reader(self, request: Request, naming: Naming) -> AnswerReader:
        """Begin reading the answer; it is written in the format that was asked for, whichever came."""
        return VectorsReader(naming, count(request.fields["input"]), request.fields.get("encoding_format") == "base64")

    def error(self, code: Code, request: str, detail: str = "") -> bytes:
        """OpenAI's error envelope."""
        return error_body(code, request, detail)

    def end_blocked(self, naming: Naming, seen: object) -> bytes:
        """Nothing: this answer is never streamed."""
        return b""

    def end_failed(self, naming: Naming, seen: object, code: Code) -> bytes:
        """Nothing: this answer is never streamed."""
        return b""


class VectorsReader(WholeAnswer):
    """Reads the vectors; its one event has no mark, so it leaves as soon as it is read."""

    def __init__(self, naming: Naming, inputs: int, packed: bool) -> None:
        """Expect one vector for each input; ``packed`` writes them as base64."""
        super().__init__(naming, MAX_BODY)
        self._inputs = inputs
        self._packed = packed

    def _read(self, body: bytes) -> Event:
        answer, dropped = _VECTORS.read(body)
        self.dropped += dropped
        if answer.error is not None:
            raise BadStream("the upstream reports an error")
        check_model(self.naming, answer.model)
        if sorted(vector.index for vector in answer.data) != list(range(self._inputs)):
            raise BadStream("the vectors are not one for each input")
        self.prompt_tokens = answer.usage.prompt_tokens if answer.usage is not None else 0
        self.completion_tokens = 0
        written: list[dict[str, object]] = [{}] * self._inputs
        lengths = set()
        left = MAX_PACKED if self._packed else MAX_SPELLED
        for vector in answer.data:
            numbers = _numbers(vector.embedding)
            lengths.add(len(numbers))
            left -= len(numbers)
            if left < 0:
                raise BadStream("the vectors are larger than the limit; base64 and fewer inputs make them smaller")
            shown = _pack(numbers) if self._packed else numbers.tolist()
            written[vector.index] = {"object": "embedding", "index": vector.index, "embedding": shown}
        if len(lengths) != 1:
            raise BadStream("the vectors differ in length")
        usage = {"prompt_tokens": self.prompt_tokens, "total_tokens": self.prompt_tokens}
        whole = {"object": "list", "data": written, "model": self.naming.model, "usage": usage}
        return Event(_ENCODER.encode(whole))


def _numbers(embedding: list[float] | str) -> array[float]:
    """The vector as finite 32-bit floats, from a list or from little-endian base64."""
    if isinstance(embedding, str):
        numbers = array("f")
        try:
            numbers.frombytes(b64decode(embedding, validate=True))
        except (binascii.Error, ValueError):
            raise BadStream("a vector is not base64 of 32-bit floats") from None
        if sys.byteorder == "big":
            numbers.byteswap()
    else:
        numbers = array("f", embedding)
    if not 1 <= len(numbers) <= MAX_DIMENSIONS:
        raise BadStream("a vector has too many or no dimensions")
    if not math.isfinite(sum(numbers)):  # the sum of so many finite 32-bit floats is a finite 64-bit float
        raise BadStream("a vector has a number that is not finite")
    return numbers


def _pack(numbers: array[float]) -> str:
    if sys.byteorder == "big":
        numbers.byteswap()
    return b64encode(numbers.tobytes()).decode("ascii")
