"""Real-time classification of prompts and of completions as they grow (rows B4, C3, C4)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator
from dataclasses import replace
from typing import Final

from safeguards.base import Admission, Safeguard, Watch
from safeguards.exchange import Channel, ChannelKind, Exchange
from safeguards.json_text import JsonTextSession
from safeguards.ports import Classifier, Hit, Session
from safeguards.verdict import PASS, Block, Cleared, Code

# What callers parse as JSON: a tool's arguments always, the content when a format was asked for.
_JSON: Final = frozenset({ChannelKind.TOOL_ARGUMENTS, ChannelKind.CONTENT})

SLICE: Final = 262_144  # characters that are judged at a stretch, about a millisecond; other streams wait meanwhile


class Classification(Safeguard):
    """Blocks what its classifier hits; clears a channel only as far as no later hit can reach back.

    ``screens_input`` and ``screens_output`` say which sides it judges. One session per channel lives in the
    channel's memory, so choices, reasoning and tool arguments are judged apart. Where a caller may read JSON, the text
    is judged as it stands and with its escapes undone.
    """

    kind = "classifier"
    watches = True

    def __init__(self, name: str, classifier: Classifier, *, screens_input: bool, screens_output: bool) -> None:
        """Take the classifier and the sides it screens; ``name`` is the mount's name."""
        self._name = name
        self._classifier = classifier
        self._input = screens_input
        self._output = screens_output

    def admit(self, exchange: Exchange) -> Admission | Awaitable[Admission]:
        """Judge the prompt; a long one in slices, between which other exchanges go on."""
        if not self._input:
            return PASS
        texts = prompt_texts(exchange)
        if sum(map(len, texts)) > SLICE:
            return self._judge_in_turns(texts)
        hit = self._classifier.judge(texts)
        return PASS if hit is None else self._block(hit)

    async def _judge_in_turns(self, texts: list[str]) -> Admission:
        hit = await judge_in_turns(self._classifier, texts)
        return PASS if hit is None else self._block(hit)

    def watch(self, exchange: Exchange, channel: Channel) -> Watch:
        """Judge the fresh text of this channel."""
        if not self._output:
            return channel.whole
        session = channel.memory.get(self._name)
        if session is None:
            session = channel.memory[self._name] = begin_session(self._classifier, channel)
        found = session.feed(channel.fresh, final=channel.complete)  # type: ignore[attr-defined]
        if type(found) is not int:
            return self._block(found)
        return channel.whole if found == channel.end else Cleared(found)

    def _block(self, hit: Hit) -> Block:
        return Block(
            Code.CONTENT_BLOCKED,
            f"classifier {self._classifier.version}",
            category=hit.category,
            rule=hit.rule,
            score=hit.score,
            threshold=hit.threshold,
            also=hit.also,
        )


def prompt_texts(exchange: Exchange) -> list[str]:
    """Return what is judged of a prompt: every passage, all of them joined, and those of each voice alone.

    So a phrase that is split over parts or messages is seen, also when another voice speaks in between.
    """
    passages = [passage.text for passage in exchange.passages]
    texts = list(passages)
    if len(passages) > 1:
        voices: dict[str, list[str]] = {}
        for passage in exchange.passages:
            voices.setdefault(passage.role, []).append(passage.text)
        for split in [passages, *voices.values()] if len(voices) > 1 else [passages]:
            if len(split) > 1:
                texts += ("".join(split), " ".join(split))
    return texts


async def judge_in_turns(classifier: Classifier, texts: list[str]) -> Hit | None:
    """Judge long texts in slices between which other exchanges go on; a single text is never cut."""
    first: Hit | None = None
    for part in _slices(texts):
        hit = classifier.judge(part)
        if first is None:
            first = hit
        elif hit is not None:
            others = {*first.also, hit.category, *hit.also} - {first.category}
            first = replace(first, also=tuple(sorted(others)))
        await asyncio.sleep(0)
    return first


def begin_session(classifier: Classifier, channel: Channel) -> Session:
    """Begin to judge a channel from its beginning; where a caller may read JSON, with its escapes undone as well."""
    return JsonTextSession(classifier.session) if channel.id.kind in _JSON else classifier.session()


def _slices(texts: list[str]) -> Iterator[list[str]]:
    part: list[str] = []
    size = 0
    for text in texts:
        if part and size + len(text) > SLICE:
            yield part
            part, size = [], 0
        part.append(text)
        size += len(text)
    yield part


__all__ = ["Classification", "Session"]
