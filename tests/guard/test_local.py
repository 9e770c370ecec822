"""What the guard answers itself: the list of models as each caller may see it, and the taking of reports."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.local import REPORT_BURST, REPORT_BYTES, REPORT_EVERY_SECONDS, Local, Report, read_report
from guard.proxy import Proxy
from guard.refusal import Refused
from guard.wire.openai_models import Entry
from guard.wire.routes import NOT_OFFERED
from safeguards.decision import Failure, Unavailable
from safeguards.exchange import Caller
from safeguards.verdict import Code
from tests.guard.road import KEY, Line, Road, receiving

CATEGORIES = frozenset({"other", "cyber", "fraud"})
ALPHA = Entry("alpha", 2, 3, "https://models.example/alpha", "a team")
BETA = Entry("beta-2.1", 3, 3, None, "another team")
GOOD = {"request_id": "0123abcd", "category": "cyber", "comment": "it told me how"}
JSON = (b"content-type", b"application/json")
AUTHORIZATION = (b"authorization", b"Bearer " + KEY.encode())
ANTHROPIC = (b"anthropic-version", b"2023-06-01")


class Shelf:
    """Holds entries by surface and tier."""

    def __init__(self, held: Mapping[tuple[str, str], Sequence[Entry]]) -> None:
        """Take them."""
        self.held = held

    def entries(self, surface: str, tier: str) -> Sequence[Entry]:
        """As `Shelf.entries`."""
        return self.held.get((surface, tier), ())


class Desk:
    """Keeps reports, or fails."""

    def __init__(self) -> None:
        """Begin empty."""
        self.filed: list[tuple[Report, Caller]] = []
        self.failure: Exception | None = None

    async def file(self, report: Report, caller: Caller) -> None:
        """As `Desk.file`."""
        await asyncio.sleep(0)
        if self.failure is not None:
            raise self.failure
        self.filed.append((report, caller))


class Counter:
    """A road whose proxy also answers for itself."""

    def __init__(self, held: Mapping[tuple[str, str], Sequence[Entry]] | None = None) -> None:
        """Show the tier general of the surface public two models, unless told otherwise."""
        self.road = Road()
        self.desk = Desk()
        shelf = Shelf({("public", "general"): (ALPHA, BETA)} if held is None else held)
        local = Local("public", self.road.arrivals, shelf, self.desk, self.road.clock, CATEGORIES)
        self.proxy = Proxy(self.road.arrivals, self.road.live, self.road.notes, self.road.clock, local)

    def ask(self, path: bytes, *bodies: bytes, method: str = "GET", line: Line | None = None, **scope: Any) -> Line:
        """Send one request and return what came of it."""
        line = line or Line()
        headers = scope.pop("headers", [AUTHORIZATION, JSON])
        made: MutableMapping[str, Any] = self.road.scope(line, raw_path=path, method=method, headers=headers, **scope)
        asyncio.run(self.proxy(made, receiving(*(bodies or (b"",))), line.send))
        return line

    def report(self, *bodies: bytes, **scope: Any) -> Line:
        """Send a report."""
        return self.ask(b"/report", *(bodies or (json.dumps(GOOD).encode(),)), method="POST", **scope)


def code(line: Line) -> str:
    return str(json.loads(line.body)["error"]["code"])


def test_the_models_are_listed_in_openais_form() -> None:
    line = Counter().ask(b"/v1/models")
    assert (line.status, line.ended) == (200, True)
    page = json.loads(line.body)
    assert page["object"] == "list"
    assert page["data"][0] == {
        "id": "alpha",
        "object": "model",
        "created": 1_000_000,
        "owned_by": "a team",
        "asl": {"deployment": 2, "security": 3},
        "card": "https://models.example/alpha",
    }
    assert [each["id"] for each in page["data"]] == ["alpha", "beta-2.1"]
    assert line.headers[b"x-request-id"] == b"id0"


def test_the_models_are_listed_in_anthropics_form_for_its_sdks() -> None:
    line = Counter().ask(b"/v1/models", headers=[(b"x-api-key", KEY.encode()), ANTHROPIC])
    page = json.loads(line.body)
    assert (page["has_more"], page["first_id"], page["last_id"]) == (False, "alpha", "beta-2.1")
    assert page["data"][0]["type"] == "model"
    assert page["data"][0]["display_name"] == "alpha"
    assert page["data"][0]["created_at"] == "1970-01-12T13:46:40Z"


@pytest.mark.parametrize(
    "held", [{}, {("internal", "general"): (ALPHA,)}, {("public", "other"): (ALPHA,)}, {("public", "general"): ()}]
)
@pytest.mark.parametrize("more", [(), (ANTHROPIC,)])
def test_what_belongs_to_another_tier_or_surface_is_not_there(
    held: Mapping[tuple[str, str], Sequence[Entry]], more: tuple[tuple[bytes, bytes], ...]
) -> None:
    line = Counter(held).ask(b"/v1/models", headers=[AUTHORIZATION, *more])
    assert (line.status, json.loads(line.body)["data"]) == (200, [])


def test_a_model_has_a_page_of_its_own_in_both_forms() -> None:
    line = Counter().ask(b"/v1/models/beta-2.1")
    assert (line.status, json.loads(line.body)["id"], json.loads(line.body)["object"]) == (200, "beta-2.1", "model")
    line = Counter().ask(b"/v1/models/beta-2.1", headers=[AUTHORIZATION, ANTHROPIC])
    assert (json.loads(line.body)["id"], json.loads(line.body)["type"]) == ("beta-2.1", "model")


@pytest.mark.parametrize("more", [(), (ANTHROPIC,)])
def test_a_model_that_may_not_be_seen_is_told_as_one_that_does_not_exist(more: tuple[tuple[bytes, bytes], ...]) -> None:
    paths = (b"/v1/models/alpha", b"/v1/models/nobody", b"/v1/models/", b"/v1/models/%61lpha", b"/v1/models/\xff")
    lines = [Counter({}).ask(path, headers=[AUTHORIZATION, *more]) for path in paths]
    assert {line.status for line in lines} == {404}
    assert len({(line.body, tuple(line.headers.items())) for line in lines}) == 1
    assert code(lines[0]) == "unknown_model"


@pytest.mark.parametrize("path", [b"/v1/models", b"/v1/models/alpha", b"/report"])
@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"headers": [JSON]}, (401, "unauthenticated")),
        ({"headers": [(b"authorization", b"Bearer sk-guard-nobody-0123456789"), JSON]}, (401, "unauthenticated")),
        ({"headers": [AUTHORIZATION, (b"x-api-key", KEY.encode()), JSON]}, (401, "unauthenticated")),
        ({"query_string": b"limit=20"}, (400, "bad_request")),
        ({"method": "PUT"}, (405, "method_not_allowed")),
        ({"method": "HEAD"}, (405, "method_not_allowed")),
    ],
)
def test_the_door_is_the_same_as_for_requests_to_models(
    path: bytes, changes: dict[str, Any], expected: tuple[int, str]
) -> None:
    counter = Counter()
    method = "POST" if path == b"/report" else "GET"
    line = counter.ask(path, json.dumps(GOOD).encode(), **{"method": method, **changes})
    assert (line.status, code(line)) == expected
    assert counter.desk.filed == []


@pytest.mark.parametrize("path", [b"/v1/models", b"/report"])
def test_a_draining_guard_answers_nothing_new(path: bytes) -> None:
    counter = Counter()
    counter.road.arrivals.draining = True
    line = counter.ask(path, json.dumps(GOOD).encode(), method="POST" if path == b"/report" else "GET")
    assert (line.status, code(line)) == (503, "draining")


@pytest.mark.parametrize("path", sorted(NOT_OFFERED))
def test_what_is_not_offered_is_told_in_words_that_help(path: bytes) -> None:
    line = Counter().ask(path, method="POST")
    error = json.loads(line.body)["error"]
    assert (line.status, error["code"], error["param"]) == (404, "unknown_route", None)
    assert NOT_OFFERED[path] in error["message"]


@pytest.mark.parametrize("path", [b"/v1/modelsx", b"/v1/model", b"/reports", b"/report/", b"/v1", b"/"])
def test_what_is_not_ours_is_left_to_the_routes(path: bytes) -> None:
    line = Counter().ask(path)
    assert (line.status, code(line)) == (404, "unknown_route")


def test_a_report_is_filed_under_the_callers_name_and_told_by_its_own_id() -> None:
    counter = Counter()
    line = counter.report()
    assert (line.status, json.loads(line.body)) == (202, {"report": "id0", "request_id": "0123abcd"})
    assert counter.desk.filed == [
        (Report("0123abcd", "cyber", "it told me how"), Caller("app", "owner", "general")),
    ]


def test_a_report_that_cannot_be_recorded_is_not_taken() -> None:
    counter = Counter()
    counter.desk.failure = Unavailable(Failure.UNREACHABLE, "no disk")
    line = counter.report()
    assert (line.status, code(line)) == (503, "log_unavailable")
    assert b"no disk" not in line.body
    assert counter.road.notes.refusals[0].reason == "no disk"


def test_a_desk_that_fails_otherwise_is_our_failure_and_says_nothing_more() -> None:
    counter = Counter()
    counter.desk.failure = RuntimeError("words of the inside")
    line = counter.report()
    assert (line.status, code(line)) == (500, "internal")
    assert b"inside" not in line.body


def test_a_key_has_a_few_reports_at_once_then_one_every_ten_seconds() -> None:
    counter = Counter()
    assert [counter.report().status for _ in range(REPORT_BURST + 1)] == [202] * REPORT_BURST + [429]
    counter.road.clock.at += REPORT_EVERY_SECONDS
    assert [counter.report().status for _ in range(2)] == [202, 429]
    counter.road.clock.at += 1000 * REPORT_EVERY_SECONDS
    assert [counter.report().status for _ in range(REPORT_BURST + 1)] == [202] * REPORT_BURST + [429]
    assert len(counter.desk.filed) == 2 * REPORT_BURST + 1


def test_a_report_larger_than_its_bound_is_refused() -> None:
    counter = Counter()
    line = counter.report(json.dumps(GOOD | {"comment": "x" * REPORT_BYTES}).encode())
    assert (line.status, code(line)) == (413, "too_large")
    assert counter.desk.filed == []


def test_a_page_that_the_caller_does_not_take_ends_with_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("guard.reply.FINISH_SECONDS", 0.01)
    counter = Counter()

    async def main() -> Line:
        line = Line(stuck=asyncio.Event())
        scope = counter.road.scope(line, raw_path=b"/v1/models", method="GET")
        await asyncio.wait_for(counter.proxy(scope, receiving(b""), line.send), 30)
        return line

    assert asyncio.run(main()).aborted == 1


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (GOOD, Report("0123abcd", "cyber", "it told me how")),
        ({"request_id": "a"}, Report("a", "other", "")),
        ({"request_id": "a" * 64, "category": None, "comment": None}, Report("a" * 64, "other", "")),
        ({"request_id": "a", "comment": "\U0001f600" * 4000}, Report("a", "other", "\U0001f600" * 4000)),
    ],
)
def test_a_report_is_understood(fields: dict[str, Any], expected: Report) -> None:
    body = json.dumps(fields).encode()
    assert len(body) < REPORT_BYTES
    assert read_report(body, CATEGORIES) == expected


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "the body is not valid JSON"),
        (b"\xff", "the body is not UTF-8"),
        (b"[]", "the body must be a JSON object"),
        (b'{"request_id":"a","request_id":"b"}', "an object names a key twice"),
        (b'{"request_id":"a","comment":"\\ud800"}', "a string holds half a surrogate pair"),
        (b"{}", "request_id: is missing"),
        (b'{"request_id":7}', "request_id: must be a string"),
        (b'{"request_id":""}', "request_id: must be the x-request-id of an answer"),
        (b'{"request_id":"a/b"}', "request_id: must be the x-request-id of an answer"),
        (b'{"request_id":"a\\n"}', "request_id: must be the x-request-id of an answer"),
        ('{"request_id":"é"}'.encode(), "request_id: must be the x-request-id of an answer"),
        (b'{"request_id":"%s"}' % (b"a" * 65), "request_id: is longer than 64 characters"),
        (b'{"request_id":"a","category":"rude"}', 'category: must be one of "cyber", "fraud", "other"'),
        (b'{"request_id":"a","category":[]}', 'category: must be one of "cyber", "fraud", "other"'),
        (b'{"request_id":"a","comment":"%s"}' % (b"x" * 4001), "comment: is longer than 4000 characters"),
        (b'{"request_id":"a","severity":1}', "severity: is not allowed; allowed are category, comment, request_id"),
        (b"[" * 50_000, "the body is nested too deeply"),
    ],
)
def test_what_is_wrong_with_a_report_is_named(body: bytes, words: str) -> None:
    with pytest.raises(Refused) as caught:
        read_report(body, CATEGORIES)
    assert (caught.value.code, caught.value.detail) == (Code.BAD_REQUEST, words)


@given(
    st.binary(max_size=80)
    | st.dictionaries(st.text(max_size=12), st.text(max_size=12)).map(lambda each: json.dumps(each).encode())
)
def test_any_body_is_a_report_or_a_bad_request_that_says_why(body: bytes) -> None:
    try:
        found: Report | Refused = read_report(body, CATEGORIES)
    except Refused as refused:
        found = refused
    if isinstance(found, Report):
        assert found.category in CATEGORIES
        assert found.request.isalnum()
    else:
        assert found.code is Code.BAD_REQUEST
        assert found.detail
