"""Resuming a model at ASL-3 over real processes: two people approve with ssh-keygen, and every worker judges it.

One file, because nearly all of it shares one running guard of two workers.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_ssh_private_key

from guard.approval.resume import Lift, ResumeApproval, canonical
from guard.approval.sshsig import NAMESPACE
from guard.cli import main
from guard.policy.ssh_key import KeyKind
from guard.state.directory import OrderDirectory
from guard.state.issuer import Issuer
from guard.state.orders import Approver, ResumeOrder, Source, StopOrder, decode, issue_resume, issue_stop
from guard.state.scope import Scope
from guard.state.shown import fingerprint
from tests.parts.configuration import Credentials, ModelSpec, write_configuration, write_operators
from tests.parts.guard_process import GuardProcess, wait_until
from tests.parts.raw_caller import RawCaller
from tests.parts.ssh_keygen import make_key, sign
from tests.parts.ssh_keys import SoftKey
from tests.parts.upstream import ScriptedUpstream, says

WORKERS = 2
_BY_API = frozenset({"half", "forged", "expired", "changed", "unknown stop"})


@dataclass(frozen=True, slots=True)
class Host:
    """A guard of two workers with a model at ASL-2 and one at ASL-3, its people's SSH keys, and its configuration."""

    guard: GuardProcess
    config: Path
    keys: Path
    credentials: Credentials

    @property
    def state(self) -> Path:
        """Where its orders are."""
        return self.config / "var" / "state"

    def status(self, model: str = "strict") -> tuple[int, str]:
        """Ask a model once; the status, and the message of an error."""
        with RawCaller(self.guard.data[1], self.credentials.key) as caller:
            caller.ask(stream=False, model=model)
            answer = caller.answer()
        return answer.status, json.loads(answer.body).get("error", {}).get("message", "")

    def approve(self, text: Path, *people: str) -> None:
        """Let these people sign with the real ssh-keygen."""
        for person in people:
            made = sign(self.keys / person, NAMESPACE, text)
            made.rename(text.with_name(f"{text.stem}.{person}.sig"))

    def signed(self, text: bytes, key: str) -> bytes:
        """Sign as ssh-keygen does, in this process: dozens of its own would take long."""
        private = load_ssh_private_key((self.keys / key).read_bytes(), None)
        assert isinstance(private, Ed25519PrivateKey)
        return SoftKey(KeyKind.ED25519, private).sign(text)

    def write(self, text: Path, person: str, key: str = "") -> None:
        """Put a person's signature beside what was signed; ``ana-too`` is a second key of ana."""
        text.with_name(f"{text.stem}.{person}.sig").write_bytes(self.signed(text.read_bytes(), key or person))

    def stop(self, scope: str = "model:strict") -> StopOrder:
        """Stop it and return the order."""
        assert main(["stop", scope, "--config", str(self.config)]) == 0
        orders = [decode(each.read_bytes()) for each in sorted((self.state / "orders").glob("*.json"))]
        return [order for order in orders if isinstance(order, StopOrder)][-1]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    config, keys = tmp_path_factory.mktemp("two"), tmp_path_factory.mktemp("keys")
    lines = {name: make_key(keys / name, "-t", "ed25519") for name in ("ana", "ana-too", "ben", "vic")}
    with ScriptedUpstream(says("hello")) as upstream:
        models = [ModelSpec("demo", 2, upstream.url), ModelSpec("strict", 3, upstream.url)]
        credentials = write_configuration(config, models=models, workers=WORKERS)
        write_people(config, lines)
        with GuardProcess(config) as guard:
            wait_until(lambda: guard.get("/health/ready").json().get("serving", 0) == WORKERS, "all serve")
            yield Host(guard, config, keys, credentials)


