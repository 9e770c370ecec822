"""The journey ends once, is recorded once, and forwards at most once, wherever it is cut.

One file, because every case is one journey.
"""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import pytest

from guard.live import Live
from guard.pipeline import Mount, Pipeline
from guard.serving import Serving
from safeguards.base import Safeguard
from safeguards.decision import Ending
from safeguards.exchange import Channel, Exchange
from safeguards.mode import Mode
from safeguards.verdict import PASS, Block, Cleared, Code, Pass
from tests.guard.road import WORDS, Hesitant, Line, Road, Sudden, Wired, receiving, truncated
from tests.guard.state.parts import merged, stop

STOP = (Ending.STOPPED, Block(Code.STOPPED, "model:demo: a test", rule="o1"))
GONE = (Ending.CALLER_GONE, Block(Code.CALLER_GONE, "the caller left"))
STEPS = range(70)
WAYS = [Line, Wired]


def road_for(way: type[Line]) -> Road:
    """By messages everything hesitates; past them nearly everything happens where the bytes arrive."""
    return Road(first=Sudden() if way is Wired else Hesitant())


async def until(true: Callable[[], bool]) -> None:
    """Turn the loop until it is so; the test's own time limit bounds it."""
    while not true():  # noqa: ASYNC110 - the fakes set no events
        await asyncio.sleep(0)


def texts(line: Line) -> str:
    """The contents in a stream's body, or in a whole answer's."""
    found = ""
    for each in line.body.split(b"\n\n"):
        data = each.removeprefix(b"data: ")
        if data and data != b"[DONE]":
            for choice in json.loads(data).get("choices", ()):
                found += (choice.get("delta") or choice.get("message") or {}).get("content") or ""
    return found


def check(road: Road, line: Line, *, streamed: bool) -> None:
    """What must hold however a journey ended."""
    (outcome,) = road.notes.outcomes
    assert road.first.outcomes == [outcome]
    assert len(road.notes.began_with) == 1
    assert len(road.live) == 0
    assert road.live.arriving == 0
    assert len(road.model.sent) <= 1
    for answer in road.model.answers:
        assert answer.closed + road.model.settled.count(answer) == 1
    # Nothing but a stop asks the server to stop generating, and only for what was sent there.
    assert road.model.abandoned == (road.model.sent if outcome.ending is Ending.STOPPED else [])
    assert road.notes.aborts == ["done"] * len(road.model.abandoned)
    assert outcome.sent_bytes == len(line.body)
    assert line.tell is None
    served = "".join(each.text for each in outcome.released)
    assert texts(line) == served
    complete = line.ended and (b"[DONE]" in line.body if streamed else line.status == 200)
    assert complete == (outcome.ending is Ending.SERVED)
    if outcome.ending is Ending.SERVED:
        assert served == "".join(WORDS)
    elif outcome.ending is not Ending.CALLER_GONE and not line.aborted:
        assert line.ended
        code = json.loads(line.body.split(b"\n\n")[-2 if line.status == 200 else 0].removeprefix(b"data: "))
        assert code["error"]["code"] == outcome.code


@pytest.mark.parametrize("streamed", [True, False])
@pytest.mark.parametrize("cause", [STOP, GONE], ids=["stop", "caller gone"])
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("way", WAYS)
def test_a_cut_at_any_step_ends_it_once_and_is_recorded(
    way: type[Line], step: int, cause: tuple[Ending, Block], streamed: bool
) -> None:
    road, line = road_for(way), way()

    async def main() -> None:
        task = asyncio.ensure_future(road.travel(line, stream=streamed))
        for _ in range(step):
            await asyncio.sleep(0)
        cut = road.live.cut_where(lambda _: cause)
        await task
        assert task.cancelling() == 0
        if cut:
            assert road.notes.outcomes[0].ending in {cause[0], Ending.SERVED}
        else:
            assert road.notes.outcomes[0].ending is Ending.SERVED
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())
    check(road, line, streamed=streamed)


