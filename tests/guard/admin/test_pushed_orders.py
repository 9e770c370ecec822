"""What a peer may put into force: a stop or a rule that a known host signed, lately, in its one form."""

from __future__ import annotations

import asyncio
import errno
import threading
from dataclasses import dataclass, field, replace
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Route

from guard.admin import pushed_orders
from guard.admin.pushed_orders import AHEAD_SECONDS, OLD_SECONDS, PushedOrders
from guard.admin.switchboard import Switchboard
from guard.policy.load import load
from guard.state.directory import OrderDirectory
from guard.state.issuer import Issuer
from guard.state.orders import MAX_ORDER_BYTES, Order, encode
from safeguards.scope import SELF_TEST
from tests.guard.state.parts import resume, rule, stop
from tests.parts.configuration import write_configuration

NOW = 1_700_000_001.0
GIVEN = stop("model:demo")


@dataclass
class Host:
    """A guard that hears of orders, and the key of another that it knows."""

    folder: Path
    woken: int = 0
    turned_away: list[str] = field(default_factory=list)
    time: float = NOW

    def __post_init__(self) -> None:
        """Write and open all."""
        write_configuration(self.folder)
        self.config = load(self.folder)
        self.state = self.folder / "var" / "state"
        self.orders = OrderDirectory(self.state)
        self.issuer = Issuer.open(self.state)  # its own key counts as one of `issuers` does
        board = Switchboard(self.config, self.orders, self.state, lambda: self.time, lambda count: b"e" * count)
        taker = PushedOrders(board, self, lambda: self.time)
        self.app = Starlette(routes=[Route("/v1/orders", taker.take, methods=["POST"])])

    def workers(self) -> tuple[str, ...]:
        """One that never obeys."""
        return ("0",)

    def fleet(self) -> None:
        """None is asked for it."""
        raise AssertionError("a peer speaks for its own host alone")

    def wake(self) -> None:
        """Count."""
        self.woken += 1

    def refused(self, reason: str) -> None:
        """Remember."""
        self.turned_away.append(reason)

    def told(self, raw: bytes) -> tuple[int, str]:
        """Tell it these bytes; returns the status and why not."""

        async def run() -> httpx.Response:
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://admin") as client:
                return await client.post("/v1/orders", content=raw)

        answer = asyncio.run(run())
        return answer.status_code, answer.json().get("error", "")

    def signed(self, order: Order) -> bytes:
        """The bytes of an order that counts."""
        return encode(self.issuer.signed(order))


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    monkeypatch.setattr(pushed_orders, "WAIT_SECONDS", 0.05)
    return Host(tmp_path)


@pytest.mark.parametrize("order", [GIVEN, rule("model:demo")])
def test_a_signed_stop_or_rule_is_in_force_and_told_as_far_as_it_is_obeyed(order: Order, host: Host) -> None:
    raw = host.signed(order)
    host.time = order.created
    assert host.told(raw) == (202, "")  # the one worker does not obey here
    assert host.orders.bytes_of(order.id) == raw
    assert host.told(raw) == (202, "")
    assert host.woken == 2


@pytest.mark.parametrize(
    ("order", "status", "words"),
    [
        (resume(GIVEN), 403, "only stops and rules of models are taken from peers"),
        (stop(f"model:{SELF_TEST}"), 403, "only stops and rules of models are taken from peers"),
        (stop("all", number=int(AHEAD_SECONDS) + 3), 403, "it is too old, or of the future: set the clocks"),
    ],
)
def test_anything_else_is_refused_though_signed(order: Order, status: int, words: str, host: Host) -> None:
    assert host.told(host.signed(order)) == (status, words)
    assert not host.orders.held()
    assert host.turned_away == [f"a peer's order: {words}"]


def test_an_old_stop_cannot_be_put_into_force_again(host: Host) -> None:
    host.time = GIVEN.created + OLD_SECONDS + 1
    assert host.told(host.signed(GIVEN))[0] == 403
    assert not host.orders.held()


def test_without_a_signature_that_counts_nothing_is_taken(host: Host, tmp_path: Path) -> None:
    stranger = tmp_path / "stranger"
    stranger.mkdir()
    foreign = Issuer.open(stranger).signed(GIVEN)
    changed = replace(host.issuer.signed(GIVEN), reason="another")
    for order, words in ((GIVEN, "it is not signed"), (foreign, "is not known here"), (changed, "does not fit")):
        status, why = host.told(encode(order))
        assert (status, words in why) == (403, True)
    assert (host.orders.held(), host.woken) == (frozenset(), 0)


def test_an_order_in_other_bytes_or_none_is_refused_in_words(host: Host) -> None:
    raw = host.signed(GIVEN)
    assert host.told(b" " + raw) == (400, "the order is not in its canonical form")
    assert host.told(b"{}")[0] == 400
    assert host.told(b"x" * (MAX_ORDER_BYTES + 1)) == (400, f"the body is larger than {MAX_ORDER_BYTES} bytes")
    assert not host.orders.held()


def test_another_order_of_the_same_id_does_not_replace_the_first(host: Host) -> None:
    host.orders.put(GIVEN)
    assert host.told(host.signed(GIVEN)) == (409, "another order has its id")
    assert host.orders.bytes_of(GIVEN.id) == encode(GIVEN)


def test_a_stop_that_cannot_be_written_is_a_file_and_a_rule_is_refused(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(host.orders, "put", full)
    assert host.told(host.signed(GIVEN)) == (202, "")
    assert [path.name for path in (host.state / "orders").iterdir()] == ["STOP.model.demo"]
    pushed = rule("model:demo")
    host.time = pushed.created
    assert host.told(host.signed(pushed)) == (500, "the order could not be written: No space left on device")


def test_a_disk_that_hangs_delays_neither_the_stop_nor_the_answer(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    there = threading.Event()

    def hangs(*_: object) -> None:
        there.wait(30)
        raise OSError(errno.EIO, "gone")

    monkeypatch.setattr(host.orders, "put", hangs)
    try:
        assert host.told(host.signed(GIVEN)) == (202, "")
        assert [path.name for path in (host.state / "orders").iterdir()] == ["STOP.model.demo"]
    finally:
        there.set()
