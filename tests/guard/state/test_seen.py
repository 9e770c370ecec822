"""What a replica has seen stays seen through restarts, and doubt stays until a person has looked."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.state.engine import Head
from guard.state.seen import Distrust, Seen, SeenError

HEAD = Head("an engine", 7, bytes(range(32)))


def test_what_was_seen_is_there_after_a_restart(tmp_path: Path) -> None:
    assert Seen(tmp_path).head() is None
    Seen(tmp_path).saw(HEAD)
    assert Seen(tmp_path).head() == HEAD
    assert (tmp_path / "fleet" / "seen").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in (tmp_path / "fleet").iterdir()] == ["seen"]


def test_doubt_holds_until_it_is_accepted_and_then_all_is_begun_anew(tmp_path: Path) -> None:
    seen = Seen(tmp_path)
    seen.saw(HEAD)
    wrong = Distrust("an engine", "it went back", 12.0)
    seen.doubt(wrong)
    assert Seen(tmp_path).distrust() == wrong
    assert not seen.take_acceptance()
    assert Seen(tmp_path).accept() == wrong
    assert Seen(tmp_path).accept() is None
    assert seen.take_acceptance()
    assert (seen.head(), seen.distrust()) == (None, None)
    assert not seen.take_acceptance()


def test_a_new_doubt_takes_back_an_acceptance_that_was_not_taken_yet(tmp_path: Path) -> None:
    seen = Seen(tmp_path)
    seen.doubt(Distrust("a", "first", 1.0))
    seen.accept()
    seen.doubt(Distrust("a", "second", 2.0))
    assert not seen.take_acceptance()


@pytest.mark.parametrize("name", ["seen", "distrusted"])
@given(content=st.binary(max_size=200) | st.sampled_from([b"{}", b"[]", b"null", b'{"engine": "a", "position": -1}']))
def test_a_damaged_note_is_an_error_and_never_nothing(
    tmp_path_factory: pytest.TempPathFactory, name: str, content: bytes
) -> None:
    folder = tmp_path_factory.mktemp("seen")
    (folder / "fleet").mkdir()
    (folder / "fleet" / name).write_bytes(content)
    seen = Seen(folder)
    with pytest.raises(SeenError, match="is damaged"):
        seen.head() if name == "seen" else seen.distrust()
