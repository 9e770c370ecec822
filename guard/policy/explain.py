"""What is in force for one model at an instant, and why: the answer of ``guard explain``.

It reads the configuration alone. Whether the model is stopped is for ``guard status`` to say, that evidence is true for
people. A row is said to be met by a safeguard when that mount alone would meet it and no mount at all would not.
It is one file because it is one answer, part by part.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final, assert_never

from guard.policy import described, profile
from guard.policy.checks import why_unmet
from guard.policy.config import Config
from guard.policy.controls import controls, deviations
from guard.policy.duties import named_until, responders_named
from guard.policy.evidence import Attestation, lapse, midnight
from guard.policy.explanation import (
    Ending,
    EvidenceHeld,
    Explanation,
    Judged,
    Mounted,
    StandardUsed,
    SurfaceUsed,
    ThresholdJudged,
    TierGranted,
    UpstreamUsed,
)
from guard.policy.fingerprint import of_classifiers, of_standard
from guard.policy.floor import binding_rows
from guard.policy.invariants import HOLDS
from guard.policy.lineage import resolved
from guard.policy.model import (
    Axis,
    CheckName,
    ClassifierMount,
    ModelPolicy,
    Mount,
    OnExpiry,
    RequestLogMount,
    Row,
    Standard,
)
from guard.policy.report import standing
from guard.policy.standard import (
    AttestedRow,
    BuiltInRow,
    ClockRow,
    CopiesRow,
    DialsRow,
    DrillsRow,
    MountedRow,
    PlainRow,
    RetentionRow,
    ScreensRow,
    ThresholdRow,
    UnverifiedRow,
)
from guard.policy.view import View, view_of

MAX_ENDINGS: Final = 20
_DAY: Final = timedelta(days=1)
_THEN: Final = {
    OnExpiry.STOP_SERVING: "the model is not served",
    OnExpiry.STOP_NEW_PRINCIPALS: "new principals are refused",
    OnExpiry.WARN: "nothing but a warning",
}
_DUTY: Final = "a duty is nobody's, and a row that asks for it is unmet"
_ASL_3: Final = 3
_LIMIT: Final = (
    "ASL-3 security does not claim to withstand a sophisticated insider, that is one who has or can ask for access to "
    "systems that process the weights, nor one whom a state has compromised, nor an attack that a state aims at this "
    "company (RSP 2.2, section 4.2 and footnote 11; row D12)."
)
_BY: Final = {
    CheckName.LISTED_OPERATIONS: "the model's list of operations",
    CheckName.AUTHENTICATED: "the owner and the last day of every key",
    CheckName.DECLARED_LEVELS: "the levels in its file",
    CheckName.CUSTOM_PROFILE: "a level below ASL-4, or a standard of the operator's own that two people signed",
    CheckName.SIGNED_BUNDLE: "signed_bundle in guard.yaml",
    CheckName.BOTH_AXES_RAISED: "the levels in its file",
    CheckName.THRESHOLDS_WITHIN_LEVELS: "the levels that it declares, and its assessments",
    CheckName.SAME_WEIGHTS_DECLARED: "no other alias for these weights, or one that is declared on both sides",
    CheckName.VARIANT_EVALUATED: "no variant of another model, or one with an evaluation of its own",
    CheckName.REPORTED_MODEL: "upstream.expect_model",
    CheckName.OVERDUE_STOPS: "response in its file: how many hours, and that the model stops or falls back then",
    CheckName.NEWCOMERS_REFUSABLE: "ladder.no_new_principals in its file, and the day on which each key was issued",
    CheckName.REPLACEMENT_DECLARED: "ladder.de_deployed in its file",
    CheckName.CONTROLS_AS_REPORTED: "the controls that the risk report describes",
    CheckName.RESPONDERS_NAMED: "the roles in operators.yaml",
    CheckName.MONITORED: "monitoring in its file: its bands, and that they were reviewed in time",
}


def explain(config: Config, model: str, at: datetime) -> Explanation:
    """Explain one model at an aware instant; raises KeyError for an unknown one, ValueError without a time zone."""
    report = standing(config, model, at)
    policy = config.models[model]
    # By identity: two standards may have a row of one name; what is in neither is G1, about the first.
    named = {f"{each.name} {each.version}": each.rows for each in config.standards_of(model)}
    of = {id(row): name for name, rows in named.items() for row in rows}
    first = next(iter(named))
    standard, *also = (_used(each) for each in config.standards_of(model))
    view = view_of(config, model)
    binding = binding_rows(config, model)
    evidence = tuple(_held(binding, each, at) for each in config.evidence[model])
    endings = sorted(_endings(view, evidence, at), key=lambda each: (each.when, each.what))
    return Explanation(
        model=model,
        at=at.astimezone(UTC),
        digest=config.digest,
        routable=report.routable,
        until=report.until,
        deployment=policy.asl.deployment,
        security=policy.asl.security,
        audience=policy.audience,
        standard=standard,
        also=tuple(also),
        classifiers=of_classifiers(config, policy),
        controls=described.fingerprint(controls(config, policy)),
        deviations=deviations(config, policy),
        thresholds=tuple(_assessed(view, at)),
        limits=(_LIMIT,) if policy.asl.security >= _ASL_3 else (),
        upstream=_upstream(policy),
        surfaces=tuple(_surfaces(config, policy)),
        operations=tuple(policy.operations),
        allow_keys=tuple(policy.allow_keys),
        dials=policy.dials,
        ladder=policy.ladder,
        response=policy.response,
        monitoring=policy.monitoring,
        clocks=config.guard.clocks,
        drills=config.guard.drills,
        safeguards=tuple(_mounted(view, binding, at)),
        rows=tuple(_judged(view, row, at, of.get(id(row), first)) for row in binding),
        evidence=evidence,
        tiers=tuple(_tiers(view, at)),
        endings=tuple(endings[:MAX_ENDINGS]),
    )


def _used(standard: Standard) -> StandardUsed:
    return StandardUsed(standard.name, standard.version, standard.title, standard.source, of_standard(standard))


def _upstream(policy: ModelPolicy) -> UpstreamUsed:
    upstream, tls = policy.upstream, policy.upstream.tls
    return UpstreamUsed(
        url=upstream.url + (upstream.base_path or ""),
        kind=upstream.kind,
        model=upstream.model,
        expect_model=upstream.expect_model,
        credential=upstream.credential is not None,
        own_ca=tls is not None and tls.ca is not None,
        client_certificate=tls is not None and tls.client_certificate is not None,
    )


def _surfaces(config: Config, policy: ModelPolicy) -> Iterator[SurfaceUsed]:
    for surface in config.guard.surfaces:
        if surface.name in policy.surfaces:
            asked = "none" if surface.tls is None else surface.tls.client_certificates.value
            yield SurfaceUsed(surface.name, surface.place, surface.tls is not None, asked)


def _mounted(view: View, binding: tuple[Row, ...], at: datetime) -> Iterator[Mounted]:
    for order, mount in enumerate(view.policy.safeguards, 1):
        rows = tuple(row.id for row in binding if _meets(view, mount, row, at))
        yield Mounted(
            order, mount.use, mount.name, mount.mode, mount.on_failure, mount.deadline_seconds, _settings(mount), rows
        )


def _settings(mount: Mount) -> tuple[str, ...]:
    if isinstance(mount, RequestLogMount):
        log = mount.settings
        return (
            f"durable {log.durable}",
            "each text before its release" if log.parts else "each text only at the end",
            "texts kept" if log.content else "only lengths and hashes kept",
        )
    if isinstance(mount, ClassifierMount):
        by = mount.settings
        return (f"screens {' and '.join(by.screens)}", f"{by.engine} from {by.rules}")
    return ()


def _meets(view: View, mount: Mount, row: Row, at: datetime) -> bool:
    """Whether this mount alone meets a row that no mount at all would not meet."""
    if isinstance(row, AttestedRow):
        return False
    alone, none = (
        View(view.config, view.policy.model_copy(update={"safeguards": mounts}), view.attestations)
        for mounts in ((mount,), ())
    )
    return why_unmet(alone, row, at) is None and why_unmet(none, row, at) is not None


def _judged(view: View, row: Row, at: datetime, standard: str) -> Judged:
    why = why_unmet(view, row, at)
    by = () if why is not None else tuple(_met_by(view, row, at))
    return Judged(standard, row.id, row.axis, row.level, row.requires, row.source, by, why)


def _met_by(view: View, row: Row, at: datetime) -> Iterator[str]:
    match row:
        case AttestedRow():
            attestation = view.attestations[row.parameters.claim]
            until = lapse(attestation, row.parameters.max_age_days, row.parameters.grace_days)
            lapsed = f"LAPSED on {until.date()}: {_THEN[row.parameters.on_expiry]}"
            yield (
                f"evidence {row.parameters.claim} of {attestation.owner}, "
                f"{lapsed if at >= until else f'until {until.date()}'}"
            )
        case MountedRow() | ScreensRow():
            yield from _mounts_that_meet(view, row, at)
        case PlainRow():
            found = list(_mounts_that_meet(view, row, at))
            yield from found or [_BY[row.check]]
        case ThresholdRow():
            yield "the levels that it declares, and its assessments"
        case RetentionRow():
            yield "how request_log keeps texts and records"
        case ClockRow():
            clocks = (each for each in view.config.guard.clocks if row.parameters.met_by(each, row.id))
            yield f"clock {', '.join(each.name for each in clocks)}"
        case CopiesRow():
            yield "how far copies of request_log may lag"
        case DrillsRow():
            yield "how often drills of guard.yaml try the kill switch"
        case DialsRow():
            unless = ", or that thresholds are ruled out" if row.parameters.thresholds else ""
            yield f"dials in its file{unless}"
        case BuiltInRow():
            yield f"the guard itself: {HOLDS[row.parameters.invariant]}"
        case UnverifiedRow():
            raise ValueError("a row that nothing verifies is never met")
        case _:
            assert_never(row)


def _mounts_that_meet(view: View, row: Row, at: datetime) -> Iterator[str]:
    for mount in view.policy.safeguards:
        if _meets(view, mount, row, at):
            yield f"safeguard {mount.name}"


def _held(binding: tuple[Row, ...], attestation: Attestation, at: datetime) -> EvidenceHeld:
    asking = [row for row in binding if isinstance(row, AttestedRow) and row.parameters.claim == attestation.claim]
    until = min(
        (lapse(attestation, row.parameters.max_age_days, row.parameters.grace_days) for row in asking),
        default=lapse(attestation, None),
    )
    return EvidenceHeld(
        claim=attestation.claim,
        owner=attestation.owner,
        uri=attestation.uri,
        issued=attestation.issued,
        until=until,
        days_left=(until - at) // _DAY,
        holds=midnight(attestation.issued) <= at < until,
        then=next((then for then in OnExpiry if any(row.parameters.on_expiry is then for row in asking)), None),
        rows=tuple(row.id for row in asking),
    )


def _assessed(view: View, at: datetime) -> Iterator[ThresholdJudged]:
    for each in resolved(view, at):
        wanted = each.threshold.demands
        demands = tuple((axis, wanted.on(axis)) for axis in Axis if wanted.on(axis))
        yield ThresholdJudged(each.threshold.name, each.crossed, each.why, demands, each.until)


def _tiers(view: View, at: datetime) -> Iterator[TierGranted]:
    for name, tier in view.tiers().items():
        keys = [key for key in view.config.tiers.keys if key.tier == name]
        live = sum(at < midnight(key.expires) for key in keys)
        granted = tuple(tier.models[view.policy.model])
        yield TierGranted(name, granted, tier.rate.per_minute, tier.rate.burst, len(keys), live)


def _endings(view: View, evidence: tuple[EvidenceHeld, ...], at: datetime) -> Iterator[Ending]:
    for each in evidence:
        if at < each.until:
            yield Ending(each.until, f"evidence {each.claim}", _THEN[each.then] if each.then else "no row asks for it")
    for threshold in resolved(view, at):
        if threshold.until is not None:
            yield Ending(threshold.until, f"assessment of {threshold.threshold.name}", "it counts as crossed")
    monitoring = view.policy.monitoring
    if monitoring is not None and at < monitoring.due:
        yield Ending(monitoring.due, "review of the monitoring bands", "an alarm, and a row that asks for it is unmet")
    if responders_named(view, at) is None:
        yield Ending(named_until(view), "the last who may stop, or the second who may approve", _DUTY)
    for signed in profile.ends(view):
        if at < signed:
            yield Ending(signed, "signatures of its standard", "the model is not served")
    tiers = view.tiers()
    for key in view.config.tiers.keys:
        if key.tier in tiers and at < midnight(key.expires):
            yield Ending(midnight(key.expires), f"key {key.id} of {key.owner}", "the key is refused")
