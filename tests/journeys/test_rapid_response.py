"""A rule pushed as an order, over real processes: every worker blocks by it, what runs included, until it is lifted.

One file, because nearly all of it shares one running guard of two workers.
"""

from __future__ import annotations

import asyncio
import io
import json
import os
import re
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from guard.audit.read import Entry, iter_records
from guard.audit.records import Control
from guard.cli import main, switch
from guard.policy.ssh_key import KeyKind
from guard.state.directory import OrderDirectory
from guard.state.issuer import Issuer
from guard.state.orders import RuleOrder, Source, issue_rule
from guard.state.rule_text import PushedRule
from guard.state.scope import Scope
from safeguards.category import Category
from safeguards.decision import Target
from tests.parts.configuration import Credentials, ModelSpec, write_configuration, write_operators
from tests.parts.guard_process import GuardProcess, wait_until
from tests.parts.raw_caller import RawCaller
from tests.parts.ssh_keys import SoftKey
from tests.parts.upstream import STREAM_HEAD, Peer, Received, ScriptedUpstream, answer, chunk, completion, text

WORKERS = 2
PHRASE = "PUSHED-MARKER"


class Host:
    """A guard of two workers before an upstream that says what it is told, when it is told."""

    def __init__(self, config: Path, credentials: Credentials, upstream: ScriptedUpstream) -> None:
        """Take the configuration; ``guard`` is given when it runs."""
        self.config = config
        self.credentials = credentials
        self.upstream = upstream
        self.guard: GuardProcess = None  # type: ignore[assignment]

    def token(self, name: str = "responder") -> list[str]:
        """The options by which a command asks the admin API as this person."""
        return ["--admin", self.guard.admin_url, "--token-file", str(self.config / "secrets" / f"{name}.token")]

    def ask(self, prompt: str, model: str = "demo") -> tuple[int, str]:
        """Ask once, not streamed; the status and the code."""
        with RawCaller(self.guard.data[1], self.credentials.key) as caller:
            caller.ask(prompt, stream=False, model=model)
            answer = caller.answer()
            return answer.status, "" if answer.status == 200 else answer.code

    def everywhere(self, prompt: str, expected: tuple[int, str], model: str = "demo") -> bool:
        """Whether twenty connections, which the workers share, all get this."""
        return all(self.ask(prompt, model) == expected for _ in range(20))


SAID: dict[str, list[str]] = {}
"""What the upstream goes on to say in the stream of this prompt."""


async def waits(peer: Peer, request: Received) -> None:
    """Repeat the prompt at once; or stream a beginning, and then what is put into `SAID`."""
    prompt = request.json["messages"][-1]["content"]
    if prompt not in SAID:
        await peer.send(answer(completion(prompt)))
        return
    await peer.send(STREAM_HEAD, chunk(text("begun PUSHED-")))
    sent = 0
    while not peer.left:
        pieces = SAID[prompt][sent:]
        sent += len(pieces)
        await peer.send(*[chunk(text(piece)) for piece in pieces])
        await asyncio.sleep(0.01)


def configured(config: Path, upstream: ScriptedUpstream) -> Host:
    """Two workers, a model at ASL-2 and one at ASL-3."""
    models = [ModelSpec("demo", 2, upstream.url), ModelSpec("strict", 3, upstream.url)]
    return Host(config, write_configuration(config, models=models, workers=WORKERS), upstream)


PEOPLE = {name: SoftKey(KeyKind.ED25519, Ed25519PrivateKey.generate()) for name in ("ana", "ben")}


def write_people(config: Path) -> None:
    """Two people who may approve."""
    until = (datetime.now(UTC) + timedelta(days=90)).date().isoformat()
    persons = [
        {"id": name, "name": name, "roles": ["approver"], "keys": [key.line], "expires": until}
        for name, key in PEOPLE.items()
    ]
    write_operators(config, persons)


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    config = tmp_path_factory.mktemp("rapid")
    with ScriptedUpstream(waits) as upstream:
        host = configured(config, upstream)
        write_people(config)
        with GuardProcess(config) as guard:
            host.guard = guard
            wait_until(lambda: guard.get("/health/ready").json().get("serving", 0) == WORKERS, "both serve")
            yield host


