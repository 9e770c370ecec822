"""What every answer of the control page says of itself, and how a form is read."""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from guard.admin.bodies import MAX_BODY, read_body

MAX_FIELDS: Final = 8
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'"
)
SAFE: Final = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",  # with no-referrer a browser would hide the origin of our own forms
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
KEPT: Final = "private, max-age=31536000, immutable"


class NotTakenError(Exception):
    """A form that is not taken; the message says why."""


async def read_form(request: Request, *wanted: str, limit: int = MAX_BODY) -> dict[str, str]:
    """Read a form of so many bytes at most; raises NotTakenError for another kind of body and for a repeated field."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/x-www-form-urlencoded":
        raise NotTakenError("the body is not a form")
    body = await read_body(request, limit)
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS)
    except (ValueError, UnicodeError):
        raise NotTakenError("the form cannot be read") from None
    if len(dict(pairs)) != len(pairs):
        raise NotTakenError("the form holds a field twice")
    return {**dict.fromkeys(wanted, ""), **dict(pairs)}


def html(page: bytes, status: int = 200) -> Response:
    """Return a page."""
    return Response(page, status, {**SAFE, "content-type": "text/html; charset=utf-8", "cache-control": "no-store"})


def go(where: str, cookie: str = "") -> Response:
    """Show another page of ours, asked for anew: the address is a path, nothing of the caller's is in it."""
    answer = RedirectResponse(where, 303, {**SAFE, "cache-control": "no-store"})
    if cookie:
        answer.headers["set-cookie"] = cookie
    return answer
