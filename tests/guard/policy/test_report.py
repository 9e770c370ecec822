"""What `guard check` prints, for people and for machines."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from types import MappingProxyType

import pytest

from guard.policy.load import load
from guard.policy.model import Levels
from guard.policy.monitoring import Monitoring
from guard.policy.report import report, report_json
from guard.policy.standard import AttestedRow, OnExpiry
from tests.bad_config.test_bad_config import BUILTIN, HERE

CONFIG = load(HERE / "base", BUILTIN)
NOW = datetime(2026, 11, 23, tzinfo=UTC)
LATE = datetime(2027, 5, 3, tzinfo=UTC)


def test_a_routable_model_is_reported_with_its_levels_and_its_end() -> None:
    text, routable = report(CONFIG, NOW)
    assert routable
    assert text == (
        "demo: routable until 2027-02-09T00:00:00Z\n"
        "  deployment ASL-2, security ASL-1\n"
        "  standard house 1: A small floor for tests\n"
        "\n"
        f"1 of 1 models routable at 2026-11-23T00:00:00Z; configuration {CONFIG.digest}\n"
    )


def test_the_bands_of_a_model_are_shown_with_their_review() -> None:
    band = {"value": "block_rate", "window_seconds": 300, "max": 0.05, "at_least": 200, "then": "step_down"}
    monitoring = Monitoring.model_validate({"bands": (band,), "reviewed": "2026-11-01", "review_every_days": 30})
    policy = CONFIG.models["demo"].model_copy(update={"monitoring": monitoring})
    watched = replace(CONFIG, models=MappingProxyType({"demo": policy}))
    text, _ = report(watched, NOW)
    assert "  watches block_rate over 300 s within 0 to 0.05, of 200 or more; else step_down\n" in text
    assert "  watches the bands again: reviewed 2026-11-01, next by 2026-12-01\n" in text
    assert len(json.loads(report_json(watched, NOW)[0])["models"][0]["watches"]) == 2


def test_every_unmet_row_is_reported_with_its_words_and_why() -> None:
    text, routable = report(CONFIG, LATE)
    assert not routable
    assert text == (
        "demo: NOT ROUTABLE\n"
        "  deployment ASL-2, security ASL-1\n"
        "  standard house 1: A small floor for tests\n"
        "  3 rows unmet:\n"
        "    D1.card (deployment 1)\n"
        "      requires: There is a model card.\n"
        "      unmet:    the attestation of model_card expired 2 days ago (2027-05-01)\n"
        "      source:   the tests\n"
        "    D2.card (deployment 2)\n"
        "      requires: The model card is not older than 100 days.\n"
        "      unmet:    the attestation of model_card passed its greatest age of 100 days 83 days ago\n"
        "      source:   the tests\n"
        "    D2.policy (deployment 2)\n"
        "      requires: There is a usage policy.\n"
        "      unmet:    the attestation of usage_policy expired 2 days ago (2027-05-01)\n"
        "      source:   the tests\n"
        "\n"
        f"0 of 1 models routable at 2027-05-03T00:00:00Z; configuration {CONFIG.digest}\n"
    )


def test_one_model_below_its_floor_makes_the_whole_not_routable() -> None:
    second = CONFIG.models["demo"].model_copy(update={"model": "second", "asl": Levels(deployment=3, security=1)})
    both = replace(
        CONFIG,
        models=MappingProxyType({"second": second, "demo": CONFIG.models["demo"]}),
        evidence=MappingProxyType({"demo": CONFIG.evidence["demo"], "second": CONFIG.evidence["demo"]}),
    )
    text, routable = report(both, NOW)
    assert not routable
    assert [line for line in text.splitlines() if line.endswith("ROUTABLE") or "routable" in line] == [
        "demo: routable until 2027-02-09T00:00:00Z",
        "second: NOT ROUTABLE",
        f"1 of 2 models routable at 2026-11-23T00:00:00Z; configuration {CONFIG.digest}",
    ]
    assert not report_json(both, NOW)[1]


@pytest.mark.parametrize("at", [NOW, LATE])
def test_the_json_says_the_same(at: datetime) -> None:
    text, routable = report_json(CONFIG, at)
    whole = json.loads(text)
    assert routable == whole["routable"] == report(CONFIG, at)[1]
    assert whole["digest"] == CONFIG.digest
    (model,) = whole["models"]
    assert (model["model"], model["deployment"], model["security"]) == ("demo", 2, 1)
    assert model["until"] == ("2027-02-09T00:00:00Z" if at is NOW else None)
    assert [row["row"] for row in model["unmet"]] == ([] if at is NOW else ["D1.card", "D2.card", "D2.policy"])
    assert all(row["why"] and row["requires"] and row["source"] for row in model["unmet"])


def test_evidence_that_has_lapsed_without_stopping_the_model_is_counted_in_days() -> None:
    standard = CONFIG.standard("demo")
    rows = tuple(
        row.model_copy(update={"parameters": row.parameters.model_copy(update={"on_expiry": OnExpiry.WARN})})
        for row in standard.rows
        if isinstance(row, AttestedRow) and row.id == "D1.card"
    )
    softened = replace(CONFIG, standards=MappingProxyType({("house", "1"): standard.model_copy(update={"rows": rows})}))
    text, routable = report(softened, LATE)
    assert routable
    assert "  overdue by 2 days: model_card (D1.card), which only warns\n" in text
    (model,) = json.loads(report_json(softened, LATE)[0])["models"]
    assert model["overdue"] == [{"row": "D1.card", "claim": "model_card", "days": 2, "then": "warn"}]