@pytest.mark.parametrize("streamed", [True, False])
@pytest.mark.parametrize("way", WAYS)
def test_an_exchange_that_has_ended_is_forgotten_without_the_garbage_collector(way: type[Line], streamed: bool) -> None:
    async def main() -> None:
        road = road_for(way)
        await road.travel(way(), stream=streamed)
        assert road.notes.outcomes[0].ending is Ending.SERVED

    def left() -> int:
        return sum(isinstance(each, Live) for each in gc.get_objects())

    gc.collect()
    before = left()
    gc.disable()
    try:
        asyncio.run(main())
        assert left() == before
    finally:
        gc.enable()


@pytest.mark.parametrize("first_cut", [True, False])
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("way", WAYS)
def test_the_end_of_the_process_at_any_step_still_closes_and_records(
    way: type[Line], step: int, first_cut: bool
) -> None:
    road, line = road_for(way), way()

    async def main() -> None:
        task = asyncio.ensure_future(road.travel(line))
        for _ in range(step):
            await asyncio.sleep(0)
        if first_cut:
            road.live.cut_where(lambda _: STOP)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())
    if road.notes.began_with:
        check(road, line, streamed=True)
    else:
        assert (road.model.sent, road.live.arriving) == ([], 0)


@pytest.mark.parametrize("second", range(12))
@pytest.mark.parametrize("step", [8, 20, 40])
def test_two_cancellations_close_and_record_once(step: int, second: int) -> None:
    road, line = Road(), Line()

    async def main() -> None:
        task = asyncio.ensure_future(road.travel(line))
        for _ in range(step):
            await asyncio.sleep(0)
        task.cancel()
        for _ in range(second):
            await asyncio.sleep(0)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    asyncio.run(main())
    check(road, line, streamed=True)


def test_a_caller_that_has_left_before_the_journey_begins_has_nothing_forwarded() -> None:
    class Quick(Hesitant):
        def admit(self, exchange: Exchange) -> object:  # type: ignore[override]  # at once, so that nothing waits
            return PASS

    quick = Quick()
    road, line = Road(quick), Line(gone=True)
    asyncio.run(road.travel(line))
    assert road.model.sent == []
    assert [outcome.ending for outcome in quick.outcomes] == [Ending.CALLER_GONE]
    assert line.sent == []


def test_a_safeguard_that_swallows_its_cancellation_does_not_keep_a_stop_from_working() -> None:
    class Deaf(Hesitant):
        async def watch(self, exchange: Exchange, channel: Channel) -> Cleared:
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(0.05)
            return Cleared(channel.end)

    deaf = Deaf()
    road, line = Road(deaf), Line()

    async def main() -> None:
        task = asyncio.ensure_future(road.travel(line))
        await until(lambda: bool(road.model.answers))
        await asyncio.sleep(0.01)
        road.live.cut_where(lambda _: STOP)
        await task

    asyncio.run(main())
    assert [outcome.ending for outcome in deaf.outcomes] == [Ending.STOPPED]
    assert WORDS[1].encode() not in line.body


def test_a_stop_while_the_caller_is_stuck_ends_the_connection_and_records_only_what_was_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("guard.reply.FINISH_SECONDS", 0.02)
    road, line = Road(), Line()

    async def main() -> None:
        task = asyncio.ensure_future(road.travel(line))
        await until(lambda: WORDS[0].encode() in line.body)
        line.stuck = asyncio.Event()
        for _ in range(20):
            await asyncio.sleep(0)
        road.live.cut_where(lambda _: STOP)
        await task

    asyncio.run(main())
    assert line.aborted == 1
    check(road, line, streamed=True)
    assert road.notes.outcomes[0].ending is Ending.STOPPED


def test_a_stop_while_a_whole_answer_is_half_sent_aborts_it() -> None:
    road, line = Road(), Line()

    async def main() -> None:
        task = asyncio.ensure_future(road.travel(line, stream=False))
        await until(lambda: bool(line.sent))
        line.stuck = asyncio.Event()
        await asyncio.sleep(0)
        road.live.cut_where(lambda _: STOP)
        await task

    asyncio.run(main())
    assert (line.aborted, line.ended, line.body) == (1, False, b"")
    check(road, line, streamed=False)


