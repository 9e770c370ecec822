"""A stop reaches every guard of a fleet whose database is gone, by what they tell each other themselves."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from contextlib import ExitStack

import httpx
import pytest

from guard.cli import everywhere, main
from tests.parts.configuration import ModelSpec
from tests.parts.fleets import Fleet, Replica
from tests.parts.guard_process import PATIENCE, wait_until
from tests.parts.postgres import Postgres
from tests.parts.upstream import STREAM_HEAD, Peer, Received, ScriptedUpstream, answer, chunk, completion, text

WORKERS = 2


async def script(peer: Peer, request: Received) -> None:
    """Answer a greeting, and fall silent after the first word for the rest."""
    if request.json["messages"][-1]["content"] == "hello":
        await peer.send(answer(completion("hello")))
        return
    await peer.send(STREAM_HEAD, chunk(text("one ")))
    await peer.reader.read(1)


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Two guards that have lost their database."""
    folder = tmp_path_factory.mktemp("peers")
    with ScriptedUpstream(script) as upstream, Postgres() as database:
        models = [ModelSpec("demo", upstream=upstream.url)]
        settings = {"connect_seconds": 0.5}
        with Fleet(folder, models, [database.dsn()] * 2, WORKERS, settings, acquainted=True) as fleet:
            assert [each.fleet["not_among_peers"] for each in fleet.replicas] == [[], []]
            database.kill()
            for each in fleet.replicas:
                wait_until(lambda each=each: each.fleet.get("problem") != "", "the loss is seen")  # type: ignore[misc]  # at once
            yield fleet


@pytest.fixture
def replicas(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Replica]]:
    """Both, serving; what was stopped on either is resumed there at the end: a resume is not told to peers."""
    monkeypatch.delenv("GUARD_ADMIN_TOKEN", raising=False)
    yield fleet.replicas
    for each in fleet.replicas:
        main(["resume", "model:demo", "--reason", "over", "--config", str(each.config)])
        wait_until(lambda each=each: each.code("demo") == "", "demo is served")  # type: ignore[misc]  # bound at once


def test_a_stop_given_on_one_host_cuts_on_the_other(
    replicas: list[Replica], capsys: pytest.CaptureFixture[str]
) -> None:
    with ExitStack() as stack:
        callers = [stack.enter_context(each.caller()) for each in replicas]
        for caller in callers:
            caller.ask("on and on", model="demo")
            caller.until(b"one ")
        code = main(["stop", "model:demo", "--config", str(replicas[0].config)])
        out, err = capsys.readouterr()
        assert code == 0, err
        assert out.startswith(f"stopped model:demo: applied on {2 * WORKERS}/{2 * WORKERS} workers on 2/2 replicas in ")
        assert ", 2 streams cut (order " in out
        assert "the fleet's engine: " in err
        assert [caller.answer().code for caller in callers] == ["stopped"] * 2
    (order,) = re.findall(r"order (\w+)", out)
    assert len({(each.state / "orders" / f"{order}.json").read_bytes() for each in replicas}) == 1
    replicas[1].guard.wait_for("stop_ordered")


def test_a_stop_by_one_guards_api_reaches_the_other_and_the_answer_says_so(replicas: list[Replica]) -> None:
    one, other = replicas
    answer = httpx.post(
        f"{one.guard.admin_url}/v1/stops",
        json={"scope": "model:demo", "reason": "tried"},
        headers={"authorization": f"Bearer {one.credentials.responder}"},
        trust_env=False,
        timeout=PATIENCE,
    )
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert (told["replicas"], told["replicas_of"], told["missing"]) == (2, 2, [])
    assert other.code("demo") == "stopped"


def test_whoever_cannot_be_told_is_named_and_told_when_he_can_be(
    replicas: list[Replica], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(everywhere, "WAIT_SECONDS", 1.0)
    one, frozen = replicas
    frozen.guard.signal(signal.SIGSTOP)
    try:
        code = main(["stop", "model:demo", "--config", str(one.config)])
        out, err = capsys.readouterr()
        assert (code, "on 1/2 replicas" in out) == (5, True), err
        assert "not confirmed by r1 (has not answered yet)" in err
        assert frozen.code("demo") == ""
    finally:
        frozen.guard.signal(signal.SIGCONT)
    wait_until(lambda: frozen.code("demo") == "stopped", "the supervisor of the first tells on")
