"""Real-time classification of prompts and of completions as they grow (rows B4, C3, C4)."""

from __future__ import annotations

from safeguards.base import Admission, Safeguard, Watch
from safeguards.exchange import Channel, Exchange
from safeguards.ports import Classifier, Hit, Session
from safeguards.verdict import PASS, Block, Cleared, Code


class Classification(Safeguard):
    """Blocks what its classifier hits; clears a channel only as far as no later hit can reach back.

    ``screens_input`` and ``screens_output`` say which sides it judges. One session per channel lives in the
    channel's memory, so choices, reasoning and tool arguments are judged apart.
    """

    kind = "classifier"
    watches = True

    def __init__(self, name: str, classifier: Classifier, *, screens_input: bool, screens_output: bool) -> None:
        """Take the classifier and the sides it screens; ``name`` is the mount's name."""
        self._name = name
        self._classifier = classifier
        self._input = screens_input
        self._output = screens_output

    def admit(self, exchange: Exchange) -> Admission:
        """Judge every passage, each in its own right and all of them joined, so that a split phrase is seen."""
        if not self._input:
            return PASS
        texts = [passage.text for passage in exchange.passages]
        if len(texts) > 1:
            texts.append("".join(texts))
            texts.append(" ".join(texts[:-1]))
        hit = self._classifier.judge(texts)
        return PASS if hit is None else self._block(hit)

    def watch(self, exchange: Exchange, channel: Channel) -> Watch:
        """Judge the fresh text of this channel."""
        if not self._output:
            return Cleared(channel.end)
        session = channel.memory.get(self._name)
        if session is None:
            session = channel.memory[self._name] = self._classifier.session()
        found = session.feed(channel.fresh, final=channel.complete)  # type: ignore[attr-defined]
        return Cleared(found) if type(found) is int else self._block(found)

    def _block(self, hit: Hit) -> Block:
        return Block(
            Code.CONTENT_BLOCKED, f"classifier {self._classifier.version}", category=hit.category, rule=hit.rule
        )


__all__ = ["Classification", "Session"]
