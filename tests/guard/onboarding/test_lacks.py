"""What each level would still lack."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from guard.onboarding.lacks import CHOSEN, lacks
from guard.policy.floor import unmet
from tests.guard.onboarding.test_files import loaded, setup

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def rows(directory: Path, asl: int) -> dict[tuple[str, int], set[str]]:
    found = lacks(loaded(directory, setup(asl=asl)), "chat-7b", NOW)
    return {(f"{lack.standard} {lack.version}", lack.asl): {row.row for row in lack.rows} for lack in found}


def test_a_fresh_model_lacks_nothing_at_level_1_but_to_have_its_thresholds_ruled_out(tmp_path: Path) -> None:
    found = rows(tmp_path, 1)
    assert found["example-internal 1", 1] == set()
    assert found["example-internal 1", 2] == {"L2.model_card", "L2.usage_policy"}
    assert found["example-internal 1", 3] >= {"L2.model_card", "L3.durable_intent", "L3.threat_model"}
    for published, thresholds in (
        ("anthropic-rsp 2.2", "A5"),
        ("anthropic-rsp 3.4", "A14.states"),
        ("openai-preparedness 2", "H13.states"),
        ("google-fsf 3.1", "H14.states"),
    ):
        assert found[published, 2] > found[published, 1] == {thresholds}
        assert len(found[published, 3]) > len(found[published, 2])


def test_a_model_written_for_level_3_lacks_evidence_alone(tmp_path: Path) -> None:
    assert rows(tmp_path, 3)["example-internal 1", 3] == {
        *("L2.model_card", "L2.usage_policy", "L3.threat_model", "L3.red_team_report", "L3.safeguards_report")
    }


@pytest.mark.parametrize("asl", [1, 2, 3])
def test_its_own_level_lacks_what_the_floor_says(tmp_path: Path, asl: int) -> None:
    config = loaded(tmp_path, setup(asl=asl))
    (own,) = [
        each for each in lacks(config, "chat-7b", NOW) if (each.standard, each.version, each.asl) == (*CHOSEN, asl)
    ]
    assert own.rows == unmet(config, "chat-7b", NOW)
