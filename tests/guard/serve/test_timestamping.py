"""Asking for time stamps: new heads get one in their turn, and whatever is answered is told and harms nothing."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from guard.audit.timestamp_form import MAX_ANSWER_BYTES, read_token
from guard.audit.timestamps import folder, sizes, stamped
from guard.policy.load import load
from guard.serve import timestamping
from guard.serve.timestamping import RETRY_SECONDS, Timestamping
from guard.telemetry.exposition import Exposition
from guard.telemetry.logs import JsonLog
from guard.telemetry.meter import Meter
from guard.telemetry.metric import Origin
from tests.guard.audit.fakes import Clock
from tests.guard.audit.sealed_log import Guard, grown, write
from tests.parts.configuration import write_configuration
from tests.parts.timestamp_authority import Reply, TimestampAuthority

EVERY, LATE = 600.0, 1500.0


class Host:
    """A host with a sealed log and an authority that it is configured with."""

    def __init__(self, base: Path, tsa: TimestampAuthority) -> None:
        """Write its configuration and grow its log."""
        write_configuration(base)
        (base / "tsa.pem").write_bytes(tsa.pem.read_bytes())
        settings = {"url": tsa.url, "ca": "tsa.pem", "every_seconds": EVERY, "late_seconds": LATE}
        path = base / "guard.yaml"
        path.write_text(json.dumps({**json.loads(path.read_text()), "audit": {"timestamp": settings}}, indent=1))
        self.base = base
        self.tsa = tsa
        self.guard: Guard = grown(base / "var", rounds=1, requests=2)
        self.clock = Clock(time.time())
        self.meter = Meter(Origin.SUPERVISOR)
        self._numbers = itertools.count(50)

    def begun(self) -> Timestamping:
        """As a guard that was just started."""
        nonces = itertools.count(1)

        def random(size: int) -> bytes:
            return next(nonces).to_bytes(size, "big")

        return Timestamping(load(self.base), self.meter, JsonLog(self.clock), self.clock, random)

    def turn(self, asking: Timestamping, after: float = 0.0) -> None:
        """One turn, some seconds later."""
        self.clock.pass_(after)

        async def _turn() -> None:
            async with httpx.AsyncClient(trust_env=False) as http:
                await asking.turn(http)

        asyncio.run(_turn())

    def grow(self) -> None:
        """Seal some more."""
        write(self.guard.audit, "worker-0", next(self._numbers), 1)
        self.guard.seal()

    def stamped(self) -> list[int]:
        """The sizes of the heads that have a time stamp."""
        return sizes(self.guard.audit)

    def figure(self, name: str) -> float:
        """What the metric says."""
        lines = Exposition(self.meter).page().render("")[0].decode().splitlines()
        (line,) = [each for each in lines if each.startswith(f"guard_audit_timestamp_{name} ")]
        return float(line.split()[-1])


@pytest.fixture
def tsa(tmp_path: Path) -> Iterator[TimestampAuthority]:
    with TimestampAuthority(tmp_path / "tsa") as authority:
        yield authority


@pytest.fixture
def host(tmp_path: Path, tsa: TimestampAuthority) -> Host:
    return Host(tmp_path / "host", tsa)


def test_the_first_head_is_stamped_at_once_and_then_the_newest_every_so_often(host: Host) -> None:
    asking = host.begun()
    host.turn(asking)
    assert (host.stamped(), len(host.tsa.asked), host.figure("lag_seconds")) == ([2], 1, 0.0)
    assert host.tsa.verified(*_files(host, 2))
    for _ in range(3):
        host.grow()
        host.turn(asking, after=EVERY / 4)
    assert (host.stamped(), host.figure("lag_seconds")) == ([2], EVERY / 2)
    host.turn(asking, after=EVERY / 4)
    assert (host.stamped(), len(host.tsa.asked), host.figure("lag_seconds")) == ([2, 5], 2, 0.0)
    host.turn(asking, after=10 * EVERY)
    assert (host.stamped(), host.figure("lag_seconds"), host.figure("late")) == ([2, 5], 0.0, 0.0)  # nothing is new


def test_the_difference_of_the_clocks_is_told(host: Host) -> None:
    host.clock.wall += 1000.0
    host.turn(host.begun())
    assert 990.0 < host.figure("clock_difference_seconds") < 1030.0
    assert host.stamped() == [2]


def test_a_restart_neither_asks_again_nor_forgets_what_waits(host: Host) -> None:
    host.turn(host.begun())
    host.grow()
    asking = host.begun()
    host.turn(asking, after=EVERY / 2)
    assert (host.stamped(), len(host.tsa.asked)) == ([2], 1)
    assert EVERY / 2 - 5 < host.figure("lag_seconds") < EVERY / 2 + 5
    host.turn(asking, after=EVERY / 2 + 5)
    assert host.stamped() == [2, 3]


def test_a_restart_without_anything_new_lets_nothing_wait(host: Host) -> None:
    host.turn(host.begun())
    host.turn(host.begun(), after=10 * LATE)
    assert (len(host.tsa.asked), host.figure("lag_seconds"), host.figure("late")) == (1, 0.0, 0.0)


def test_a_clock_that_was_put_back_delays_no_time_stamp_for_longer_than_one_turn_of_them(host: Host) -> None:
    host.turn(host.begun())
    host.clock.wall -= 1_000_000.0
    host.grow()
    asking = host.begun()
    host.turn(asking)
    host.turn(asking, after=EVERY)
    assert host.stamped() == [2, 3]


def test_a_damaged_time_stamp_of_before_holds_up_nothing(host: Host) -> None:
    host.turn(host.begun())
    (folder(host.guard.audit) / f"{2:020}.tsr").write_bytes(b"")
    host.turn(host.begun())
    assert stamped(host.guard.audit, 2).size == 2  # stamped anew


REFUSED = b"\x30\x05\x30\x03\x02\x01\x02"


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (lambda _, __: Reply(503), "answered with status 503"),
        (lambda _, __: Reply(302, headers={"location": "http://127.0.0.1:9/"}), "answered with status 302"),
        (lambda _, __: Reply(200), "answered with something that is no time stamp"),
        (lambda _, __: Reply(200, b"<html>FORBIDDEN-MARKER</html>"), "answered in an encoding that is not DER"),
        (lambda _, __: Reply(200, bytes(MAX_ANSWER_BYTES + 1)), f"answered with more than {MAX_ANSWER_BYTES} bytes"),
        (lambda _, __: Reply(200, REFUSED), "granted no time stamp: status 2"),
        (lambda _, answer: Reply(200, answer[:-1]), "answered in an encoding that is not DER"),
        (lambda _, answer: Reply(200, answer[:-1] + b"\x00"), "not signed by the authority"),
        (lambda _, __: Reply(hangs=True), "did not answer within 0.2 seconds"),
    ],
)
def test_any_other_answer_is_told_once_is_not_kept_and_is_asked_for_again(
    host: Host,
    fault: Callable[[bytes, bytes], Reply],
    words: str,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(timestamping, "ANSWER_SECONDS", 0.2 if "0.2" in words else 15.0)
    host.tsa.fault = fault
    asking = host.begun()
    for _ in range(3):
        host.turn(asking, after=RETRY_SECONDS)
    assert (host.stamped(), len(host.tsa.asked)) == ([], 3)
    said = capfd.readouterr().err
    assert words in said
    assert "FORBIDDEN-MARKER" not in said
    assert (said.count('"timestamp_failed"'), asking.problem) == (1, words if "signed" not in words else asking.problem)
    assert (host.figure("lag_seconds"), host.figure("late")) == (2 * RETRY_SECONDS, 0.0)
    host.turn(asking, after=LATE)
    assert host.figure("late") == 1.0
    host.tsa.fault = None
    host.turn(asking, after=RETRY_SECONDS)
    assert (host.stamped(), host.figure("late"), asking.problem) == ([2], 0.0, "")
    assert capfd.readouterr().err.count('"timestamped_again"') == 1


def test_an_answer_to_an_earlier_question_and_one_of_another_authority_are_not_kept(host: Host, tmp_path: Path) -> None:
    kept: list[bytes] = []
    other = TimestampAuthority(tmp_path / "other")

    def earlier(_: bytes, answer: bytes) -> Reply:
        kept.append(answer)
        return Reply(200, kept[0])

    asking = host.begun()
    host.tsa.fault = earlier
    host.turn(asking)
    assert (host.stamped(), asking.problem) == ([2], "")
    assert read_token(kept[0]).nonce == 1
    host.grow()
    host.turn(asking, after=EVERY)
    assert (host.stamped(), asking.problem) == ([2], "answered for something else than was asked")
    host.tsa.fault = lambda query, _: Reply(200, other.answer(query))
    host.turn(asking, after=RETRY_SECONDS)
    assert host.stamped() == [2]
    assert "not signed by the authority" in asking.problem


def test_an_authority_that_is_away_and_certificates_that_went_are_told(host: Host) -> None:
    asking = host.begun()
    (host.base / "tsa.pem").unlink()
    host.turn(asking)
    assert asking.problem.endswith("audit.timestamp.ca: tsa.pem is missing")
    path = host.base / "guard.yaml"
    path.write_text(path.read_text().replace(host.tsa.url, "http://127.0.0.1:9/tsr"))
    asking = host.begun()
    host.turn(asking)
    assert asking.problem == "cannot be reached, or does not answer in HTTP"


def test_without_an_authority_nobody_is_asked_and_nothing_is_told(tmp_path: Path) -> None:
    write_configuration(tmp_path)
    clock, meter = Clock(), Meter(Origin.SUPERVISOR)
    asking = Timestamping(load(tmp_path), meter, JsonLog(clock), clock, bytes)
    asyncio.run(asyncio.wait_for(asking.watch(), 30))
    text = Exposition(meter).page().render("")[0]
    assert b"\nguard_audit_timestamp_lag_seconds 0.0\n" in text
    assert b"\nguard_audit_timestamp_late 0.0\n" in text


def _files(host: Host, size: int) -> tuple[bytes, bytes]:
    found = stamped(host.guard.audit, size)
    return found.note.encode(), found.answer
