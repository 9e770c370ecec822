"""What waits for approval on the disk: found again as it was, and whatever else lies there is passed over."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.state.asked import MAX_BYTES, Asked, AskedFolder
from guard.state.orders import Approver

ASKED = Asked("{}\n", "model:strict", "ana", 60.0, (Approver("ben", "-----x"),))


def test_it_is_found_as_it_was_put_and_open_to_its_owner_alone(tmp_path: Path) -> None:
    folder = AskedFolder(tmp_path)
    assert folder.read() == ()
    folder.write(ASKED)
    other = Asked("other\n", "all", "ben", 61.0)
    folder.write(other)
    assert set(folder.read()) == {ASKED, other}
    (file,) = (tmp_path / "asked").glob(f"{ASKED.name}.json")
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    folder.remove(ASKED.name)
    folder.remove(ASKED.name)
    assert folder.read() == (other,)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{}",
        b"\xff",
        b'{"statement":"{}\\n","target":"all","who":"ana","expires":"x"}',
        b'{"statement":"{}\\n","target":"all","who":"ana","expires":1,"more":1}',
        b'{"statement":"{}\\n","target":"all","who":"ana","expires":1,"approvers":[{"person":"A B","signature":"x"}]}',
        b'{"statement":"another","target":"all","who":"ana","expires":1}',
        b" " * (MAX_BYTES + 1),
    ],
)
def test_what_is_no_statement_of_that_name_is_passed_over(raw: bytes, tmp_path: Path) -> None:
    folder = AskedFolder(tmp_path)
    folder.write(ASKED)
    file = tmp_path / "asked" / f"{ASKED.name}.json"
    file.write_bytes(raw)
    assert folder.read() == ()


@given(raw=st.binary(max_size=200))
def test_any_bytes_are_read_without_harm(raw: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    state = tmp_path_factory.mktemp("asked")
    (state / "asked").mkdir()
    (state / "asked" / "0.json").write_bytes(raw)
    assert AskedFolder(state).read() == ()
