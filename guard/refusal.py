"""How the journey says that it does not go on: before an exchange exists, or at its end."""

from __future__ import annotations

from safeguards.decision import Decision, Ending
from safeguards.verdict import Block, Code


class Refused(Exception):  # noqa: N818 - reads as what happened
    """The request is turned away before it became an exchange; ``detail`` may be told to the caller."""

    def __init__(self, code: Code, detail: str = "", *, model: str = "", reason: str = "") -> None:
        """Take the code; ``model`` is a configured alias or empty, ``reason`` is for the log."""
        super().__init__(code.value)
        self.code = code
        self.detail = detail
        self.model = model
        self.reason = reason


class Ended(Exception):  # noqa: N818 - reads as what happened
    """An exchange ends otherwise than served."""

    def __init__(self, ending: Ending, block: Block) -> None:
        """Take how it ended and why."""
        super().__init__(block.code.value)
        self.ending = ending
        self.block = block

    @classmethod
    def by(cls, decision: Decision, ending: Ending) -> Ended:
        """End by a safeguard's decision; what the switch decides is a stop, on whichever side it was asked."""
        code = decision.code or Code.INTERNAL
        if code in _STOPS:
            ending = Ending.STOPPED
        elif code in _DENIALS:
            ending = Ending.DENIED
        return cls(ending, Block(code, decision.reason, decision.category, decision.rule, decision.retry_after))


_STOPS = frozenset({Code.STOPPED, Code.DE_DEPLOYED, Code.NO_NEW_PRINCIPALS})
_DENIALS = frozenset({Code.ACCESS_DENIED, Code.RATE_LIMITED, Code.EVIDENCE_EXPIRED})
