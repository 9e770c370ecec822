"""Every text-carrying place of every route, on the way there and back: a marker in any of them is not let through.

The places of requests come from the dialects' own tables, so that a key without cover cannot be added; each channel of
an answer is a form, and beside the forms each leaf of an answer is tried in turn. It is one file because it is one
matrix: a route without a row fails.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import pytest

from guard.policy.tiers import Operation
from guard.wire.routes import ROUTES
from safeguards.exchange import ChannelKind
from tests.parts.answer_places import (
    CHAT,
    COMPLETIONS,
    FORMS,
    LACKS,
    PAIRS,
    TEXTLESS,
    Form,
    encode,
    everything,
    everything_whole,
    mutations,
    readings,
)
from tests.parts.configuration import MARKER, ModelSpec, write_configuration
from tests.parts.guard_thread import GuardThread
from tests.parts.request_places import Plant, escaped, minimal, nested, split, whole
from tests.parts.route_tables import KIND, OPAQUE, TABLES
from tests.parts.upstream import LAST_CHUNK, STREAM_HEAD, ScriptedUpstream, answer, chunk, sends

MODELS: Final = ("demo", "granting")
STREAMED: Final = [path for path in ROUTES if path not in TEXTLESS]
WAYS: Final = [(path, streamed) for path in ROUTES for streamed in (False, True) if path in STREAMED or not streamed]
WAY_NAMES: Final = [f"{path.decode()}-{'streamed' if streamed else 'whole'}" for path, streamed in WAYS]
EACH_WAY: Final = pytest.mark.parametrize(("path", "streamed"), WAYS, ids=WAY_NAMES)
HARMLESS: Final = "PERMITTED-WRITER"
# What no caller may read: whatever of the marker's beginning leaves tells of its rest.
LEAK: Final = MARKER[1:6]


@dataclass(slots=True)
class Got:
    """What a caller got."""

    status: int
    headers: str
    body: bytes

    @property
    def code(self) -> str:
        """The code of a plain error, of either envelope; empty for an answer."""
        if self.status == 200:
            return ""
        error = json.loads(self.body)["error"]
        return str(error["details"]["error_code"] if "details" in error else error["code"])

    @property
    def blocked(self) -> bool:
        """Whether a safeguard ended it: with a plain error, or with the dialect's own clean finish."""
        last = (b'"finish_reason":"content_filter"', b'"stop_reason":"refusal"', b'"reason":"content_filter"')
        return self.code == "content_blocked" or (self.status == 200 and any(each in self.body for each in last))

    def leaks(self, text: str = LEAK) -> bool:
        """Whether any reading of it holds this text, in either case."""
        found = text.casefold()
        return found in self.headers.casefold() or any(found in each.casefold() for each in readings(self.body))


@dataclass(slots=True)
class Bench:
    """A guard with every operation in front of an upstream that says what it is told to."""

    guard: GuardThread
    upstream: ScriptedUpstream
    key: str
    _connection: http.client.HTTPConnection = field(init=False)

    def __post_init__(self) -> None:
        """Connect when needed."""
        self._connection = http.client.HTTPConnection("127.0.0.1", self.guard.port, timeout=30)

    def post(self, path: bytes, body: Any) -> Got:
        """Send a request and read the whole answer."""
        headers = {"authorization": f"Bearer {self.key}", "content-type": "application/json"}
        self._connection.request("POST", path.decode(), json.dumps(body), headers)
        with self._connection.getresponse() as response:
            got = Got(response.status, str(response.headers), response.read())
        if body.get("stream"):
            self._connection.close()  # the guard closes too, where a stream did not end well
        return got

    def ask(self, path: bytes, *pieces: bytes | float, streamed: bool) -> Got:
        """Send a harmless request to which the upstream answers with these bytes and pauses."""
        self.upstream.script = sends(*pieces)
        return self.post(path, harmless(path, streamed=streamed))

    def streams(self, path: bytes, events: Sequence[Any], *, pause: float = 0.0) -> Got:
        """Let the upstream stream these events, each with a pause (seconds) after it."""
        pieces: list[bytes | float] = [STREAM_HEAD]
        for event in events:
            pieces += [chunk(encode(path, event)), pause] if pause else [chunk(encode(path, event))]
        return self.ask(path, *pieces, LAST_CHUNK, streamed=True)

    def says(self, path: bytes, body: Any) -> Got:
        """Let the upstream answer with this body."""
        return self.ask(path, answer(json.dumps(body).encode()), streamed=False)

    def close(self) -> None:
        """Leave."""
        self._connection.close()

    def nothing_unscanned(self) -> None:
        """Every exchange so far was judged."""
        self.guard.quiet()
        assert self.guard.call(lambda: self.guard.metric("guard_unscanned_total")) == 0.0


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    directory = tmp_path_factory.mktemp("matrix")
    with ScriptedUpstream(sends()) as upstream:
        operations = tuple(each.value for each in Operation)
        models = [ModelSpec(name, upstream=upstream.url, kind=KIND, operations=operations) for name in MODELS]
        credentials = write_configuration(directory, models=models)
        file = directory / "models" / "granting.yaml"
        file.write_text(json.dumps({**json.loads(file.read_text()), "allow_keys": OPAQUE}))
        with GuardThread(directory) as guard:
            bench = Bench(guard, upstream, credentials.key)
            yield bench
            bench.close()


