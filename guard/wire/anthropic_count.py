"""Counting the tokens of an Anthropic request: the prompt of a message, inspected like one, and a number for answer.

The model server renders and tokenises what it counts, so a prompt that may not reach it may not be counted either.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

from msgspec import UNSET, Struct

from guard.wire.anthropic_answer import quote
from guard.wire.anthropic_messages import AnthropicMessages, Cacheable, prompt_keys
from guard.wire.dialect import AnswerReader, Event, Grants, Naming, Request
from guard.wire.kinds import extra_keys
from guard.wire.request import understand
from guard.wire.table import Spec
from guard.wire.typed_answer import Count, Dropped, TypedReader, WholeAnswer

MAX_BODY: Final = 65_536


class _Counted(Struct, forbid_unknown_fields=True):
    input_tokens: Count
    context_management: Dropped = UNSET


_COUNTED: Final = TypedReader(_Counted)


@lru_cache(maxsize=64)
def _table(grants: Grants) -> Spec:
    return Cacheable({**extra_keys(grants.kind, "count_tokens"), **prompt_keys(grants)}, required=("model", "messages"))


class AnthropicCount(AnthropicMessages):
    """``POST /v1/messages/count_tokens``; nothing is generated, so no tokens are put on record."""

    name = "anthropic.count_tokens"
    operation = "count_tokens"
    upstream_path = b"/v1/messages/count_tokens"
    names_model = False

    def read_request(self, fields: dict[str, Any], grants: Grants) -> Request:
        """Read the keys of a prompt and no others; raises BadField."""
        return understand(_table(grants), fields)

    def reader(self, request: Request, naming: Naming) -> AnswerReader:
        """Begin reading the number."""
        return CountReader(naming, MAX_BODY)


class CountReader(WholeAnswer):
    """Reads one number; an answer without text has no channels."""

    def _read(self, body: bytes) -> Event:
        counted, self.dropped = _COUNTED.read(body)
        return Event(quote({"input_tokens": counted.input_tokens}))
