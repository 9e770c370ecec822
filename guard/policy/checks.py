"""The checks that a standard's rows name: each says why a configuration does not meet the row, or nothing.

They read the configuration alone: that a mounted safeguard does its work is for its own health and tests to show, that
evidence is true is for people. Several of them ask again what the types already demand, because an auditor relies on
this answer and not on how the types happen to be written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import assert_never

from guard.policy import controls, duties, lineage, profile
from guard.policy.bounds import Drilled, Told
from guard.policy.copied import why_not_copied
from guard.policy.dialled import why_not_dialled
from guard.policy.evidence import lapse, midnight
from guard.policy.fingerprint import of_classifiers
from guard.policy.ladder import step_below
from guard.policy.model import (
    Attestation,
    CheckName,
    ClassifierMount,
    Durable,
    OnExpiry,
    RequestLogMount,
    Row,
    SafeguardKind,
)
from guard.policy.monitoring import why_not_monitored
from guard.policy.response import OnOverdue
from guard.policy.retention import why_not_kept
from guard.policy.standard import (
    Attested,
    AttestedRow,
    BuiltInRow,
    ClockRow,
    CopiesRow,
    DialsRow,
    DrillsRow,
    MountedRow,
    PlainRow,
    RetentionRow,
    ScreenMode,
    Screens,
    ScreensRow,
    ThresholdRow,
    UnverifiedRow,
)
from guard.policy.thresholds import days
from guard.policy.view import View
from safeguards.mode import Mode

_ANSWERS_NO_MORE = frozenset({Mode.FALLBACK, Mode.STOP})
_NO_EVIDENCE = "no safeguard evidence with mode enforce and on_failure block turns new principals away"


def why_unmet(view: View, row: Row, at: datetime) -> str | None:
    """Return why a row is unmet at an instant, or None when it is met."""
    match row:
        case UnverifiedRow():
            return "no check implements this row yet"
        case AttestedRow():
            return _attested(view, row.parameters, at)
        case MountedRow():
            return _mounted(view, row.parameters.safeguard, any_mode=row.check is CheckName.MOUNTED_ANY_MODE)
        case ScreensRow():
            return _screens(view, row.parameters)
        case ThresholdRow():
            return lineage.threshold(view, row, at)
        case RetentionRow():
            return why_not_kept(view, row.parameters)
        case CopiesRow():
            return why_not_copied(view, row.parameters)
        case DrillsRow():
            return _drilled(view, row.parameters)
        case DialsRow():
            return why_not_dialled(view, row.parameters, at)
        case ClockRow():
            return _clock(view, row.parameters, row.id)
        case BuiltInRow():
            return None
        case PlainRow():
            dated = DATED_CHECKS.get(row.check)
            return CHECKS[row.check](view) if dated is None else dated(view, at)
        case _:
            assert_never(row)


def _attested(view: View, wanted: Attested, at: datetime) -> str | None:
    attestation = view.attestations.get(wanted.claim)
    if attestation is None:
        return f"nobody attests {wanted.claim}"
    begin, end = midnight(attestation.issued), lapse(attestation, wanted.max_age_days, wanted.grace_days)
    if at < begin:
        return f"the attestation of {wanted.claim} is issued in the future: {days(begin - at)} from now"
    if wanted.of_classifiers and attestation.tested != of_classifiers(view.config, view.policy):
        of = "no classifiers" if attestation.tested is None else "other classifiers than those mounted"
        return f"the attestation of {wanted.claim} is about {of}; see the fingerprint in guard explain"
    if missing := _not_approved(wanted, attestation):
        return f"the attestation of {wanted.claim} {missing}"
    if at < end or wanted.on_expiry is OnExpiry.WARN:
        return None
    if wanted.on_expiry is OnExpiry.STOP_NEW_PRINCIPALS:
        # Somebody has to turn the newcomers away; without that the lapse stops everybody.
        return None if any(view.enforced(SafeguardKind.EVIDENCE)) else f"{wanted.claim} has lapsed, and {_NO_EVIDENCE}"
    grace = f", after {wanted.grace_days} days of grace" if wanted.grace_days else ""
    if lapse(attestation, wanted.max_age_days) == midnight(attestation.expires):
        return f"the attestation of {wanted.claim} expired {days(at - end)} ago ({attestation.expires}){grace}"
    age = f"passed its greatest age of {wanted.max_age_days} days"
    return f"the attestation of {wanted.claim} {age} {days(at - end)} ago{grace}"


def _not_approved(wanted: Attested, attestation: Attestation) -> str:
    """Say which role is missing, or that one person stands for two (row E3)."""
    by = {each.role: each.person for each in attestation.approvals if each.role in wanted.approved_by}
    missing = [role for role in wanted.approved_by if role not in by]
    if missing:
        return f"names nobody as {', '.join(missing)}"
    people = {" ".join(person.casefold().split()) for person in by.values()}
    return "names one person in two roles" if len(people) < len(by) else ""


def _mounted(view: View, kind: SafeguardKind, *, any_mode: bool) -> str | None:
    mounts = [mount for mount in view.policy.safeguards if mount.use is kind]
    if not mounts:
        return f"{kind} is not mounted"
    if any_mode or any(view.enforced(kind)):
        return None
    return f"{kind} is mounted, but not with mode enforce and on_failure block"


def _screens(view: View, wanted: Screens) -> str | None:
    enforce = wanted.mode is ScreenMode.ENFORCE
    mounts = view.enforced(SafeguardKind.CLASSIFIER) if enforce else iter(view.policy.safeguards)
    if any(isinstance(mount, ClassifierMount) and wanted.target in mount.settings.screens for mount in mounts):
        return None
    return f"no classifier screens the {wanted.target}" + (" with mode enforce and on_failure block" if enforce else "")


def _durable_intent(view: View) -> str | None:
    mounts = [mount for mount in view.enforced(SafeguardKind.REQUEST_LOG) if isinstance(mount, RequestLogMount)]
    if not mounts:
        return "request_log is not mounted with mode enforce and on_failure block"
    if any(mount.settings.durable is Durable.BEFORE_FORWARD and mount.settings.parts for mount in mounts):
        return None
    return "request_log is not set to durable before_forward and parts true"


def _parts_on_two_devices(view: View) -> str | None:
    mounts = [mount for mount in view.enforced(SafeguardKind.REQUEST_LOG) if isinstance(mount, RequestLogMount)]
    if not mounts:
        return "request_log is not mounted with mode enforce and on_failure block"
    if not mounts[0].settings.parts_durable:
        return "request_log is not set to parts_durable true"
    if view.config.guard.storage.audit_second is None:
        return "guard.yaml names no second device for the log (`storage.audit_second`)"
    return None


def _limits_per_key(view: View) -> str | None:
    if not any(view.enforced(SafeguardKind.LIMITS)):
        return "limits is not mounted with mode enforce and on_failure block"
    without = [name for name, tier in view.tiers().items() if not tier.rate.per_minute > 0]
    return f"no rate in the tiers {', '.join(without)}" if without else None


def _listed_operations(view: View) -> str | None:
    if not view.policy.operations:
        return "the model lists no operation"
    beyond = [
        name
        for name, tier in view.tiers().items()
        if not set(tier.models[view.policy.model]) <= set(view.policy.operations)
    ]
    return f"operations beyond the model's list are granted to the tiers {', '.join(beyond)}" if beyond else None


def _authenticated(view: View) -> str | None:
    tiers = view.tiers()
    nobodys = [
        key.id for key in view.config.tiers.keys if key.tier in tiers and not (key.owner.strip() and key.expires)
    ]
    return f"no owner or no expiry for the keys {', '.join(nobodys)}" if nobodys else None


def _declared_levels(view: View) -> str | None:
    asl, framework = view.policy.asl, view.policy.framework
    if asl.deployment < 1 or asl.security < 1 or not framework.version:
        return "the model does not declare a level on both axes and its framework's version"
    return None


def _level_defined(view: View) -> str | None:  # noqa: ARG001 - every check is asked in the same way
    return "nobody has written down what this level contains, so nothing can meet it"


def _signed_bundle(view: View) -> str | None:
    return None if view.config.guard.signed_bundle else "signed_bundle of guard.yaml is not true"


def _drilled(view: View, wanted: Drilled) -> str | None:
    settings = view.config.guard.drills
    if settings is None:
        return "the kill switch is not drilled (`drills` of guard.yaml)"
    if settings.every_seconds > wanted.max_hours * 3600:
        hours = settings.every_seconds / 3600
        return f"the kill switch is drilled every {hours:g} hours, at least every {wanted.max_hours:g} are asked for"
    return None


def _overdue_stops(view: View) -> str | None:
    response = view.policy.response
    if response is None:
        return "response does not say within how many hours a weakness must be fixed"
    if response.on_overdue is OnOverdue.ALARM:
        return "response.on_overdue is alarm"
    ladder = view.policy.ladder
    if response.on_overdue is OnOverdue.STEP_DOWN:
        first = step_below(ladder, ())
        if first not in _ANSWERS_NO_MORE:
            return "response.on_overdue is step_down, and the first rung of the ladder is neither a fallback nor a stop"
        if first is Mode.FALLBACK and ladder.fallback is not None and ladder.fallback.categories:
            return "response.on_overdue is step_down, and the fallback is of some categories alone"
    return None


def _newcomers_refusable(view: View) -> str | None:
    if not view.policy.ladder.no_new_principals:
        return "ladder.no_new_principals is not true"
    undated = [key.id for key in view.config.tiers.keys if key.tier in view.tiers() and key.issued is None]
    return f"no day of issue for the keys {', '.join(undated)}, which would count as new" if undated else None


def _replacement_declared(view: View) -> str | None:
    return "ladder.de_deployed names no replacement" if view.policy.ladder.de_deployed is None else None


def _clock(view: View, wanted: Told, row: str) -> str | None:
    if any(wanted.met_by(clock, row) for clock in view.config.guard.clocks):
        return None
    severity = f" for incidents from severity {wanted.from_severity} on" if wanted.from_severity else ""
    in_time = f"runs out within {wanted.max_hours:g} hours of {wanted.starts}{severity}"
    return f"no clock of guard.yaml that lists {row} {in_time}"


def _monitored(view: View, at: datetime) -> str | None:
    return why_not_monitored(view.policy.monitoring, at)


CHECKS: Mapping[CheckName, Callable[[View], str | None]] = MappingProxyType(
    {
        CheckName.DURABLE_INTENT: _durable_intent,
        CheckName.PARTS_ON_TWO_DEVICES: _parts_on_two_devices,
        CheckName.LIMITS_PER_KEY: _limits_per_key,
        CheckName.LISTED_OPERATIONS: _listed_operations,
        CheckName.AUTHENTICATED: _authenticated,
        CheckName.DECLARED_LEVELS: _declared_levels,
        CheckName.LEVEL_DEFINED: _level_defined,
        CheckName.SIGNED_BUNDLE: _signed_bundle,
        CheckName.BOTH_AXES_RAISED: lineage.both_axes_raised,
        CheckName.SAME_WEIGHTS_DECLARED: lineage.same_weights_declared,
        CheckName.REPORTED_MODEL: lineage.reported_model,
        CheckName.OVERDUE_STOPS: _overdue_stops,
        CheckName.NEWCOMERS_REFUSABLE: _newcomers_refusable,
        CheckName.REPLACEMENT_DECLARED: _replacement_declared,
        CheckName.CONTROLS_AS_REPORTED: controls.as_reported,
    }
)
DATED_CHECKS: Mapping[CheckName, Callable[[View, datetime], str | None]] = MappingProxyType(
    {
        CheckName.RESPONDERS_NAMED: duties.responders_named,
        CheckName.CUSTOM_PROFILE: profile.custom_profile,
        CheckName.MONITORED: _monitored,
        CheckName.THRESHOLDS_WITHIN_LEVELS: lineage.within_levels,
        CheckName.VARIANT_EVALUATED: lineage.variant_evaluated,
    }
)
