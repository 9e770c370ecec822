"""Records of exchanges as the pipeline would make them, for the tests of this folder."""

from __future__ import annotations

from safeguards.decision import Decision, Ending, Outcome, Released, Target
from safeguards.exchange import Caller, ChannelId, ChannelKind, Exchange, Passage

PROMPT = "PLANTED-PROMPT"
COMPLETION = "PLANTED-COMPLETION"

EXCHANGE = Exchange(
    id="01hzexchange",
    caller=Caller("key-1", "team one", "general"),
    model="demo",
    asl=2,
    surface="public",
    dialect="openai",
    operation="chat",
    streamed=True,
    passages=(Passage("messages[0].content", "user", PROMPT),),
    policy="0" * 64,
    received=1_800_000_000.25,
)
ALLOWED = Decision("patterns", Target.INPUT, enforced=True, denied=False, blocked=False, seconds=0.002)
OUTCOME = Outcome(
    ending=Ending.SERVED,
    status=200,
    code=None,
    reason="",
    decisions=(ALLOWED,),
    released=(Released(ChannelId(0, ChannelKind.CONTENT), 20, 14, COMPLETION),),
    events=12,
    sent_bytes=900,
    ended=1_800_000_001.75,
    seconds=1.5,
    upstream_seconds=1.4,
    first_byte_seconds=0.3,
    prompt_tokens=5,
    completion_tokens=9,
)


class FixedClock:
    """Always the same moment."""

    def now(self) -> float:
        """Seconds since the epoch."""
        return 1_800_000_000.5

    def steady(self) -> float:
        """Monotonic seconds."""
        return 1.0
