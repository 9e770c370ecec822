"""What upstreams of the Responses API send: typed reading of stream events and of whole responses, nothing else.

One flat type reads every event of a stream; which of its fields count is the reader's business. Unknown fields are
dropped and counted, fields of the type `Dropped` are known of real servers and dropped silently.
"""

from __future__ import annotations

from typing import Any, Final

from msgspec import UNSET, Struct

from guard.wire.typed_answer import Count, Dropped, TypedReader


class UpstreamPart(Struct, forbid_unknown_fields=True):
    """A part of an item's content, or one summary of a reasoning item."""

    type: str
    text: str | None = None
    refusal: str | None = None
    annotations: Dropped = UNSET
    logprobs: Dropped = UNSET
    status: Dropped = UNSET


class UpstreamItem(Struct, forbid_unknown_fields=True):
    """An item of the output: a message, a function call or a reasoning; the reader refuses every other type."""

    type: str
    id: str | None = None
    status: str | None = None
    content: list[UpstreamPart] | None = None
    summary: list[UpstreamPart] | None = None
    name: str | None = None
    arguments: str | None = None
    call_id: str | None = None
    role: Dropped = UNSET
    phase: Dropped = UNSET
    encrypted_content: Dropped = UNSET
    namespace: Dropped = UNSET
    caller: Dropped = UNSET
    recipient: Dropped = UNSET
    channel: Dropped = UNSET


class Details(Struct, forbid_unknown_fields=True):
    """The finer counts of a usage, and why a response is incomplete."""

    cached_tokens: Count = 0
    cache_write_tokens: Count = 0
    reasoning_tokens: Count = 0
    reason: str | None = None
    cached_tokens_per_turn: Dropped = UNSET
    input_tokens_per_turn: Dropped = UNSET
    output_tokens_per_turn: Dropped = UNSET
    tool_output_tokens: Dropped = UNSET
    tool_output_tokens_per_turn: Dropped = UNSET


class UpstreamUsage(Struct, forbid_unknown_fields=True):
    """Token counts."""

    input_tokens: Count = 0
    output_tokens: Count = 0
    input_tokens_details: Details | None = None
    output_tokens_details: Details | None = None
    total_tokens: Dropped = UNSET


class UpstreamResponse(Struct, forbid_unknown_fields=True):
    """The response object that begins and ends a stream, and that is the whole of an answer without one."""

    status: str | None = None
    output: list[UpstreamItem] | None = None
    usage: UpstreamUsage | None = None
    incomplete_details: Details | None = None
    error: Any = None
    id: Dropped = UNSET
    object: Dropped = UNSET
    created_at: Dropped = UNSET
    completed_at: Dropped = UNSET
    model: Any = None  # compared, never passed on
    background: Dropped = UNSET
    billing: Dropped = UNSET
    conversation: Dropped = UNSET
    frequency_penalty: Dropped = UNSET
    input_messages: Dropped = UNSET
    instructions: Dropped = UNSET
    kv_transfer_params: Dropped = UNSET
    max_output_tokens: Dropped = UNSET
    max_tool_calls: Dropped = UNSET
    metadata: Dropped = UNSET
    moderation: Dropped = UNSET
    output_messages: Dropped = UNSET
    output_text: Dropped = UNSET
    parallel_tool_calls: Dropped = UNSET
    presence_penalty: Dropped = UNSET
    previous_response_id: Dropped = UNSET
    prompt: Dropped = UNSET
    prompt_cache_key: Dropped = UNSET
    prompt_cache_options: Dropped = UNSET
    prompt_cache_retention: Dropped = UNSET
    reasoning: Dropped = UNSET
    safety_identifier: Dropped = UNSET
    service_tier: Dropped = UNSET
    store: Dropped = UNSET
    temperature: Dropped = UNSET
    text: Dropped = UNSET
    timings: Dropped = UNSET
    tool_choice: Dropped = UNSET
    tool_usage: Dropped = UNSET
    tools: Dropped = UNSET
    top_logprobs: Dropped = UNSET
    top_p: Dropped = UNSET
    truncation: Dropped = UNSET
    user: Dropped = UNSET


class UpstreamEvent(Struct, forbid_unknown_fields=True):
    """Any event of a stream."""

    type: str
    delta: str | None = None
    item_id: str | None = None
    output_index: int | None = None
    content_index: int | None = None
    summary_index: int | None = None
    text: str | None = None
    refusal: str | None = None
    arguments: str | None = None
    part: UpstreamPart | None = None
    item: UpstreamItem | None = None
    response: UpstreamResponse | None = None
    error: Any = None
    sequence_number: Dropped = UNSET
    logprobs: Dropped = UNSET
    obfuscation: Dropped = UNSET
    name: Dropped = UNSET
    status: Dropped = UNSET
    timings: Dropped = UNSET


EVENTS: Final = TypedReader(UpstreamEvent)
RESPONSES: Final = TypedReader(UpstreamResponse)
