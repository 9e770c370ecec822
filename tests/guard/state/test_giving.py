"""A stop on a disk that hangs: it is in force within half a second, and what was told of it stays true."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from guard.state import giving
from guard.state.directory import OrderDirectory
from guard.state.giving import give
from guard.state.orders import StopOrder
from safeguards.mode import Mode
from tests.guard.state.parts import of_a_known_host, resume, stop
from tests.parts.guard_process import wait_until


class Disk:
    """Calls of `os` that hang below one folder while they are told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Answer until told to hang."""
        self.answers = threading.Event()
        self.answers.set()
        self._monkeypatch = monkeypatch

    def hang(self, name: str) -> None:
        """Have this call wait from now on until the disk answers."""
        self.answers.clear()
        real: Callable[..., object] = getattr(os, name)

        def call(*arguments: object) -> object:
            self.answers.wait()
            return real(*arguments)

        self._monkeypatch.setattr(os, name, call)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    made = Disk(monkeypatch)
    yield made
    made.answers.set()
    wait_until(lambda: not giving._UNSHOWN and not giving._UNSYNCED, "nothing hangs any more")


def names(directory: OrderDirectory) -> list[str]:
    return sorted(path.name for path in directory.orders.iterdir())


def scopes(directory: OrderDirectory) -> set[str]:
    return {str(each.scope) for each in directory.snapshot(of_a_known_host).still_held(4)}


def test_on_a_disk_that_answers_the_order_is_there_and_on_it(tmp_path: Path) -> None:
    directory = OrderDirectory(tmp_path)
    given = give(directory, stop("model:demo"))
    assert (given.order, given.on_disk) == (stop("model:demo").id, True)
    assert names(directory) == [f"{given.order}.json"]


def test_a_sync_that_hangs_keeps_no_stop_and_is_told(tmp_path: Path, disk: Disk) -> None:
    directory = OrderDirectory(tmp_path)
    disk.hang("fsync")
    first, second = stop("model:demo", 1), stop("model:other", 2)
    assert [(each.order, each.on_disk) for each in (give(directory, first), give(directory, second))] == [
        (first.id, False),
        (second.id, False),
    ]
    assert scopes(directory) == {"model:demo", "model:other"}
    assert names(directory) == [f"{first.id}.json", f"{second.id}.json"]


def test_more_stops_than_may_wait_for_a_sync_are_in_force_all_the_same(tmp_path: Path, disk: Disk) -> None:
    directory = OrderDirectory(tmp_path)
    disk.hang("fsync")
    orders = [stop("model:demo", number) for number in range(1, giving.MAX_SYNCING + 4)]
    assert [give(directory, order).order for order in orders] == [order.id for order in orders]


def test_a_resume_is_seen_by_nobody_before_it_is_on_the_disk(tmp_path: Path, disk: Disk) -> None:
    directory = OrderDirectory(tmp_path)
    directory.put(stop())
    before = directory.version()
    disk.hang("fsync")
    writing = threading.Thread(target=directory.put, args=(resume(stop()),))
    writing.start()
    wait_until(lambda: any((tmp_path / "incoming").iterdir()), "it is being written")
    assert names(directory) == [f"{stop().id}.json"]
    assert directory.version() == before
    disk.answers.set()
    writing.join()
    assert len(names(directory)) == 2


def test_while_a_write_hangs_a_file_stands_in_and_goes_when_the_order_has_come(tmp_path: Path, disk: Disk) -> None:
    directory = OrderDirectory(tmp_path)
    disk.hang("rename")
    order = stop("model:demo")
    given = give(directory, order)
    assert (given.order, names(directory)) == ("file:STOP.model.demo", ["STOP.model.demo"])
    assert scopes(directory) == {"model:demo"}
    disk.answers.set()
    wait_until(lambda: names(directory) == [f"{order.id}.json"], "the order has come, and the file has gone")


def test_the_file_stays_where_somebody_made_it_theirs_meanwhile(tmp_path: Path, disk: Disk) -> None:
    directory = OrderDirectory(tmp_path)
    disk.hang("rename")
    order = stop("model:demo")
    give(directory, order)
    (directory.orders / "STOP.model.demo").touch()
    disk.answers.set()
    wait_until(lambda: not giving._UNSHOWN, "the order has come")
    assert names(directory) == [f"{order.id}.json", "STOP.model.demo"]


@pytest.mark.parametrize("leaving", [True, False])
def test_a_file_that_nobody_will_take_away_or_that_holds_more_stays(tmp_path: Path, disk: Disk, leaving: bool) -> None:
    """Of a process that ends, and of an order by which less is stopped than by the file."""
    directory = OrderDirectory(tmp_path)
    disk.hang("rename")
    order = stop("model:demo")
    if not leaving:
        order = StopOrder(order.id, order.scope, order.reason, order.who, order.source, order.created, Mode.DRAIN)
    assert give(directory, order, leaving=leaving).order == "file:STOP.model.demo"
    disk.answers.set()
    wait_until(lambda: not giving._UNSHOWN, "the order has come")
    assert names(directory) == [f"{order.id}.json", "STOP.model.demo"]


def test_an_order_that_fails_after_all_leaves_the_file_for_good(
    tmp_path: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise OSError(28, "No space left on device")

    directory = OrderDirectory(tmp_path)
    monkeypatch.setattr(os, "rename", fails)
    disk.hang("rename")
    give(directory, stop("model:demo"))
    disk.answers.set()
    file = directory.orders / "STOP.model.demo"
    wait_until(lambda: file.stat().st_mtime_ns > 0, "it is a file that somebody has to remove")


def test_where_nothing_can_be_made_it_is_an_error_and_soon(tmp_path: Path, disk: Disk) -> None:
    directory = OrderDirectory(tmp_path)
    disk.hang("open")
    with pytest.raises(OSError, match="the disk does not answer"):
        give(directory, stop())


def test_a_key_that_hangs_keeps_no_stop(tmp_path: Path, disk: Disk) -> None:
    directory = OrderDirectory(tmp_path)
    disk.answers.clear()

    def finish(order: StopOrder) -> StopOrder:
        disk.answers.wait()
        return order

    assert give(directory, stop("model:demo"), finish).order == "file:STOP.model.demo"
