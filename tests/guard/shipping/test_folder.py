"""A file share: files appear whole, and an unmounted share is not mistaken for an empty one."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from guard.shipping.folder import FolderStore
from guard.shipping.store import MAX_OBJECT_BYTES, StoreError


def test_a_share_that_is_not_mounted_is_an_error_and_nothing_is_made(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="is the share mounted"):
        FolderStore(tmp_path / "share").put("one", b"bytes")
    assert not (tmp_path / "share").exists()


def test_files_are_for_their_owner_and_no_draft_is_left(tmp_path: Path) -> None:
    FolderStore(tmp_path).put("a/one", b"bytes")
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["one"]
    assert (tmp_path / "a" / "one").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o700


def test_a_share_without_hard_links_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EOPNOTSUPP, "not supported")

    monkeypatch.setattr(os, "link", refuse)
    store = FolderStore(tmp_path)
    store.put("one", b"bytes")
    store.put("one", b"bytes")
    assert store.get("one") == b"bytes"
    assert [path.name for path in tmp_path.iterdir()] == ["one"]


def test_a_full_share_is_told_and_leaves_nothing_of_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match="No space left"):
        FolderStore(tmp_path).put("one", b"bytes")
    assert list(tmp_path.iterdir()) == []


def test_what_is_longer_than_any_object_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "long").open("wb") as file:
        file.truncate(MAX_OBJECT_BYTES + 1)
    with pytest.raises(StoreError, match="long: longer than"):
        FolderStore(tmp_path).get("long")
