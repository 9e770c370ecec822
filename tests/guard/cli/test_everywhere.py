"""Stopping by every path at once: each of them alone is enough, and what failed is told."""

from __future__ import annotations

import os
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from guard.cli import everywhere
from guard.cli.admin_client import Answer
from guard.cli.everywhere import Here, await_fleet, stop_everywhere
from guard.state.acknowledgements import Acknowledgements, process_started
from guard.state.directory import OrderDirectory
from guard.state.engine import EngineError, Heard, StateEngine
from guard.state.issuer import Issuer, genuine, own_issuer
from guard.state.orders import decode, encode
from guard.state.replicas import Applied, Report
from guard.state.replicas import encode as encode_report
from guard.state.shared_directory import SharedDirectory
from tests.guard.state.parts import stop

ORDER = stop("model:demo")


class Obeying(SharedDirectory):
    """An engine of one replica that has obeyed whatever was put."""

    puts = 0

    async def put(self, order: str, raw: bytes) -> int:
        """Count it."""
        self.puts += 1
        return await super().put(order, raw)

    async def heard(self) -> tuple[Heard, ...]:
        """One replica with two workers."""
        applied = tuple(Applied(each.order, 2, (), 7) for each in await self.since(0))
        return (Heard("far", 0.1, encode_report(Report(1, 1, 2, applied))),)


