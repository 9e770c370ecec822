"""Exchanges with natural text that nobody has sent before: pieces of the Python documentation, in every Python."""

import random
import time
from pydoc_data import topics
from typing import Final

from safeguards.decision import Decision, Ending, Outcome, Released, Target
from safeguards.exchange import Caller, ChannelId, ChannelKind, Exchange, Passage

CONTENT: Final = ChannelId(0, ChannelKind.CONTENT)
_MOUNTS: Final = ("request_log", "kill_switch", "access", "limits", "classifier")


class Source:
    """Requests with texts that nobody has sent before."""

    def __init__(self, seed: int) -> None:
        """Begin."""
        self._random = random.Random(seed)
        self._text = "\n".join(topics.topics.values())

    def text(self, size: int) -> str:
        """A piece of natural text of so many bytes."""
        at = self._random.randrange(len(self._text) - size)
        return self._text[at : at + size].encode()[:size].decode("utf-8", "ignore")

    def exchange(self, size: int) -> Exchange:
        """A request with one message."""
        return Exchange(
            id=self._random.randbytes(16).hex(),
            caller=Caller("key-1", "search team", "trusted"),
            model="demo",
            asl=3,
            surface="public",
            dialect="openai.chat",
            operation="chat",
            streamed=True,
            passages=(Passage("messages[0].content", "user", self.text(size)),),
            policy=self._random.randbytes(32).hex(),
            received=time.time(),
            framework=f"anthropic-rsp 2.2 {self._random.randbytes(32).hex()}",
        )

    def outcome(self, answer: str) -> Outcome:
        """How it ended, with what five safeguards said of it twice."""
        some = self._random.random
        return Outcome(
            ending=Ending.SERVED,
            status=200,
            code=None,
            reason="",
            decisions=tuple(
                Decision(name, target, enforced=True, denied=False, blocked=False, seconds=some() / 10_000)
                for target in Target
                for name in _MOUNTS
            ),
            released=(Released(CONTENT, len(answer), len(answer), answer),),
            events=100,
            sent_bytes=20_000,
            ended=time.time(),
            seconds=some(),
            upstream_seconds=some(),
            first_byte_seconds=some(),
            prompt_tokens=500,
            completion_tokens=500,
        )
