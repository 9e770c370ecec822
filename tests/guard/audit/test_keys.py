"""The folder of wrapped keys: one per owner, class and day, whoever comes first; nothing that is damaged is used."""

from __future__ import annotations

import json
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from guard.audit.keys import DataKeys, KeyFolder, Stored, read, withdraw
from guard.audit.wrapping import Investigator, Kek, KeyUnavailableError, data_key

KEK = Kek("ab" * 32)
PRIVATE = X25519PrivateKey.generate()
DAY, NEXT = "2026-11-23", "2026-11-24"
WHOSE = ("a team", "content-30")


def keys(directory: Path, *, investigator: bool = False) -> DataKeys:
    return DataKeys(KeyFolder(directory), KEK, PRIVATE.public_key() if investigator else None)


def stored(directory: Path, day: str = DAY) -> list[Stored]:
    return list(KeyFolder(directory).of(day))


def test_a_key_is_the_same_for_every_process_and_another_for_every_owner_class_and_day(tmp_path: Path) -> None:
    one = keys(tmp_path).get(*WHOSE, DAY)
    assert keys(tmp_path).get(*WHOSE, DAY) == one
    others = [
        keys(tmp_path).get("another", "content-30", DAY),
        keys(tmp_path).get("a team", "flagged-730", DAY),
        keys(tmp_path).get(*WHOSE, NEXT),
    ]
    assert len({one.secret, *(other.secret for other in others)}) == 4
    assert len({one.id, *(other.id for other in others)}) == 4


def test_two_processes_that_make_it_at_once_share_one(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: keys(tmp_path).get(*WHOSE, DAY).secret, range(32)))
    assert len(set(found)) == 1
    assert [path.name for path in (tmp_path / DAY).iterdir()] == [stored(tmp_path)[0].path.name]


def test_the_folder_holds_no_key_in_clear_and_is_for_its_owner_only(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    key = keys(folder).get(*WHOSE, DAY)
    (one,) = stored(folder)
    raw = one.path.read_bytes()
    assert key.secret not in raw
    assert key.secret.hex().encode() not in raw
    assert stat.S_IMODE(one.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == stat.S_IMODE((folder / DAY).stat().st_mode) == 0o700


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"a team", b"a tram"),
        (b'"version":1', b'"version":2'),
        (b"content-30", b"../../etc"),
        (b'"id":"', b'"id":"00'),
        (b'"kek"', b'"kekk"'),
        (b"}", b""),
        (b"}\n", b"}{}"),
        (b"{", b"\xff" * 70_000),
    ],
)
def test_a_damaged_file_is_not_used_and_not_replaced(tmp_path: Path, old: bytes, new: bytes) -> None:
    keys(tmp_path).get(*WHOSE, DAY)
    path = stored(tmp_path)[0].path
    damaged = path.read_bytes().replace(old, new, 1)
    path.write_bytes(damaged)
    with pytest.raises(KeyUnavailableError, match=f"{DAY}/content-30"):
        keys(tmp_path).get(*WHOSE, DAY)
    assert path.read_bytes() == damaged


def test_a_file_under_another_name_is_not_used(tmp_path: Path) -> None:
    keys(tmp_path).get(*WHOSE, DAY)
    path = stored(tmp_path)[0].path
    (tmp_path / NEXT).mkdir()
    path.rename(tmp_path / NEXT / path.name)
    with pytest.raises(KeyUnavailableError):
        keys(tmp_path).get(*WHOSE, NEXT)


def test_the_key_of_another_guard_is_a_clear_error(tmp_path: Path) -> None:
    DataKeys(KeyFolder(tmp_path), Kek("cd" * 32)).get(*WHOSE, DAY)
    with pytest.raises(KeyUnavailableError, match="wrapped by the key"):
        keys(tmp_path).get(*WHOSE, DAY)


def test_a_disk_that_fails_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / DAY).write_text("in the way")
    with pytest.raises(OSError, match="directory"):
        keys(tmp_path).get(*WHOSE, DAY)