def harmless(path: bytes, *, streamed: bool = False) -> dict[str, Any]:
    """A request that every table takes; several prompts and choices, so that answers may have them."""
    body: dict[str, Any] = {**minimal(TABLES[path][0]), "model": "demo"}
    if path in (CHAT, COMPLETIONS):
        body["n"] = 2
    return {**body, "stream": True} if streamed else body


def places(path: bytes, granting: int) -> Iterator[Plant]:
    """All plants but the model's name, which is looked up and goes nowhere."""
    table = TABLES[path][granting]
    yield from (plant for plant in whole(table) if plant.place != ".model")
    yield from split(table)


def test_every_route_has_its_row() -> None:
    assert set(ROUTES) == set(TABLES)
    assert set(ROUTES) == set(FORMS) | set(TEXTLESS)
    assert not set(FORMS) & set(TEXTLESS)
    assert set(FORMS) == set(LACKS)


@pytest.mark.parametrize("path", FORMS)
def test_every_kind_of_channel_has_a_form_or_is_lacking_for_good(path: bytes) -> None:
    spoken = {form.kind for form in FORMS[path].values()}
    assert spoken | LACKS[path] == set(ChannelKind)
    assert not spoken & LACKS[path]


@EACH_WAY
def test_a_harmless_request_reaches_the_upstream(bench: Bench, path: bytes, streamed: bool) -> None:
    before = len(bench.upstream.requests)
    got = bench.streams(path, everything(path)) if streamed else bench.says(path, everything_whole(path))
    assert got.status == 200
    assert len(bench.upstream.requests) == before + 1
    assert f"POST {path.decode()} ".encode() in bench.upstream.requests[-1].head


# A model that grants more is another row only where its dialect has something to grant.
GRANTING: Final = [path for path, (plain, granting) in TABLES.items() if plain is not granting]
ASKED: Final = [(*way, granting) for granting in (0, 1) for way in WAYS if not granting or way[0] in GRANTING]


@pytest.mark.parametrize(
    ("path", "streamed", "granting"),
    ASKED,
    ids=[f"{WAY_NAMES[WAYS.index(each[:2])]}-{MODELS[each[2]]}" for each in ASKED],
)
def test_a_marker_in_any_place_of_a_request_is_refused_and_reaches_nobody(
    bench: Bench, path: bytes, streamed: bool, granting: int
) -> None:
    before = len(bench.upstream.requests)
    wrong, served = [], 0
    for plant in places(path, granting):
        body = {**plant.value, "model": MODELS[granting]}
        if streamed and not plant.place.startswith(".stream"):
            body["stream"] = True
        got = bench.post(path, body)
        expected = (403, "content_blocked") if plant.served else (400, "bad_request")
        served += plant.served
        if (got.status, got.code) != expected or got.leaks():
            wrong.append((plant.place, got.status, got.code, got.leaks()))
    assert wrong == []
    assert served >= 3
    assert len(bench.upstream.requests) == before
    bench.nothing_unscanned()


@EACH_WAY
def test_a_marker_for_a_models_name_is_a_model_that_nobody_has(bench: Bench, path: bytes, streamed: bool) -> None:
    before = len(bench.upstream.requests)
    got = bench.post(path, {**harmless(path, streamed=streamed), "model": MARKER})
    assert (got.status, got.code, got.leaks()) == (404, "unknown_model", False)
    assert len(bench.upstream.requests) == before


def spellings(form: Form, text: str) -> Iterator[str]:
    """The ways to write a text in a place: as it is, and in a document of JSON, plain and with escapes."""
    yield text
    if form.json:
        yield f'{{"a": "{text}"}}'
        yield f'{{"a": "{escaped(text, 1)}"}}'
        yield f'{{"{escaped(text, len(text))}": 1}}'
        yield nested(text)


def cuts(text: str) -> Iterator[list[str]]:
    """Whole, in two halves, and in as many pieces as it has characters."""
    half = len(text) // 2
    yield from ([text], [text[:half], text[half:]], list(text))


PLACES: Final = [(path, name) for path, forms in FORMS.items() for name in forms]
EACH_PLACE: Final = pytest.mark.parametrize(
    ("path", "name"), PLACES, ids=[f"{path.decode()}-{name}" for path, name in PLACES]
)


