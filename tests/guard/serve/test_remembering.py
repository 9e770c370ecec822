"""What is remembered of every policy, and the words of the record."""

from __future__ import annotations

from pathlib import Path

from guard.policy.load import load
from guard.policy.standard import Levels
from guard.serve.remembering import MAX_TOLD, in_words, last_levels, note
from guard.state.snapshots import Snapshots
from tests.parts.configuration import ModelSpec, write_configuration


def test_levels_and_care_outlive_the_models_they_are_of_and_a_restart(tmp_path: Path) -> None:
    write_configuration(tmp_path / "one", models=[ModelSpec("big", 3), ModelSpec("small", 2, "http://127.0.0.1:8")])
    write_configuration(tmp_path / "two", models=[ModelSpec("small", 1, "http://127.0.0.1:8")])
    one, two = load(tmp_path / "one"), load(tmp_path / "two")
    first = note(one, 5.0, "start", None)
    second = note(two, 6.0, "Ada", first)
    assert (second.digest, second.since, second.who) == (two.digest, 6.0, "Ada")
    assert second.remembered == {"model big", "upstream this host:9"}
    kept = Snapshots(tmp_path / "state")
    kept.choose(second)
    found = kept.current()
    assert found == second
    levels = last_levels(second)
    assert levels["model big"] == levels["weights this host:9"] == Levels(deployment=3, security=3)
    assert levels["model small"] == levels["weights this host:8"] == Levels(deployment=1, security=1)


def test_the_record_names_approvers_lowered_levels_and_the_standards_with_their_hashes() -> None:
    words = in_words(
        3, "weaker", approved_by=("ana", "ben"), lowered=("demo: deployment 3 -> 2",), standards=("s 1 ab",)
    )
    assert words == "3 changes: weaker, approved by ana, ben; levels lowered: demo: deployment 3 -> 2; under s 1 ab"
    assert in_words(1, "", approved_by=(), lowered=(), standards=("s 1 ab", "t 2 cd")) == (
        "1 change: none; under s 1 ab; t 2 cd"
    )


def test_what_the_record_names_is_bounded() -> None:
    words = in_words(1, "weaker", approved_by=(), lowered=[f"m{n}" for n in range(MAX_TOLD + 5)], standards=("s",))
    assert f"m{MAX_TOLD - 1}; and 5 more; under s" in words
