"""OpenAI's error envelope, as every route of that family sends it; it never repeats the caller's or upstream's text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from guard.wire.dialect import TOLD
from safeguards.verdict import Code

_TYPES: Final[Mapping[int, str]] = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
_SERVER: Final = 500


def error_body(code: Code, request: str, detail: str = "", *, begun: bool = False) -> bytes:
    """The body of a plain error; ``detail`` names a field and what is wrong with it (``n: must be an integer``).

    ``begun`` says that some of the answer has been sent.
    """
    told = TOLD[code]
    place, _, problem = detail.partition(": ")
    error = {
        "message": f"{told.words(begun=begun)} {detail}".rstrip() + f" (request {request})",
        "type": _TYPES.get(told.status, "invalid_request_error" if told.status < _SERVER else "server_error"),
        "param": place if problem and " " not in place else None,  # a sentence with a colon names no field
        "code": code.value,
    }
    return msgspec.json.encode({"error": error})


def error_event(code: Code, request: str) -> bytes:
    """The same inside a stream; no terminator follows."""
    return b"data: " + error_body(code, request, begun=True) + b"\n\n"
