"""A standard: the rows of a framework that say the least that must hold at each level, and how each is checked.

Beside the rows stand the capability thresholds that decide which level a model needs (rows A5 to A9, A13, A14).
It is one file because the forms of a row are one union.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Discriminator, Field, Tag, model_validator

from guard.policy.bounds import Copied, Drilled, Kept, Told
from guard.policy.dials import Dialled
from guard.policy.fields import LAX, Alias, Claim, Frozen, Line, MisplacedError, Name, Prose, Uri, unique
from guard.policy.invariants import Invariant
from guard.policy.mount import SafeguardKind, Target


class Axis(StrEnum):
    """Levels are declared and judged on each axis by itself."""

    DEPLOYMENT = "deployment"
    SECURITY = "security"


class Levels(Frozen):
    """The level declared on each axis; neither follows from the other."""

    deployment: int = Field(description="The level of deployment safeguards.", ge=1, le=4)
    security: int = Field(description="The level of security.", ge=1, le=4)

    def on(self, axis: Axis) -> int:
        """Return the level of one axis."""
        return self.deployment if axis is Axis.DEPLOYMENT else self.security


class CheckName(StrEnum):
    """Every check that a row may name; checks.py implements each."""

    ATTESTED = "attested"
    MOUNTED = "mounted"
    MOUNTED_ANY_MODE = "mounted_any_mode"
    SCREENS = "screens"
    DURABLE_INTENT = "durable_intent"
    PARTS_ON_TWO_DEVICES = "parts_on_two_devices"
    LIMITS_PER_KEY = "limits_per_key"
    LISTED_OPERATIONS = "listed_operations"
    AUTHENTICATED = "authenticated"
    DECLARED_LEVELS = "declared_levels"
    LEVEL_DEFINED = "level_defined"
    CUSTOM_PROFILE = "custom_profile"
    SIGNED_BUNDLE = "signed_bundle"
    BOTH_AXES_RAISED = "both_axes_raised"
    THRESHOLD = "threshold"
    THRESHOLDS_WITHIN_LEVELS = "thresholds_within_levels"
    SAME_WEIGHTS_DECLARED = "same_weights_declared"
    VARIANT_EVALUATED = "variant_evaluated"
    REPORTED_MODEL = "reported_model"
    CONTROLS_AS_REPORTED = "controls_as_reported"
    RETENTION = "retention"
    OVERDUE_STOPS = "overdue_stops"
    MONITORED = "monitored"
    COPIES = "copies"
    DRILLS = "drills"
    REPORTING_CLOCK = "reporting_clock"
    RESPONDERS_NAMED = "responders_named"
    NEWCOMERS_REFUSABLE = "newcomers_refusable"
    REPLACEMENT_DECLARED = "replacement_declared"
    DIALS = "dials"
    BUILT_IN = "built_in"


class ScreenMode(StrEnum):
    """Whether a screening classifier must be able to block or may only report."""

    ENFORCE = "enforce"
    ANY = "any"


class OnExpiry(StrEnum):
    """What is done from the day on which evidence has lapsed; never having had it is always unmet."""

    STOP_SERVING = "stop_serving"
    STOP_NEW_PRINCIPALS = "stop_new_principals"
    WARN = "warn"


class Attested(Frozen):
    """Parameters of `attested`."""

    claim: Claim = Field(description="The claim that somebody must vouch for.")
    max_age_days: int | None = Field(default=None, description="Its greatest age; null: none.", ge=1, le=36500)
    on_expiry: Annotated[OnExpiry, LAX] = Field(
        default=OnExpiry.STOP_SERVING,
        description="What its lapse does: stop_serving, stop_new_principals (keys issued since are refused), or warn.",
    )
    grace_days: int = Field(
        default=0, description="For how many days after its lapse it still counts as held.", ge=0, le=366
    )
    approved_by: Annotated[tuple[Claim, ...], Field(max_length=16), AfterValidator(unique("the role"))] = Field(
        default=(), description="The roles that must have approved it, or taken note of it, each by another person."
    )
    of_classifiers: bool = Field(
        default=False, description="Whether it must name, by `tested`, the classifiers as they are mounted now."
    )


class Mounted(Frozen):
    """Parameters of `mounted` and `mounted_any_mode`."""

    safeguard: Annotated[SafeguardKind, LAX] = Field(description="The safeguard that must be mounted.")


class Screens(Frozen):
    """Parameters of `screens`."""

    target: Annotated[Target, LAX] = Field(description="The side that must be screened.")
    mode: Annotated[ScreenMode, LAX] = Field(description="enforce, or any.")


class Passed(Frozen):
    """Parameters of `threshold`."""

    thresholds: Annotated[tuple[Line, ...], AfterValidator(unique("the threshold"))] = Field(
        description="The capability thresholds, by their names above.", min_length=1, max_length=64
    )


class ByItself(Frozen):
    """Parameters of `built_in`."""

    invariant: Annotated[Invariant, LAX] = Field(description="What the guard's own code holds for every model.")


class Demand(Frozen):
    """The levels that a model past a threshold needs; null leaves an axis alone, and both may be null."""

    deployment: int | None = Field(default=None, description="The least deployment level.", ge=1, le=4)
    security: int | None = Field(default=None, description="The least security level.", ge=1, le=4)

    def on(self, axis: Axis) -> int:
        """Return the level it needs on an axis; 0 for none."""
        return (self.deployment if axis is Axis.DEPLOYMENT else self.security) or 0


class Threshold(Frozen):
    """A capability that decides the level a model needs."""

    name: Line = Field(description="The name by which model files assess it.")
    capability: Prose = Field(description="What the model would be able to do, as a sentence.")
    source: Prose = Field(description="Where that is written.")
    demands: Demand = Field(description="The levels that it needs unless it is ruled out.")
    max_age_days: int | None = Field(
        default=None, description="The greatest age of an assessment; null: none.", ge=1, le=36500
    )


RowId = Alias


class _Row(Frozen):
    id: RowId = Field(description="The row's name within its standard.")
    axis: Annotated[Axis, LAX] = Field(description="deployment or security.")
    level: int = Field(description="The level from which on it must hold.", ge=1, le=4)
    requires: Prose = Field(description="What it asks for, as a sentence.")
    source: Prose = Field(description="Where that is written.")


class UnverifiedRow(_Row):
    """A row that no check implements yet; it counts as unmet."""

    check: None = Field(description="null: nothing verifies it.")


class AttestedRow(_Row):
    """A row that people vouch for with dated evidence."""

    check: Literal[CheckName.ATTESTED] = Field(description="attested")
    parameters: Attested = Field(alias="with", description="Which claim, and how old it may be.")


class MountedRow(_Row):
    """A row that asks for a safeguard."""

    check: Literal[CheckName.MOUNTED, CheckName.MOUNTED_ANY_MODE] = Field(description="mounted or mounted_any_mode")
    parameters: Mounted = Field(alias="with", description="Which safeguard.")


class ScreensRow(_Row):
    """A row that asks for a classifier on one side of the exchange."""

    check: Literal[CheckName.SCREENS] = Field(description="screens")
    parameters: Screens = Field(alias="with", description="Which side, and whether it must block.")


class ThresholdRow(_Row):
    """A row that asks for the levels, on its axis, that some thresholds demand."""

    check: Literal[CheckName.THRESHOLD] = Field(description="threshold")
    parameters: Passed = Field(alias="with", description="Which thresholds.")


class BuiltInRow(_Row):
    """A row that the guard's own code holds for every model, whatever its file says."""

    check: Literal[CheckName.BUILT_IN] = Field(description="built_in")
    parameters: ByItself = Field(alias="with", description="Which invariant.")


