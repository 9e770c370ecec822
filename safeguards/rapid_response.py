"""Rapid response: screens by the rules that were pushed as orders, new exchanges and running ones alike (rows C8, E8).

It is there for every model, whatever its file mounts, and rests while no rule covers anything. What runs when a rule
arrives is judged at its next piece of text: its prompt, and its channels from their beginning. So a text that began to
leave before ends when the rest of it comes; a piece that was judged already may still leave.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from safeguards.base import Admission, Safeguard, Watch
from safeguards.classifier import SLICE, begin_session, judge_in_turns, prompt_texts
from safeguards.decision import Failure, Outcome, Unavailable
from safeguards.exchange import Channel, Exchange
from safeguards.ports import Classifier, Hit, Screen, Screens, Session
from safeguards.verdict import PASS, Block, Cleared, Code

NAME: Final = "rapid_response"


@dataclass(slots=True)
class _Judging:
    """What is known of one channel: by which rules it is judged, and how much of its text they have seen."""

    screens: tuple[Screen, ...]
    sessions: tuple[tuple[Screen, Session], ...]
    upto: int


class RapidResponse(Safeguard):
    """Blocks what a pushed rule hits; a rule that cannot be used refuses all that it covers."""

    kind = NAME
    watches = True
    rests = True

    def __init__(self, screens: Screens) -> None:
        """Take the pushed rules of this process."""
        self._screens = screens
        self._asked: dict[str, tuple[Screen, ...]] = {}  # by exchange: what its prompt was judged by

    def resting(self) -> bool:
        """Whether no rule is pushed."""
        return not self._screens.any

    def admit(self, exchange: Exchange) -> Admission | Awaitable[Admission]:
        """Judge the prompt as a classifier does."""
        screens = self._screens.covering(exchange)
        if not screens:
            return PASS
        new = self._unasked(exchange, screens)
        if _long(exchange, new):
            return self._ask_in_turns(exchange, screens, new)
        return self._ask(exchange, screens, new)

    def watch(self, exchange: Exchange, channel: Channel) -> Watch | Awaitable[Watch]:
        """Judge the fresh text of this channel, and by a rule that is new also what came before it."""
        screens = self._screens.covering(exchange)
        if not screens:
            return channel.whole
        judging = channel.memory.get(NAME)
        if not isinstance(judging, _Judging) or judging.screens is not screens or judging.upto != channel.start:
            return self._catch_up(exchange, channel, screens)
        judging.upto = channel.end
        clear = channel.end
        for screen, session in judging.sessions:
            found = session.feed(channel.fresh, final=channel.complete)
            if not isinstance(found, int):
                return _block(screen, found)
            clear = min(clear, found)
        return Cleared(clear)

    def close(self, exchange: Exchange, outcome: Outcome) -> None:
        """Forget the exchange."""
        if self._asked:
            self._asked.pop(exchange.id, None)

    def _unasked(self, exchange: Exchange, screens: tuple[Screen, ...]) -> list[tuple[Screen, Classifier]]:
        """Return the rules by which the prompt has not been judged; raises Unavailable if one cannot be used."""
        usable = [(screen, _usable(screen)) for screen in screens]
        asked = self._asked.get(exchange.id, ())
        return [(screen, classifier) for screen, classifier in usable if screen.input and screen not in asked]

    def _ask(
        self, exchange: Exchange, screens: tuple[Screen, ...], new: Sequence[tuple[Screen, Classifier]]
    ) -> Admission:
        texts = prompt_texts(exchange) if new else []
        for screen, classifier in new:
            hit = classifier.judge(texts)
            if hit is not None:
                return _block(screen, hit)
        self._asked[exchange.id] = screens
        return PASS

    async def _ask_in_turns(
        self, exchange: Exchange, screens: tuple[Screen, ...], new: Sequence[tuple[Screen, Classifier]]
    ) -> Admission:
        texts = prompt_texts(exchange)
        for screen, classifier in new:
            hit = await judge_in_turns(classifier, texts)
            if hit is not None:
                return _block(screen, hit)
        self._asked[exchange.id] = screens
        return PASS

    def _catch_up(self, exchange: Exchange, channel: Channel, screens: tuple[Screen, ...]) -> Watch | Awaitable[Watch]:
        """Begin to judge this channel by these rules: those that know it so far go on, the others begin anew."""
        new = self._unasked(exchange, screens)
        in_turns = _long(exchange, new)
        if not in_turns:
            prompt = self._ask(exchange, screens, new)
            if isinstance(prompt, Block):
                return prompt
        before = channel.memory.get(NAME)
        known: dict[str, Session] = {}
        if isinstance(before, _Judging) and before.upto == channel.start:
            known = {screen.order: session for screen, session in before.sessions}
        sessions: list[tuple[Screen, Session]] = []
        pieces: list[str] = []
        for screen in screens:
            if screen.output:
                session = known.get(screen.order)
                sessions.append((screen, session or begin_session(_usable(screen), channel)))
                pieces.append(channel.fresh if session is not None else channel.text)
        channel.memory[NAME] = _Judging(screens, tuple(sessions), channel.end)
        if in_turns or sum(map(len, pieces)) > SLICE:
            begun = list(zip(sessions, pieces, strict=True))
            asking = partial(self._ask_in_turns, exchange, screens, new) if in_turns else None
            return _in_turns(asking, begun, channel.end, final=channel.complete)
        clear = channel.end
        for (screen, session), text in zip(sessions, pieces, strict=True):
            found = session.feed(text, final=channel.complete)
            if not isinstance(found, int):
                return _block(screen, found)
            clear = min(clear, found)
        return Cleared(clear)


async def _in_turns(
    new: Callable[[], Awaitable[Admission]] | None,
    begun: Sequence[tuple[tuple[Screen, Session], str]],
    end: int,
    *,
    final: bool,
) -> Watch:
    """Judge a long prompt or a long answer, or both, in slices between which other exchanges go on."""
    if new is not None:
        prompt = await new()
        if isinstance(prompt, Block):
            return prompt
    clear = end
    for (screen, session), text in begun:
        for start in range(0, max(1, len(text)), SLICE):
            last = start + SLICE >= len(text)
            found = session.feed(text[start : start + SLICE], final=final and last)
            if not isinstance(found, int):
                return _block(screen, found)
            if last:
                clear = min(clear, found)
            await asyncio.sleep(0)
    return Cleared(clear)


def _long(exchange: Exchange, new: Sequence[object]) -> bool:
    """Whether a prompt is judged by these in turns; as parts and joined it is judged three or four times over."""
    return bool(new) and sum(len(passage.text) for passage in exchange.passages) * 4 * len(new) > SLICE


def _usable(screen: Screen) -> Classifier:
    if screen.classifier is None:
        raise Unavailable(Failure.CRASH, f"rule order {screen.order}: {screen.why}")
    return screen.classifier


def _block(screen: Screen, hit: Hit) -> Block:
    return Block(Code.CONTENT_BLOCKED, f"pushed rule {hit.rule}", category=hit.category, rule=screen.order)
