"""OpenAI moderations: text in, verdicts out, in one piece; served only where a model's file lists the operation.

It is an upstream's service like any other, not the guard's own judgement: that is never asked for by callers. The
answer has no channel: it is rebuilt from a closed list of categories, each with a bool and a score, and every string in
it is ours. Scores keep seven digits after the point; more say nothing about harm and could say something else.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, Meta, Struct

from guard.wire.dialect import AnswerReader, Event, Grants, Naming, Request
from guard.wire.kinds import extra_keys
from guard.wire.openai_error import error_body
from guard.wire.openai_inputs import Inputs, Voiced, count
from guard.wire.request import understand, written
from guard.wire.sse import BadStream
from guard.wire.table import Label, Record, Refused, Spec
from guard.wire.typed_answer import Dropped, TypedReader, WholeAnswer, check_model
from safeguards.verdict import Code

MAX_INPUTS: Final = 256
CATEGORIES: Final = (
    "harassment",
    "harassment/threatening",
    "hate",
    "hate/threatening",
    "illicit",
    "illicit/violent",
    "self-harm",
    "self-harm/instructions",
    "self-harm/intent",
    "sexual",
    "sexual/minors",
    "violence",
    "violence/graphic",
)
_KNOWN: Final = frozenset(CATEGORIES)
REQUEST: Final[Mapping[str, Spec]] = {
    "model": Label(limit=256),
    "input": Voiced("user", Inputs(limit=MAX_INPUTS)),
    "stream": Refused("verdicts come in one piece"),
}
_DIGITS: Final = 7
_ENCODER: Final = msgspec.json.Encoder()
_Score = Annotated[float, Meta(ge=0, le=1)]


class _Verdict(Struct, forbid_unknown_fields=True):
    flagged: bool
    categories: dict[str, bool | None]
    category_scores: dict[str, _Score | None]
    category_applied_input_types: Dropped = UNSET


class _Verdicts(Struct, forbid_unknown_fields=True):
    results: list[_Verdict] = []
    error: Any = None
    id: Dropped = UNSET
    model: Any = None  # compared, never passed on


_VERDICTS: Final = TypedReader(_Verdicts)


@cache
def _table(kind: str) -> Record:
    return Record({**extra_keys(kind, OpenAIModerations.operation), **REQUEST}, required=("model", "input"))


class OpenAIModerations:
    """``POST /v1/moderations``; the model must be named, because the guard routes by it."""

    name = "openai.moderations"
    operation = "moderations"
    upstream_path = b"/v1/moderations"
    names_model = True

    def read_request(self, fields: dict[str, Any], grants: Grants) -> Request:
        """Read strictly by the tables; raises BadField."""
        return understand(_table(grants.kind), fields)

    def write_request(self, request: Request, model: str) -> bytes:
        """Serialise the understood fields; raises BadField for a string that UTF-8 cannot carry."""
        return written(request, model)

    def reader(self, request: Request, naming: Naming) -> AnswerReader:
        """Begin reading the answer."""
        return VerdictsReader(naming, count(request.fields["input"]))

    def error(self, code: Code, request: str, detail: str = "") -> bytes:
        """OpenAI's error envelope."""
        return error_body(code, request, detail)

    def end_blocked(self, naming: Naming, seen: object) -> bytes:
        """Nothing: this answer is never streamed."""
        return b""

    def end_failed(self, naming: Naming, seen: object, code: Code) -> bytes:
        """Nothing: this answer is never streamed."""
        return b""


class VerdictsReader(WholeAnswer):
    """Reads the verdicts; its one event has no mark, so it leaves as soon as it is read."""

    def __init__(self, naming: Naming, inputs: int) -> None:
        """Expect one verdict for each input."""
        super().__init__(naming)
        self._inputs = inputs

    def _read(self, body: bytes) -> Event:
        answer, dropped = _VERDICTS.read(body)
        self.dropped += dropped
        if answer.error is not None:
            raise BadStream("the upstream reports an error")
        check_model(self.naming, answer.model)
        if len(answer.results) != self._inputs:
            raise BadStream("the verdicts are not one for each input")
        results = [self._written(verdict) for verdict in answer.results]
        whole = {"id": f"modr-{self.naming.request}", "model": self.naming.model, "results": results}
        return Event(_ENCODER.encode(whole))

    def _written(self, verdict: _Verdict) -> dict[str, object]:
        flags, scores = verdict.categories, verdict.category_scores
        self.dropped += len(flags.keys() - _KNOWN) + len(scores.keys() - _KNOWN)
        named = [category for category in CATEGORIES if flags.get(category) is not None]
        return {
            "flagged": verdict.flagged,
            "categories": {category: flags[category] for category in named},
            "category_scores": {category: round(scores.get(category) or 0.0, _DIGITS) for category in named},
            "category_applied_input_types": {category: ["text"] for category in named},
        }
