"""A standard: the rows of a framework that say the least that must hold at each level, and how each is checked."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Discriminator, Field, Tag

from guard.policy.fields import LAX, Alias, Claim, Frozen, Line, Name, Prose, Uri, unique
from guard.policy.mount import SafeguardKind, Target


class Axis(StrEnum):
    """Levels are declared and judged on each axis by itself."""

    DEPLOYMENT = "deployment"
    SECURITY = "security"


class Levels(Frozen):
    """The level declared on each axis; neither follows from the other."""

    deployment: int = Field(description="The level of deployment safeguards.", ge=1, le=4)
    security: int = Field(description="The level of security.", ge=1, le=4)


class CheckName(StrEnum):
    """Every check that a row may name; floor.py implements each."""

    ATTESTED = "attested"
    MOUNTED = "mounted"
    MOUNTED_ANY_MODE = "mounted_any_mode"
    SCREENS = "screens"
    DURABLE_INTENT = "durable_intent"
    LIMITS_PER_KEY = "limits_per_key"
    LISTED_OPERATIONS = "listed_operations"
    AUTHENTICATED = "authenticated"
    DECLARED_LEVELS = "declared_levels"
    LEVEL_DEFINED = "level_defined"


class ScreenMode(StrEnum):
    """Whether a screening classifier must be able to block or may only report."""

    ENFORCE = "enforce"
    ANY = "any"


class Attested(Frozen):
    """Parameters of `attested`."""

    claim: Claim = Field(description="The claim that somebody must vouch for.")
    max_age_days: int | None = Field(default=None, description="Its greatest age; null: none.", ge=1, le=36500)


class Mounted(Frozen):
    """Parameters of `mounted` and `mounted_any_mode`."""

    safeguard: Annotated[SafeguardKind, LAX] = Field(description="The safeguard that must be mounted.")


class Screens(Frozen):
    """Parameters of `screens`."""

    target: Annotated[Target, LAX] = Field(description="The side that must be screened.")
    mode: Annotated[ScreenMode, LAX] = Field(description="enforce, or any.")


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


class PlainRow(_Row):
    """A row whose check takes no parameters."""

    check: Literal[
        CheckName.DURABLE_INTENT,
        CheckName.LIMITS_PER_KEY,
        CheckName.LISTED_OPERATIONS,
        CheckName.AUTHENTICATED,
        CheckName.DECLARED_LEVELS,
        CheckName.LEVEL_DEFINED,
    ] = Field(description="The name of the check.")


_ABSENT = ""
_SHAPES: dict[str | None, str] = {
    **{check.value: "plain" for check in CheckName},
    CheckName.ATTESTED.value: "attested",
    CheckName.MOUNTED.value: "mounted",
    CheckName.MOUNTED_ANY_MODE.value: "mounted",
    CheckName.SCREENS.value: "screens",
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
    rows: Annotated[tuple[Row, ...], AfterValidator(unique("the id", "id"))] = Field(
        description="The rows, at least one; no id twice.", min_length=1, max_length=5000
    )

    def binding(self, asl: Levels) -> tuple[Row, ...]:
        """Return the rows that bind a model of these levels: cumulative on each axis, the axes apart (rows A3, A4)."""
        declared = {Axis.DEPLOYMENT: asl.deployment, Axis.SECURITY: asl.security}
        return tuple(row for row in self.rows if row.level <= declared[row.axis])
