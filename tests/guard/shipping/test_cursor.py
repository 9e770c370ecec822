"""The cursor remembers durably how far each source is, for each target apart."""

from __future__ import annotations

from pathlib import Path

import pytest

from guard.audit.segments import LedgerError
from guard.shipping.cursor import Cursor, Position


def test_what_was_moved_is_known_to_the_next_process_and_to_no_other_target(tmp_path: Path) -> None:
    cursor = Cursor(tmp_path, "here")
    assert cursor.at("worker-0") == Position()
    cursor.move("worker-0", Position("seg-1", 5, 9))
    cursor.move("worker-0", Position("seg-2", 7, 12))
    assert Cursor(tmp_path, "here").at("worker-0") == Position("seg-2", 7, 12)
    assert Cursor(tmp_path, "there").at("worker-0") == Position()


def test_sources_are_found_by_how_their_names_begin_and_forgotten_by_name(tmp_path: Path) -> None:
    cursor = Cursor(tmp_path, "here")
    for source in ("w_1/bodies/a", "w_1/bodies/b", "w_1/tile", "wx1/bodies/c"):
        cursor.move(source, Position("", 1))
    assert set(cursor.below("w_1/bodies/")) == {"w_1/bodies/a", "w_1/bodies/b"}
    cursor.forget(["w_1/bodies/a", "nothing"])
    assert set(cursor.below("w_1/bodies/")) == {"w_1/bodies/b"}


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "shipping").write_text("a file")
    with pytest.raises(LedgerError, match="cursor-"):
        Cursor(tmp_path, "here")
