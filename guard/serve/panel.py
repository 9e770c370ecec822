"""What the control page sees of the supervisor: numbers its parts already have, put together when asked."""

from __future__ import annotations

from guard.admin.overview import Lapse, LogHealth, Place
from guard.admin.running import Running
from guard.incidents.case import Case
from guard.policy.report import ModelReport
from guard.serve.acts import Acts
from guard.serve.cosigning import Cosigning
from guard.serve.drilling import Drilling
from guard.serve.handling import Handling
from guard.serve.judging import Judging
from guard.serve.sealing import Sealing
from guard.serve.tending import Tending
from guard.serve.timestamping import Timestamping


class Panel:
    """Implements `guard.admin.overview.Instruments`; ``ended`` is set when nothing should wait any longer."""

    def __init__(
        self,
        tending: Tending,
        judging: Judging,
        sealing: Sealing,
        cosigning: Cosigning,
        timestamping: Timestamping,
        handling: Handling,
        acts: Acts,
        drilling: Drilling,
    ) -> None:
        """Take the parts."""
        self.ended = False
        self._tending = tending
        self._judging = judging
        self._sealing = sealing
        self._cosigning = cosigning
        self._timestamping = timestamping
        self._handling = handling
        self._acts = acts
        self._drilling = drilling

    def running(self) -> tuple[Running, ...]:
        """What runs on all workers, by their last word."""
        return self._tending.running

    def places(self) -> tuple[Place, ...]:
        """Every place of a worker."""
        return self._tending.places

    def reports(self) -> tuple[ModelReport, ...]:
        """Each model's standing, as it was judged last."""
        return self._judging.reports

    def lapses(self) -> tuple[Lapse, ...]:
        """Until when evidence and findings hold, as they were judged last."""
        return tuple(Lapse(*each) for each in self._judging.lapses)

    def incidents(self) -> tuple[Case, ...]:
        """Every incident of which something is to be done, as it was looked at last."""
        return self._handling.pending

    def incident_findings(self) -> tuple[str, ...]:
        """What keeps incidents from being known, in a line each."""
        return self._handling.findings

    def drill_findings(self) -> tuple[str, ...]:
        """What drills leave open, in a line each."""
        return self._drilling.findings

    def log_health(self) -> LogHealth:
        """How the request log is: sealed, and witnessed and stamped with the time where that is asked for."""
        troubles = [f"{writer}: {why}" for writer, why in sorted(self._sealing.failing.items())]
        troubles += [f"witness {each.key.name}: {each.problem}" for each in self._cosigning.witnesses if each.problem]
        troubles += [f"time stamps: {each}" for each in (self._timestamping.problem,) if each]
        return LogHealth(tuple(troubles), self._sealing.sealed)

    def leaving(self) -> bool:
        """Whether the process is about to end."""
        return self.ended

    def note(self, who: str, what: str, subject: str, reason: str) -> None:
        """Put an act on record, without waiting for the disk."""
        self._acts.note(who, what, subject, reason)
