"""What the guard answers itself on a data port: the models that a caller may use, and reports of harm (row B7)."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, Final, Protocol

import msgspec

from guard.arrival import Arrivals
from guard.refusal import Refused
from guard.reply import Reply
from guard.wire.openai_models import Entry, form_of, model_page, models_page
from guard.wire.routes import MODELS_PATH, NOT_OFFERED, REPORT_PATH
from guard.wire.strict_json import BadField, parse_object
from guard.wire.table import Collector, OneOf, Record, Text
from safeguards.decision import Unavailable
from safeguards.exchange import Caller
from safeguards.ports import Clock
from safeguards.verdict import Code

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
REPORT_BYTES: Final = 65_536  # a comment of full length, every character of it escaped
REPORT_EVERY_SECONDS: Final = 10.0
REPORT_BURST: Final = 5


class Shelf(Protocol):
    """The models that a tier may use on a surface."""

    def entries(self, surface: str, tier: str) -> Sequence[Entry]:
        """What a caller of this tier may know of them; empty if none."""


class Desk(Protocol):
    """Takes reports of harm."""

    async def file(self, report: Report, caller: Caller) -> None:
        """Put a report on record, which starts its clock; raises Unavailable when that cannot be done."""


@dataclass(frozen=True, slots=True)
class Report:
    """A harm report as it goes on record; ``request`` is the answer's x-request-id that it quotes."""

    request: str
    category: str
    comment: str


_PAGE: Final = MODELS_PATH + b"/"
_REQUEST: Final = re.compile(r"[0-9A-Za-z]{1,64}")


def read_report(body: bytes, categories: AbstractSet[str]) -> Report:
    """Understand the body of a report; raises Refused that names what is wrong."""
    table = Record(
        {"request_id": Text(limit=64), "category": OneOf(*sorted(categories)), "comment": Text(limit=4000)},
        required=("request_id",),
    )
    try:
        given = table.read(parse_object(body), "", Collector())
    except BadField as bad:
        raise Refused(Code.BAD_REQUEST, str(bad)) from None
    if not _REQUEST.fullmatch(given["request_id"]):
        raise Refused(Code.BAD_REQUEST, "request_id: must be the x-request-id of an answer")
    return Report(given["request_id"], given.get("category", "other"), given.get("comment", ""))


class Local:
    """Answers what is not for a model, in the surface's own name and after the same door."""

    def __init__(
        self,
        surface: str,
        arrivals: Arrivals,
        shelf: Shelf,
        desk: Desk,
        clock: Clock,
        categories: AbstractSet[str],
    ) -> None:
        """Take who reads requests, what may be listed, where reports go, and what they may be about."""
        self._surface = surface
        self._arrivals = arrivals
        self._shelf = shelf
        self._desk = desk
        self._clock = clock
        self._created = int(clock.now())
        self._categories = categories
        self._next_report: dict[str, float] = {}

    def take(self, shelf: Shelf) -> None:
        """List what another policy lists from now on."""
        self._shelf = shelf

    async def answer(self, scope: MutableMapping[str, Any], receive: Receive, reply: Reply) -> bool:
        """Answer if this is ours; False if it is not. Raises Refused."""
        path: bytes = scope.get("raw_path") or b""
        if path == REPORT_PATH:
            await self._report(scope, receive, reply)
        elif path == MODELS_PATH or path.startswith(_PAGE):
            await reply.finish(reply.whole(200, self._listed(scope, path)))
        elif path in NOT_OFFERED:
            raise Refused(Code.UNKNOWN_ROUTE, NOT_OFFERED[path])
        else:
            return False
        return True

    def _listed(self, scope: MutableMapping[str, Any], path: bytes) -> bytes:
        caller = self._arrivals.enter(scope, "GET")
        entries = self._shelf.entries(self._surface, caller.tier)
        form = form_of(scope["headers"])
        if path == MODELS_PATH:
            return models_page(entries, self._created, form)
        page = model_page(entries, path.removeprefix(_PAGE).decode("ascii", "replace"), self._created, form)
        if page is None:
            raise Refused(Code.UNKNOWN_MODEL)
        return page

    async def _report(self, scope: MutableMapping[str, Any], receive: Receive, reply: Reply) -> None:
        caller = self._arrivals.enter(scope, "POST")
        self._limit(caller.key)
        body = await self._arrivals.body(scope, receive, reply, caller)
        caller = self._arrivals.again(scope, caller)  # another policy may have come into force while the body came
        if len(body) > REPORT_BYTES:
            raise Refused(Code.TOO_LARGE)
        report = read_report(body, self._categories)
        try:
            await self._desk.file(report, caller)
        except Unavailable as failure:
            raise Refused(Code.LOG_UNAVAILABLE, reason=failure.reason) from None
        body = msgspec.json.encode({"report": reply.request, "request_id": report.request})
        await reply.finish(reply.whole(202, body))

    def _limit(self, key: str) -> None:
        """A few at once, then one every ten seconds, for each key and worker; keys are known, so this is bounded."""
        now = self._clock.steady()
        due = max(self._next_report.get(key, now), now)
        if due - now > (REPORT_BURST - 1) * REPORT_EVERY_SECONDS:
            raise Refused(Code.RATE_LIMITED)
        self._next_report[key] = due + REPORT_EVERY_SECONDS
