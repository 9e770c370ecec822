"""Rapid response: screens by the rules that were pushed as orders, new exchanges and running ones alike (rows C8, E8).

It is there for every model, whatever its file mounts, and rests while no rule covers anything. What runs when a rule
arrives is judged at its next piece of text: its prompt, and its channels from their beginning. So a text that began to
leave before ends when the rest of it comes; a piece that was judged already may still leave.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
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
        return self._prompt(exchange, screens)

    def watch(self, exchange: Exchange, channel: Channel) -> Watch | Awaitable[Watch]:
        """Judge the fresh text of this channel, and by a rule that is new also what came before it."""
        screens = self._screens.covering(exchange)
        if not screens:
            return Cleared(channel.end)
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

    def _prompt(self, exchange: Exchange, screens: tuple[Screen, ...]) -> Admission | Awaitable[Admission]:
        """Judge the prompt by the rules that it has not been judged by."""
        usable = [(screen, _usable(screen)) for screen in screens]
        asked = self._asked.get(exchange.id, ())
        new = [(screen, classifier) for screen, classifier in usable if screen.input and screen not in asked]
        if not new:
            self._asked[exchange.id] = screens
            return PASS
        texts = prompt_texts(exchange)
        if sum(map(len, texts)) * len(new) > SLICE:
            return self._prompt_in_turns(exchange, screens, new, texts)
        for screen, classifier in new:
            hit = classifier.judge(texts)
            if hit is not None:
                return _block(screen, hit)
        self._asked[exchange.id] = screens
        return PASS

    async def _prompt_in_turns(
        self,
        exchange: Exchange,
        screens: tuple[Screen, ...],
        new: Sequence[tuple[Screen, Classifier]],
        texts: list[str],
    ) -> Admission:
        for screen, classifier in new:
            hit = await judge_in_turns(classifier, texts)
            if hit is not None:
                return _block(screen, hit)
        self._asked[exchange.id] = screens
        return PASS

    def _catch_up(self, exchange: Exchange, channel: Channel, screens: tuple[Screen, ...]) -> Watch | Awaitable[Watch]:
        """Begin to judge this channel by these rules: those that know it so far go on, the others begin anew."""
        prompt = self._prompt(exchange, screens)
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
        if prompt is PASS and sum(map(len, pieces)) <= SLICE:
            clear = channel.end
            for (screen, session), text in zip(sessions, pieces, strict=True):
                found = session.feed(text, final=channel.complete)
                if not isinstance(found, int):
                    return _block(screen, found)
                clear = min(clear, found)
            return Cleared(clear)
        return self._catch_up_in_turns(prompt, channel, tuple(zip(sessions, pieces, strict=True)))

    async def _catch_up_in_turns(
        self,
        prompt: Admission | Awaitable[Admission],
        channel: Channel,
        pieces: Sequence[tuple[tuple[Screen, Session], str]],
    ) -> Watch:
        verdict = await prompt if isinstance(prompt, Awaitable) else prompt
        if isinstance(verdict, Block):
            return verdict
        clear = channel.end
        for (screen, session), text in pieces:
            clear_to = channel.end
            for start in range(0, max(1, len(text)), SLICE):
                last = start + SLICE >= len(text)
                found = session.feed(text[start : start + SLICE], final=channel.complete and last)
                if not isinstance(found, int):
                    return _block(screen, found)
                clear_to = found
                await asyncio.sleep(0)
            clear = min(clear, clear_to)
        return Cleared(clear)


def _usable(screen: Screen) -> Classifier:
    if screen.classifier is None:
        raise Unavailable(Failure.CRASH, f"rule order {screen.order}: {screen.why}")
    return screen.classifier


def _block(screen: Screen, hit: Hit) -> Block:
    return Block(Code.CONTENT_BLOCKED, f"pushed rule {hit.rule}", category=hit.category, rule=screen.order)
