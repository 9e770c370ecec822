"""Checks of what a model is: its levels against its thresholds, and its weights against those of other aliases."""

from __future__ import annotations

from datetime import datetime

from guard.policy.config import Config
from guard.policy.evidence import lapse, midnight
from guard.policy.model import Axis
from guard.policy.server_identity import weights_of
from guard.policy.standard import ThresholdRow
from guard.policy.thresholds import Resolved, resolve
from guard.policy.view import View

VARIANT_CLAIM = "variant_evaluation"


def resolved(view: View, at: datetime) -> tuple[Resolved, ...]:
    """Judge the thresholds of the model's standard at an instant."""
    return resolve(view.config.standard(view.policy.model), view.policy.thresholds, at)


def within_levels(view: View, at: datetime) -> str | None:
    """Say which thresholds demand more than the model declares on either axis (row A5)."""
    asl = view.policy.asl
    found = [_beyond(each, axis, wanted) for each in resolved(view, at) for axis, wanted in each.beyond(asl)]
    return "; ".join(found) or None


def threshold(view: View, row: ThresholdRow, at: datetime) -> str | None:
    """Say which of the row's thresholds demand more than is declared on the row's axis (rows A6 to A9, A14)."""
    found = [
        _beyond(each, axis, wanted)
        for each in resolved(view, at)
        if each.threshold.name in row.parameters.thresholds
        for axis, wanted in each.beyond(view.policy.asl)
        if axis is row.axis
    ]
    return "; ".join(found) or None


def _beyond(each: Resolved, axis: Axis, wanted: int) -> str:
    return f"{each.why}, so it needs {axis} ASL-{wanted}"


def both_axes_raised(view: View) -> str | None:
    """Say whether an axis of a model above ASL-1 was left at 1 (row A2)."""
    asl = view.policy.asl
    if max(asl.deployment, asl.security) > 1 and min(asl.deployment, asl.security) < 2:  # noqa: PLR2004 - the levels
        return "one axis is above ASL-1 and the other is not"
    return None


def reported_model(view: View) -> str | None:
    """Say whether answers are not held to the model that the upstream must name (row D11)."""
    if view.policy.upstream.expect_model is None:
        return "upstream.expect_model does not say which model every answer must name"
    return None


def variant_evaluated(view: View, at: datetime) -> str | None:
    """Say whether a fine-tuned variant has no current evaluation of its own (row B6)."""
    if view.policy.variant_of is None:
        return None
    attestation = view.attestations.get(VARIANT_CLAIM)
    if attestation is None:
        return f"it is a variant of {view.policy.variant_of}, and nobody attests {VARIANT_CLAIM}"
    if not midnight(attestation.issued) <= at < lapse(attestation, None):
        return f"the attestation of {VARIANT_CLAIM} does not hold at this time"
    return None


def same_weights_declared(view: View) -> str | None:
    """Say which other aliases serve the same model of the same server without both files saying so (row C12)."""
    mine = view.policy
    silent = [
        alias
        for alias, other in view.config.models.items()
        if alias != mine.model
        and weights_of(mine.upstream) == weights_of(other.upstream)
        and not (alias in mine.same_weights_as and mine.model in other.same_weights_as)
    ]
    if silent:
        return f"the same model of the same server is also {', '.join(silent)}, and same_weights_as of both must say so"
    return None


def aliases_of(config: Config, model: str) -> tuple[str, ...]:
    """Return every configured alias of a model's weights, its own included; none for a model that is not here."""
    policy = config.models.get(model)
    if policy is None:
        return ()
    return tuple(sorted({model, *(alias for alias in policy.same_weights_as if alias in config.models)}))


def surfaces_of(config: Config, model: str) -> tuple[str, ...]:
    """Return every surface on which these weights are served, under whatever alias (row I9)."""
    return tuple(sorted({name for alias in aliases_of(config, model) for name in config.models[alias].surfaces}))