@pytest.fixture
def host(running: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    monkeypatch.delenv("GUARD_ADMIN_TOKEN", raising=False)
    monkeypatch.delenv("GUARD_CONFIG", raising=False)
    monkeypatch.chdir(tmp_path)
    yield running
    clear(running)


def write_people(config: Path, lines: dict[str, str], *, without: str = "") -> None:
    until = (datetime.now(UTC) + timedelta(days=90)).date().isoformat()
    persons = [
        {"id": "ana", "name": "Ana", "roles": ["approver"], "keys": [lines["ana"], lines["ana-too"]], "expires": until},
        {"id": "ben", "name": "Ben", "roles": ["approver"], "keys": [lines["ben"]], "expires": until},
        {"id": "vic", "name": "Vic", "roles": ["viewer"], "keys": [lines["vic"]], "expires": until},
    ]
    kept = [each for each in persons if each["id"] != without]
    write_operators(config, kept)


def wanted(host: Host, target: str, *options: str) -> Path:
    """Ask for a resume, which is refused, and return the file that it wrote to be signed."""
    assert main(["resume", target, "--reason", "the finding is mended", "--config", str(host.config), *options]) == 4
    (text,) = Path.cwd().glob("resume-*.json")
    return text


def api(host: Host) -> list[str]:
    return ["--admin", host.guard.admin_url, "--token-file", str(host.config / "secrets" / "responder.token")]


def clear(host: Host) -> None:
    """Lift whatever a test has left stopped, as people would."""
    options = ["--config", str(host.config), "--to", "left.json", "--reason", "the test is over"]
    main(["resume", "model:demo", *options])
    assert main(["resume", "model:strict", *options]) == 4
    left = Path("left.json")
    if left.exists():
        host.write(left, "ana")
        host.write(left, "ben")
        assert main(["resume", "--approved", "left.json", "--config", str(host.config)]) == 0


@pytest.mark.parametrize("path", ["host", "api"])
def test_two_people_bring_a_model_at_asl_3_back(path: str, host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    order = host.stop()
    status, message = host.status()
    assert status == 503
    assert f"Order {order.id}." in message
    options = api(host) if path == "api" else []
    text = wanted(host, "model:strict", *options)
    said = capsys.readouterr().out
    assert f"lifts {order.id} (model:strict; stop by {order.who})" in said
    assert f"ssh-keygen -Y sign -f KEY -n {NAMESPACE} {text.name}" in said
    assert "PERSON an id of operators.yaml: ana, ben" in said
    assert json.loads(text.read_text())["lifts"] == [
        {"order": order.id, "scope": "model:strict", "sha256": fingerprint(order), "mode": "stop", "who": order.who}
    ]
    host.approve(text, "ana", "ben")
    assert main(["resume", "--approved", str(text), "--config", str(host.config), *options]) == 0
    said = capsys.readouterr().out
    assert f"lifted {order.id} as approved by ana (ssh), ben (ssh): applied on {WORKERS}/{WORKERS} workers" in said
    assert [host.status()[0] for _ in range(8)] == [200] * 8
    lifted = host.guard.lines("stop_lifted")[-1]
    assert "approved by ana (ssh), ben (ssh), judged by " in lifted["subject"]
    # Used again it lifts nothing, and a later stop is not its matter.
    assert main(["resume", "--approved", str(text), "--config", str(host.config), *options]) == 4
    assert "already lifted; an approval is used once" in capsys.readouterr().err
    later = host.stop()
    assert main(["resume", "--approved", str(text), "--config", str(host.config), *options]) == 4
    assert later.id in host.status()[1]


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("half", "1 of 2 approvals (ana)"),
        ("same person", "is not made with a key of ben"),
        ("no right", "vic has no role that may approve this"),
        ("stranger", "is named for nobody in operators.yaml"),
        ("another's name", "is not made with a key of ben"),
        ("changed", "not in the form that"),
        ("forged", "another file was signed, or one of them was changed"),
        ("expired", "the approval has expired at"),
        ("early", "the approval holds only from"),
        ("another stop", "this order is another than the one that was approved"),
        ("unknown stop", "no stop or rule order has this id"),
        ("no signature", "no signature lies beside"),
        ("unnamed", "is not named for a person"),
    ],
)
def test_what_two_people_did_not_approve_is_refused_with_a_word(
    how: str, said: str, host: Host, capsys: pytest.CaptureFixture[str]
) -> None:
    order = host.stop("model:strict")
    text = Path.cwd() / "resume-x.json"
    now = int(time.time())
    lift = Lift(order.id, "model:strict", fingerprint(order), "stop", order.who)
    approval = ResumeApproval((lift,), "mended", now - 10, now + 600, os.urandom(16).hex())
    match how:
        case "expired":
            approval = replace(approval, issued=now - 700, expires=now - 100)
        case "early":
            approval = replace(approval, issued=now + 100)
        case "another stop":
            approval = replace(approval, lifts=(replace(lift, sha256="0" * 64),))
        case "unknown stop":
            approval = replace(approval, lifts=(replace(lift, order="7" + order.id[1:]),))
    text.write_bytes(canonical(approval))
    people = {"half": ["ana"], "no right": ["ana", "vic"], "same person": ["ana"], "no signature": []}
    for person in people.get(how, ["ana", "ben"]):
        host.write(text, person)
    if how == "same person":
        host.write(text, "ben", "ana-too")
    elif how == "stranger":
        text.with_name("resume-x.ben.sig").rename(text.with_name("resume-x.zoe.sig"))
    elif how == "another's name":
        shutil.copy(text.with_name("resume-x.ana.sig"), text.with_name("resume-x.ben.sig"))
    elif how == "changed":
        text.write_text(text.read_text().replace("mended", "mended ").replace("\n}", " \n}"))
    elif how == "forged":
        text.write_bytes(canonical(replace(approval, reason="something else")))
    elif how == "unnamed":
        host.write(text, "json", "ana")
    capsys.readouterr()
    code = main(
        ["resume", "--approved", str(text), "--config", str(host.config), *(api(host) if how in _BY_API else [])]
    )
    assert code in ({2} if how in {"changed", "no signature", "unnamed"} else {4})
    assert said in capsys.readouterr().err
    assert host.status()[0] == 503
    assert not [each for each in (host.state / "orders").glob("*.json") if each.stem > order.id]


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ("unsigned", "it is not signed by the host that issued it"),
        ("other host", "is not known here"),
        ("changed", "its issuer's signature does not fit"),
        ("half", "1 of 2 approvals (ana)"),
        ("twice", "is not made with a key of ben"),
        ("unapproved", ""),
        ("expired", "the approval has expired at"),
        ("future", "it says that it was issued in the future"),
        ("other stop", "what was approved is to lift other stops"),
        ("other text", "another file was signed"),
        ("shown otherwise", "this order is of model:strict, not of 'model:demo'"),
    ],
)
def test_every_worker_refuses_what_was_put_among_the_orders_by_hand(how: str, why: str, host: Host) -> None:
    order, other = host.stop("model:strict"), host.stop("model:demo")
    now = int(time.time())
    issued = now - 7_000 if how == "expired" else now - 10
    lift = Lift(order.id, "model:strict", fingerprint(order), "stop", order.who)
    if how == "shown otherwise":
        lift = replace(lift, scope="model:demo")
    raw = canonical(ResumeApproval((lift,), "mended", issued, issued + 3_600, os.urandom(16).hex()))
    signatures = {"ana": host.signed(raw, "ana"), "ben": host.signed(raw, "ana-too" if how == "twice" else "ben")}
    people = ["ana"] if how == "half" else [] if how == "unapproved" else ["ana", "ben"]
    at = now + 3_000 if how == "future" else now
    lifts = [order.id, other.id] if how == "other stop" else [order.id]
    resume: ResumeOrder = issue_resume(lifts, reason="me", who="me", source=Source.CLI, now=at, entropy=os.urandom(10))
    if people:
        approvers = tuple(Approver(person, signatures[person].decode()) for person in people)
        said = raw.decode().replace("mended", "mended more") if how == "other text" else raw.decode()
        resume = replace(resume, approval=said, approvers=approvers)
    if how == "other host":
        (Path.cwd() / "elsewhere").mkdir()
        resume = Issuer.open(Path.cwd() / "elsewhere").signed(resume)
    elif how != "unsigned":
        resume = Issuer.open(host.state).signed(resume)
    if how == "changed":
        resume = replace(resume, reason="another")
    OrderDirectory(host.state).put(resume)
    if why:
        assert (
            why in host.guard.wait_for("resume_not_counted", subject=f"{resume.id} {' '.join(resume.lifts)}")["reason"]
        )
    else:
        host.guard.wait_for("stop_lifted", subject=f"{resume.id} {' '.join(resume.lifts)}")
    # Every worker has looked when it acknowledges what was put there later.
    later = issue_stop(
        Scope.parse("key:nobody"), reason="", who="me", source=Source.CLI, now=time.time(), entropy=os.urandom(10)
    )
    OrderDirectory(host.state).put(later)
    wait_until(lambda: all(later.id in acknowledged(host, worker) for worker in range(WORKERS)), "all have judged")
    assert [resume.id in acknowledged(host, worker) for worker in range(WORKERS)] == [not why] * WORKERS
    assert [host.status()[0] for _ in range(8)] == [503] * 8