@dataclass(frozen=True, slots=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def order(self) -> str:
        """The id of the order it gave."""
        found = re.search(r"\(order ([^)]+)\)", self.out)
        assert found is not None, self
        return found[1]


class Command:
    """The command in this process."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Take what it prints."""
        self._capsys = capsys

    def __call__(self, *arguments: str | Path) -> Done:
        """Run it."""
        self._capsys.readouterr()
        code = main([str(each) for each in arguments])
        return Done(code, *self._capsys.readouterr())


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GUARD_ADMIN_TOKEN", raising=False)
    monkeypatch.delenv("GUARD_CONFIG", raising=False)
    return Command(capsys)


def test_a_pushed_rule_blocks_prompts_answers_and_running_streams_until_it_is_lifted(
    host: Host, command: Command
) -> None:
    assert host.ask(f"a {PHRASE} b") == (200, "")
    with ExitStack() as stack:
        streams: list[tuple[RawCaller, list[str]]] = []
        for number in range(6):
            caller = stack.enter_context(RawCaller(host.guard.data[1], host.credentials.key))
            said = SAID[f"stream {number}"] = []
            caller.ask(f"stream {number}")
            caller.until(b"begun PUSHED-")
            streams.append((caller, said))
        clean = streams.pop()
        what = ("--phrase", PHRASE, "--category", "jailbreak", "--reason", "INC-7")
        done = command("rule", "push", "model:demo", *what, "--config", host.config, *host.token())
        assert done.code == 0, done.err
        assert done.out.startswith(f"pushed 1 rule on model:demo: applied on {WORKERS}/{WORKERS} workers in ")
        # The word began to leave before the rule came, and its end comes in one piece, or letter by letter.
        for number, (_, said) in enumerate(streams):
            said.extend(["MARKER and on"] if number % 2 else "MARKER")
        for caller, _ in streams:
            whole = caller.answer()
            assert (whole.status, whole.ended) == (200, True)
            assert "MARKER" not in whole.texts
            assert b'"finish_reason":"content_filter"' in whole.body.replace(b" ", b"")
        clean[1].extend(["LETTER and on", "done"])
        assert b"done" in clean[0].until(b"done")
    assert host.everywhere(f"a {PHRASE} b", (403, "content_blocked"))
    assert host.everywhere("a pushed\u200b-marker in other letters", (403, "content_blocked"))
    assert host.everywhere("something else", (200, ""))
    assert host.ask(f"a {PHRASE} b", "strict") == (200, "")

    listed = command("rule", "list", "--config", host.config, *host.token("viewer"))
    assert listed.code == 0
    assert f"{done.order} model:demo input+output: pushed (jailbreak), by responder-in-person: INC-7" in listed.out
    assert PHRASE not in listed.out
    assert "NOT IN FORCE" not in listed.out
    assert command("rule", "list", "--config", host.config).out == listed.out
    assert command("rule", "list", "--show", "--config", host.config, *host.token("viewer")).code == 4
    shown = command("rule", "list", "--show", "--config", host.config, *host.token())
    assert f"pushed: phrase {PHRASE}" in shown.out
    assert "1 pushed rule orders are in force" in command("status", "--config", host.config, *host.token()).out

    page = host.guard.get("/metrics").text
    assert re.search(r'guard_pushed_rules\{.*standing="enforced".*\} 1\.0', page)
    assert re.search(r'guard_decisions_total\{.*safeguard="rapid_response".*verdict="deny"', page), page
    _untold(host, page)

    lifted = command("rule", "lift", done.order, "--reason", "in the file", "--config", host.config, *host.token())
    assert lifted.code == 0, lifted.err
    assert lifted.out.startswith(f"lifted {done.order}: applied on {WORKERS}/{WORKERS} workers in ")
    assert host.everywhere(f"a {PHRASE} b", (200, ""))
    assert command("rule", "list", "--config", host.config).out == "no rule is pushed\n"
    _remembered(host, done.order)


def _untold(host: Host, page: str) -> None:
    """The text of a rule is nowhere but in the order; the request log seals what callers sent."""
    assert PHRASE not in page
    assert PHRASE not in str(host.guard.log)


def _remembered(host: Host, order: str) -> None:
    """The push and the lifting are on record, without the text; what was blocked names the order."""
    audit = host.config / "var" / "audit"

    def acts() -> list[Control]:
        items = iter_records(audit)
        controls = [item.record for item in items if isinstance(item, Entry) and isinstance(item.record, Control)]
        return [each for each in controls if order in each.subject]

    wait_until(lambda: len(acts()) >= 2, "both acts are on record")
    pushed, lifted = acts()[:2]
    assert (pushed.what, pushed.who, pushed.reason) == ("rule", "responder-in-person", "INC-7")
    assert re.fullmatch(rf"{order} model:demo sha256:[0-9a-f]{{64}}", pushed.subject)
    assert lifted.what == "resume"
    assert PHRASE not in pushed.subject + lifted.subject


def test_from_asl_3_on_two_people_lift_a_rule_and_a_stop_of_the_scope_does_not_lift_it(
    host: Host, command: Command, tmp_path: Path
) -> None:
    rules = tmp_path / "rules.yaml"
    one = {"id": "marker-7", "category": "cbrn", "pattern": "pushed-[0-9]{3,5}-marker"}
    rules.write_text(json.dumps({"version": 1, "name": "night", "release": "1", "rules": [one]}))
    where = ["--config", str(host.config)]
    done = command("rule", "push", "all", "--file", rules, *where)
    assert done.code == 0, done.err
    for model in ("demo", "strict"):
        assert host.everywhere("a pushed-1234-marker", (403, "content_blocked"), model)
    stopped = command("stop", "all", *where)
    assert command("resume", stopped.order, "--reason", "over", "--to", tmp_path / "s.json", *where).code == 0
    assert host.everywhere("a pushed-1234-marker", (403, "content_blocked"))

    alone = command("rule", "lift", done.order, "--reason", "in the file", "--to", tmp_path / "r.json", *where)
    assert alone.code == 0, alone.err
    assert "still screened: strict: ASL-3: lifting a rule takes two people's approval" in alone.out
    assert host.everywhere("a pushed-1234-marker", (200, ""))
    assert "lifted below ASL-3" in command("rule", "list", *where).out
    again = command("rule", "lift", done.order, "--reason", "in the file", "--to", tmp_path / "r2.json", *where)
    assert again.code == 4
    assert "rule on all" in (tmp_path / "r.json").read_text()
    for name in ("r", "s"):
        for person, key in PEOPLE.items():
            text = (tmp_path / f"{name}.json").read_bytes()
            (tmp_path / f"{name}.{person}.sig").write_bytes(key.sign(text))
    assert command("resume", "--approved", tmp_path / "s.json", *where).code == 0
    assert host.everywhere("a pushed-1234-marker", (403, "content_blocked"), "strict")
    both = command("rule", "lift", "--approved", tmp_path / "r.json", *where)
    assert both.code == 0, both.err
    assert host.everywhere("a pushed-1234-marker", (200, ""), "strict")


@pytest.mark.parametrize("path", ["host", "api"])
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("all", "--pattern", "a(b", "--category", "cyber"), "is not a regular expression"),
        (("all", "--pattern", "x*", "--category", "cyber"), "matches the empty text"),
        (("all", "--phrase", "\u200b", "--category", "cyber"), "visible characters"),
        (("all", "--phrase", "x" * 1001, "--category", "cyber"), "at most 1000 characters"),
        (("all", "--phrase", "x", "--category", "cyber", "--id", "not a name"), "an id is"),
        (("all", "--phrase", "x"), "--category"),
        (("tier:general", "--phrase", "x", "--category", "cyber"), "scope: of a rule is one of all"),
        (("model:nobody", "--phrase", "x", "--category", "cyber"), "there is no model of that name"),
    ],
)
def test_a_rule_that_cannot_be_used_is_refused_where_it_is_given(
    path: str, arguments: tuple[str, ...], said: str, host: Host, command: Command
) -> None:
    orders = host.config / "var" / "state" / "orders"
    before = sorted(orders.iterdir())
    where = ["--config", str(host.config), *(host.token() if path == "api" else [])]
    found = command("rule", "push", *arguments, *where)
    assert found.code == 2
    assert said in found.err
    assert sorted(orders.iterdir()) == before


