"""What a failure on the way means to the caller: the one table from errors to codes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from guard.refusal import Ended
from guard.serving import Answer
from guard.upstream.failure import UpstreamError, UpstreamFailure
from guard.wire.sse import BadStream
from safeguards.decision import Ending
from safeguards.verdict import Block, Code

_TIMEOUTS: Final = frozenset(
    {UpstreamFailure.TIMEOUT_CONNECT, UpstreamFailure.TIMEOUT_FIRST_BYTE, UpstreamFailure.TIMEOUT_IDLE}
)
_STATUSES: Final[Mapping[int, Code]] = {
    400: Code.BAD_REQUEST,
    413: Code.BAD_REQUEST,
    422: Code.BAD_REQUEST,
    429: Code.OVERLOADED,
    503: Code.OVERLOADED,
}


def map_failure(problem: Exception) -> Ended:
    """Name what an exception means; the reason holds nothing of what the upstream said."""
    if isinstance(problem, UpstreamError):
        code = Code.UPSTREAM_TIMEOUT if problem.kind in _TIMEOUTS else Code.UPSTREAM_FAILED
        return _error(code, f"{problem.kind.value}: {problem.reason}", problem.kind.value)
    if isinstance(problem, BadStream):
        return _error(Code.UPSTREAM_FAILED, str(problem), "bad_answer")
    return _error(Code.INTERNAL, type(problem).__name__, "internal")


def map_status(answer: Answer, *, streamed: bool) -> None:
    """Check that the upstream answers in the way it was asked; raises Ended."""
    if answer.status != 200:  # noqa: PLR2004 - the only status that is an answer
        code = _STATUSES.get(answer.status, Code.UPSTREAM_FAILED)
        raise _error(code, f"the upstream answered {answer.status}", f"status_{answer.status // 100}xx")
    content_type = (answer.header(b"content-type") or b"").partition(b";")[0].strip().lower()
    if content_type != (b"text/event-stream" if streamed else b"application/json"):
        raise _error(Code.UPSTREAM_FAILED, "the upstream's content type is not the one asked for", "content_type")


def _error(code: Code, reason: str, rule: str) -> Ended:
    return Ended(Ending.ERROR, Block(code, reason, rule=rule))
