"""The checks that a standard's rows name: each says why a configuration does not meet the row, or nothing.

They read the configuration alone: that a mounted safeguard does its work is for its own health and tests to show, that
evidence is true is for people. Several of them ask again what the types already demand, because an auditor relies on
this answer and not on how the types happen to be written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import assert_never

from guard.policy.config import Config
from guard.policy.evidence import Attestation, lapse, midnight
from guard.policy.model import (
    CheckName,
    ClassifierMount,
    Durable,
    Mode,
    ModelPolicy,
    Mount,
    OnFailure,
    RequestLogMount,
    Row,
    SafeguardKind,
    Tier,
)
from guard.policy.standard import (
    Attested,
    AttestedRow,
    MountedRow,
    PlainRow,
    ScreenMode,
    Screens,
    ScreensRow,
    UnverifiedRow,
)

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class View:
    """What a check sees: one model's policy and what else of the configuration concerns it."""

    config: Config
    policy: ModelPolicy
    attestations: Mapping[str, Attestation]

    def enforced(self, kind: SafeguardKind) -> Iterator[Mount]:
        """Yield the mounts of a safeguard that block, also when the safeguard fails."""
        for mount in self.policy.safeguards:
            if mount.use is kind and mount.mode is Mode.ENFORCE and mount.on_failure is OnFailure.BLOCK:
                yield mount

    def tiers(self) -> Mapping[str, Tier]:
        """Return the tiers that may use the model."""
        return {name: tier for name, tier in self.config.tiers.tiers.items() if self.policy.model in tier.models}


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
        case PlainRow():
            return CHECKS[row.check](view)
        case _:
            assert_never(row)


def _attested(view: View, wanted: Attested, at: datetime) -> str | None:
    attestation = view.attestations.get(wanted.claim)
    if attestation is None:
        return f"nobody attests {wanted.claim}"
    begin, end = midnight(attestation.issued), lapse(attestation, wanted.max_age_days)
    if at < begin:
        return f"the attestation of {wanted.claim} is issued in the future: {_days(begin - at)} from now"
    if at < end:
        return None
    if end == midnight(attestation.expires):
        return f"the attestation of {wanted.claim} expired {_days(at - end)} ago ({attestation.expires})"
    return (
        f"the attestation of {wanted.claim} passed its greatest age of {wanted.max_age_days} days {_days(at - end)} ago"
    )


def _days(late: timedelta) -> str:
    days = late // _DAY
    return "less than a day" if days == 0 else "1 day" if days == 1 else f"{days} days"


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


CHECKS: Mapping[CheckName, Callable[[View], str | None]] = MappingProxyType(
    {
        CheckName.DURABLE_INTENT: _durable_intent,
        CheckName.LIMITS_PER_KEY: _limits_per_key,
        CheckName.LISTED_OPERATIONS: _listed_operations,
        CheckName.AUTHENTICATED: _authenticated,
        CheckName.DECLARED_LEVELS: _declared_levels,
        CheckName.LEVEL_DEFINED: _level_defined,
    }
)
