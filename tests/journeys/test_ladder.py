"""Every rung of the ladder over a real guard with two workers: what it does to callers, and who may take it back.

It is one file, because all of it shares one running guard.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from guard.audit.read import Entry, iter_records
from guard.audit.records import Intent, Outcome
from guard.cli import main
from tests.guard.approval.persons import ANA, BEN
from tests.parts.configuration import MARKER, Credentials, ModelSpec, write_configuration, write_operators
from tests.parts.guard_process import GuardProcess, wait_until
from tests.parts.ladders import TRIED, write_ladder
from tests.parts.raw_caller import RawCaller, Whole
from tests.parts.upstream import DONE, STREAM_HEAD, Gate, ScriptedUpstream, chunk, delta, says, sends, text

WORKERS = 2
TIMES = 8  # so many connections as reach both workers but once in a hundred and more; what is asserted holds for each
LADDER = {
    "stricter": {"enforce": ["tried"]},
    "fallback": {"model": "small"},
    "no_new_principals": True,
    "de_deployed": {"replacement": "small"},
}


@dataclass(slots=True)
class Host:
    """A running guard with three models: ``big`` at ASL-3 with a whole ladder, ``old`` that is replaced, ``small``.

    ``old`` falls back to ``small`` for one category alone, which ``tried`` finds in shadow.

    ``app`` has a key of long ago, ``slow`` one that does not say of when and whose tier has no grant for ``small``.
    """

    guard: GuardProcess
    config: Path
    credentials: Credentials
    big: ScriptedUpstream
    small: ScriptedUpstream
    ordered: list[str] = field(default_factory=list)

    def ask(self, model: str = "big", content: str = "hello", key: str = "") -> Whole:
        """Ask once, without a stream."""
        with RawCaller(self.guard.data[1], key or self.credentials.key) as caller:
            caller.ask(content, stream=False, model=model)
            return caller.answer()

    def codes(self, model: str = "big", content: str = "hello", key: str = "") -> set[tuple[int, str]]:
        """Ask until both workers were asked; the statuses and the codes."""
        found = [self.ask(model, content, key) for _ in range(TIMES)]
        return {(each.status, "" if each.status == 200 else each.code) for each in found}

    def order(self, mode: str, scope: str = "model:big") -> None:
        """Order a rung by the command; it returns when both workers have confirmed."""
        assert main(["stop", scope, "--mode", mode, "--reason", "tried", "--config", str(self.config)]) == 0
        self.ordered.append(scope)

    def resume(self, scope: str) -> int:
        """Take back every order of this scope, as one person."""
        return main(["resume", scope, "--reason", "tried", "--to", "left.json", "--config", str(self.config)])

    def approve(self) -> None:
        """Take back what only two people may, as two people."""
        file = Path("left.json")
        for name, key in (("ana", ANA), ("ben", BEN)):
            file.with_name(f"left.{name}.sig").write_bytes(key.sign(file.read_bytes()))
        assert main(["resume", "--approved", str(file), "--config", str(self.config)]) == 0

    def clear(self) -> None:
        """Take back what a test has ordered."""
        while self.ordered:
            scope = self.ordered.pop()
            Path("left.json").unlink(missing_ok=True)
            self.resume(scope)
            if Path("left.json").exists():
                self.approve()


def write(config: Path, big: ScriptedUpstream, small: ScriptedUpstream) -> Credentials:
    models = [
        ModelSpec("big", 3, big.url),
        ModelSpec("old", 2, big.url, kind="openai", upstream_model="old"),
        ModelSpec("small", 2, small.url),
    ]
    credentials = write_configuration(config, models=models, workers=WORKERS)
    write_ladder(config, "big", LADDER)
    fallback = {"model": "small", "categories": ["other"]}
    write_ladder(config, "old", {"fallback": fallback, "de_deployed": {"replacement": "small", "route": True}})
    tiers = json.loads((config / "tiers.yaml").read_text())
    tiers["tiers"]["slow"] |= {
        "models": {"big": ["chat"]},
        "rate": {"per_minute": 6000, "burst": 1000},
    }
    next(key for key in tiers["keys"] if key["id"] == "app")["issued"] = "2020-01-01"
    (config / "tiers.yaml").write_text(json.dumps(tiers))
    until = (datetime.now(UTC) + timedelta(days=90)).date().isoformat()
    people = (("ana", ANA), ("ben", BEN))
    write_operators(
        config,
        [
            {"id": name, "name": name, "roles": ["approver"], "keys": [key.line], "expires": until}
            for name, key in people
        ],
    )
    return credentials


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    config = tmp_path_factory.mktemp("ladder")
    with ScriptedUpstream(says("from big")) as big, ScriptedUpstream(says("from small")) as small:
        credentials = write(config, big, small)
        with GuardProcess(config) as guard:
            serve(guard)
            yield Host(guard, config, credentials, big, small)


def serve(guard: GuardProcess) -> None:
    wait_until(lambda: guard.get("/health/ready").json().get("serving", 0) == WORKERS, "all serve")


@pytest.fixture
def host(running: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    monkeypatch.delenv("GUARD_ADMIN_TOKEN", raising=False)
    monkeypatch.delenv("GUARD_CONFIG", raising=False)
    monkeypatch.chdir(tmp_path)
    yield running
    running.clear()
    running.big.script, running.small.script = says("from big"), says("from small")


def stream(*contents: str, gate: Gate, then: str) -> Any:
    """Say so much, wait, say the rest, and end."""
    before = [chunk(text(each)) for each in contents]
    return sends(
        STREAM_HEAD, *before, gate, chunk(text(then)), chunk(text(" and on")), chunk(delta({}, finish="stop"), DONE)
    )


def test_stricter_enforces_what_was_in_shadow_on_prompts_and_on_answers(host: Host) -> None:
    assert host.codes(content=TRIED) == {(200, "")}
    host.order("stricter")
    assert host.codes(content=TRIED) == {(403, "content_blocked")}
    assert host.codes() == {(200, "")}
    host.big.script = says(f"so {TRIED}")
    assert host.codes() == {(403, "content_blocked")}


def test_what_stricter_alone_blocks_is_kept_out_of_the_bands_and_what_the_policy_blocks_is_not(host: Host) -> None:
    kept_out = 'guard_requests_not_judged_total{model="big",outcome="blocked_input"'
    blocked = 'guard_requests_total{model="big",outcome="blocked_input"'

    def counted(series: str) -> float:
        lines = [line for line in host.guard.get("/metrics").text.splitlines() if line.startswith(series)]
        return sum(float(line.split()[-1]) for line in lines)

    before, all_before = counted(kept_out), counted(blocked)
    host.order("stricter")
    assert host.codes(content=TRIED) == host.codes(content=MARKER) == {(403, "content_blocked")}
    wait_until(lambda: counted(blocked) == all_before + 2 * TIMES, "every worker has reported")
    assert counted(kept_out) == before + TIMES


def test_stricter_holds_for_what_runs_and_ends_what_it_would_have_blocked_already(host: Host) -> None:
    gate = Gate()
    with ExitStack() as stack:
        callers = []
        for first in ("harmless ", f"{TRIED} "):
            host.big.script = stream(first, "so far", gate=gate, then=f" then {TRIED}")
            caller = stack.enter_context(RawCaller(host.guard.data[1], host.credentials.key))
            caller.ask(model="big")
            caller.until(b"so far")
            callers.append(caller)
        host.order("stricter")
        late = callers[1].answer()  # its upstream waits still: the order ended it
        gate.open()
        later = callers[0].answer()
    for answer in (late, later):
        assert json.loads(answer.events[-2])["choices"][0]["finish_reason"] == "content_filter"
        assert answer.events[-1] == b"[DONE]"
    assert later.texts == "harmless so far then "[: len(later.texts)]
    assert TRIED not in later.texts


def test_a_fallback_answers_what_is_new_under_its_own_policy_and_says_so(host: Host) -> None:
    gate = Gate()
    host.big.script = stream("begun", gate=gate, then=" ended")
    before = len(host.small.requests)
    with RawCaller(host.guard.data[1], host.credentials.key) as caller:
        caller.ask(model="big")
        caller.until(b"begun")
        host.order("fallback")
        asked = len(host.big.requests)
        answers = [host.ask() for _ in range(TIMES)]
        gate.open()
        assert caller.answer().texts == "begun ended and on"
    assert len(host.big.requests) == asked
    assert len(host.small.requests) == before + TIMES
    for answer in answers:
        assert (answer.status, answer.headers["x-guard-answered-by"]) == (200, "small")
        assert answer.json["model"] == "small"
        assert answer.json["choices"][0]["message"]["content"] == "from small"
    # A tier that has no grant for the model that answers gets nothing by asking for the other.
    assert host.codes(key=host.credentials.slow) == {(403, "access_denied")}
    host.guard.wait_for("exchange", model="small", asked="big")
    wait_until(
        lambda: metric(host.guard, "guard_answered_by_another_total", 'model="big"', 'answered_by="small"') >= TIMES,
        "the answers are counted",
    )
    assert metric(host.guard, "guard_ladder_rung", 'model="big"', 'rung="fallback"') == 1


def test_a_fallback_of_a_category_answers_the_prompts_that_are_found_to_be_of_it(
    host: Host, capsys: pytest.CaptureFixture[str]
) -> None:
    def answered(content: str) -> set[tuple[int, str, str]]:
        found = [host.ask("old", content) for _ in range(TIMES)]
        names = [each.headers.get("x-guard-answered-by", "") for each in found]
        return {(each.status, name, each.headers["x-request-id"][28:]) for each, name in zip(found, names, strict=True)}

    assert answered(TRIED) == {(200, "", "")}
    host.order("fallback", "model:old")
    asked = len(host.big.requests)
    assert answered(TRIED) == {(200, "small", "x")}
    assert len(host.big.requests) == asked
    assert answered("hello") == {(200, "", "")}
    assert answered(f"{TRIED} and {MARKER}") == {(403, "small", "x")}  # whose own classifier blocks it
    with RawCaller(host.guard.data[1], host.credentials.key) as caller:
        caller.ask(TRIED, model="old")
        streamed = caller.answer()
    assert (streamed.texts, streamed.headers["x-guard-answered-by"]) == ("from small", "small")
    # Where that cannot answer it is blocked, and the rest is answered still.
    host.order("stop", "model:small")
    assert host.codes("old", TRIED) == {(403, "content_blocked")}
    assert host.codes("old") == {(200, "")}
    capsys.readouterr()
    assert main(["why", "--as", "app", "--model", "old", "--config", str(host.config)]) == 0
    assert "a prompt of other is answered by small, under its own policy, or blocked" in capsys.readouterr().out
    assert main(["ladder", "old", "--config", str(host.config)]) == 0
    assert "* fallback           small answers new prompts of other, under its own policy" in capsys.readouterr().out
    host.order("stop", "model:old")
    assert host.codes("old", TRIED) == host.codes("old") == {(503, "stopped")}


def test_both_records_of_a_prompt_that_fell_back_name_one_another(host: Host) -> None:
    host.order("fallback", "model:old")
    identity = host.ask("old", TRIED).headers["x-request-id"]
    folder = host.config / "var" / "audit"

    def found() -> dict[str, list[Intent | Outcome]]:
        read = [item.record for item in iter_records(folder) if isinstance(item, Entry)]
        both = [each for each in read if isinstance(each, Intent | Outcome) and each.id in {identity, identity[:-1]}]
        return {name: [each for each in both if each.id == name] for name in (identity[:-1], identity)}

    wait_until(lambda: all(len(each) == 2 for each in found().values()), "both records can be read")
    kept, answered = found().values()
    assert isinstance(kept[0], Intent)
    assert isinstance(kept[1], Outcome)
    assert isinstance(answered[0], Intent)
    assert isinstance(answered[1], Outcome)
    assert (kept[0].model, kept[0].asked, answered[0].model, answered[0].asked) == ("old", "", "small", "old")
    assert (kept[1].ending, kept[1].released, kept[1].status) == ("blocked_input", (), 0)
    assert kept[1].reason.endswith(f"small answers, as {identity}")
    (decision,) = [each for each in kept[1].decisions if each.safeguard == "tried"]
    assert (decision.enforced, decision.blocked, decision.category) == (True, True, "other")
    assert answered[1].ending == "served"


def test_the_record_names_both_models(host: Host) -> None:
    host.order("fallback")
    identity = host.ask().headers["x-request-id"]
    folder = host.config / "var" / "audit"

    def found() -> list[Intent]:
        read = [item.record for item in iter_records(folder) if isinstance(item, Entry)]
        return [each for each in read if isinstance(each, Intent) and each.id == identity]

    wait_until(lambda: bool(found()), "the intent can be read")
    (intent,) = found()
    assert (intent.model, intent.asked, intent.asl) == ("small", "big", 2)


def test_a_fallback_that_is_stopped_itself_answers_nobody(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    host.order("fallback")
    host.order("stop", "model:small")
    assert host.codes() == {(503, "stopped")}
    assert host.resume("model:small") == 0
    assert host.codes() == {(200, "")}
    # Nor one that stands on a rung where it does not answer itself: there is no chain.
    host.order("fallback", "model:small")
    assert host.codes() == {(503, "stopped")}
    host.clear()
    host.order("fallback")
    host.order("stop")
    assert host.codes() == {(503, "stopped")}
    assert main(["why", "--as", "app", "--model", "big", "--config", str(host.config)]) == 1
    assert "stopped" in capsys.readouterr().out


def test_new_principals_are_refused_and_present_ones_served(host: Host) -> None:
    assert host.codes(key=host.credentials.slow) == {(200, "")}
    host.order("no_new_principals")
    assert host.codes(key=host.credentials.slow) == {(403, "no_new_principals")}
    assert host.codes() == {(200, "")}


def test_a_model_that_is_withdrawn_names_its_replacement_and_leaves_the_list(host: Host) -> None:
    gate = Gate()
    host.big.script = stream("begun", gate=gate, then="never")
    assert "big" in listed(host)
    with RawCaller(host.guard.data[1], host.credentials.key) as caller:
        caller.ask(model="big")
        caller.until(b"begun")
        host.order("de_deployed")
        assert caller.answer().code == "de_deployed"
    for _ in range(TIMES):
        answer = host.ask()
        assert (answer.status, answer.code, answer.headers["x-should-retry"]) == (410, "de_deployed", "false")
        assert "Use small instead. Order " in answer.json["error"]["message"]
        assert listed(host) == {"old", "small"}
    # It is named to those whom it would answer: not without a grant, nor while it is stopped itself.
    told = host.ask(key=host.credentials.slow).json["error"]["message"]
    host.order("stop", "model:small")
    for message in (told, host.ask().json["error"]["message"]):
        assert "instead" not in message
        assert "Order " in message


def test_a_replacement_that_is_to_answers_what_is_asked_of_a_withdrawn_model(host: Host) -> None:
    host.order("de_deployed", "model:old")
    for _ in range(TIMES):
        answer = host.ask("old")
        assert (answer.status, answer.headers["x-guard-answered-by"]) == (200, "small")
    host.order("stop", "model:old")  # beside a stop nobody answers in its place
    assert host.codes("old") == {(410, "de_deployed")}


def test_an_order_for_a_rung_that_a_model_does_not_declare_stops_it(host: Host) -> None:
    for mode in ("stricter", "fallback"):
        host.order(mode, "model:small")
        assert host.codes("small") == {(503, "stopped")}
        host.clear()


@pytest.mark.parametrize("mode", ["stricter", "fallback", "no_new_principals", "de_deployed"])
def test_from_asl_3_on_a_rung_is_left_by_two_people(mode: str, host: Host) -> None:
    tried = {"content": TRIED, "key": host.credentials.slow}
    served = host.codes(**tried)
    host.order(mode)
    held = host.codes(**tried)
    assert held != served
    assert host.resume("model:big") == 4
    assert host.codes(**tried) == held
    host.approve()
    host.ordered.clear()
    assert host.codes(**tried) == served


def test_a_ladder_is_walked_down_one_rung_at_a_time(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    ladder = ["ladder", "big", "--config", str(host.config)]
    walked = []
    for _ in range(4):
        capsys.readouterr()
        assert main([*ladder, "--down", "--reason", "a finding"]) == 0
        host.ordered.append("model:big")
        assert f"applied on {WORKERS}/{WORKERS} workers" in capsys.readouterr().out
        assert main(ladder) == 0
        walked.append(capsys.readouterr().out.split(";")[0])
    assert walked == [f"big: {rung}" for rung in ("stricter", "fallback", "no_new_principals", "stop")]
    assert main(["ladder", "nobody", "--config", str(host.config)]) == 2
    assert main(["status", "--config", str(host.config)]) == 3
    assert "FALLBACK model:big since " in capsys.readouterr().out
    del host.ordered[1:]


def test_a_restart_keeps_the_rung(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GUARD_ADMIN_TOKEN", raising=False)
    config = tmp_path / "config"
    with ScriptedUpstream(says("from big")) as big, ScriptedUpstream(says("from small")) as small:
        credentials = write(config, big, small)
        with GuardProcess(config) as guard:
            serve(guard)
            host = Host(guard, config, credentials, big, small)
            for mode in ("stricter", "fallback"):
                host.order(mode)
        with GuardProcess(config) as guard:
            serve(guard)
            host = Host(guard, config, credentials, big, small)
            assert {host.ask().headers["x-guard-answered-by"] for _ in range(TIMES)} == {"small"}
            assert metric(guard, "guard_ladder_rung", 'model="big"', 'rung="fallback"') == 1


def listed(host: Host) -> set[str]:
    with RawCaller(host.guard.data[1], host.credentials.key) as caller:
        caller.post(b"", path="/v1/models", method="GET")
        return {each["id"] for each in caller.answer().json["data"]}


def metric(guard: GuardProcess, name: str, *labels: str) -> float:
    """The sum of the series with all these labels."""
    lines = guard.get("/metrics").text.splitlines()
    return sum(
        float(line.rpartition(" ")[2])
        for line in lines
        if line.startswith(f"{name}{{") and all(each in line for each in labels)
    )
