"""A request is read strictly and bounded; whatever is wrong with it is refused before anything else happens.

It is one file, because who answers is a part of how a request is understood.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from guard.arrival import Arrival
from guard.pipeline import Pipeline
from guard.refusal import Refused
from guard.serving import Serving
from guard.state.merge import State
from safeguards.decision import Failure, Unavailable
from safeguards.exchange import Exchange
from safeguards.mode import Mode
from safeguards.ports import Ladder, Stop
from safeguards.verdict import Code
from tests.guard.road import KEY, Line, Road, receiving
from tests.guard.state.parts import merged, stop

GOOD = json.dumps({"model": "demo", "messages": [{"role": "user", "content": "hi"}]}).encode()
AUTHORIZATION = (b"authorization", b"Bearer " + KEY.encode())
JSON = (b"content-type", b"application/json")


def read(road: Road, *bodies: bytes, then: str = "http.request", **scope: Any) -> Arrival:
    line = Line()
    made = road.scope(line, **scope)
    return asyncio.run(road.arrivals.read(made, receiving(*bodies, then=then), road.arrivals.reply(made, line.send)))


def refused(road: Road, *bodies: bytes, then: str = "http.request", **scope: Any) -> Refused:
    with pytest.raises(Refused) as caught:
        read(road, *(bodies or (GOOD,)), then=then, **scope)
    assert road.live.arriving == 0
    return caught.value


@pytest.mark.parametrize("cuts", [(), (1,), (5, 9), range(1, len(GOOD))])
def test_a_good_request_is_understood_however_its_body_is_cut(cuts: Sequence[int]) -> None:
    edges = [0, *cuts, len(GOOD)]
    arrival = read(Road(), *(GOOD[start:end] for start, end in pairwise(edges)))
    exchange = arrival.exchange
    assert (exchange.id, exchange.model, exchange.asl, exchange.surface) == ("id0", "demo", 3, "public")
    assert (exchange.caller.key, exchange.operation, exchange.dialect) == ("app", "chat", "openai.chat")
    assert [(each.role, each.text) for each in exchange.passages] == [("user", "hi")]
    assert (arrival.route, exchange.streamed, exchange.received) == ("/v1/chat/completions", False, 1_000_000.0)


@pytest.mark.parametrize(
    ("scope", "code"),
    [
        ({"raw_path": b"/v1/models"}, Code.UNKNOWN_ROUTE),
        ({"raw_path": b"/v1/chat/completions/"}, Code.UNKNOWN_ROUTE),
        ({"raw_path": b""}, Code.UNKNOWN_ROUTE),
        ({"method": "GET"}, Code.METHOD_NOT_ALLOWED),
        ({"method": "post"}, Code.METHOD_NOT_ALLOWED),
        ({"query_string": b"a=b"}, Code.BAD_REQUEST),
        ({"headers": [JSON]}, Code.UNAUTHENTICATED),
        ({"headers": [AUTHORIZATION]}, Code.BAD_REQUEST),
        ({"headers": [AUTHORIZATION, JSON, JSON]}, Code.BAD_REQUEST),
        ({"headers": [AUTHORIZATION, JSON, (b"content-encoding", b"identity")]}, Code.BAD_REQUEST),
        ({"headers": [AUTHORIZATION, (b"content-type", b"application/json; charset=utf-16")]}, Code.BAD_REQUEST),
        ({"headers": [AUTHORIZATION, JSON, (b"content-length", b"4097")]}, Code.TOO_LARGE),
    ],
)
def test_what_is_wrong_outside_the_body_is_refused_without_reading_it(scope: dict[str, Any], code: Code) -> None:
    road = Road()

    async def main() -> None:
        async def receive() -> Any:
            raise AssertionError("the body was read")

        line = Line()
        made = road.scope(line, **scope)
        with pytest.raises(Refused) as caught:
            await road.arrivals.read(made, receive, road.arrivals.reply(made, line.send))
        assert caught.value.code is code

    asyncio.run(main())


@pytest.mark.parametrize("pieces", [1, 2, 50])
def test_a_body_over_the_limit_is_refused_as_soon_as_it_is(pieces: int) -> None:
    size = 4097 // pieces + 1
    assert refused(Road(), *([b" " * size] * pieces)).code is Code.TOO_LARGE


def test_a_body_that_does_not_come_in_time_is_refused() -> None:
    found = refused(Road(), b"{", then="never")
    assert (found.code, found.detail) == (Code.BAD_REQUEST, "body: did not arrive in time")


def test_a_caller_that_leaves_within_its_body_has_asked_for_nothing() -> None:
    assert refused(Road(), b"{", then="http.disconnect").code is Code.CALLER_GONE


def test_whom_the_certificate_is_for_goes_into_the_exchange_and_into_no_other() -> None:
    road = Road()
    line = Line(peer="spiffe://example/chat")

    async def main() -> Arrival:
        scope = road.scope(line)
        return await road.arrivals.read(scope, receiving(GOOD), road.arrivals.reply(scope, line.send))

    caller = asyncio.run(main()).exchange.caller
    assert caller.peer == "spiffe://example/chat"
    assert read(road, GOOD).exchange.caller == replace(caller, peer="")


def test_a_model_below_its_floor_is_refused_with_the_rows_for_the_log_only() -> None:
    road = Road()
    road.change(unmet=tuple(f"L2.row{number}" for number in range(20)))
    found = refused(road)
    assert (found.code, found.model, found.detail) == (Code.NOT_ROUTABLE, "demo", "")
    assert found.reason == "unmet: " + ", ".join(f"L2.row{number}" for number in range(8))


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"model": "other"}, Code.UNKNOWN_MODEL),
        ({"surfaces": frozenset({"internal"})}, Code.UNKNOWN_MODEL),
        ({"dialects": {}}, Code.ACCESS_DENIED),
        ({"audience": "internal"}, Code.AUDIENCE_DENIED),
        ({"audience": "internal", "dialects": {}, "unmet": ("L2.row",)}, Code.AUDIENCE_DENIED),
    ],
)
def test_a_model_that_is_not_offered_here_is_refused(fields: dict[str, Any], code: Code) -> None:
    road = Road()
    road.change(**fields)
    assert refused(road).code is code


def test_a_draining_guard_takes_nothing_new() -> None:
    road = Road()
    road.arrivals.draining = True
    assert refused(road).code is Code.DRAINING


def test_a_request_that_is_still_being_read_counts_against_the_limit() -> None:
    road = Road()

    async def main() -> None:
        line = Line()
        made = road.scope(line)
        reading = [
            asyncio.ensure_future(
                road.arrivals.read(made, receiving(b"{", then="never"), road.arrivals.reply(made, line.send))
            )
            for _ in range(4)
        ]
        for _ in range(5):
            await asyncio.sleep(0)
        assert road.live.arriving == 4
        with pytest.raises(Refused) as caught:
            await road.arrivals.read(made, receiving(GOOD), road.arrivals.reply(made, line.send))
        assert caught.value.code is Code.OVERLOADED
        for task in reading:
            task.cancel()
        await asyncio.gather(*reading, return_exceptions=True)
        assert road.live.arriving == 0
        await road.arrivals.read(made, receiving(GOOD), road.arrivals.reply(made, line.send))

    asyncio.run(main())


def test_one_key_may_not_take_every_place() -> None:
    road = Road()
    road.arrivals._limits = replace(road.arrivals._limits, per_key=2)

    async def main() -> None:
        line = Line()
        made = road.scope(line)
        reading = [
            asyncio.ensure_future(
                road.arrivals.read(made, receiving(b"{", then="never"), road.arrivals.reply(made, line.send))
            )
            for _ in range(2)
        ]
        for _ in range(5):
            await asyncio.sleep(0)
        with pytest.raises(Refused) as caught:
            await road.arrivals.read(made, receiving(GOOD), road.arrivals.reply(made, line.send))
        assert caught.value.code is Code.RATE_LIMITED
        for task in reading:
            task.cancel()
        await asyncio.gather(*reading, return_exceptions=True)
        assert (await road.arrivals.read(made, receiving(GOOD), road.arrivals.reply(made, line.send))) is not None

    asyncio.run(main())


class Two(Road):
    """A road to ``demo``, which ``small`` may answer for, by the orders that are given."""

    def __init__(self, ladder: Ladder, **small: Any) -> None:
        """Serve both; ``small`` as said."""
        super().__init__()
        rungs = frozenset({Mode.STRICTER, Mode.FALLBACK, Mode.DE_DEPLOYED})
        stricter = Pipeline(self.serving.pipeline.mounts)
        self.change(rungs=rungs, fallback="small", replacement="other", stricter=stricter)
        plain: dict[str, Any] = {"model": "small", "asl": 2, "rungs": frozenset(), "stricter": None, **small}
        self.small = replace(self.serving, **plain)
        self.arrivals._ladder = ladder

    def find(self, model: str) -> Serving | None:
        """As `Catalogue.find`."""
        return self.small if model == "small" else super().find(model)


def given(*modes: Mode, model: str = "demo") -> State:
    return merged(replace(stop(f"model:{model}", number), mode=mode) for number, mode in enumerate(modes, 1))


def test_another_model_answers_as_itself_and_the_exchange_says_for_whom() -> None:
    road = Two(given(Mode.FALLBACK))
    arrival = read(road, GOOD)
    assert (arrival.exchange.model, arrival.exchange.asl, arrival.exchange.asked) == ("small", 2, "demo")
    assert (arrival.serving, arrival.stricter) == (road.small, False)
    assert not arrival.exchange.charged
    assert arrival.exchange.rungs == frozenset()


@pytest.mark.parametrize(
    "small",
    [
        {"unmet": ("L2.row",)},
        {"surfaces": frozenset({"partner"})},
        {"audience": "internal"},
        {"dialects": {}},
        {"model": "demo"},
    ],
)
def test_a_model_that_could_not_be_asked_itself_answers_for_no_other(small: dict[str, Any]) -> None:
    arrival = read(Two(given(Mode.FALLBACK), **small), GOOD)
    assert (arrival.exchange.model, arrival.exchange.asked) == ("demo", "")


def test_a_replacement_that_there_is_not_and_a_stand_in_that_is_stopped_answer_for_nobody() -> None:
    for orders in (
        given(Mode.DE_DEPLOYED),
        given(Mode.FALLBACK, Mode.STOP),
        given(Mode.FALLBACK).merge(given(Mode.NO_NEW_PRINCIPALS, model="small")),
        given(Mode.FALLBACK).merge(given(Mode.FALLBACK, model="small")),
    ):
        assert read(Two(orders), GOOD).exchange.asked == ""


def test_a_stricter_rung_has_the_exchange_judged_by_the_stricter_pipeline() -> None:
    road = Two(given(Mode.STRICTER))
    assert read(road, GOOD).pipeline is road.serving.stricter
    assert read(Two(given()), GOOD).pipeline is not road.serving.stricter


def test_orders_that_cannot_be_known_tighten_and_let_nobody_else_answer() -> None:
    class Unknown(State):
        def detour(self, exchange: Exchange) -> Stop | None:
            raise Unavailable(Failure.UNREACHABLE, "no orders")

        tightens = detour

    arrival = read(Two(Unknown()), GOOD)
    assert (arrival.exchange.model, arrival.stricter) == ("demo", True)


def test_without_a_view_of_the_orders_an_exchange_has_no_rungs() -> None:
    road = Road()
    road.change(rungs=frozenset({Mode.FALLBACK}), fallback="small")
    assert read(road, GOOD).exchange.rungs == frozenset()


def in_part(ladder: State, **small: Any) -> Two:
    """A fallback of prompts about ``cbrn`` alone, which the mount ``judge`` finds."""
    road = Two(ladder, **{"fallback": "", "fallback_for": frozenset(), **small})
    road.change(fallback_for=frozenset({"cbrn"}), fallback_by=frozenset({"judge"}))
    return road


def test_a_fallback_of_some_categories_changes_nothing_before_the_prompt_is_judged() -> None:
    arrival = read(in_part(given(Mode.FALLBACK)), GOOD)
    assert (arrival.exchange.model, arrival.exchange.asked) == ("demo", "")
    assert arrival.diverting is not None
    assert (arrival.diverting.categories, arrival.diverting.judges) == (
        frozenset({"cbrn"}),
        frozenset({"judge"}),
    )
    instead = arrival.diverting.instead(charged=False)
    assert instead is not None
    assert (instead.exchange.model, instead.exchange.asked) == ("small", "demo")
    assert instead.exchange.id == arrival.exchange.id + "x"
    assert instead.exchange.passages == arrival.exchange.passages
    assert (instead.diverting, instead.started) == (None, arrival.started)
    charged = arrival.diverting.instead(charged=True)
    assert charged is not None
    assert (instead.exchange.charged, charged.exchange.charged) == (False, True)


def test_who_answers_a_category_stands_on_its_own_rungs_and_sends_nothing_further() -> None:
    orders = given(Mode.FALLBACK).merge(given(Mode.FALLBACK, Mode.STRICTER, model="small"))
    stricter = Pipeline(Two(orders).serving.pipeline.mounts)
    rungs = frozenset({Mode.STRICTER, Mode.FALLBACK})
    more = {"rungs": rungs, "stricter": stricter, "fallback": "demo", "fallback_for": frozenset({"cbrn"})}
    diverting = read(in_part(orders, **more), GOOD).diverting
    instead = None if diverting is None else diverting.instead(charged=True)
    assert instead is not None
    assert instead.pipeline is stricter
    assert instead.diverting is not None
    assert instead.diverting.instead(charged=True) is None


@pytest.mark.parametrize("small", [{"unmet": ("L2.row",)}, {"audience": "internal"}, {"dialects": {}}])
def test_a_category_falls_back_to_nobody_who_could_not_be_asked_himself(small: dict[str, Any]) -> None:
    diverting = read(in_part(given(Mode.FALLBACK), **small), GOOD).diverting
    assert diverting is not None
    assert diverting.instead(charged=False) is None


def test_a_category_falls_back_to_nobody_who_is_stopped() -> None:
    diverting = read(in_part(given(Mode.FALLBACK).merge(given(Mode.STOP, model="small"))), GOOD).diverting
    assert diverting is not None
    assert diverting.instead(charged=False) is None


@pytest.mark.parametrize(("mode", "named"), [(None, True), (Mode.STOP, False), (Mode.DE_DEPLOYED, False)])
def test_what_replaces_a_model_is_who_would_answer_this_caller_now(mode: Mode | None, named: bool) -> None:
    road = Two(given(Mode.DE_DEPLOYED).merge(given(*([mode] if mode else []), model="small")))
    road.change(rungs=frozenset(), replacement="small")
    replaced = read(road, GOOD).replaced
    assert replaced is not None
    assert (replaced() is not None) is named
    road.small = replace(road.small, surfaces=frozenset({"partner"}))
    assert replaced() is None
    road.change(replacement="")
    assert read(road, GOOD).replaced is None
