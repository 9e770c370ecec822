"""The floor: which rows of its standard a model does not meet, and until when its evidence holds.

A row binds a model when its level is at most the level declared on the row's axis: levels are cumulative, axes are
judged apart (rows A3, A4). A row that nothing verifies counts as unmet.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from math import inf
from types import MappingProxyType

from guard.policy.checks import View, why_unmet
from guard.policy.config import Config
from guard.policy.evidence import lapse
from guard.policy.model import Axis, Row
from guard.policy.standard import AttestedRow


@dataclass(frozen=True, slots=True)
class Unmet:
    """A row that a model does not meet: the row's own words, and why."""

    row: str
    axis: Axis
    level: int
    requires: str
    why: str
    source: str


def unmet(config: Config, model: str, at: datetime) -> tuple[Unmet, ...]:
    """Return the rows that the model does not meet at an instant (an aware datetime), in the standard's order.

    Raises KeyError for an unknown model and ValueError for a datetime without a time zone.
    """
    if at.utcoffset() is None:
        raise ValueError("the instant has no time zone")
    view = _view(config, model)
    found = ((row, why_unmet(view, row, at)) for row in binding_rows(config, model))
    return tuple(
        Unmet(row.id, row.axis, row.level, row.requires, why, row.source) for row, why in found if why is not None
    )


def binding_rows(config: Config, model: str) -> tuple[Row, ...]:
    """Return the rows of the model's standard that its declared levels bind it to."""
    return config.standard(model).binding(config.models[model].asl)


def required_claims(config: Config, model: str) -> Mapping[str, float | None]:
    """Return each claim that a binding row asks for: the epoch second from which it no longer holds, None if missing.

    One issued in the future is not missing: `unmet` sees it, and is to be asked before a model is served.
    """
    view = _view(config, model)
    ends: dict[str, float | None] = {}
    for row in binding_rows(config, model):
        if not isinstance(row, AttestedRow):
            continue
        claim = row.parameters.claim
        attestation = view.attestations.get(claim)
        if attestation is None:
            ends[claim] = None
            continue
        end = lapse(attestation, row.parameters.max_age_days).timestamp()
        ends[claim] = min(end, ends.get(claim) or inf)
    return MappingProxyType(ends)


def routable_until(config: Config, model: str, at: datetime) -> float | None:
    """Return the epoch second from which the model no longer meets its floor: None if it does not at ``at`` already.

    Infinity when no row asks for evidence.
    """
    if unmet(config, model, at):
        return None
    return min((end for end in required_claims(config, model).values() if end is not None), default=inf)


def _view(config: Config, model: str) -> View:
    return View(config, config.models[model], {each.claim: each for each in config.evidence[model]})
