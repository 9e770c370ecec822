"""A fallback of some categories: what it keeps from a model, and when another one may answer that."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace

import pytest

from guard.diverting import Diverting
from guard.pipeline import Judgement, Mount, Pipeline
from guard.wire.dialect import Request
from safeguards.base import Safeguard
from safeguards.decision import Ending, Failure, Unavailable
from safeguards.exchange import Exchange
from safeguards.mode import Mode
from safeguards.ports import Stop
from safeguards.verdict import Block, Code
from tests.guard.state.parts import exchange, merged, stop

ASKED = replace(exchange(), rungs=frozenset({Mode.FALLBACK}), fallback_for=frozenset({"cbrn"}))
FALLBACK = merged([replace(stop("model:demo"), mode=Mode.FALLBACK)])
HIT = Block(Code.CONTENT_BLOCKED, "a rule", category="cbrn", rule="r1")


class Finds(Safeguard):
    """Finds the same in every prompt, or fails."""

    kind = "classifier"

    def __init__(self, found: Block | None) -> None:
        """Take what it finds; None: it fails."""
        self._found = found

    def admit(self, exchange: Exchange) -> Block:
        """Say so."""
        if self._found is None:
            raise RuntimeError
        return self._found


class Rated(Safeguard):
    """Counts every prompt."""

    kind = "limits"


def judged(found: Block | None, *, enforce: bool = False) -> tuple[Pipeline, Judgement]:
    pipeline = Pipeline([Mount("judge", Finds(found), enforce, False, 1.0)])
    judgement = pipeline.begin(ASKED)
    asyncio.run(pipeline.admit(judgement, Request("demo", streamed=False, passages=(), fields={})))
    return pipeline, judgement


@dataclass
class Small:
    """The request as the other model would answer it."""

    exchange: Exchange = field(default_factory=lambda: replace(ASKED, id="other", model="small"))
    charged: bool = False


def diverting(orders: object = FALLBACK) -> Diverting[Small]:
    return Diverting(orders, ASKED, ASKED.fallback_for, frozenset({"judge"}), Small)  # type: ignore[arg-type]  # a part of a ladder


@pytest.mark.parametrize("enforce", [True, False])
def test_a_hit_of_its_category_is_blocked_here_and_answered_by_the_other(enforce: bool) -> None:
    found = diverting().kept(*judged(HIT, enforce=enforce))
    assert found is not None
    end, instead = found
    assert (end.ending, end.block.code, end.block.rule) == (Ending.BLOCKED_INPUT, Code.CONTENT_BLOCKED, "r1")
    assert end.block.reason == "a rule; small answers, as other"
    assert instead is not None


@pytest.mark.parametrize("enforce", [True, False])
def test_what_is_of_a_further_category_too_is_answered_by_nobody(enforce: bool) -> None:
    pipeline, judgement = judged(replace(HIT, also=("fraud",)), enforce=enforce)
    found = diverting().kept(pipeline, judgement)
    assert (found is None) is enforce  # then the block is the answer as ever
    assert found is None or (found[0].block.reason, found[1]) == ("a rule", None)


@pytest.mark.parametrize("rated", [True, False])
def test_the_other_is_told_whether_the_rate_of_the_key_was_taken(rated: bool) -> None:
    first = [Mount("limits", Rated(), True, True, 1.0)] if rated else []
    pipeline = Pipeline([*first, Mount("judge", Finds(HIT), True, True, 1.0)])
    judgement = pipeline.begin(ASKED)
    asyncio.run(pipeline.admit(judgement, Request("demo", streamed=False, passages=(), fields={})))
    found = diverting().kept(pipeline, judgement)
    assert found is not None
    assert found[1] is not None
    assert found[1].charged is rated


def test_the_others_are_asked_only_on_the_rung_and_after_what_falls_back() -> None:
    (block,) = judged(HIT, enforce=True)[1].admissions
    assert diverting().goes_on(block)
    assert not diverting(merged([])).goes_on(block)
    for other in ({"also": ("fraud",)}, {"category": "fraud"}, {"safeguard": "x"}, {"code": Code.SAFEGUARD_FAILED}):
        assert not diverting().goes_on(block._replace(**other))


def test_without_an_order_nothing_is_kept() -> None:
    pipeline, judgement = judged(HIT)
    assert diverting(merged([])).kept(pipeline, judgement) is None
    assert not judgement.admissions[0].blocked


def test_what_could_not_be_judged_is_blocked_and_answered_by_nobody() -> None:
    found = diverting().kept(*judged(None))
    assert found is not None
    assert (found[0].block.code, found[1]) == (Code.SAFEGUARD_FAILED, None)


def test_beside_a_stop_nobody_answers() -> None:
    found = diverting(FALLBACK.merge(merged([stop("all", 2)]))).kept(*judged(HIT))
    assert found is not None
    assert (found[0].block.reason, found[1]) == ("a rule", None)


def test_orders_that_cannot_be_known_keep_it_and_let_nobody_answer() -> None:
    class Unknown:
        def diverts(self, asked: Exchange) -> Stop | None:
            raise Unavailable(Failure.UNREACHABLE, "no orders")

    assert not diverting(Unknown()).goes_on(judged(HIT, enforce=True)[1].admissions[0])
    found = diverting(Unknown()).kept(*judged(HIT))
    assert found is not None
    assert found[1] is None
    assert diverting(Unknown()).kept(*judged(replace(HIT, category="fraud"))) is None