@EACH_PLACE
def test_a_marker_in_any_channel_of_a_stream_never_reaches_the_caller(bench: Bench, path: bytes, name: str) -> None:
    form = FORMS[path][name]
    for fine, bad in zip(spellings(form, HARMLESS), spellings(form, MARKER), strict=True):
        for pieces in cuts(fine):
            got = bench.streams(path, form.streamed(pieces))
            assert (got.status, got.blocked, got.leaks(HARMLESS)) == (200, False, True), pieces
        for pieces in cuts(bad):
            got = bench.streams(path, form.streamed(pieces), pause=0.001 if len(pieces) > 1 else 0.0)
            assert (got.blocked, got.leaks()) == (True, False), (pieces, got)
    bench.nothing_unscanned()


@EACH_PLACE
def test_a_marker_in_any_channel_of_a_whole_answer_never_reaches_the_caller(
    bench: Bench, path: bytes, name: str
) -> None:
    form = FORMS[path][name]
    for fine, bad in zip(spellings(form, HARMLESS), spellings(form, MARKER), strict=True):
        got = bench.says(path, form.whole(fine))
        assert (got.status, got.leaks(HARMLESS)) == (200, True)
        got = bench.says(path, form.whole(bad))
        assert (got.status, got.code, got.leaks()) == (403, "content_blocked", False), (bad, got)
    bench.nothing_unscanned()


NEIGHBOURS: Final = [(path, name) for path, pairs in PAIRS.items() for name in pairs]


@pytest.mark.parametrize("between", ["", " ", "and "])
@pytest.mark.parametrize(("path", "name"), NEIGHBOURS, ids=[f"{path.decode()}-{name}" for path, name in NEIGHBOURS])
def test_a_marker_in_two_neighbouring_parts_never_reaches_the_caller_whole(
    bench: Bench, path: bytes, name: str, between: str
) -> None:
    pair = PAIRS[path][name]
    for text, fine in ((HARMLESS, True), (MARKER, False)):
        first, second = f"so {text[:9]}", f"{text[9:]} it is"
        got = bench.streams(path, pair.streamed(first, second), pause=0.001)
        assert (got.status, got.blocked) == (200, not fine)
        assert (second in got.body.decode()) is fine
        got = bench.says(path, pair.whole(first, second))
        assert (got.status, got.code) == ((200, "") if fine else (403, "content_blocked"))
    # What stands between keeps the halves apart for a reader too.
    got = bench.says(path, pair.whole(MARKER[:9] + between, MARKER[9:]))
    assert got.status == (200 if between else 403)
    bench.nothing_unscanned()


@EACH_WAY
def test_a_marker_in_any_leaf_of_an_answer_never_reaches_the_caller(bench: Bench, path: bytes, streamed: bool) -> None:
    body = everything(path) if streamed else everything_whole(path)
    leaks, tried = [], 0
    for each in mutations(body, MARKER):
        got = bench.streams(path, each) if streamed else bench.says(path, each)
        tried += 1
        if got.leaks():
            leaks.append((each, got))
    assert leaks == []
    assert tried >= 4
    bench.nothing_unscanned()


@pytest.mark.parametrize("path", STREAMED)
@pytest.mark.parametrize("line", [": {}\n\n", ":{}\n", "id: {}\n", "retry: {}\n", "{}: x\n", "event: {}\n", "{}\n\n"])
def test_a_marker_beside_the_events_of_a_stream_never_reaches_the_caller(bench: Bench, path: bytes, line: str) -> None:
    beside = line.format(MARKER).encode()
    first, *rest = (encode(path, event) for event in everything(path))
    for body in (beside + first + b"".join(rest), first + beside + b"".join(rest), first + b"".join(rest) + beside):
        got = bench.ask(path, STREAM_HEAD, chunk(body), LAST_CHUNK, streamed=True)
        assert not got.leaks()


@EACH_WAY
def test_a_marker_in_the_head_or_in_an_error_of_the_upstream_never_reaches_the_caller(
    bench: Bench, path: bytes, streamed: bool
) -> None:
    body = b"".join(encode(path, event) for event in everything(path)) if streamed else b""
    body = body or json.dumps(everything_whole(path)).encode()
    kind = "text/event-stream" if streamed else "application/json"
    error = json.dumps({"error": {"message": MARKER, "type": MARKER, "code": MARKER}}).encode()
    for script, status in (
        (answer(body, more=f"x-{MARKER}: {MARKER}\r\n", content_type=kind), 200),
        (answer(body, status=f"200 {MARKER}", content_type=kind), 200),
        (answer(body, content_type=f"{kind}; {MARKER}={MARKER}"), 200),
        (answer(error, status=f"400 {MARKER}"), 400),
        (answer(error, status=f"500 {MARKER}"), 502),
        (answer(error, content_type=kind), 502),
    ):
        got = bench.ask(path, script, streamed=streamed)
        assert (got.status, got.leaks()) == (status, False)
    bench.nothing_unscanned()
