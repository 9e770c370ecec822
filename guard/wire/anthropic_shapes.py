"""What answers of Anthropic messages may hold, as typed structures: the tables of `anthropic_answer`.

What is typed `Dropped` is known of real servers and never passed on; what no table names is dropped and counted.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from msgspec import UNSET, Meta, Struct

from guard.wire.typed_answer import Count, Dropped, TypedReader

Index = Annotated[int, Meta(ge=0, le=100_000)]


class Usage(Struct, forbid_unknown_fields=True):
    """Counts, of which those that every server knows are read."""

    input_tokens: Count | None = None
    output_tokens: Count | None = None
    cache_creation_input_tokens: Count | None = None
    cache_read_input_tokens: Count | None = None
    cache_creation: Dropped = UNSET
    inference_geo: Dropped = UNSET
    iterations: Dropped = UNSET
    output_tokens_details: Dropped = UNSET
    server_tool_use: Dropped = UNSET
    service_tier: Dropped = UNSET
    speed: Dropped = UNSET


class Block(Struct, forbid_unknown_fields=True):
    """A content block; some servers write all keys of all kinds, null where they mean nothing."""

    type: str
    text: str | None = None
    thinking: str | None = None
    name: str | None = None
    input: dict[str, Any] | None = None
    id: Dropped = UNSET
    signature: Dropped = UNSET
    data: Dropped = UNSET
    citations: Dropped = UNSET
    caller: Dropped = UNSET
    toolset_name: Dropped = UNSET
    tool_name: Dropped = UNSET
    tool_use_id: Dropped = UNSET
    source: Dropped = UNSET
    content: Dropped = UNSET
    is_error: Dropped = UNSET


class Message(Struct, forbid_unknown_fields=True):
    """A whole message, and the frame of one in which a stream begins; vLLM leaves its type out there."""

    content: list[Block]
    type: Literal["message"] = "message"
    stop_reason: str | None = None
    stop_sequence: str | None = None
    usage: Usage | None = None
    model: Any = None  # compared, never passed on
    id: Dropped = UNSET
    role: Dropped = UNSET
    stop_details: Dropped = UNSET
    container: Dropped = UNSET
    context_management: Dropped = UNSET
    diagnostics: Dropped = UNSET
    kv_transfer_params: Dropped = UNSET


class MessageStart(Struct, forbid_unknown_fields=True):
    """How a stream begins: the message, still empty."""

    type: Literal["message_start"]
    message: Message


class BlockStart(Struct, forbid_unknown_fields=True):
    """A block begins."""

    type: Literal["content_block_start"]
    index: Index
    content_block: Block


class Delta(Struct, forbid_unknown_fields=True):
    """A piece of a block's text, under the key of its kind."""

    type: str
    text: str | None = None
    thinking: str | None = None
    partial_json: str | None = None
    signature: Dropped = UNSET
    citation: Dropped = UNSET
    estimated_tokens: Dropped = UNSET


class BlockDelta(Struct, forbid_unknown_fields=True):
    """A block grows."""

    type: Literal["content_block_delta"]
    index: Index
    delta: Delta


class BlockStop(Struct, forbid_unknown_fields=True):
    """A block is over."""

    type: Literal["content_block_stop"]
    index: Index


class End(Struct, forbid_unknown_fields=True):
    """Why the message stopped."""

    stop_reason: str | None = None
    stop_sequence: str | None = None
    type: Dropped = UNSET
    stop_details: Dropped = UNSET
    container: Dropped = UNSET


class MessageDelta(Struct, forbid_unknown_fields=True):
    """The message is over, except for its terminator."""

    type: Literal["message_delta"]
    delta: End
    usage: Usage | None = None
    context_management: Dropped = UNSET


class MessageStop(Struct, forbid_unknown_fields=True):
    """The terminator."""

    type: Literal["message_stop"]


MESSAGE: Final = TypedReader(Message)
MESSAGE_START: Final = TypedReader(MessageStart)
BLOCK_START: Final = TypedReader(BlockStart)
BLOCK_DELTA: Final = TypedReader(BlockDelta)
BLOCK_STOP: Final = TypedReader(BlockStop)
MESSAGE_DELTA: Final = TypedReader(MessageDelta)
MESSAGE_STOP: Final = TypedReader(MessageStop)
