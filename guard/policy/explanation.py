"""What `explain` answers: frozen records of everything that is in force for one model."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from guard.policy.controls import Deviation
from guard.policy.dials import Dials
from guard.policy.drills import DrillConfig
from guard.policy.ladder import Ladder
from guard.policy.model import Axis, Mode, OnExpiry, OnFailure
from guard.policy.monitoring import Monitoring
from guard.policy.response import LegalClock, Response


@dataclass(frozen=True, slots=True)
class StandardUsed:
    """The standard that binds the model; ``sha256`` as `fingerprint` makes it."""

    name: str
    version: str
    title: str
    source: str
    sha256: str


@dataclass(frozen=True, slots=True)
class UpstreamUsed:
    """Where the model is; no secret and not even a secret's place, only whether one is sent or shown."""

    url: str
    kind: str
    model: str
    expect_model: str | None
    credential: bool
    own_ca: bool
    client_certificate: bool


@dataclass(frozen=True, slots=True)
class SurfaceUsed:
    """A listener that serves the model; ``client_certificates`` is none, optional or required."""

    name: str
    place: str
    tls: bool
    client_certificates: str


@dataclass(frozen=True, slots=True)
class Mounted:
    """A safeguard in its place (from 1), its settings in words, and the rows that it meets by itself."""

    order: int
    use: str
    name: str
    mode: Mode
    on_failure: OnFailure
    deadline_seconds: float
    settings: tuple[str, ...]
    rows: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Judged:
    """A binding row of ``standard``: ``met_by`` names what meets it, or ``why`` says why nothing does; never both."""

    standard: str
    row: str
    axis: Axis
    level: int
    requires: str
    source: str
    met_by: tuple[str, ...]
    why: str | None


@dataclass(frozen=True, slots=True)
class EvidenceHeld:
    """One attestation; ``until`` is its expiry, or the greatest age that a binding row allows if that is earlier.

    ``days_left`` are whole days, rounded down: 0 on the last day, negative once it has lapsed. ``then`` is the
    strictest of what the rows make of that, None where no row asks for it.
    """

    claim: str
    owner: str
    uri: str
    issued: date
    until: datetime
    days_left: int
    holds: bool
    then: OnExpiry | None
    rows: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ThresholdJudged:
    """One threshold of the standard: whether it counts as crossed, why, the levels it then demands, and until when."""

    threshold: str
    crossed: bool
    why: str
    demands: tuple[tuple[Axis, int], ...]
    until: datetime | None


@dataclass(frozen=True, slots=True)
class TierGranted:
    """A tier that may use the model: the operations, the rate of each key, its keys and how many have not expired."""

    tier: str
    operations: tuple[str, ...]
    per_minute: float
    burst: int
    keys: int
    live_keys: int


@dataclass(frozen=True, slots=True)
class Ending:
    """What ends next, and what is then."""

    when: datetime
    what: str
    then: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """Everything that holds for one model at an instant; ``endings`` are the next 20, the earliest first.

    ``classifiers`` is the fingerprint that a red-team report of this model must name, ``controls`` the SHA-256 of what
    ``guard explain MODEL --controls`` prints; ``limits`` say what the levels do not claim to withstand.
    ``dials`` to ``drills`` are the files' own sections, ``clocks`` and ``drills`` those of all models; None: not set.
    """

    model: str
    at: datetime
    digest: str
    routable: bool
    until: datetime | None
    deployment: int
    security: int
    audience: str
    standard: StandardUsed
    also: tuple[StandardUsed, ...]
    classifiers: str
    controls: str
    deviations: tuple[Deviation, ...]
    thresholds: tuple[ThresholdJudged, ...]
    limits: tuple[str, ...]
    upstream: UpstreamUsed
    surfaces: tuple[SurfaceUsed, ...]
    operations: tuple[str, ...]
    allow_keys: tuple[str, ...]
    dials: Dials | None
    ladder: Ladder
    response: Response | None
    monitoring: Monitoring | None
    clocks: tuple[LegalClock, ...]
    drills: DrillConfig | None
    safeguards: tuple[Mounted, ...]
    rows: tuple[Judged, ...]
    evidence: tuple[EvidenceHeld, ...]
    tiers: tuple[TierGranted, ...]
    endings: tuple[Ending, ...]