def put_by_hand(host: Host, rule: PushedRule, scope: str = "model:demo") -> str:
    """Place an order as somebody who may write there could, past every check; its signature is another order's."""
    state = host.config / "var" / "state"

    def order(rules: tuple[PushedRule, ...]) -> RuleOrder:
        return issue_rule(
            Scope.parse(scope), rules, tuple(Target), reason="", who="me", source=Source.CLI, now=at, entropy=entropy
        )

    at, entropy = time.time(), os.urandom(10)
    signed = Issuer.open(state).signed(order((PushedRule("other", Category.OTHER, phrase="another"),)))
    forged = replace(order((rule,)), issuer=signed.issuer, signature=signed.signature)
    OrderDirectory(state).put(forged)
    return forged.id


def test_a_rule_placed_by_hand_holds_whoever_signed_it(host: Host, command: Command) -> None:
    order = put_by_hand(host, PushedRule("by-hand", Category.OTHER, phrase="HAND-MARKER"))
    wait_until(lambda: host.everywhere("a hand-marker", (403, "content_blocked")), "every worker blocks by it")
    assert command("rule", "lift", order, "--reason", "x", "--config", host.config, *host.token()).code == 0


def test_a_rule_placed_by_hand_that_cannot_be_used_refuses_what_it_covers_and_says_so(
    host: Host, command: Command
) -> None:
    order = put_by_hand(host, PushedRule("typo", Category.OTHER, pattern="HAND-(MARKER"))
    wait_until(lambda: host.everywhere("hello", (503, "safeguard_failed")), "every worker refuses")
    assert host.ask("hello", "strict") == (200, "")
    for _ in range(WORKERS):
        host.guard.wait_for("rule_unusable", WORKERS, order=order)
    assert "HAND-" not in str(host.guard.log)
    wait_until(
        lambda: (
            len(re.findall(r'guard_pushed_rules\{.*"refusing".*\} 1\.0', host.guard.get("/metrics").text)) == WORKERS
        ),
        "the metric of each worker says so",
    )
    listed = command("rule", "list", "--config", host.config, *host.token())
    assert "NOT IN FORCE on 0, 1: not running, or it refuses all that the rule covers" in listed.out
    lifted = command("rule", "lift", order, "--reason", "a typo", "--config", host.config, *host.token())
    assert lifted.code == 0, lifted.err
    assert host.everywhere("hello", (200, ""))


