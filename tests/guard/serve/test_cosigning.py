"""Asking witnesses: new heads reach them, and whatever they answer is told and harms nothing."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import pytest

from guard.audit.checkpoint import parse_checkpoint
from guard.audit.cosigning import WitnessState, cosigned
from guard.audit.note import MAX_NOTE_BYTES, cosigned_at
from guard.policy.load import load
from guard.serve import cosigning
from guard.serve.cosigning import Cosigning
from guard.serve.witnessing import witness_app
from guard.telemetry.exposition import Exposition
from guard.telemetry.logs import JsonLog
from guard.telemetry.meter import Meter
from guard.telemetry.metric import Origin
from tests.guard.audit.fakes import Clock
from tests.guard.audit.sealed_log import Guard, grown, write
from tests.guard.audit.test_cosigning import WITNESS
from tests.parts.configuration import write_configuration

ORIGIN = "asl-guard/test"


class Host:
    """A host with a sealed log and one witness, asked through any transport."""

    def __init__(self, base: Path) -> None:
        """Write its configuration and grow its log."""
        write_configuration(base)
        path = base / "guard.yaml"
        content = json.loads(path.read_text())
        content["audit"] = {"witnesses": [{"url": "http://witness/base/", "key": str(WITNESS.key)}]}
        path.write_text(json.dumps(content, indent=1))
        self.base = base
        self.guard: Guard = grown(base / "var", rounds=1, requests=2)
        self.clock = Clock()
        self.meter = Meter(Origin.SUPERVISOR)

    def ask(self, transport: httpx.AsyncBaseTransport, times: int = 1) -> Cosigning:
        """Ask so many times, as a guard that was just started."""
        asking = Cosigning(
            load(self.base), self.guard.ring().log.key, self.meter, JsonLog(self.clock), self.clock, transport
        )

        async def _ask() -> None:
            async with httpx.AsyncClient(transport=transport) as http:
                for _ in range(times):
                    await asking.turn(asking.witnesses[0], http)
                    self.clock.pass_(10.0)

        asyncio.run(_ask())
        return asking

    def grow(self, number: int) -> None:
        """Seal some more."""
        write(self.guard.audit, "worker-0", number, 1)
        self.guard.seal()

    def lag(self) -> float:
        """What the metric says."""
        (line,) = [
            each
            for each in Exposition(self.meter).page().render("")[0].decode().splitlines()
            if each.startswith("guard_audit_witness_lag_seconds{")
        ]
        return float(line.split()[-1])

    def seen(self) -> int:
        """How much of the fleet log is known to be cosigned."""
        note = cosigned(self.guard.audit, WITNESS.key)
        if note is None or cosigned_at(note, WITNESS.key) is None:
            return 0
        return parse_checkpoint(note.text).size


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path / "host")


class Witnessed(httpx.AsyncBaseTransport):
    """A real witness below the path it was configured with."""

    def __init__(self, base: Path, host: Host) -> None:
        """Begin one that knows the host's log."""
        self.state = WitnessState(base / "witness", WITNESS, {ORIGIN: [host.guard.ring().log.key]})
        self._inner = httpx.ASGITransport(witness_app(self.state, [ORIGIN]))
        self.requests = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer."""
        self.requests += 1
        assert request.url.path == "/base/add-checkpoint"
        request.url = request.url.copy_with(path="/add-checkpoint")
        return await self._inner.handle_async_request(request)


def test_each_new_head_is_cosigned_once(host: Host, tmp_path: Path) -> None:
    transport = Witnessed(tmp_path, host)
    host.ask(transport, times=3)
    assert (host.seen(), transport.requests, host.lag()) == (2, 1, 0.0)
    host.grow(10)
    host.ask(transport)
    assert (host.seen(), transport.requests) == (3, 2)  # a restart remembers what was cosigned
    transport.state.close()


def test_a_host_that_forgot_what_was_cosigned_asks_for_it(host: Host, tmp_path: Path) -> None:
    transport = Witnessed(tmp_path, host)
    host.ask(transport)
    for path in (host.guard.audit / "fleet").glob("cosigned-*"):
        path.unlink()
    host.grow(10)
    host.ask(transport)
    assert (host.seen(), transport.requests) == (3, 3)
    transport.state.close()


def test_a_log_that_was_put_back_is_told(host: Host, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    transport = Witnessed(tmp_path, host)
    kept = tmp_path / "kept"
    shutil.copytree(host.guard.audit, kept)
    for number in range(3):
        host.grow(10 + number)
    host.ask(transport)
    shutil.rmtree(host.guard.audit)
    shutil.copytree(kept, host.guard.audit)
    host.ask(transport, times=2)
    said = capfd.readouterr().err
    assert "has seen 5 entries of the fleet log, which has 2: it was put back" in said
    assert said.count('"witness_failed"') == 1
    assert host.lag() > 0.0
    host.guard.ring().fleet_head.unlink()  # else the guard itself would not go on from there
    for number in range(4):
        host.grow(50 + number)
    host.ask(transport)
    assert "refused with status 422" in capfd.readouterr().err
    transport.state.close()


async def _drip() -> AsyncIterator[bytes]:
    yield b"5"
    await asyncio.Event().wait()


async def _body(data: bytes) -> AsyncIterator[bytes]:
    yield data


def answers(status: int, data: bytes = b"") -> Callable[[httpx.Request], httpx.Response]:
    """A witness that always answers so, in a stream as over a socket."""
    return lambda _: httpx.Response(status, content=_body(data))


def _unreachable(_: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("no")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (answers(500), "refused with status 500"),
        (answers(302), "refused with status 302"),
        (answers(200, b"no signature\n"), "not a signature line"),
        (answers(200, b"\xff\xfe\n"), "not a signature line"),
        (answers(200, "\u2014 another AAAAAAAAAAAA\n".encode()), "answered without its own cosignature"),
        (answers(200, f"{WITNESS.cosign('another text', 5)}\n".encode()), "is wrong"),
        (answers(200, b"x" * (MAX_NOTE_BYTES + 1)), "more than any cosignature"),
        (lambda _: httpx.Response(200, content=_drip()), "did not answer within"),
        (answers(409, b"many\n"), "names no size"),
        (answers(409, b"0\n"), "does not accept the size that it names itself"),
        (_unreachable, "cannot be reached"),
    ],
)
def test_any_other_answer_is_told_and_harms_nothing(
    host: Host,
    answer: Callable[[httpx.Request], httpx.Response],
    words: str,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cosigning, "ANSWER_SECONDS", 0.2)
    host.ask(httpx.MockTransport(answer), times=2)
    said = capfd.readouterr().err
    assert words in said
    assert said.count('"witness_failed"') == 1
    assert host.seen() == 0
    assert host.lag() == 10.0


def test_a_witness_that_answers_again_is_told(host: Host, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    transport = Witnessed(tmp_path, host)
    asking = host.ask(httpx.MockTransport(_unreachable))

    async def _again() -> None:
        async with httpx.AsyncClient(transport=transport) as http:
            await asking.turn(asking.witnesses[0], http)

    asyncio.run(_again())
    assert '"witness_answers"' in capfd.readouterr().err
    assert host.lag() == 0.0
    transport.state.close()
