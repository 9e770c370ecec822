"""The pipeline asks in order, records each mount once per side, and alone says what a failure means.

One file, because every test asks a pipeline of the same few safeguards.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.pipeline import Admitted, Mount, Pipeline, falls_back
from guard.wire.dialect import Request
from safeguards.base import Safeguard
from safeguards.decision import Decision, Failure, Outcome, Target, Unavailable
from safeguards.exchange import Caller, Channel, ChannelId, ChannelKind, Exchange, Passage
from safeguards.verdict import PASS, Block, Cleared, Code, Pass

EXCHANGE = Exchange(
    *("id", Caller("app", "owner", "general"), "demo", 3, "public", "openai.chat", "chat", True),
    *((Passage("messages[0].content", "user", "hi"),), "policy", 0.0),
)
REQUEST = Request("demo", streamed=True, passages=EXCHANGE.passages, fields={})
NO = Block(Code.CONTENT_BLOCKED, "rule", category="other", rule="r1", score=0.9, threshold=0.8)
EVERYTHING = object()


class Says(Safeguard):
    """Gives the same answers again and again; what is an exception is raised, what is late comes after a while."""

    kind = "classifier"
    watches = True

    def __init__(self, admits: Any = PASS, watches: Any = EVERYTHING, *, late: bool = False) -> None:
        """Prepare the answers."""
        self.asked: list[str] = []
        self._admits = admits
        self._watches = watches
        self._late = late

    def admit(self, exchange: Exchange) -> Any:
        """Answer."""
        self.asked.append("admit")
        return self._give(self._admits)

    def watch(self, exchange: Exchange, channel: Channel) -> Any:
        """Answer."""
        self.asked.append("watch")
        return self._give(Cleared(channel.end) if self._watches is EVERYTHING else self._watches)

    def _give(self, answer: Any) -> Any:
        if self._late:
            return self._later(answer)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    async def _later(self, answer: Any) -> Any:
        await asyncio.sleep(0)
        if isinstance(answer, BaseException):
            raise answer
        return answer


def mounts(*safeguards: Safeguard, enforce: bool = True, block: bool = True) -> list[Mount]:
    return [Mount(f"m{n}", each, enforce, block, 1.0) for n, each in enumerate(safeguards)]


def admit(mounted: Sequence[Mount]) -> tuple[Admitted | Decision, list[Decision]]:
    pipeline = Pipeline(mounted)
    judgement = pipeline.begin(EXCHANGE)
    answer = asyncio.run(pipeline.admit(judgement, REQUEST))
    return answer, judgement.admissions


def channel(text: str = "some text") -> Channel:
    found = Channel(ChannelId(0, ChannelKind.CONTENT))
    found.append(text)
    return found


def watch(mounted: Sequence[Mount]) -> tuple[int | Decision, tuple[Decision, ...]]:
    pipeline = Pipeline(mounted)
    judgement = pipeline.begin(EXCHANGE)

    async def main() -> int | Decision:
        found = pipeline.watch(judgement, channel())
        return await found if isinstance(found, Awaitable) else found

    return asyncio.run(main()), judgement.decisions(pipeline.watchers)


def test_a_pipeline_without_a_safeguard_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="at least one safeguard"):
        Pipeline([])


def test_nobody_else_can_admit() -> None:
    with pytest.raises(TypeError, match="only a pipeline admits"):
        Admitted(EXCHANGE, REQUEST, object())


def test_what_is_admitted_is_what_was_judged() -> None:
    answer, decisions = admit(mounts(Says(), Says(late=True)))
    assert isinstance(answer, Admitted)
    assert (answer.exchange, answer.request) == (EXCHANGE, REQUEST)
    assert [(each.safeguard, each.denied, each.failure) for each in decisions] == [
        ("m0", False, None),
        ("m1", False, None),
    ]


@pytest.mark.parametrize("late", [False, True])
def test_the_first_enforced_denial_ends_the_asking(late: bool) -> None:
    last = Says()
    answer, decisions = admit(mounts(Says(), Says(NO, late=late), last))
    assert isinstance(answer, Decision)
    assert (answer.code, answer.category, answer.rule, answer.blocked) == (NO.code, "other", "r1", True)
    assert (answer.score, answer.threshold) == (0.9, 0.8)
    assert [each.safeguard for each in decisions] == ["m0", "m1"]
    assert last.asked == []


@pytest.mark.parametrize("late", [False, True])
def test_a_watch_gives_the_lowest_watermark_of_those_that_enforce(late: bool) -> None:
    shadow = Mount("shadow", Says(watches=Cleared(1)), False, True, 1.0)
    mounted = [*mounts(Says(watches=Cleared(7), late=late), Says(watches=Cleared(4)), Says()), shadow]
    watermark, decisions = watch(mounted)
    assert watermark == 4
    assert not any(each.denied or each.failure for each in decisions)


@pytest.mark.parametrize("late", [False, True])
def test_a_watch_that_denies_ends_the_asking_and_is_recorded_for_its_mount(late: bool) -> None:
    last = Says()
    found, decisions = watch(mounts(Says(late=late), Says(watches=NO, late=late), last))
    assert isinstance(found, Decision)
    assert found.target is Target.OUTPUT
    assert [each.denied for each in decisions] == [False, True, False]
    assert last.asked == []


def test_the_first_denial_of_a_shadow_stays_on_record() -> None:
    pipeline = Pipeline(mounts(Says(watches=NO), enforce=False))
    judgement = pipeline.begin(EXCHANGE)
    for text in ("one", "two"):
        assert pipeline.watch(judgement, channel(text)) == 3
    (decision,) = judgement.decisions(pipeline.watchers)
    assert (decision.denied, decision.blocked, decision.rule) == (True, False, "r1")


def test_a_side_that_was_never_watched_has_no_decision() -> None:
    pipeline = Pipeline(mounts(Says()))
    assert pipeline.begin(EXCHANGE).decisions(pipeline.watchers) == ()


ANSWERS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.text(),
    st.just(PASS),
    st.just(NO),
    st.builds(Cleared, st.one_of(st.integers(-5, 20), st.booleans(), st.text(), st.none(), st.floats())),
    st.sampled_from([KeyError("x"), TimeoutError(), Unavailable(Failure.OVERLOAD, "full"), RecursionError()]),
)


@given(ANSWERS, st.booleans(), st.booleans(), st.booleans())
def test_whatever_a_watch_answers_becomes_a_watermark_or_a_decision(
    answer: Any, late: bool, enforce: bool, block: bool
) -> None:
    found, (decision,) = watch(mounts(Says(watches=answer, late=late), enforce=enforce, block=block))
    sound = type(answer) is Cleared and type(answer.upto) is int and 0 <= answer.upto <= 9
    if sound:
        assert found == (answer.upto if enforce else 9)
        assert (decision.denied, decision.failure) == (False, None)
    elif answer is NO:
        assert (decision.denied, decision.blocked, decision.failure) == (True, enforce, None)
    else:
        assert decision.failure is not None
        assert decision.denied is block
        assert decision.blocked is (block and enforce)
        assert found == (decision if decision.blocked else 9)


@given(ANSWERS, st.booleans(), st.booleans(), st.booleans())
def test_whatever_an_admission_answers_becomes_a_verdict(answer: Any, late: bool, enforce: bool, block: bool) -> None:
    found, (decision,) = admit(mounts(Says(answer, late=late), enforce=enforce, block=block))
    if answer is NO or answer is PASS:
        assert (decision.denied, decision.failure) == (answer is NO, None)
    else:
        assert decision.failure is not None
        assert decision.denied is block
    assert decision.blocked is (decision.denied and enforce)
    assert isinstance(found, Decision if decision.blocked else Admitted)


def test_a_safeguard_that_does_not_answer_in_time_failed_by_timeout() -> None:
    class Never(Safeguard):
        kind = "limits"

        async def admit(self, exchange: Exchange) -> Any:
            await asyncio.Event().wait()

    answer, _ = admit([Mount("slow", Never(), True, True, 0.01)])
    assert isinstance(answer, Decision)
    assert (answer.failure, answer.code) == (Failure.TIMEOUT, Code.SAFEGUARD_FAILED)
    assert answer.reason == "slow: timeout: no answer within 0.01 s"


def test_an_exceptions_text_stays_out_of_the_reason() -> None:
    answer, _ = admit(mounts(Says(ValueError("words of a prompt"))))
    assert isinstance(answer, Decision)
    assert answer.reason == "m0: crash: ValueError"


def test_close_tells_every_safeguard_and_names_those_that_failed(caplog: pytest.LogCaptureFixture) -> None:
    told = []

    class Closing(Safeguard):
        kind = "classifier"

        def __init__(self, problem: BaseException | None) -> None:
            self._problem = problem

        async def close(self, exchange: Exchange, outcome: Outcome) -> None:
            told.append(exchange.id)
            if self._problem is not None:
                raise self._problem

    pipeline = Pipeline(mounts(Closing(KeyError()), Closing(None), Closing(asyncio.CancelledError()), Closing(None)))
    outcome: Any = None

    async def close() -> None:
        waiting = pipeline.close(EXCHANGE, outcome)
        assert waiting is not None
        await waiting

    with caplog.at_level("ERROR", logger="guard.pipeline"):
        asyncio.run(close())
    assert [record.getMessage().split()[2] for record in caplog.records] == ["m0", "m2"]
    assert told == ["id"] * 4


def test_close_does_not_wait_unless_a_safeguard_does(caplog: pytest.LogCaptureFixture) -> None:
    told = []

    class Closing(Safeguard):
        kind = "classifier"

        def close(self, exchange: Exchange, outcome: Outcome) -> None:
            told.append(exchange.id)
            raise ValueError("words of a prompt")

    outcome: Any = None
    with caplog.at_level("ERROR", logger="guard.pipeline"):
        assert Pipeline(mounts(Closing(), Closing())).close(EXCHANGE, outcome) is None
    assert told == ["id"] * 2
    assert "words of a prompt" not in caplog.text


class _Slow(Safeguard):
    """Answers at once, after time that nothing could interrupt."""

    kind = "classifier"
    watches = True

    def admit(self, exchange: Exchange) -> Pass:
        time.sleep(0.02)
        return PASS

    def watch(self, exchange: Exchange, channel: Channel) -> Cleared:
        time.sleep(0.02)
        return Cleared(channel.end)


@pytest.mark.parametrize("blocks", [True, False])
def test_a_deadline_binds_what_does_not_await(blocks: bool) -> None:
    mount = Mount("slow", _Slow(), True, blocks, 0.01)
    answer, _ = admit([mount])
    assert isinstance(answer, Decision) == blocks
    pipeline = Pipeline([mount])
    judgement = pipeline.begin(EXCHANGE)
    channel = Channel(ChannelId(0, ChannelKind.CONTENT))
    channel.append("abc")
    found = pipeline.watch(judgement, channel)
    assert isinstance(found, Decision) == blocks
    (decision,) = judgement.decisions(pipeline.watchers)
    assert (decision.failure, decision.blocked) == (Failure.TIMEOUT, blocks)


class Resting(Says):
    """Has something to judge by only while it is awake."""

    rests = True
    awake = False

    def resting(self) -> bool:
        """Until the test wakes it."""
        return not self.awake


@pytest.mark.parametrize("late", [False, True])
def test_what_rests_is_not_asked_and_leaves_no_decision_and_is_asked_once_it_wakes(late: bool) -> None:
    resting = Resting(watches=NO)
    mounted = mounts(Says(late=late), resting)
    _, admissions = admit(mounted)
    answer, decisions = watch(mounted)
    assert [each.safeguard for each in admissions] == [each.safeguard for each in decisions] == ["m0"]
    assert answer == len("some text")
    assert resting.asked == []
    resting.awake = True
    _, admissions = admit(mounted)
    answer, decisions = watch(mounted)
    assert [each.safeguard for each in admissions] == [each.safeguard for each in decisions] == ["m0", "m1"]
    assert isinstance(answer, Decision)
    assert (answer.blocked, answer.rule) == (True, "r1")


def test_nothing_is_mounted_behind_what_may_rest() -> None:
    with pytest.raises(ValueError, match="mounted last"):
        Pipeline(mounts(Resting(), Says()))


def test_what_woke_up_and_had_nothing_against_a_text_has_decided_about_it() -> None:
    resting = Resting()
    resting.awake = True
    assert [each.denied for each in watch(mounts(resting))[1]] == [False]


def test_what_was_only_recorded_is_carried_out_once_the_same_mounts_are_enforced() -> None:
    for admits, watches, target in ((NO, EVERYTHING, Target.INPUT), (PASS, NO, Target.OUTPUT)):
        mounts = [Mount("shadow", Says(admits, watches), enforce=False, block_on_failure=True, deadline=1.0)]
        tried, enforced = Pipeline(mounts), Pipeline([replace(mounts[0], enforce=True)])
        judgement = tried.begin(EXCHANGE)
        assert isinstance(asyncio.run(tried.admit(judgement, REQUEST)), Admitted)
        channel = Channel(ChannelId(0, ChannelKind.CONTENT))
        channel.append("text")
        assert tried.watch(judgement, channel) == 4
        assert tried.carry_out(judgement) is None
        late = enforced.carry_out(judgement)
        assert late is not None
        assert (late.target, late.blocked, late.enforced, late.rule) == (target, True, True, "r1")
        assert late in judgement.decisions(enforced.watchers)
        assert enforced.carry_out(judgement) is None  # it is on record as blocked


CRASH = RuntimeError("no text")
FRAUD = replace(NO, category="fraud")
BOTH = replace(NO, category="fraud", also=("other",))
MORE = replace(NO, also=("fraud",))
LIMITED = Block(Code.RATE_LIMITED, "too many")


@pytest.mark.parametrize(
    ("shadowed", "enforced", "kept"),
    [
        (NO, PASS, "m0"),
        (BOTH, PASS, "m0 alone"),  # what is named first hides nothing, nor does what is named after it
        (MORE, PASS, "m0 alone"),
        (PASS, NO, "m1"),
        (NO, NO, "m1"),
        (MORE, NO, "m1 alone"),
        (PASS, MORE, None),
        (NO, MORE, None),
        (FRAUD, PASS, None),
        (PASS, PASS, None),
        (PASS, BOTH, None),  # it was blocked for what falls back nowhere
        (PASS, FRAUD, None),
        (NO, FRAUD, None),
        (NO, LIMITED, None),
        (NO, CRASH, None),
        (CRASH, PASS, "m0 alone"),
        (CRASH, FRAUD, None),
        (CRASH, NO, "m1 alone"),
    ],
)
def test_what_was_found_about_a_prompt_is_kept_from_its_model_where_nothing_else_blocks_it(
    shadowed: Any, enforced: Any, kept: str | None
) -> None:
    pipeline = Pipeline(
        [*mounts(Says(shadowed), enforce=False, block=False), Mount("m1", Says(enforced), True, True, 1)]
    )
    judgement = pipeline.begin(EXCHANGE)
    blocked = asyncio.run(pipeline.admit(judgement, REQUEST))
    found = pipeline.divert(judgement, {"other"}, {"m0", "m1"})
    if found is None:
        assert kept is None
        assert isinstance(blocked, Decision) or (shadowed, enforced) in {(FRAUD, PASS), (PASS, PASS)}
    else:
        decision, free = found
        assert f"{decision.safeguard}{'' if free else ' alone'}" == kept
        assert decision in judgement.admissions
        assert (decision.enforced, decision.denied, decision.blocked) == (True, True, True)
        failed = (shadowed, decision.safeguard) == (CRASH, "m0")
        assert decision.code is (Code.SAFEGUARD_FAILED if failed else Code.CONTENT_BLOCKED)
    assert pipeline.divert(judgement, {"other"}, set()) is None


def onwards(*later: Mount) -> tuple[Admitted | Decision, tuple[Decision, bool] | None, list[str]]:
    """Ask on after a block that falls back; what came of it, what is kept, and who was asked."""
    pipeline = Pipeline([Mount("m0", Says(NO), True, True, 1.0), *later])
    judgement = pipeline.begin(EXCHANGE)
    goes_on = partial(falls_back, categories={"other"}, judges={"m0"})
    answer = asyncio.run(pipeline.admit(judgement, REQUEST, goes_on))
    return answer, pipeline.divert(judgement, {"other"}, {"m0"}), [each.safeguard for each in judgement.admissions]


@pytest.mark.parametrize(
    ("said", "enforce", "block", "free"),
    [
        (PASS, True, True, True),
        (FRAUD, True, True, None),
        (LIMITED, True, True, None),
        (CRASH, True, True, None),
        (CRASH, True, False, False),  # an enforced classifier might have blocked it
        (FRAUD, False, True, True),  # in shadow it is on trial, as ever
        (CRASH, False, True, True),
    ],
)
def test_after_a_block_that_falls_back_the_others_are_asked_for_a_reason_of_their_own(
    said: Any, enforce: bool, block: bool, free: bool | None
) -> None:
    answer, found, asked = onwards(Mount("m1", Says(said), enforce, block, 1.0))
    assert isinstance(answer, Decision)
    assert (answer.safeguard, answer.blocked) == ("m0", True)  # the first is the answer still
    assert asked == ["m0", "m1"]
    assert found == (None if free is None else (answer, free))


def test_a_block_for_anything_else_ends_the_asking_and_a_pushed_rule_is_asked_last() -> None:
    pushed = Resting(NO)
    pushed.awake = True
    _, found, asked = onwards(Mount("m1", Says(FRAUD), True, True, 1.0), Mount("m2", pushed, True, True, 1.0))
    assert (found, asked) == (None, ["m0", "m1"])
    assert onwards(Mount("m1", pushed, True, True, 1.0))[1:] == (None, ["m0", "m1"])
    pushed.awake = False
    assert onwards(Mount("m1", pushed, True, True, 1.0))[1] is not None


def test_what_not_every_mount_was_asked_about_is_left_to_no_other_model() -> None:
    pipeline = Pipeline([Mount(f"m{at}", Says(NO), True, True, 1.0) for at in range(2)])
    judgement = pipeline.begin(EXCHANGE)
    asyncio.run(pipeline.admit(judgement, REQUEST))
    assert pipeline.divert(judgement, {"other"}, {"m0", "m1"}) == (judgement.admissions[0], False)
    assert len(judgement.admissions) == 1


@pytest.mark.parametrize("others", [(FRAUD, NO), (NO, FRAUD)])
def test_what_is_enforced_since_blocks_for_its_own_reason_wherever_it_stands(others: tuple[Block, Block]) -> None:
    mounts = [Mount(f"m{at}", Says(each), False, False, 1.0) for at, each in enumerate(others)]
    stricter = Pipeline([replace(each, enforce=True) for each in mounts])
    judgement = Pipeline(mounts).begin(EXCHANGE)
    asyncio.run(Pipeline(mounts).admit(judgement, REQUEST))
    assert stricter.carry_out(judgement) is not None
    assert stricter.divert(judgement, {"other"}, {"m0", "m1"}) is None


def test_a_prompt_is_charged_once_a_mount_of_limits_has_passed_it() -> None:
    class Rated(Says):
        kind = "limits"

    for said, charged in ((PASS, True), (LIMITED, False), (CRASH, False)):
        pipeline = Pipeline(mounts(Rated(said), enforce=False, block=False))
        judgement = pipeline.begin(EXCHANGE)
        asyncio.run(pipeline.admit(judgement, REQUEST))
        assert pipeline.charged(judgement) is charged


def test_what_a_pushed_rule_blocks_is_not_kept_for_another_model() -> None:
    resting = Resting(NO)
    resting.awake = True
    pipeline = Pipeline([*mounts(Says()), Mount("m1", resting, True, True, 1.0)])
    judgement = pipeline.begin(EXCHANGE)
    asyncio.run(pipeline.admit(judgement, REQUEST))
    assert judgement.admissions[-1].blocked
    assert pipeline.divert(judgement, {"other"}, {"m0"}) is None


def test_where_nothing_was_denied_nothing_is_carried_out() -> None:
    mounts = [Mount("shadow", Says(), enforce=False, block_on_failure=True, deadline=1.0)]
    judgement = Pipeline(mounts).begin(EXCHANGE)
    asyncio.run(Pipeline(mounts).admit(judgement, REQUEST))
    assert Pipeline([replace(mounts[0], enforce=True)]).carry_out(judgement) is None


class Turns(Says):
    """Gives another answer at every look."""

    def __init__(self, *watches: object) -> None:
        """Prepare the answers."""
        super().__init__()
        self._turns = iter(watches)

    def watch(self, exchange: Exchange, channel: Channel) -> Any:
        """Answer."""
        return self._give(next(self._turns))


@pytest.mark.parametrize(("enforce", "block"), [(False, False), (False, True), (True, False)])
def test_a_failure_hides_no_later_hit(enforce: bool, block: bool) -> None:
    mounts = [Mount("m", Turns(Unavailable(Failure.TIMEOUT, "x"), NO, OSError()), enforce, block, 5.0)]
    pipeline, stricter = Pipeline(mounts), Pipeline([replace(mounts[0], enforce=True)])
    judgement = pipeline.begin(EXCHANGE)
    text = channel()
    for _ in range(2):
        pipeline.watch(judgement, text)
    (told,) = judgement.decisions(pipeline.watchers)
    assert (told.denied, told.blocked, told.rule, told.failure) == (True, enforce, "r1", Failure.TIMEOUT)
    if not enforce:
        pipeline.watch(judgement, text)
        assert judgement.decisions(pipeline.watchers) == (told,)  # nor does one that comes after it
        late = stricter.carry_out(judgement)
        assert late is not None
        assert (late.code, late.rule) == (Code.CONTENT_BLOCKED, "r1")
