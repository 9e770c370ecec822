"""The input of a Responses request: a text, or the items of a conversation, each read by its own table.

Items that an earlier answer consisted of can be sent back as they came; what the server would have to remember, or
would do itself, is refused with the reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from guard.wire.openai_inputs import Voiced
from guard.wire.strict_json import BadField
from guard.wire.table import Collector, Either, Items, JsonText, Label, OneOf, Record, Refused, Spec, Text

NAME: Final = Label(limit=256)
ID: Final = Label(limit=128)
SERVER_TOOLS: Final = "tools that run on the server are not offered here; use function tools"
_MEDIA: Final = "no mounted classifier can judge this kind of part; send text"
_MEMORY: Final = "state on the server is not offered here"
_STATUS: Final = OneOf("in_progress", "completed", "incomplete")


class Empty:
    """A list that must be empty: SDKs send it back with an answer, and what it could hold cannot be judged."""

    def __init__(self, why: str) -> None:
        """Say why nothing may stand in it."""
        self._why = why

    def read(self, value: Any, place: str, into: Collector) -> Any:
        """Refuse everything else."""
        if value != [] or not isinstance(value, list):
            raise BadField(place, self._why)
        return value


class ByType:
    """An object that is told apart by its ``type``; types that are known and not served have their reason."""

    def __init__(self, types: Mapping[str, Spec], refused: Mapping[str, str], default: str = "") -> None:
        """Map types to tables; ``default`` is the type of an object that does not name one."""
        self._types = dict(types)
        self._refused = dict(refused)
        self._default = default

    def read(self, value: Any, place: str, into: Collector) -> Any:
        """Read by the table of its type."""
        if not isinstance(value, dict):
            raise BadField(place, "must be an object")
        kind = value.get("type")
        if kind is None:
            kind = self._default
        spec = self._types.get(kind) if isinstance(kind, str) else None
        if spec is None:
            why = self._refused.get(kind) if isinstance(kind, str) else None
            raise BadField(f"{place}.type", why or f"must be one of {', '.join(self._types)}")
        return spec.read(value, place, into)


_ANNOTATIONS: Final = Empty("annotations are not taken back in a request")
_LOGPROBS: Final = Empty("log probabilities carry text beside the answer")
_INPUT_TEXT: Final = Record({"type": OneOf("input_text"), "text": Text()}, required=("text",))
_OUTPUT_TEXT: Final = Record(
    {"type": OneOf("output_text"), "text": Text(), "annotations": _ANNOTATIONS, "logprobs": _LOGPROBS},
    required=("text",),
)
_REFUSAL: Final = Record({"type": OneOf("refusal"), "refusal": Text()}, required=("refusal",))
_REFUSED_PARTS: Final = dict.fromkeys(
    ("input_image", "input_file", "input_audio", "input_video", "image_url", "computer_screenshot"), _MEDIA
)
_PARTS: Final[Mapping[str, Spec]] = {"input_text": _INPUT_TEXT, "output_text": _OUTPUT_TEXT, "refusal": _REFUSAL}
_CONTENT: Final = Either({str: Text(), list: Items(ByType(_PARTS, _REFUSED_PARTS), limit=256, least=1)})
_SPOKEN: Final = Either({str: Text(), list: Items(ByType(_PARTS, _REFUSED_PARTS), limit=256)})
_TOOL_OUTPUT: Final = Either(
    {str: Text(), list: Items(ByType({"input_text": _INPUT_TEXT}, _REFUSED_PARTS), limit=256, least=1)}
)
_MESSAGE: Final[Mapping[str, Spec]] = {"type": OneOf("message"), "id": ID, "status": _STATUS}
_ROLES: Final[Mapping[str, Record]] = {
    role: Record({**_MESSAGE, "role": OneOf(role), "content": _CONTENT}, required=("content",))
    for role in ("user", "system", "developer")
} | {
    "assistant": Record(
        {
            **_MESSAGE,
            "role": OneOf("assistant"),
            "content": _SPOKEN,
            "phase": OneOf("commentary", "final_answer"),
        },
        required=("content",),
    )
}


class _Message:
    """A message; its role decides which keys it may have and whose voice its texts are."""

    def read(self, value: Any, place: str, into: Collector) -> Any:
        role = value.get("role")
        record = _ROLES.get(role) if isinstance(role, str) else None
        if record is None:
            raise BadField(f"{place}.role", f"must be one of {', '.join(_ROLES)}")
        return Voiced(str(role), record).read(value, place, into)


def _texts(kind: str) -> Items:
    return Items(Record({"type": OneOf(kind), "text": Text()}, required=("type", "text")), limit=256)


_ITEMS: Final[Mapping[str, Spec]] = {
    "message": _Message(),
    "function_call": Voiced(
        "assistant",
        Record(
            {
                "type": OneOf("function_call"),
                "id": ID,
                "call_id": ID,
                "name": NAME,
                "arguments": JsonText(),
                "status": _STATUS,
            },
            required=("call_id", "name", "arguments"),
        ),
    ),
    "function_call_output": Voiced(
        "tool",
        Record(
            {
                "type": OneOf("function_call_output"),
                "id": ID,
                "call_id": ID,
                "output": _TOOL_OUTPUT,
                "status": _STATUS,
            },
            required=("call_id", "output"),
        ),
    ),
    "reasoning": Voiced(
        "assistant",
        Record(
            {
                "type": OneOf("reasoning"),
                "id": ID,
                "summary": _texts("summary_text"),
                "content": _texts("reasoning_text"),
                "status": _STATUS,
                "encrypted_content": Refused("encrypted reasoning cannot be inspected"),
            }
        ),
    ),
}
_REFUSED_ITEMS: Final[Mapping[str, str]] = {
    "item_reference": _MEMORY,
    "compaction": _MEMORY,
    **dict.fromkeys(
        (
            *("web_search_call", "file_search_call", "code_interpreter_call", "image_generation_call"),
            *("computer_call", "computer_call_output", "local_shell_call", "local_shell_call_output"),
            *("shell_call", "shell_call_output", "apply_patch_call", "apply_patch_call_output"),
            *("mcp_call", "mcp_list_tools", "mcp_approval_request", "mcp_approval_response"),
            *("tool_search_call", "tool_search_output"),
        ),
        SERVER_TOOLS,
    ),
    **dict.fromkeys(("custom_tool_call", "custom_tool_call_output"), "use function tools"),
}
INPUT: Final = Either(
    {
        str: Voiced("user", Text()),
        list: Items(ByType(_ITEMS, _REFUSED_ITEMS, default="message"), limit=4096, least=1),
    }
)