@pytest.mark.parametrize("streamed", [True, False])
@pytest.mark.parametrize("at", range(7))
@pytest.mark.parametrize("way", WAYS)
def test_an_upstream_that_fails_at_any_batch_is_an_error(way: type[Line], at: int, streamed: bool) -> None:
    road, line = road_for(way), way()
    whole = [b'data: {"choices":[{"index":0,"delta":{"content":"%s"}}]}\n\n' % word.encode() for word in WORDS]
    road.model.batches = [*whole[:at], truncated()]
    asyncio.run(road.travel(line, stream=streamed))
    outcome = road.notes.outcomes[0]
    assert (outcome.ending, outcome.code) == (Ending.ERROR, Code.UPSTREAM_FAILED)
    check(road, line, streamed=streamed)


def test_a_failure_nobody_foresaw_is_internal_and_closes_the_upstream() -> None:
    road, line = Road(), Line()
    road.model.batches = [RuntimeError("words of a prompt")]
    asyncio.run(road.travel(line))
    assert (line.status, road.notes.outcomes[0].code) == (500, Code.INTERNAL)
    assert b"words of a prompt" not in line.body
    assert road.notes.outcomes[0].reason == "RuntimeError"
    check(road, line, streamed=True)


def test_a_request_that_cannot_be_read_is_internal_and_in_the_envelope(monkeypatch: pytest.MonkeyPatch) -> None:
    road, line = Road(), Line()
    monkeypatch.setattr(road, "find", lambda _: 1 / 0)
    asyncio.run(road.travel(line))
    assert (line.status, json.loads(line.body)["error"]["code"]) == (500, "internal")
    assert road.model.sent == []
    assert [refused.code for refused in road.notes.refusals] == [Code.INTERNAL]


def test_a_close_that_fails_does_not_keep_the_next_safeguard_or_the_witness_from_being_told() -> None:
    bad, good = Hesitant(close_fails=True), Hesitant()
    road, line = Road(bad, good), Line()
    asyncio.run(road.travel(line))
    assert len(bad.outcomes) == len(good.outcomes) == len(road.notes.outcomes) == 1


def test_the_first_enforced_denial_is_the_answer_and_later_safeguards_are_not_asked() -> None:
    class No(Safeguard):
        kind = "access"

        def admit(self, exchange: Exchange) -> Block:
            return Block(Code.ACCESS_DENIED, "a tier", rule="tier")

    first, last = Hesitant(), Hesitant()
    road, line = Road(first, No(), last), Line()
    asyncio.run(road.travel(line))
    assert (line.status, json.loads(line.body)["error"]["code"]) == (403, "access_denied")
    assert (first.admitted, last.admitted, len(road.model.sent)) == (1, 0, 0)
    assert [each.outcomes[0].ending for each in (first, last)] == [Ending.DENIED] * 2


def test_an_answer_longer_than_the_limit_ends() -> None:
    road, line = Road(), Line()
    road.change(answer_characters=8)
    asyncio.run(road.travel(line))
    assert road.notes.outcomes[0].reason == "the answer is longer than the limit"
    check(road, line, streamed=True)
    assert texts(line) == "one two "


@pytest.mark.parametrize("way", WAYS)
def test_text_held_beyond_the_limit_ends(way: type[Line]) -> None:
    class Holding(Hesitant):
        async def watch(self, exchange: Exchange, channel: Channel) -> Cleared:
            return Cleared(0)

    holding = Holding()
    road, line = Road(holding), way()
    road.change(held_bytes=300)
    asyncio.run(road.travel(line))
    assert (line.status, holding.outcomes[0].code) == (502, Code.HELD_TOO_MUCH)
    assert len(holding.outcomes[0].released) == 1
    assert road.model.answers[0].closed == 1


@pytest.mark.parametrize("turns", range(4))
def test_a_stop_that_is_noticed_where_bytes_arrive_is_counted_once_whenever_it_is_cut_too(turns: int) -> None:
    counted: list[int] = []
    line = Wired()

    def cut(left: int) -> None:
        if left:
            asyncio.get_running_loop().call_soon(cut, left - 1)
        else:
            counted.append(road.live.cut_where(lambda _: STOP))

    class Switch(Hesitant):
        def watch(self, exchange: Exchange, channel: Channel) -> Cleared | Block:  # type: ignore[override]  # at once
            if channel.end < 8:
                return Cleared(channel.end)
            assert asyncio.current_task() is None
            cut(turns)
            return STOP[1]

    road = Road(first=Switch())
    asyncio.run(road.travel(line))
    check(road, line, streamed=True)
    assert road.notes.outcomes[0].ending is Ending.STOPPED
    assert sum(counted) + road.live.noticed().get("o1", 0) == 1


