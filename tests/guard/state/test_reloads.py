"""The note of the last reload: read back as it was written, and never trusted to be whole."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.state.reloads import Outcome, Posted, Reloaded, post, posted
from guard.telemetry.metric import Reload

RELOADED = Reloaded(Outcome.REFUSED, "signal", "a" * 64, "b" * 64, 5.0, problems=("guard.yaml:3: workers: ümlaut",))


def test_what_was_posted_is_read_back(tmp_path: Path) -> None:
    assert posted(tmp_path) is None
    note = Posted(1, 2, 3, 4.0, "why", RELOADED.fields())
    post(tmp_path, note)
    found = posted(tmp_path)
    assert found is not None
    assert (found.pid, found.started, found.count, found.since, found.differs) == (1, 2, 3, 4.0, "why")
    assert found.last["outcome"] == "refused"
    assert found.last["problems"] == list(RELOADED.problems)


@given(st.binary(max_size=200))
def test_anything_else_is_no_note(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    state = tmp_path_factory.mktemp("state")
    (state / "policy").mkdir()
    (state / "policy" / "last").write_bytes(content)
    assert posted(state) is None


def test_what_became_of_a_reload_has_the_same_words_in_the_metrics() -> None:
    assert [each.value for each in Outcome] == [each.value for each in Reload]


def test_only_what_is_in_force_was_taken() -> None:
    taken = {outcome for outcome in Outcome if Reloaded(outcome, "", "", "", 0.0).taken}
    assert taken == {Outcome.IN_FORCE, Outcome.UNCHANGED}