def test_after_its_day_a_key_opens_only_for_the_investigator(tmp_path: Path) -> None:
    mine = keys(tmp_path, investigator=True)
    key = mine.get(*WHOSE, DAY)
    mine.turn(DAY)
    assert stored(tmp_path)[0].file.kek is not None
    mine.turn(NEXT)
    (one,) = stored(tmp_path)
    assert one.file.kek is None
    with pytest.raises(KeyUnavailableError, match="its day is over"):
        KEK.open(one.file)
    assert data_key(one.file, Investigator(PRIVATE).open(one.file)) == key


def test_a_clock_that_ran_ahead_and_came_back_gets_another_key(tmp_path: Path) -> None:
    mine = keys(tmp_path, investigator=True)
    before = mine.get(*WHOSE, DAY)
    mine.turn(NEXT)
    after = mine.get(*WHOSE, DAY)
    assert after.secret != before.secret
    assert len(stored(tmp_path)) == 2
    assert keys(tmp_path, investigator=True).get(*WHOSE, DAY) == after


def test_without_an_investigator_a_key_stays_as_it_is(tmp_path: Path) -> None:
    mine = keys(tmp_path)
    mine.get(*WHOSE, DAY)
    before = stored(tmp_path)[0].path.read_bytes()
    mine.turn(NEXT)
    assert withdraw(KeyFolder(tmp_path), NEXT) == 0
    assert stored(tmp_path)[0].path.read_bytes() == before


def test_one_damaged_file_does_not_save_the_others_from_withdrawal_and_it_is_tried_again(tmp_path: Path) -> None:
    mine = keys(tmp_path, investigator=True)
    for owner in ("a", "b", "c"):
        mine.get(owner, "content-30", DAY)
    paths = [each.path for each in stored(tmp_path)]
    whole = paths[1].read_bytes()
    paths[1].write_bytes(b"damaged")
    with pytest.raises(KeyUnavailableError):
        mine.turn(NEXT)
    paths[1].write_bytes(whole)
    assert [each.file.kek is None for each in stored(tmp_path)] == [True, False, True]
    mine.turn(NEXT)
    assert all(each.file.kek is None for each in stored(tmp_path))


def test_withdrawal_reaches_back_over_days_on_which_nothing_ran(tmp_path: Path) -> None:
    mine = keys(tmp_path, investigator=True)
    days = ["2026-11-01", "2026-11-10", "2026-11-20"]
    for day in days:
        mine.get(*WHOSE, day)
    assert withdraw(KeyFolder(tmp_path), "2026-11-20") == 2
    assert [stored(tmp_path, day)[0].file.kek is None for day in days] == [True, True, False]


def test_a_destroyed_key_is_gone_and_destroying_it_again_is_no_error(tmp_path: Path) -> None:
    keys(tmp_path).get(*WHOSE, DAY)
    folder = KeyFolder(tmp_path)
    (one,) = stored(tmp_path)
    left = one.path.with_name(f".{one.path.name}.00.1.new")
    left.write_bytes(one.path.read_bytes())
    folder.destroy(one)
    folder.destroy(one)
    assert list((tmp_path / DAY).iterdir()) == []


def test_names_that_are_no_keys_are_passed_over(tmp_path: Path) -> None:
    keys(tmp_path).get(*WHOSE, DAY)
    (tmp_path / DAY / ".left.new").touch()
    (tmp_path / DAY / "README").touch()
    (tmp_path / "holds").mkdir()
    assert KeyFolder(tmp_path).days() == [DAY]
    assert len(stored(tmp_path)) == 1
    assert KeyFolder(tmp_path / "none").days() == []


def test_a_file_that_holds_what_its_name_says_is_read(tmp_path: Path) -> None:
    keys(tmp_path).get(*WHOSE, DAY)
    (one,) = stored(tmp_path)
    assert read(one.path) == one.file
    assert read(tmp_path / "2026-11-23" / "content-30.00.0.key") is None
    assert json.loads(one.path.read_bytes())["owner"] == "a team"
    assert msgspec.json.decode(one.path.read_bytes())["day"] == DAY