def test_what_left_beside_text_that_is_held_too_long_is_not_taken_for_released() -> None:
    class Holding(Hesitant):
        def watch(self, exchange: Exchange, channel: Channel) -> Cleared:  # type: ignore[override]  # at once
            return Cleared(min(channel.end, 8))

    road, line = Road(first=Holding()), Wired()
    events = [b'data: {"choices":[{"index":0,"delta":{"content":"%s"}}]}\n\n' % word.encode() for word in WORDS]
    road.model.batches = [events[0], b"".join(events[1:])]
    road.change(held_bytes=100)
    asyncio.run(road.travel(line))
    check(road, line, streamed=True)
    assert (road.notes.outcomes[0].code, texts(line)) == (Code.HELD_TOO_MUCH, "one ")


def test_what_has_to_wait_for_nothing_passes_without_a_turn_of_the_task() -> None:
    class Prompt(Hesitant):
        def watch(self, exchange: Exchange, channel: Channel) -> Cleared:  # type: ignore[override]  # at once
            return Cleared(channel.end)

    road, line = Road(first=Prompt()), Wired()
    asyncio.run(road.travel(line))
    check(road, line, streamed=True)
    assert line.tasks == [None] * len(WORDS)  # the other words and the finish; the task sent the first and the last


def test_times_that_the_guard_added_are_told_once() -> None:
    road, line = Road(), Line()
    asyncio.run(road.travel(line))
    ((forwarding, first_byte),) = road.notes.times
    assert forwarding is not None
    assert first_byte is not None
    assert 0 < forwarding <= first_byte < 1


def test_a_caller_that_leaves_within_its_body_is_refused_without_an_answer() -> None:
    road, line = Road(), Line()
    asyncio.run(road.proxy(road.scope(line), receiving(b"{", then="http.disconnect"), line.send))
    assert (line.sent, line.aborted) == ([], 1)
    assert [refused.code for refused in road.notes.refusals] == [Code.CALLER_GONE]
    assert road.notes.began_with == []


class Finds(Safeguard):
    """A classifier that finds every prompt to be about one thing, after a while."""

    kind = "classifier"

    async def admit(self, exchange: Exchange) -> Block:
        """Say so."""
        await asyncio.sleep(0)
        return Block(Code.CONTENT_BLOCKED, "a rule", category="cbrn", rule="r1")


class Diverted(Road):
    """A road to ``demo``, whose prompts about ``cbrn`` an order has ``small`` answer; ``second`` is that one's log."""

    def __init__(self, *small: Safeguard) -> None:
        """Mount what finds it in shadow, and these on ``small``."""
        super().__init__()
        self.second = Hesitant()
        mounts = [*self.serving.pipeline.mounts, Mount("judge", Finds(), False, True, 5.0)]
        self.small = replace(
            self.serving,
            model="small",
            pipeline=Pipeline(
                [Mount(f"s{at}", each, True, True, 5.0) for at, each in enumerate((self.second, *small))]
            ),
        )
        self.change(
            pipeline=Pipeline(mounts),
            rungs=frozenset({Mode.FALLBACK}),
            fallback="small",
            fallback_for=frozenset({"cbrn"}),
            fallback_by=frozenset({"judge"}),
        )
        self.arrivals._ladder = merged([replace(stop("model:demo"), mode=Mode.FALLBACK)])

    def find(self, model: str) -> Serving | None:
        """As `Catalogue.find`."""
        return self.small if model == "small" else super().find(model)