class RetentionRow(_Row):
    """A row that says how long texts or records are kept."""

    check: Literal[CheckName.RETENTION] = Field(description="retention")
    parameters: Kept = Field(alias="with", description="The bounds, in days.")


class CopiesRow(_Row):
    """A row that says how far copies of the request log may lag."""

    check: Literal[CheckName.COPIES] = Field(description="copies")
    parameters: Copied = Field(alias="with", description="The bound, in seconds.")


class ClockRow(_Row):
    """A row that says within what time somebody outside must be told of an incident."""

    check: Literal[CheckName.REPORTING_CLOCK] = Field(description="reporting_clock")
    parameters: Told = Field(alias="with", description="Which clock must run.")


class DrillsRow(_Row):
    """A row that says how often the kill switch is drilled."""

    check: Literal[CheckName.DRILLS] = Field(description="drills")
    parameters: Drilled = Field(alias="with", description="The bound, in hours.")


class DialsRow(_Row):
    """A row that asks how wide and how robust a model's classifiers are declared to be."""

    check: Literal[CheckName.DIALS] = Field(description="dials")
    parameters: Dialled = Field(alias="with", description="The least of each.")


class PlainRow(_Row):
    """A row whose check takes no parameters."""

    check: Literal[
        CheckName.DURABLE_INTENT,
        CheckName.PARTS_ON_TWO_DEVICES,
        CheckName.LIMITS_PER_KEY,
        CheckName.LISTED_OPERATIONS,
        CheckName.AUTHENTICATED,
        CheckName.DECLARED_LEVELS,
        CheckName.LEVEL_DEFINED,
        CheckName.CUSTOM_PROFILE,
        CheckName.SIGNED_BUNDLE,
        CheckName.BOTH_AXES_RAISED,
        CheckName.THRESHOLDS_WITHIN_LEVELS,
        CheckName.SAME_WEIGHTS_DECLARED,
        CheckName.VARIANT_EVALUATED,
        CheckName.REPORTED_MODEL,
        CheckName.OVERDUE_STOPS,
        CheckName.MONITORED,
        CheckName.CONTROLS_AS_REPORTED,
        CheckName.RESPONDERS_NAMED,
        CheckName.NEWCOMERS_REFUSABLE,
        CheckName.REPLACEMENT_DECLARED,
    ] = Field(description="The name of the check.")