def acknowledged(host: Host, worker: int) -> str:
    return (host.state / "workers" / f"{worker}.json").read_text()


def test_what_was_resumed_stays_so_over_a_restart_without_one_who_approved_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config, keys = tmp_path / "config", tmp_path / "keys"
    keys.mkdir()
    lines = {name: make_key(keys / name, "-t", "ed25519") for name in ("ana", "ana-too", "ben", "vic")}
    with ScriptedUpstream(says("hello")) as upstream:
        credentials = write_configuration(config, models=[ModelSpec("strict", 3, upstream.url)])
        write_people(config, lines)
        with GuardProcess(config) as guard:
            host = Host(guard, config, keys, credentials)
            host.stop("all")
            text = wanted(host, "all")
            host.approve(text, "ana", "ben")
            assert main(["resume", "--approved", str(text), "--config", str(config)]) == 0
            assert host.status()[0] == 200
            guard.signal(signal.SIGTERM)
            assert guard.wait() == 0
        (note,) = (config / "var" / "state" / "accepted").glob("*.json")
        assert json.loads(note.read_text())["people"] == ["ana", "ben"]
        write_people(config, lines, without="ben")
        with GuardProcess(config) as guard:
            host = Host(guard, config, keys, credentials)
            assert host.status()[0] == 200