@pytest.mark.parametrize("streamed", [True, False])
@pytest.mark.parametrize("way", WAYS)
def test_a_prompt_that_is_kept_from_its_model_is_answered_by_another_under_a_record_of_its_own(
    way: type[Line], streamed: bool
) -> None:
    road, line = Diverted(), way()
    asyncio.run(road.travel(line, stream=streamed))
    assert texts(line) == "".join(WORDS)
    assert (line.headers[b"x-guard-answered-by"], line.headers[b"x-request-id"]) == (b"small", b"id0x")
    (sent,) = road.model.sent
    assert (sent.exchange.model, sent.exchange.asked) == ("small", "demo")
    (kept,), (answered,) = road.first.outcomes, road.second.outcomes
    assert (kept.ending, kept.code, kept.status) == (Ending.BLOCKED_INPUT, Code.CONTENT_BLOCKED, 0)
    assert (kept.reason, kept.answered_as) == ("a rule; small answers, as id0x", "id0x")
    assert [each.blocked for each in kept.decisions] == [False, True]
    assert (answered.ending, answered.status, kept.sent_bytes) == (Ending.SERVED, 200, 0)
    assert [each.exchange.model for each in road.notes.began_with] == ["demo", "small"]
    assert len(road.live) == 0


@pytest.mark.parametrize("cause", [STOP, GONE, None], ids=["stop", "caller gone", "end of the process"])
@pytest.mark.parametrize("step", range(40))
@pytest.mark.parametrize("way", WAYS)
def test_a_cut_at_any_step_of_the_two_ends_and_records_each_once(
    way: type[Line], step: int, cause: tuple[Ending, Block] | None
) -> None:
    road, line = Diverted(), way()

    async def main() -> None:
        task = asyncio.ensure_future(road.travel(line))
        for _ in range(step):
            assert task.done() or len(road.live) <= 1
            await asyncio.sleep(0)
        if cause is None:
            task.cancel()
        else:
            road.live.cut_where(lambda _: cause)
        with suppress(asyncio.CancelledError):
            await task
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())
    assert len(road.live) == 0
    assert (
        len(road.first.outcomes) + len(road.second.outcomes) == len(road.notes.began_with) == len(road.notes.outcomes)
    )
    assert len(road.first.outcomes) <= 1
    assert len(road.second.outcomes) <= 1
    if road.second.outcomes:
        assert road.first.outcomes[0].reason.endswith("small answers, as id0x")
    served = "".join(each.text for outcome in road.notes.outcomes for each in outcome.released)
    assert texts(line) == served
    assert line.tell is None


def test_the_one_that_answers_judges_the_prompt_by_its_own_policy() -> None:
    class No(Safeguard):
        kind = "access"

        def admit(self, exchange: Exchange) -> Block:
            return Block(Code.ACCESS_DENIED, "a tier", rule="tier")

    road, line = Diverted(No()), Line()
    asyncio.run(road.travel(line))
    assert (line.status, json.loads(line.body)["error"]["code"]) == (403, "access_denied")
    assert road.model.sent == []
    assert [each.ending for each in (*road.first.outcomes, *road.second.outcomes)] == [
        Ending.BLOCKED_INPUT,
        Ending.DENIED,
    ]


def test_where_nobody_can_answer_it_it_is_blocked() -> None:
    road, line = Diverted(), Line()
    road.small = replace(road.small, unmet=("L2.row",))
    asyncio.run(road.travel(line))
    assert (line.status, json.loads(line.body)["error"]["code"]) == (403, "content_blocked")
    assert b"x-guard-answered-by" not in line.headers
    (kept,) = road.notes.outcomes
    assert (kept.ending, kept.status, kept.reason) == (Ending.BLOCKED_INPUT, 403, "a rule")
    assert road.model.sent == []


def test_a_stop_that_came_while_the_prompt_was_judged_is_the_answer() -> None:
    road, line = Diverted(), Line()

    class Late(Finds):
        async def admit(self, exchange: Exchange) -> Block:
            road.live.cut_where(lambda _: STOP)
            return Block(Code.CONTENT_BLOCKED, "a rule", category="cbrn")

    mounts = (*road.serving.pipeline.mounts[:1], Mount("judge", Late(), False, True, 5.0))
    road.change(pipeline=Pipeline(mounts))
    asyncio.run(road.travel(line))
    assert [outcome.ending for outcome in road.notes.outcomes] == [Ending.STOPPED]
    assert road.model.sent == []


class Other(Safeguard):
    """A classifier that finds every prompt to be about something else, or counts it as a limit."""

    def __init__(self, kind: str, found: Block | None) -> None:
        """Take what it is and what it says."""
        self.kind = kind  # type: ignore[misc]  # a kind for each, where a class has one
        self._found = found

    def admit(self, exchange: Exchange) -> Pass | Block:
        """Say so."""
        return self._found or PASS


