"""What `guard check` says: for each model its levels, its standard, whether it is routable, every row it misses."""

from __future__ import annotations

import json
import textwrap
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from math import inf

from guard.policy.config import Config
from guard.policy.controls import Deviation, deviations
from guard.policy.floor import Overdue, Unmet, overdue, routable_until, unmet
from guard.policy.monitoring import Monitoring
from guard.policy.standard import OnExpiry

_WIDTH = 110
_SHOWN = 20
_THEN = {
    OnExpiry.STOP_NEW_PRINCIPALS: "so keys made since are refused",
    OnExpiry.WARN: "which only warns",
}


@dataclass(frozen=True, slots=True)
class ModelReport:
    """One model's standing at an instant; ``until`` is when its first evidence lapses, None if nothing does.

    ``watches`` says in words in which bands its measured values must stay (row C9).
    """

    model: str
    standard: str
    version: str
    title: str
    also: tuple[str, ...]
    deployment: int
    security: int
    routable: bool
    until: datetime | None
    unmet: tuple[Unmet, ...]
    overdue: tuple[Overdue, ...]
    deviations: tuple[Deviation, ...]
    watches: tuple[str, ...] = ()


def standing(config: Config, model: str, at: datetime) -> ModelReport:
    """Judge one model; errors as `unmet`."""
    policy, standard = config.models[model], config.standard(model)
    end = routable_until(config, model, at)
    return ModelReport(
        model=model,
        standard=standard.name,
        version=standard.version,
        title=standard.title,
        also=tuple(f"{each.name} {each.version}" for each in config.standards_of(model)[1:]),
        deployment=policy.asl.deployment,
        security=policy.asl.security,
        routable=end is not None,
        until=None if end is None or end == inf else datetime.fromtimestamp(end, UTC),
        unmet=unmet(config, model, at),
        overdue=overdue(config, model, at),
        deviations=deviations(config, policy),
        watches=_watches(policy.monitoring),
    )


def _watches(monitoring: Monitoring | None) -> tuple[str, ...]:
    if monitoring is None:
        return ()
    bands = (
        f"{band.name} within {band.min:g} to {band.max:g}, of {band.at_least} or more; else {band.then.value}"
        for band in monitoring.bands
    )
    return (*bands, f"the bands again: reviewed {monitoring.reviewed}, next by {monitoring.due.date()}")


def report(config: Config, at: datetime) -> tuple[str, bool]:
    """Return the report as text for people, and whether every model is routable."""
    reports = [standing(config, model, at) for model in sorted(config.models)]
    lines = [line for each in reports for line in (*_model(each), "")]
    routable = sum(each.routable for each in reports)
    lines.append(f"{routable} of {len(reports)} models routable at {instant(at)}; configuration {config.digest}")
    return "\n".join(lines) + "\n", routable == len(reports)


def report_json(config: Config, at: datetime) -> tuple[str, bool]:
    """Return the same for machines: one JSON object, and whether every model is routable."""
    reports = [standing(config, model, at) for model in sorted(config.models)]
    routable = all(each.routable for each in reports)
    models = [{**asdict(each), "until": instant(each.until) if each.until else None} for each in reports]
    whole = {"at": instant(at), "digest": config.digest, "routable": routable, "models": models}
    return json.dumps(whole, indent=2, ensure_ascii=False) + "\n", routable


def _model(each: ModelReport) -> list[str]:
    verdict = "routable" if each.routable else "NOT ROUTABLE"
    if each.until:
        verdict += f" until {instant(each.until)}"
    lines = [
        f"{each.model}: {verdict}",
        f"  deployment ASL-{each.deployment}, security ASL-{each.security}",
        f"  standard {each.standard} {each.version}: {each.title}",
        *(f"  and {further}" for further in each.also),
    ]
    if each.unmet:
        lines.append(f"  {len(each.unmet)} rows unmet:")
    for row in each.unmet:
        lines.append(f"    {row.row} ({row.axis} {row.level})")
        for word, text in (("requires", row.requires), ("unmet", row.why), ("source", row.source)):
            lines.extend(
                textwrap.wrap(text, _WIDTH, initial_indent=f"      {word + ':':<10}", subsequent_indent=" " * 16)
            )
    for late in each.overdue:
        if late.then is OnExpiry.STOP_SERVING:
            continue  # an unmet row has told it
        days = "1 day" if late.days == 1 else f"{late.days} days"
        lines.append(f"  overdue by {days}: {late.claim} ({late.row}), {_THEN[late.then]}")
    lines.extend(f"  watches {watched}" for watched in each.watches)
    for gone in each.deviations[:_SHOWN]:
        place = f"{gone.subject} {gone.key}".strip()
        lines.append(f"  not as {gone.claim} describes ({gone.effect}): {place}: {gone.described}, now {gone.now}")
    if len(each.deviations) > _SHOWN:
        lines.append(f"  and {len(each.deviations) - _SHOWN} more deviations; see guard check --json")
    return lines


def instant(at: datetime) -> str:
    """Write an instant in UTC, to the second."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