class Away(SharedDirectory):
    """An engine that cannot be reached."""

    async def put(self, order: str, raw: bytes) -> int:
        """Fail."""
        raise EngineError("the database does not answer in time")

    async def heard(self) -> tuple[Heard, ...]:
        """Fail."""
        raise EngineError("the database does not answer in time")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who does not answer is not waited for."""
    monkeypatch.setattr(everywhere, "WAIT_SECONDS", 0.05)


@pytest.fixture
def here(tmp_path: Path) -> Here:
    """A host whose one worker is this process, and has obeyed."""
    state = tmp_path / "state"
    OrderDirectory(state)
    worker = Acknowledgements(state, "0", pid=os.getpid(), started=process_started(os.getpid()) or 0)
    worker.record({ORDER.id: 3}, 1.0)
    return Here(state, ("0",))


def test_the_same_order_goes_to_this_host_and_to_the_engine_and_all_replicas_are_waited_for(
    tmp_path: Path, here: Here
) -> None:
    engine = Obeying(tmp_path / "shared")
    found = stop_everywhere(ORDER, here, engine, None)
    assert found.remarks == ()
    assert found.answer is not None
    assert found.answer.status == 200
    body = found.answer.body
    assert (body["order"], body["workers"], body["workers_of"], body["replicas"], body["replicas_of"]) == (
        ORDER.id, 2, 2, 1, 1,
    )  # fmt: skip
    assert (body["missing"], body["streams_cut"]) == ([], 7)
    lies_here = OrderDirectory(here.state).bytes_of(ORDER.id)
    assert (tmp_path / "shared" / "history" / "000000000001").read_bytes().endswith(b"\n" + lies_here)
    assert replace(decode(lies_here), issuer="", signature="") == ORDER


def test_the_order_is_signed_by_this_host(tmp_path: Path, here: Here) -> None:
    stop_everywhere(ORDER, here, Obeying(tmp_path / "shared"), None)
    assert genuine(decode(OrderDirectory(here.state).bytes_of(ORDER.id)), own_issuer(here.state))


def test_a_key_that_cannot_be_used_or_does_not_answer_keeps_nothing_from_stopping(
    tmp_path: Path, here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    forever = threading.Event()

    def hangs(_: Path) -> Issuer:
        forever.wait(30)
        raise AssertionError("nobody waits for it")

    (here.state / "issuer.key").write_bytes(b"damaged")
    (here.state / "issuer.key").chmod(0o600)
    try:
        for index in range(2):
            order = replace(ORDER, id=f"{index}{ORDER.id[1:]}")
            stop_everywhere(order, here, Obeying(tmp_path / f"shared{index}"), None)
            assert OrderDirectory(here.state).bytes_of(order.id) == encode(order)
            monkeypatch.setattr(Issuer, "open", hangs)
    finally:
        forever.set()


def test_without_the_engine_this_host_stops_and_the_fleet_is_named_as_unknown(tmp_path: Path, here: Here) -> None:
    found = stop_everywhere(ORDER, here, Away(tmp_path / "shared"), None)
    assert found.remarks == ("the fleet's engine: the database does not answer in time",)
    assert found.answer is not None
    assert found.answer.status == 202
    assert found.answer.body["missing"] == ["the fleet (the database does not answer in time)"]
    assert (found.answer.body["workers"], found.answer.body["streams_cut"]) == (1, 3)


def test_an_engine_that_cannot_be_opened_is_no_reason_not_to_stop(here: Here) -> None:
    found = stop_everywhere(ORDER, here, None, None)
    assert found.answer is not None
    assert found.answer.body["missing"] == ["the fleet (its engine cannot be used)"]
    assert ORDER.id in OrderDirectory(here.state).held()


def test_from_a_machine_without_a_guard_the_engine_is_enough_and_nothing_is_made_there(tmp_path: Path) -> None:
    elsewhere = Here(tmp_path / "none", ())
    found = stop_everywhere(ORDER, elsewhere, Obeying(tmp_path / "shared"), None)
    assert found.answer is not None
    assert found.answer.status == 200
    assert found.remarks == ("this host has no folder of orders",)
    assert not (tmp_path / "none").exists()


def test_where_neither_works_the_admin_api_is_enough(tmp_path: Path) -> None:
    answer = Answer(200, {"order": "x", "workers": 1})
    found = stop_everywhere(ORDER, Here(tmp_path / "none", ()), Away(tmp_path / "shared"), lambda: answer)
    assert found.answer is answer
    assert len(found.remarks) == 2


@pytest.mark.parametrize("said", [None, Answer(403, {"error": "no"})])
def test_where_no_path_works_that_is_said(tmp_path: Path, said: Answer | None) -> None:
    found = stop_everywhere(ORDER, Here(tmp_path / "none", ()), Away(tmp_path / "shared"), lambda: said)
    assert found.answer is None
    assert found.remarks[-1] == "the admin API does not do it"


def test_an_admin_api_that_hangs_or_breaks_holds_up_nothing(tmp_path: Path, here: Here) -> None:
    forever = threading.Event()

    def hangs() -> Answer | None:
        forever.wait(30)
        return None

    def breaks() -> Answer | None:
        raise OSError("broken")

    try:
        for index, api in enumerate((hangs, breaks)):
            found = stop_everywhere(ORDER, here, Obeying(tmp_path / f"shared{index}"), api)
            assert found.answer is not None
            assert found.answer.status == 200
    finally:
        forever.set()


def test_on_a_full_disk_a_file_stops_this_host_and_the_order_the_others(
    tmp_path: Path, here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(OrderDirectory, "put", full)
    engine = Obeying(tmp_path / "shared")
    found = stop_everywhere(ORDER, here, engine, None)
    assert found.answer is not None
    assert found.answer.body["order"] == ORDER.id
    assert found.answer.status == 200
    assert found.remarks == ("this host could only make the file orders/STOP.model.demo; remove it to resume here",)
    assert (here.state / "orders" / "STOP.model.demo").exists()


@pytest.mark.parametrize("kind", [Obeying, Away])
def test_a_resume_is_spread_byte_for_byte_and_waited_for(tmp_path: Path, here: Here, kind: type[StateEngine]) -> None:
    raw = encode(ORDER) + b" "
    engine = kind(tmp_path / "shared")  # type: ignore[call-arg]  # both are engines of a folder
    answer = await_fleet(ORDER.id, raw, {"lifts": ["x"]}, here, engine)
    if kind is Obeying:
        assert answer.status == 200
        assert (tmp_path / "shared" / "history" / "000000000001").read_bytes().endswith(raw)
    else:
        assert answer.status == 202
    assert answer.body["lifts"] == ["x"]