FRAUD = Block(Code.CONTENT_BLOCKED, "another rule", category="fraud", rule="r2")


def test_what_a_later_mount_blocks_for_another_reason_is_answered_by_nobody() -> None:
    road, line = Diverted(), Line()
    log = road.serving.pipeline.mounts[0]
    judge = Mount("judge", Finds(), True, True, 5.0)
    road.change(pipeline=Pipeline([log, judge, Mount("later", Other("classifier", FRAUD), True, True, 5.0)]))
    asyncio.run(road.travel(line))
    assert (line.status, road.model.sent, road.second.outcomes) == (403, [], [])
    (kept,) = road.notes.outcomes
    assert [each.blocked for each in kept.decisions] == [False, True, True]


def test_what_is_enforced_while_a_safeguard_waits_is_answered_by_nobody() -> None:
    road, line = Diverted(), Line()

    class Waits(Other):
        async def admit(self, exchange: Exchange) -> Block:  # type: ignore[override]  # it awaits
            for live in road.live:
                live.tighten()
            await asyncio.sleep(0)
            return FRAUD

    log = road.serving.pipeline.mounts[0]
    other = Mount("other", Waits("classifier", FRAUD), False, True, 5.0)
    mounts = [log, other, Mount("judge", Finds(), False, True, 5.0)]
    road.change(pipeline=Pipeline(mounts), stricter=Pipeline([log, replace(other, enforce=True), mounts[2]]))
    asyncio.run(road.travel(line))
    assert (line.status, road.model.sent, road.second.outcomes) == (403, [], [])
    (kept,) = road.notes.outcomes
    assert (kept.reason, [each.blocked for each in kept.decisions]) == ("another rule", [False, True, False])


@pytest.mark.parametrize("rated", [True, False])
def test_a_prompt_counts_once_against_the_rate_of_its_key(rated: bool) -> None:
    road, line = Diverted(), Line()
    if rated:
        limits = Mount("limits", Other("limits", None), True, True, 5.0)
        road.change(pipeline=Pipeline([limits, *road.serving.pipeline.mounts]))
    asyncio.run(road.travel(line))
    assert [each.exchange.charged for each in road.model.sent] == [rated]


class Window(Safeguard):
    """In shadow, holds back the last word that came; finds what the last word completes."""

    kind = "classifier"
    watches = True

    def watch(self, exchange: Exchange, channel: Channel) -> Cleared | Block:
        """Hold the last word, unless no more comes."""
        if channel.text.endswith(WORDS[-1]):
            return Block(Code.CONTENT_BLOCKED, "a rule", category="other", rule="r1")
        return Cleared(channel.end if channel.complete else len("".join(WORDS[: channel.text.count(" ") - 1])))


class Tightened(Road):
    """A road on which a window is in shadow until somebody tightens: then it is enforced."""

    def __init__(self, *, late: bool) -> None:
        """Mount it before what answers ``late``, or at once."""
        super().__init__(first=Hesitant() if late else Sudden())
        first = self.serving.pipeline.mounts[0]
        shadow = Mount("window", Window(), False, False, 5.0)
        stricter = Pipeline([replace(shadow, enforce=True, block_on_failure=True), first])
        self.change(pipeline=Pipeline([shadow, first]), stricter=stricter, rungs=frozenset({Mode.STRICTER}))


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("step", range(60))
@pytest.mark.parametrize("way", WAYS)
def test_what_a_window_held_back_in_shadow_does_not_leave_once_an_order_has_it_enforced(
    way: type[Line], step: int, late: bool
) -> None:
    road, line = Tightened(late=late), way(slow=False)

    async def main() -> str:
        task = asyncio.ensure_future(road.travel(line))
        for _ in range(step):
            await asyncio.sleep(0)
        left, running = texts(line), len(road.live)
        for live in road.live:
            live.tighten()
        await task
        return left if running else "".join(WORDS)

    left = asyncio.run(main())
    (outcome,) = road.notes.outcomes
    # No text leaves after the order but what the window has cleared: it never cleared the third word.
    assert len(texts(line)) <= max(len(left), len("one two ")), (left, texts(line))
    assert left == "".join(WORDS) or outcome.ending is Ending.BLOCKED_OUTPUT
