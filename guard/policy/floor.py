"""The floor: which rows of its standard a model does not meet, what has lapsed, and until when it is met.

A row binds a model when its level is at most the level declared on the row's axis: levels are cumulative, axes are
judged apart (rows A3, A4). A row that nothing verifies counts as unmet.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from math import inf
from types import MappingProxyType
from typing import Final

from guard.policy import profile
from guard.policy.checks import why_unmet
from guard.policy.config import Config
from guard.policy.dialled import dialled_until
from guard.policy.duties import named_until
from guard.policy.evidence import lapse
from guard.policy.lineage import VARIANT_CLAIM, resolved
from guard.policy.model import Attestation, Axis, CheckName, Row, SafeguardKind
from guard.policy.standard import Attested, AttestedRow, DialsRow, OnExpiry, PlainRow, ThresholdRow
from guard.policy.view import View, view_of

_SIGNED: Final = PlainRow(
    id="G1",
    axis=Axis.DEPLOYMENT,
    level=profile.HIGHEST,
    requires="A model at ASL-4 is served only under a standard written for it that two people signed.",
    source="RSP 2.2, section 2; RSP 3.4, appendix B; the signatures are our inference",
    check=CheckName.CUSTOM_PROFILE,
)


@dataclass(frozen=True, slots=True)
class Unmet:
    """A row that a model does not meet: the row's own words, and why."""

    row: str
    axis: Axis
    level: int
    requires: str
    why: str
    source: str


@dataclass(frozen=True, slots=True)
class Overdue:
    """Evidence that a row asks for and that has lapsed, how many whole days ago, and what the row makes of that."""

    row: str
    claim: str
    days: int
    then: OnExpiry


def unmet(config: Config, model: str, at: datetime) -> tuple[Unmet, ...]:
    """Return the rows that the model does not meet at an instant (an aware datetime), in its standards' order.

    Raises KeyError for an unknown model and ValueError for a datetime without a time zone.
    """
    if at.utcoffset() is None:
        raise ValueError("the instant has no time zone")
    view = view_of(config, model)
    found = ((row, why_unmet(view, row, at)) for row in binding_rows(config, model))
    return tuple(
        Unmet(row.id, row.axis, row.level, row.requires, why, row.source) for row, why in found if why is not None
    )


def binding_rows(config: Config, model: str) -> tuple[Row, ...]:
    """Return the rows of the model's standards that its declared levels bind it to, and at ASL-4 row G1 in any case.

    A standard that an operator writes for ASL-4 may not leave out that two people sign it.
    """
    asl = config.models[model].asl
    rows = tuple(row for standard in config.standards_of(model) for row in standard.binding(asl))
    if max(asl.deployment, asl.security) < profile.HIGHEST:
        return rows
    return rows if any(row.check is CheckName.CUSTOM_PROFILE for row in rows) else (*rows, _SIGNED)


def overdue(config: Config, model: str, at: datetime) -> tuple[Overdue, ...]:
    """Return what has lapsed of the evidence that binding rows ask for, also where the model goes on being served."""
    view = view_of(config, model)
    found = []
    for row in _attested(config, model):
        attestation = view.attestations.get(row.parameters.claim)
        if attestation is not None:
            late = at - _lapse(attestation, row.parameters)
            if late.total_seconds() >= 0:
                found.append(Overdue(row.id, attestation.claim, late.days, row.parameters.on_expiry))
    return tuple(found)


def evidence_ends(config: Config, model: str) -> Mapping[str, float]:
    """Return for each attestation of the model the epoch second of its lapse, by the shortest age a row allows."""
    ends = {each.claim: lapse(each, None).timestamp() for each in config.evidence[model]}
    view = view_of(config, model)
    for row in _attested(config, model):
        claim = row.parameters.claim
        if claim in ends:
            ends[claim] = min(ends[claim], _lapse(view.attestations[claim], row.parameters).timestamp())
    return MappingProxyType(ends)


def required_claims(config: Config, model: str) -> Mapping[str, float | None]:
    """Return each claim without which the model is not served: the epoch second of its lapse, None if missing.

    One issued in the future is not missing: `unmet` sees it, and is to be asked before a model is served.
    """
    return _claims(config, model, OnExpiry.STOP_SERVING)


def closing_claims(config: Config, model: str) -> Mapping[str, float | None]:
    """Return each claim whose lapse turns new principals away (rows E4, E7), as `required_claims` does."""
    return _claims(config, model, OnExpiry.STOP_NEW_PRINCIPALS)


def _claims(config: Config, model: str, then: OnExpiry) -> Mapping[str, float | None]:
    view = view_of(config, model)
    ends: dict[str, float | None] = {}
    for row in _attested(config, model):
        if row.parameters.on_expiry is not then:
            continue
        claim = row.parameters.claim
        attestation = view.attestations.get(claim)
        if attestation is None:
            ends[claim] = None
            continue
        end = _lapse(attestation, row.parameters).timestamp()
        ends[claim] = min(end, ends.get(claim) or inf)
    return MappingProxyType(ends)


def routable_until(config: Config, model: str, at: datetime) -> float | None:
    """Return the epoch second from which the model no longer meets its floor: None if it does not at ``at`` already.

    Infinity when no row asks for anything that ends.
    """
    if unmet(config, model, at):
        return None
    view = view_of(config, model)
    found = [*profile.ends(view), *(end for row in binding_rows(config, model) for end in _ends(view, row, at))]
    return min((end.timestamp() for end in found), default=inf)


def _lapse(attestation: Attestation, wanted: Attested) -> datetime:
    return lapse(attestation, wanted.max_age_days, wanted.grace_days)


def _attested(config: Config, model: str) -> Iterator[AttestedRow]:
    for row in binding_rows(config, model):
        if isinstance(row, AttestedRow):
            yield row


def _ends(view: View, row: Row, at: datetime) -> Iterator[datetime]:
    """Yield the instants from which a row that is met at ``at`` no longer is."""
    match row:
        case AttestedRow():
            wanted = row.parameters
            attestation = view.attestations.get(wanted.claim)
            stays = wanted.on_expiry is OnExpiry.WARN or (
                wanted.on_expiry is OnExpiry.STOP_NEW_PRINCIPALS and any(view.enforced(SafeguardKind.EVIDENCE))
            )
            if attestation is not None and not stays:
                yield _lapse(attestation, wanted)
        case PlainRow(check=CheckName.VARIANT_EVALUATED) if view.policy.variant_of is not None:
            if VARIANT_CLAIM in view.attestations:
                yield lapse(view.attestations[VARIANT_CLAIM], None)
        case PlainRow(check=CheckName.RESPONDERS_NAMED):
            yield named_until(view)
        case PlainRow(check=CheckName.MONITORED) if view.policy.monitoring is not None:
            yield view.policy.monitoring.due
        case DialsRow():
            if (end := dialled_until(view, row.parameters, at)) is not None:
                yield end
        case PlainRow(check=CheckName.THRESHOLDS_WITHIN_LEVELS) | ThresholdRow():
            for each in resolved(view, at):
                concerned = not isinstance(row, ThresholdRow) or each.threshold.name in row.parameters.thresholds
                axes = [row.axis] if isinstance(row, ThresholdRow) else list(Axis)
                raised = any(each.threshold.demands.on(axis) > view.policy.asl.on(axis) for axis in axes)
                if each.until is not None and concerned and raised:
                    yield each.until
        case _:
            return