_ABSENT = ""
_SHAPES: dict[str | None, str] = {
    **{check.value: "plain" for check in CheckName},
    CheckName.ATTESTED.value: "attested",
    CheckName.MOUNTED.value: "mounted",
    CheckName.MOUNTED_ANY_MODE.value: "mounted",
    CheckName.SCREENS.value: "screens",
    CheckName.THRESHOLD.value: "threshold",
    CheckName.RETENTION.value: "retention",
    CheckName.COPIES.value: "copies",
    CheckName.DRILLS.value: "drills",
    CheckName.REPORTING_CLOCK.value: "clock",
    CheckName.DIALS.value: "dials",
    CheckName.BUILT_IN.value: "built_in",
    None: "unverified",
    _ABSENT: "plain",
}


def _shape(row: Any) -> str | None:
    """Which form a row has: None for an unknown check; a missing one is left to the plain form, which asks for it."""
    check = row.get("check", _ABSENT) if isinstance(row, dict) else getattr(row, "check", _ABSENT)
    return _SHAPES.get(check) if isinstance(check, str | None) else None


Row = Annotated[
    Annotated[UnverifiedRow, Tag("unverified")]
    | Annotated[AttestedRow, Tag("attested")]
    | Annotated[MountedRow, Tag("mounted")]
    | Annotated[ScreensRow, Tag("screens")]
    | Annotated[ThresholdRow, Tag("threshold")]
    | Annotated[RetentionRow, Tag("retention")]
    | Annotated[CopiesRow, Tag("copies")]
    | Annotated[DrillsRow, Tag("drills")]
    | Annotated[ClockRow, Tag("clock")]
    | Annotated[DialsRow, Tag("dials")]
    | Annotated[BuiltInRow, Tag("built_in")]
    | Annotated[PlainRow, Tag("plain")],
    Discriminator(
        _shape,
        custom_error_type="unknown_check",
        custom_error_message=f"must be null or one of: {', '.join(CheckName)}",
    ),
]


class Standard(Frozen):
    """A file of the folder standards: one framework in one version."""

    name: Name = Field(description="The framework's name, as model files give it.")
    version: Line = Field(description="The framework's version, as model files give it.")
    title: Prose = Field(description="What it is called.")
    source: Uri = Field(description="Where it is published.")
    thresholds: Annotated[tuple[Threshold, ...], Field(max_length=64), AfterValidator(unique("the name", "name"))] = (
        Field(default=(), description="The capability thresholds; a model of this standard assesses each.")
    )
    rows: Annotated[tuple[Row, ...], AfterValidator(unique("the id", "id"))] = Field(
        description="The rows, at least one; no id twice.", min_length=1, max_length=5000
    )

    @model_validator(mode="after")
    def _thresholds_bind(self) -> Standard:
        known = {each.name for each in self.thresholds}
        for index, row in enumerate(self.rows):
            for number, name in enumerate(
                row.parameters.thresholds if isinstance(row, ThresholdRow | DialsRow) else ()
            ):
                if name not in known:
                    words = f"is no threshold of this standard; there are: {', '.join(sorted(known)) or 'none'}"
                    raise MisplacedError(words, "rows", index, "with", "thresholds", number)
        # Without such a row a threshold would be a word in a file; at level 1 it binds whatever a model declares.
        if known and not any(row.check is CheckName.THRESHOLDS_WITHIN_LEVELS and row.level == 1 for row in self.rows):
            raise MisplacedError("need a row of level 1 whose check is thresholds_within_levels", "thresholds")
        return self

    def binding(self, asl: Levels) -> tuple[Row, ...]:
        """Return the rows that bind a model of these levels: cumulative on each axis, the axes apart (rows A3, A4)."""
        return tuple(row for row in self.rows if row.level <= asl.on(row.axis))
