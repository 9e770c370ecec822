"""``guard why REQUEST-ID``: what it tells of requests that ended in every way, whom it tells, and of loss."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from guard.audit.keys import DataKeys, KeyFolder
from guard.audit.ledger import Ledger, Limits
from guard.audit.records import Control
from guard.audit.segments import listing
from guard.audit.wrapping import Kek
from guard.cli import main
from safeguards.decision import Decision, Ending, Failure, Target
from safeguards.exchange import Channel, ChannelId, ChannelKind
from safeguards.verdict import Code
from tests.guard.audit.fakes import KEEP, Clock, contents, exchange, outcome
from tests.parts.configuration import write_configuration, write_people

ASKING = ("--who", "ana", "--reason", "ticket 4")
PROMPT = "the prompt's own words"
Tell = Callable[..., tuple[int, str, str]]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    write_configuration(tmp_path)
    write_people(tmp_path, {"ana": ["safeguards_engineer"], "ben": ["viewer", "approver", "operator"]})
    return tmp_path


@pytest.fixture
def tell(config: Path, capsys: pytest.CaptureFixture[str]) -> Tell:
    def ask(request: str, *more: str, who: tuple[str, ...] = ASKING) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(["why", request, *who, *more, "--config", str(config)])
        out, err = capsys.readouterr()
        return code, out, err

    return ask


def ledger(config: Path, writer: str = "worker-0", segment: int = 1_000_000) -> Ledger:
    keys = DataKeys(
        KeyFolder(config / "var" / "content-keys"), Kek((config / "secrets" / "content-key").read_text()[:64])
    )
    return Ledger.open(config / "var" / "audit" / writer, Clock(), limits=Limits(segment=segment), keys=keys)


def ended(config: Path, request: str = "r1") -> None:
    log = ledger(config)
    asked = exchange(request, text=PROMPT)
    log.intent(asked, durable=False, keep=KEEP)
    log.outcome(asked, outcome(), durable=False)
    log.close()


def test_a_request_that_was_cut_is_told_with_everything_that_decided_it(config: Path, tell: Tell) -> None:
    ended(config)
    code, out, err = tell("r1")
    assert (code, err) == (0, "")
    for said in (
        "request r1\n",
        "  blocked_output with status 200 at 2023-11-14T22:13:21.000Z: content_blocked, rule r7\n",
        "by key key-1 of search team, tier trusted\n",
        "  for chat (streamed) of demo, ASL-2, on public\n",
        "  standard house 1 beef\n",
        f"  policy {'c0ffee' * 10}: no longer readable on this host\n",
        f"1 passage of {len(PROMPT)} characters; kept sealed as content-30 of 2023-11-14, until 2023-12-15;",
        "  passed        access (prompt, enforced, 0.001 ms)\n",
        "  would block   rules (answer, SHADOW, 2 ms): failed: timeout; content_blocked, cbrn, rule r7, score 0.91 ",
        " score 0.91 (threshold 0.8), classifier demo-1\n",
        "  tool_arguments[0.1]: 5 of the 14 characters that came\n",
        "  345 bytes in 12 events; the first after 0.25 s\n",
        "  tokens, as the server says: 7 in, 9 out\n",
        "seg-00000000000000000001.log record 2, under no signed head yet\n",
    ):
        assert said in out, out
    assert PROMPT not in out


def test_the_same_for_machines_has_every_record_and_its_place(config: Path, tell: Tell) -> None:
    ended(config)
    code, out, _ = tell("r1", "--json")
    found: dict[str, Any] = json.loads(out)
    assert (code, found["state"], found["damage"], found["removed"]) == (0, "ended", [], [])
    intent, end = found["records"]
    assert (intent["record"], intent["writer"], intent["sequence"], intent["sealed"]) == (
        "intent",
        "worker-0",
        2,
        False,
    )
    assert [one["safeguard"] for one in end["decisions"]] == ["access", "rules"]
    assert found["policy"]["digest"] == intent["policy"]


def test_the_asking_is_on_record_before_anything_is_told(config: Path, tell: Tell) -> None:
    ended(config)
    assert tell("r1")[0] == tell("nobody" * 20)[0] - 1 == 0
    acts = [one for one in contents(config / "var" / "audit") if isinstance(one, Control)]
    assert [(one.who, one.what, one.reason) for one in acts] == [(f"ana (uid {os.getuid()})", "why", "ticket 4")] * 2
    assert [one.subject for one in acts] == ["request:r1", "request:" + ("nobody" * 20)[:64]]


@pytest.mark.parametrize(
    ("who", "words"),
    [
        (("--who", "ben", "--reason", "x"), "no role of ben in operators.yaml may do this"),
        (("--who", "eve", "--reason", "x"), "--who: is nobody in operators.yaml"),
        (("--who", "ana"), "--who NAME and --reason TEXT"),
        ((), "--who NAME and --reason TEXT"),
    ],
)
def test_who_is_not_entitled_is_told_nothing(who: tuple[str, ...], words: str, config: Path, tell: Tell) -> None:
    ended(config)
    code, out, err = tell("r1", who=who)
    assert (code, out) == (4, "")
    assert words in err
    assert not (config / "var" / "audit" / "operator").exists()


def test_without_people_nobody_is_entitled(config: Path, tell: Tell) -> None:
    ended(config)
    (config / "operators.yaml").unlink()
    assert tell("r1")[:2] == (4, "")


@pytest.mark.parametrize("role", ["responder", "safeguards_engineer", "investigator", "auditor"])
def test_the_roles_whose_work_it_is_are_entitled_also_by_their_full_name(role: str, config: Path, tell: Tell) -> None:
    ended(config)
    write_people(config, {"cho": [role]})
    assert tell("r1", who=("--who", "cho the person", "--reason", "x"))[0] == 0


def test_a_request_refused_before_the_model_saw_it_says_by_what(config: Path, tell: Tell) -> None:
    log = ledger(config)
    asked = exchange("r1")
    failed = Decision(
        "limits", Target.INPUT, True, True, True, 0.001, Code.SAFEGUARD_FAILED, "limits: crash", "", "", Failure.CRASH
    )
    lenient = Decision("patterns", Target.INPUT, True, False, False, 0.001, failure=Failure.TIMEOUT)
    log.intent(asked, durable=False, keep=None)
    how = replace(
        outcome(),
        ending=Ending.BLOCKED_INPUT,
        status=403,
        decisions=(lenient, failed),
        released=(),
        first_byte_seconds=None,
        code=Code.SAFEGUARD_FAILED,
    )
    log.outcome(asked, how, durable=False)
    log.close()
    out = tell("r1")[1]
    assert "blocked_input with status 403" in out
    assert "  UNCHECKED     patterns (prompt, enforced, 1 ms): failed: timeout;\n" in out
    assert "  BLOCKED       limits (prompt, enforced, 1 ms): failed: crash; safeguard_failed, limits: crash\n" in out
    assert "; the first never\n" in out
    assert "characters; none was kept\n" in out


def test_a_request_that_runs_says_so_and_what_can_have_left_at_most(config: Path, tell: Tell) -> None:
    log = ledger(config)
    asked = exchange("r1")
    log.intent(asked, durable=False, keep=None)
    channel = Channel(ChannelId(0, ChannelKind.CONTENT))
    for piece in ("some ", "words"):
        channel.append(piece)
        log.part(asked, channel)
        channel.settle()
    code, out, _ = tell("r1")
    assert code == 0
    assert "  no end on record: it is still running\n" in out
    assert "What left at most: what was recorded before it could\n  content[0]: 10 characters\n" in out
    assert "seg-00000000000000000001.log 2 records, 3 to 4, under no signed head yet\n" in out
    log.close()


def test_a_request_that_a_crash_cut_off_says_so_before_and_after_the_recovery(config: Path, tell: Tell) -> None:
    child = os.fork()
    if child == 0:
        ledger(config).intent(exchange("r1"), durable=False, keep=None)
        os._exit(9)  # as a kill leaves it: nothing is closed
    os.waitpid(child, 0)
    assert "and no process on this host writes its log" in tell("r1")[1]
    assert json.loads(tell("r1", "--json")[1])["state"] == "died"
    ledger(config).close()
    code, out, _ = tell("r1")
    assert code == 0
    assert "  CUT OFF: how it ended was never recorded; unknown (crash)\n" in out
    assert "  recovered " in out


@pytest.mark.parametrize("request_id", ["nobody", "", "x" * 5_000, "\x1b[2J", "\udcff"])
def test_an_unknown_request_is_said_to_be_unknown(request_id: str, config: Path, tell: Tell) -> None:
    ended(config)
    code, out, err = tell(request_id)
    assert (code, err) == (1, "")
    assert "  not on record\n" in out
    assert "from its first record on, without a gap: no request of this id is in it\n" in out
    assert out.isascii()
    assert "\x1b" not in out


def test_where_retention_removed_the_beginning_that_is_said(config: Path, tell: Tell) -> None:
    log = ledger(config, segment=1)
    for number in range(4):
        log.intent(exchange(f"r{number}"), durable=False, keep=None)
    log.close()
    listing(config / "var" / "audit" / "worker-0")[0].unlink()
    code, out, _ = tell("r9")
    assert code == 1
    assert "The beginning of these logs was removed, as retention does; what was older is gone:\n  worker-0: " in out
    assert "begins with record 2\n" in out
    assert "no request of this id is in it" not in out


@pytest.mark.parametrize("request_id", ["r1", "r9"])
def test_a_damaged_log_is_said_to_be_damaged(request_id: str, config: Path, tell: Tell) -> None:
    ended(config)
    (segment,) = listing(config / "var" / "audit" / "worker-0")
    raw = bytearray(segment.read_bytes())
    raw[-20] ^= 1
    segment.write_bytes(raw)
    code, out, _ = tell(request_id)
    assert code == (0 if request_id == "r1" else 1)
    assert "The log is DAMAGED, and more of this request may lie there; `guard audit verify` judges it:\n" in out
    assert "reason=checksum" in out
    assert "no request of this id is in it" not in out


def test_texts_that_are_gone_are_said_to_be_gone(config: Path, tell: Tell) -> None:
    ended(config)
    for key in (config / "var" / "content-keys").glob("*/content-30.*.key"):
        key.unlink()
    assert "unreadable for good: their key, content-30 of 2023-11-14, was destroyed with its time" in tell("r1")[1]
    for segment in (config / "var" / "audit" / "worker-0" / "bodies" / "content-30").glob("*/seg-*"):
        segment.unlink()
    assert "removed with their time, as content-30 of 2023-11-14" in tell("r1")[1]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["r1", "--model", "demo"], "a past request is named by its REQUEST-ID alone"),
        (["--model", "demo"], "give a REQUEST-ID, or --as KEY-ID and --model MODEL"),
        ([], "give a REQUEST-ID, or --as KEY-ID and --model MODEL"),
    ],
)
def test_a_question_that_is_neither_is_wrong_usage(
    more: list[str], words: str, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended_:
        main(["why", *more, "--config", str(config)])
    assert ended_.value.code == 2
    assert words in capsys.readouterr().err
