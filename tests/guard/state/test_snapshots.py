"""Snapshots are whole or not there, and one of them is in force, at whatever instruction the writer was killed."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.state import snapshots as module
from guard.state.snapshots import Current, SnapshotError, Snapshots

ONE, TWO = "1" * 64, "2" * 64
FILES = {"guard.yaml": b"guard", "tiers.yaml": b"tiers", "models/demo.yaml": b"demo", "rules/a.yaml": b"rules"}
OTHER = {**FILES, "models/demo.yaml": b"other"}


class KilledError(Exception):
    """The process is no more."""


def held(place: Path) -> dict[str, bytes]:
    return {str(path.relative_to(place)): path.read_bytes() for path in place.rglob("*") if path.is_file()}


def current(digest: str, *remembered: str) -> Current:
    return Current(digest, 5.0, "files", frozenset(remembered))


def test_a_snapshot_holds_what_was_put_there_for_its_owner_alone(tmp_path: Path) -> None:
    kept = Snapshots(tmp_path)
    assert kept.current() is None
    place = kept.put(ONE, FILES)
    assert place == kept.place(ONE) == tmp_path / "policy" / ONE
    assert held(place) == FILES
    assert {path.stat().st_mode & 0o077 for path in (place, *place.rglob("*"))} == {0}
    kept.choose(current(ONE, "model big"))
    assert Snapshots(tmp_path).current() == current(ONE, "model big")


def test_what_is_there_stays_and_what_was_damaged_is_made_anew(tmp_path: Path) -> None:
    kept = Snapshots(tmp_path)
    place = kept.put(ONE, FILES)
    inode = place.stat().st_ino
    kept.put(ONE, FILES)
    assert place.stat().st_ino == inode
    (place / "tiers.yaml").write_text("damage")
    kept.put(ONE, FILES)
    assert held(place) == FILES
    assert [path.name for path in (tmp_path / "policy").iterdir()] == [ONE]


def test_what_is_the_same_as_before_is_the_same_file_and_the_rest_is_not(tmp_path: Path) -> None:
    kept = Snapshots(tmp_path)
    first = kept.put(ONE, FILES)
    second = kept.put(TWO, OTHER, like=ONE)
    assert held(second) == OTHER
    assert held(first) == FILES
    assert (first / "tiers.yaml").samefile(second / "tiers.yaml")
    assert not (first / "models/demo.yaml").samefile(second / "models/demo.yaml")
    shutil.rmtree(first)
    assert held(second) == OTHER
    assert held(kept.put(ONE, FILES, like="3" * 64)) == FILES  # nothing lies there


@given(st.integers(0, 40))
def test_killed_at_any_sync_a_whole_policy_is_in_force(tmp_path_factory: pytest.TempPathFactory, survives: int) -> None:
    state = tmp_path_factory.mktemp("state")
    Snapshots(state).put(ONE, FILES)
    Snapshots(state).choose(current(ONE))
    left = survives

    def sync(fd: int) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise KilledError
        os.fsync(fd)

    kept = Snapshots(state, sync=sync)
    try:
        kept.put(TWO, OTHER)
        kept.choose(current(TWO))
    except KilledError:
        pass
    found = Snapshots(state).current()
    assert found is not None
    assert held(Snapshots(state).place(found.digest)) == {ONE: FILES, TWO: OTHER}[found.digest]
    if Snapshots(state).place(TWO).exists():
        assert held(Snapshots(state).place(TWO)) == OTHER
    assert held(Snapshots(state).put(TWO, OTHER)) == OTHER  # and the next attempt succeeds
    Snapshots(state).prune({ONE, TWO})
    assert not [path for path in (state / "policy").iterdir() if path.is_dir() and path.name.startswith(".")]


def test_a_disk_that_is_full_leaves_the_policy_before_in_force(tmp_path: Path) -> None:
    kept = Snapshots(tmp_path)
    kept.put(ONE, FILES)
    kept.choose(current(ONE))

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    broken = Snapshots(tmp_path, sync=full)
    with pytest.raises(OSError, match="No space"):
        broken.put(TWO, OTHER)
    with pytest.raises(OSError, match="No space"):
        broken.choose(current(TWO))
    assert kept.current() == current(ONE)
    assert not kept.place(TWO).exists()


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b"\xff", b"[" * 100_000, json.dumps({"digest": "short", "since": 1}).encode()],
)
def test_a_damaged_note_is_an_error_and_never_no_policy(tmp_path: Path, content: bytes) -> None:
    kept = Snapshots(tmp_path)
    kept.put(ONE, FILES)
    kept.choose(current(ONE))
    (tmp_path / "policy" / "current").write_bytes(content)
    with pytest.raises(SnapshotError, match="put it back"):
        kept.current()


def test_only_the_last_few_are_kept_and_never_less_than_those_in_use(tmp_path: Path) -> None:
    kept = Snapshots(tmp_path)
    digests = [f"{number:064x}" for number in range(9)]
    for age, digest in enumerate(digests):
        os.utime(kept.put(digest, FILES), (age, age))
    (tmp_path / "policy" / ".left").mkdir()
    kept.prune({digests[0], digests[8]})
    assert sorted(path.name for path in (tmp_path / "policy").iterdir()) == [digests[0], *digests[5:]]
    Snapshots(tmp_path / "nowhere").prune({ONE})


def test_what_is_no_digest_leads_nowhere(tmp_path: Path) -> None:
    for digest in ("", "..", "../" + "1" * 61, "A" * 64, "1" * 65):
        with pytest.raises(ValueError, match="64 hexadecimal digits"):
            Snapshots(tmp_path).place(digest)


def test_more_than_can_be_remembered_is_an_error_and_nothing_is_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_REMEMBERED", 1)
    kept = Snapshots(tmp_path)
    kept.choose(current(ONE, "a"))
    with pytest.raises(SnapshotError):
        kept.choose(current(TWO, "a", "b"))
    assert kept.current() == current(ONE, "a")
