"""What each measure of the monitoring counts, out of the counters that the workers publish."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import Final

from guard.policy.monitoring import Measure
from guard.serve.window import Totals
from guard.telemetry.meter import OTHER, Key
from safeguards.decision import Ending

NOTHING: Final = Totals(0.0, 0.0)
_ENDINGS: Final[Mapping[str, Measure]] = {
    Ending.BLOCKED_INPUT: Measure.BLOCK_RATE,
    Ending.BLOCKED_OUTPUT: Measure.BLOCK_RATE,
    Ending.DENIED: Measure.DENIAL_RATE,
    Ending.ERROR: Measure.ERROR_RATE,
}


def measured(
    counters: Iterable[tuple[Key, float]], classifiers: Mapping[str, AbstractSet[str]]
) -> dict[tuple[str, Measure], Totals]:
    """Return the totals of every measure of these models since the guard began; a key may come several times.

    ``classifiers`` names the models, and the mounts whose judgements count as hits. Exchanges that a stop order ended
    count nowhere: what is stopped says nothing about how it is used. Nor do those that ended as they did by a reload or
    a pushed rule, or that were denied to callers whom an order had sent here from another model.
    """
    parts: dict[tuple[str, Measure], float] = {}
    ended: dict[str, float] = {}
    judged: dict[str, float] = {}
    for key, value in counters:
        if len(key) < 2 or key[1] not in classifiers or not value:  # noqa: PLR2004 - a name and a model
            continue
        model, found = key[1], None
        if key[0] == "guard_requests_total":
            if key[4] == Ending.STOPPED:
                continue
            ended[model] = ended.get(model, 0.0) + value
            found = _ENDINGS.get(key[4])
        elif key[0] == "guard_requests_not_judged_total" and key[2] != Ending.STOPPED:
            ended[model] = ended.get(model, 0.0) - value
            if key[2] in _ENDINGS:
                parts[model, _ENDINGS[key[2]]] = parts.get((model, _ENDINGS[key[2]]), 0.0) - value
        elif key[0] == "guard_decisions_total" and key[2] in classifiers[model]:
            judged[model] = judged.get(model, 0.0) + value
            found = Measure.HIT_RATE if key[4] == "deny" else None
        elif key[0] == "guard_unscanned_total":
            found = Measure.UNSCANNED_RATE
        if found is not None:
            parts[model, found] = parts.get((model, found), 0.0) + value
    return {
        (model, measure): Totals(
            parts.get((model, measure), 0.0), (judged if measure is Measure.HIT_RATE else ended).get(model, 0.0)
        )
        for model in classifiers
        for measure in Measure
    }


def collapsed(counters: Iterable[tuple[Key, float]]) -> bool:
    """Whether exchanges were counted under no model's name, because the cap on series was reached."""
    return any(value and len(key) > 1 and key[1] == OTHER for key, value in counters)