def test_a_rule_from_stdin_is_confirmed_while_the_supervisor_is_frozen_and_outlives_every_restart(
    tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(switch, "WAIT_SECONDS", 0.1)
    blocked = (403, "content_blocked")
    with ScriptedUpstream(waits) as upstream:
        host = configured(tmp_path / "config", upstream)
        where = ("--config", host.config)
        # With no guard running a rule is in force for the next one, and is not confirmed.
        early = command("rule", "push", "model:demo", "--phrase", "EARLY-MARKER", "--category", "other", *where)
        assert early.code == 5
        assert "not confirmed by worker 0, 1" in early.err
        monkeypatch.setattr(switch, "WAIT_SECONDS", 30.0)
        with GuardProcess(host.config) as guard:
            host.guard = guard
            wait_until(lambda: guard.get("/health/ready").json().get("serving", 0) == WORKERS, "both serve")
            assert host.everywhere("an early-marker", blocked)
            guard.signal(signal.SIGSTOP)
            monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"STDIN-MARKER\nLINE-MARKER\n")))
            pushed = command("rule", "push", "level:1", "--phrase", "-", "--category", "other", *where)
            assert pushed.code == 0, pushed.err
            assert pushed.out.startswith("pushed 2 rules on level:1: applied on 2/2 workers")
            guard.signal(signal.SIGCONT)
            for model in ("demo", "strict"):
                assert host.everywhere("a stdin-marker", blocked, model)
                assert host.everywhere("a line-marker", blocked, model)
            before = guard.worker()
            os.kill(before, signal.SIGKILL)
            wait_until(lambda: guard.worker() != before, "it is replaced")
            wait_until(lambda: guard.get("/health/ready").json().get("serving", 0) == WORKERS, "both serve again")
            assert host.everywhere("an early-marker", blocked)
            guard.signal(signal.SIGTERM)
            assert guard.wait() == 0
        with GuardProcess(host.config) as guard:
            host.guard = guard
            assert host.everywhere("a line-marker", blocked, "strict")
            assert command("rule", "lift", early.order, "--reason", "x", *where, *host.token()).code == 0
            assert host.everywhere("an early-marker", (200, ""))
