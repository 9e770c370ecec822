"""The lag that a worker sees can only be too long: nothing that fails makes it shorter."""

from __future__ import annotations

from pathlib import Path

import pytest

from guard.shipping.cursor import FOLDER
from guard.shipping.status import FILE, CopiesBehind, Status, read_status, write_status
from safeguards.decision import Failure, Unavailable
from tests.guard.audit.fakes import Clock


def test_what_is_written_is_read(tmp_path: Path) -> None:
    status = Status(5.0, "the store is away", 1, 2, 3, {"worker-0": 7})
    write_status(tmp_path, status)
    assert read_status(tmp_path) == status


def test_lag_grows_until_something_is_told(tmp_path: Path) -> None:
    clock = Clock()
    copies = CopiesBehind(tmp_path, clock)
    write_status(tmp_path, Status(clock.now() - 3.0))
    assert copies.lag() == 3.0
    clock.pass_(10.0)
    assert copies.lag() == 13.0
    write_status(tmp_path, Status(clock.now()))
    clock.pass_(1.0)
    assert copies.lag() == 1.0
    clock.wall -= 50.0  # set back
    assert copies.lag() == 0.0


@pytest.mark.parametrize("content", [None, b"", b"{}", b"[]", b'{"shipped_to": "now"}'])
def test_without_a_word_it_is_not_known(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / FOLDER).mkdir()
        (tmp_path / FOLDER / FILE).write_bytes(content)
    with pytest.raises(Unavailable) as told:
        CopiesBehind(tmp_path, Clock()).lag()
    assert told.value.failure is Failure.UNREACHABLE


def test_what_cannot_be_read_is_not_known_and_is_tried_again(tmp_path: Path) -> None:
    clock = Clock()
    (tmp_path / FOLDER / FILE).mkdir(parents=True)
    copies = CopiesBehind(tmp_path, clock)
    with pytest.raises(Unavailable, match="directory"):
        copies.lag()
    (tmp_path / FOLDER / FILE).rmdir()
    write_status(tmp_path, Status(clock.now()))
    clock.pass_(1.0)
    assert copies.lag() == 1.0
