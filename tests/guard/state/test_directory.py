"""The store: orders as files, whatever else lies there as a stop, and the word that announces.

One file, because every case is something that lies in the same directory.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.state.directory import OrderDirectory
from guard.state.orders import MAX_ORDER_BYTES, StopOrder, encode
from guard.state.scope import EVERYTHING, Scope
from tests.guard.state.parts import exchange, merged, of_a_known_host, resume, stop


def test_what_was_put_is_there_for_every_later_reader(tmp_path: Path) -> None:
    first, second = stop("all", 1), stop("model:demo", 2)
    lift = resume(first)
    directory = OrderDirectory(tmp_path / "state")
    for order in (lift, second, first):
        directory.put(order)
    assert OrderDirectory(tmp_path / "state").snapshot(of_a_known_host) == merged([first, second, lift])


def test_files_and_folders_are_for_the_owner_only_and_nothing_is_left_aside(tmp_path: Path) -> None:
    directory = OrderDirectory(tmp_path / "state")
    directory.put(stop())
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "state").rglob("*")}
    assert modes == {"orders": 0o700, "incoming": 0o700, "generation": 0o600, f"{stop().id}.json": 0o600}


def test_a_missing_directory_is_not_made_for_who_only_wants_to_look(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        OrderDirectory(tmp_path / "state", create=False)
    assert not (tmp_path / "state").exists()


def test_only_a_stop_order_that_is_there_and_can_be_read_is_one(tmp_path: Path) -> None:
    directory = OrderDirectory(tmp_path)
    first, second = stop("all", 1), stop("model:demo", 2)
    lift = resume(first)
    directory.put(first)
    directory.put(lift)
    assert [directory.is_stop(each.id) for each in (first, lift, second)] == [True, False, False]
    (directory.orders / f"{second.id}.json").write_text("{")
    for name in (second.id, "", "STOP", "../orders/" + first.id):
        assert not directory.is_stop(name)


def test_an_order_is_never_overwritten(tmp_path: Path) -> None:
    directory = OrderDirectory(tmp_path)
    order = stop("model:demo")
    directory.put(order)
    directory.put(order)
    other = StopOrder(order.id, Scope.parse("model:other"), "", "ana", order.source, order.created)
    with pytest.raises(FileExistsError, match=order.id):
        directory.put(other)
    assert directory.snapshot(of_a_known_host) == merged([order])


def test_the_version_differs_after_every_put_even_within_one_tick_of_the_file_systems_clock(tmp_path: Path) -> None:
    directory = OrderDirectory(tmp_path)
    versions = [directory.version()]
    for number in range(1, 30):
        directory.put(stop(number=number))
        versions.append(directory.version())
    assert len(set(versions)) == len(versions)


def test_a_put_again_announces_again(tmp_path: Path) -> None:
    directory = OrderDirectory(tmp_path)
    directory.put(stop())
    before = directory.word[0]
    directory.put(stop())
    assert directory.word[0] != before


def write_text(path: Path) -> None:
    path.write_text("model:demo")


def write_nothing(path: Path) -> None:
    path.touch()


def write_too_much(path: Path) -> None:
    path.write_bytes(encode(stop("model:other")) + b" " * MAX_ORDER_BYTES)


def write_another(path: Path) -> None:
    path.write_bytes(encode(stop("model:other", 77)))


def make_folder(path: Path) -> None:
    path.mkdir()


def make_fifo(path: Path) -> None:
    os.mkfifo(path)


def make_link(path: Path) -> None:
    aside = path.parent.parent / "aside"
    aside.write_bytes(encode(stop("model:other")))
    path.symlink_to(aside)


def write_a_mode_of_tomorrow(path: Path) -> None:
    path.write_bytes(encode(stop("model:other")).replace(b'"mode":"stop"', b'"mode":"gentler"'))


def write_a_rung_of_a_key(path: Path) -> None:
    path.write_bytes(encode(stop("key:other-app")).replace(b'"mode":"stop"', b'"mode":"fallback"'))


DAMAGES = [write_text, write_nothing, write_too_much, write_another, make_folder, make_fifo, make_link]
DAMAGES += [write_a_mode_of_tomorrow, write_a_rung_of_a_key]


@pytest.mark.parametrize("damage", DAMAGES)
def test_an_order_that_cannot_be_used_stops_everything_and_names_the_file(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    directory = OrderDirectory(tmp_path)
    name = f"{stop('model:other').id}.json"
    damage(directory.orders / name)
    for asl in (1, 4):
        found = directory.snapshot(of_a_known_host).covering(exchange(asl=asl))
        assert found is not None
        assert found.scope == "all"
        assert name in found.order
        assert name in found.reason


@pytest.mark.parametrize(
    "name",
    [
        "notes.txt",
        ".hidden",
        f"{stop().id}.json~",
        f"{stop().id}.JSON",
        f"{stop().id.lower()}.json",
        f"{stop().id}",
        ".json",
        "STOP~",
        "STOP.modle.demo",
        "STOP.model",
        "STOP.model.",
        "STOP.all.demo",
        "stop",
    ],
)
def test_a_foreign_file_stops_everything_while_it_is_there(tmp_path: Path, name: str) -> None:
    directory = OrderDirectory(tmp_path)
    (directory.orders / name).write_bytes(encode(stop("model:other")))
    assert directory.snapshot(of_a_known_host).covering(exchange("third")) is not None
    (directory.orders / name).unlink()
    assert directory.snapshot(of_a_known_host).covering(exchange("third")) is None


def test_a_name_that_is_not_text_is_shown_in_ascii(tmp_path: Path) -> None:
    directory = OrderDirectory(tmp_path)
    with open(os.fsencode(directory.orders) + b"/\xff\n\xc3\xa9", "wb"):  # noqa: PTH123 - a Path cannot hold it
        pass
    found = directory.snapshot(of_a_known_host).covering(exchange())
    assert found is not None
    assert found.order == "file:???"


@pytest.mark.parametrize(
    ("name", "covered", "free"),
    [
        ("STOP", {"model": "demo"}, None),
        ("STOP.all", {"model": "demo"}, None),
        ("STOP.model.demo", {"model": "demo"}, {"model": "other"}),
        ("STOP.model.demo-1.5_b", {"model": "demo-1.5_b"}, {"model": "demo"}),
        ("STOP.tier.general", {"tier": "general"}, {"tier": "research"}),
        ("STOP.key.demo-app", {"key": "demo-app"}, {"key": "lab"}),
    ],
)
def test_a_stop_file_put_there_by_hand_stops_its_scope_whatever_it_contains(
    tmp_path: Path, name: str, covered: dict[str, str], free: dict[str, str] | None
) -> None:
    directory = OrderDirectory(tmp_path)
    (directory.orders / name).write_bytes(b"\x00 anything")
    state = directory.snapshot(of_a_known_host)
    found = state.covering(exchange(asl=3, **covered))
    assert found is not None
    assert found.order == f"file:{name}"
    if free is not None:
        assert state.covering(exchange(**free)) is None  # type: ignore[arg-type] # only texts are passed


@pytest.mark.parametrize("scope", ["all", "model:demo", "tier:general", "key:demo-app"])
def test_tripping_makes_such_a_file_and_announces_it(tmp_path: Path, scope: str) -> None:
    directory = OrderDirectory(tmp_path)
    before = directory.word[0]
    name = directory.trip(Scope.parse(scope))
    assert directory.trip(Scope.parse(scope)) == name
    assert directory.word[0] != before
    found = directory.snapshot(of_a_known_host).covering(exchange())
    assert found is not None
    assert (found.order, found.scope) == (f"file:{name}", scope)


def test_only_orders_that_are_not_known_are_read(tmp_path: Path) -> None:
    directory = OrderDirectory(tmp_path)
    first, second = stop(number=1), stop(number=2)
    directory.put(first)
    directory.put(second)
    reading = directory.read({first.id})
    assert reading.fresh == (second,)
    assert reading.ids == {first.id, second.id}


def test_a_flood_of_files_stops_everything_and_the_newest_orders_are_still_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("guard.state.directory.MAX_FILES", 50)
    directory = OrderDirectory(tmp_path)
    newest = stop("model:demo", 5)
    directory.put(newest)
    for number in range(50):
        (directory.orders / f"{number:05}").touch()
    reading = directory.read()
    assert reading.fresh == (newest,)
    assert any("more than" in one.reason for one in reading.standing)


def test_a_word_that_cannot_be_written_does_not_keep_the_order_out(tmp_path: Path) -> None:
    directory = OrderDirectory(tmp_path)
    (tmp_path / "generation").unlink()
    (tmp_path / "generation").mkdir()
    directory.put(stop())
    assert directory.snapshot(of_a_known_host) == merged([stop()])


def test_a_replaced_word_is_mapped_anew(tmp_path: Path) -> None:
    reader, writer = OrderDirectory(tmp_path), OrderDirectory(tmp_path)
    (tmp_path / "generation").unlink()
    writer.put(stop())
    reader.refresh()
    writer.refresh()
    assert reader.word[0] == writer.word[0]
    before = reader.word[0]
    writer.put(stop(number=2))
    assert reader.word[0] == writer.word[0] != before


def test_a_truncated_word_is_written_and_mapped_anew_before_it_is_read(tmp_path: Path) -> None:
    reader, writer = OrderDirectory(tmp_path), OrderDirectory(tmp_path)
    os.truncate(tmp_path / "generation", 0)
    reader.refresh()
    assert (tmp_path / "generation").stat().st_size == 8
    writer.put(stop())
    assert reader.word[0] == int.from_bytes((tmp_path / "generation").read_bytes(), sys.byteorder)


def test_a_directory_that_is_gone_is_an_error_and_not_an_empty_one(tmp_path: Path) -> None:
    directory = OrderDirectory(tmp_path)
    directory.orders.rmdir()
    for look in (lambda: directory.snapshot(of_a_known_host), directory.stamp, directory.version, directory.refresh):
        with pytest.raises(FileNotFoundError):
            look()


def test_after_closing_it_can_be_opened_again(tmp_path: Path) -> None:
    directory = OrderDirectory(tmp_path)
    directory.put(stop())
    word = directory.word[0]
    directory.close()
    assert directory.word[0] == 0
    directory.refresh()
    assert directory.word[0] == word


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_what_root_orders_can_be_read_by_the_directorys_owner(tmp_path: Path) -> None:
    directory = OrderDirectory(tmp_path)
    os.chown(directory.orders, 12_345, 12_345)
    (tmp_path / "generation").unlink()
    directory.put(stop())
    for path in (directory.orders / f"{stop().id}.json", tmp_path / "generation"):
        assert (path.stat().st_uid, path.stat().st_gid) == (12_345, 12_345)


def test_a_write_that_fails_leaves_nothing_and_the_stop_file_still_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = OrderDirectory(tmp_path)

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(OSError, match="No space"):
            directory.put(stop())
        directory.trip(Scope.parse("model:demo"))
    assert list((tmp_path / "incoming").iterdir()) == []
    assert [path.name for path in directory.orders.iterdir()] == ["STOP.model.demo"]


@settings(max_examples=40, deadline=None)
@given(st.binary(max_size=300), st.sampled_from([f"{stop('model:other').id}.json", "STOP", "x", "STOP.model.other"]))
def test_no_content_of_a_file_can_break_the_reading(
    tmp_path_factory: pytest.TempPathFactory, raw: bytes, name: str
) -> None:
    directory = OrderDirectory(tmp_path_factory.mktemp("state"))
    directory.put(stop("model:demo", 2))
    (directory.orders / name).write_bytes(raw)
    state = directory.snapshot(of_a_known_host)
    assert state.covering(exchange("demo")) is not None
    assert state.covering(exchange("other")) is not None


@pytest.mark.parametrize("scope", ["all", "model:demo", "org:ACME Ltd"])
def test_a_file_that_stands_in_for_an_order_stops_and_goes_when_it_is_not_needed_any_more(
    tmp_path: Path, scope: str
) -> None:
    directory = OrderDirectory(tmp_path)
    name = directory.stand_in(Scope.parse(scope))
    assert directory.stand_in(Scope.parse(scope)) == name
    assert [str(each.scope) for each in directory.snapshot(of_a_known_host).still_held(3)] == [scope]
    before = directory.word[0]
    directory.stood_in(Scope.parse(scope))
    assert directory.word[0] != before
    assert directory.snapshot(of_a_known_host).ids == set()
    assert list((tmp_path / "incoming").iterdir()) == []
    directory.stood_in(Scope.parse(scope))


@pytest.mark.parametrize("make", [OrderDirectory.trip, OrderDirectory.stand_in])
def test_a_scope_that_no_file_name_can_hold_stops_everything(
    tmp_path: Path, make: Callable[[OrderDirectory, Scope], str]
) -> None:
    """On a full disk too much is stopped rather than nothing; the name that is told says so."""
    directory, scope = OrderDirectory(tmp_path), Scope.parse("org:" + "ü" * 200)
    assert make(directory, scope) == "STOP"
    assert [str(each.scope) for each in directory.snapshot(of_a_known_host).still_held(3)] == ["all"]
    directory.stood_in(scope)
    assert directory.snapshot(of_a_known_host).ids == ({"file:STOP"} if make is OrderDirectory.trip else set())


def test_a_stand_in_that_becomes_somebodys_while_it_is_taken_away_is_put_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = OrderDirectory(tmp_path)
    directory.stand_in(EVERYTHING)
    rename = os.rename

    def late(source: Path, target: Path) -> None:
        source.touch()  # between the look and the removal
        rename(source, target)

    monkeypatch.setattr(os, "rename", late)
    directory.stood_in(EVERYTHING)
    assert directory.snapshot(of_a_known_host).ids == {"file:STOP"}


def test_a_trip_whose_file_is_taken_away_meanwhile_makes_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = OrderDirectory(tmp_path)
    directory.stand_in(EVERYTHING)
    utime = os.utime
    taken: list[bool] = []

    def late(fd: int, **how: Any) -> None:
        if not taken:
            taken.append(True)
            directory.stood_in(EVERYTHING)  # after the trip opened it, before it made it its own
        utime(fd, **how)

    monkeypatch.setattr(os, "utime", late)
    directory.trip(EVERYTHING)
    assert taken
    assert directory.snapshot(of_a_known_host).ids == {"file:STOP"}


def test_a_fifo_in_the_way_of_an_order_or_of_a_stop_file_holds_nobody_up(tmp_path: Path) -> None:
    directory = OrderDirectory(tmp_path)
    scope = Scope.parse("model:demo")
    os.mkfifo(directory.orders / f"{stop().id}.json")
    with pytest.raises(FileExistsError):
        directory.put(stop())
    for name in ("STOP", "STOP.model.demo"):
        os.mkfifo(directory.orders / name)
    assert (directory.trip(EVERYTHING), directory.trip(scope), directory.stand_in(scope)) == (
        "STOP",
        "STOP.model.demo",
        "STOP.model.demo",
    )
    directory.stood_in(scope)
    standing = {str(each.scope) for each in directory.snapshot(of_a_known_host).still_held(4)}
    assert standing == {"all", "model:demo"}
