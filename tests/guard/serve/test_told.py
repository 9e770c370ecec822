"""What was told is known after a restart, in bounded room, and without the file nothing old is told."""

from __future__ import annotations

from pathlib import Path

from guard.serve.told import FILE, KEPT, ToldOrders
from guard.state.orders import order_id


def ids(count: int, begin: int = 0) -> list[str]:
    return [order_id(1_780_000_000.0 + number, b"t" * 10) for number in range(begin, begin + count)]


def test_what_was_told_is_known_after_a_restart(tmp_path: Path) -> None:
    told, (one, two, three) = ToldOrders(tmp_path), ids(3)
    assert told.first
    told.note([one])
    told.note([two])
    again = ToldOrders(tmp_path)
    assert not again.first
    assert one in again
    assert two in again
    assert three not in again


def test_a_start_without_orders_is_a_start_all_the_same(tmp_path: Path) -> None:
    ToldOrders(tmp_path).note([])
    again = ToldOrders(tmp_path)
    assert not again.first
    assert ids(1)[0] not in again


def test_it_keeps_the_latest_and_takes_older_ones_for_told(tmp_path: Path) -> None:
    told, many = ToldOrders(tmp_path), ids(3 * KEPT)
    for begin in range(0, len(many), 100):
        told.note(many[begin : begin + 100])
    assert (tmp_path / FILE).stat().st_size <= 2 * KEPT * 27
    again = ToldOrders(tmp_path)
    assert all(order in again for order in many)
    assert ids(1, begin=3 * KEPT)[0] not in again


def test_a_line_that_is_no_id_is_nothing_and_a_file_that_cannot_be_written_costs_no_more(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"\xff\xfe\nnonsense\n")
    one, two = ids(2)
    told = ToldOrders(tmp_path)
    assert one not in told
    (tmp_path / FILE).unlink()
    (tmp_path / FILE).mkdir()
    told.note([one])
    assert one in told
    assert two not in told
    assert ToldOrders(tmp_path).first


def test_an_order_of_a_clock_that_was_set_back_is_news(tmp_path: Path) -> None:
    early, late = ids(2)
    ToldOrders(tmp_path).note([late])
    assert early not in ToldOrders(tmp_path)


def test_an_order_of_a_clock_that_was_set_back_is_news_once_also_where_much_was_forgotten(tmp_path: Path) -> None:
    early, *many = ids(2 * KEPT + 2)
    ToldOrders(tmp_path).note(many[:KEPT])
    told = ToldOrders(tmp_path)
    told.begin(many[:KEPT])
    assert early not in told
    told.note([early])
    for begin in range(KEPT, len(many), 100):  # which drops the oldest lines from the file
        told.note(many[begin : begin + 100])
    assert early in told
    again = ToldOrders(tmp_path)
    again.begin([early, *many])
    assert all(order in again for order in (early, *many))
