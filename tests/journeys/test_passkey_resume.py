"""A resume at ASL-3 by passkeys: every worker judges what the keys answered, whoever carried it.

The real browser is in tests/browser/test_passkeys.py; here keys answer what no browser would.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import pytest

from guard.approval.resume import Lift, ResumeApproval, canonical
from guard.cli import main
from guard.policy.ssh_key import KeyKind
from guard.state.directory import OrderDirectory
from guard.state.issuer import Issuer
from guard.state.orders import Approver, Source, StopOrder, decode, issue_resume, issue_stop
from guard.state.scope import Scope
from guard.state.shown import fingerprint
from tests.parts.configuration import ModelSpec, write_configuration, write_operators
from tests.parts.guard_process import GuardProcess, wait_until
from tests.parts.hosts import Host
from tests.parts.passkeys import WHERE, soft_passkey
from tests.parts.raw_caller import RawCaller
from tests.parts.ssh_keys import soft_key
from tests.parts.upstream import ScriptedUpstream, says

WORKERS: Final = 2
ANA, BEN, VIC = (soft_passkey(number) for number in (30, 31, 32))
ANAS_SSH = soft_key(KeyKind.ED25519, 60)


@dataclass(frozen=True, slots=True)
class Strict(Host):
    """A guard of two workers with a model at ASL-3, whose approvers have passkeys."""

    def statuses(self) -> set[int]:
        """Ask the model often enough to meet every worker."""
        found = set()
        for _ in range(8):
            with RawCaller(self.guard.data[1], self.credentials.key) as caller:
                caller.ask(stream=False, model="strict")
                found.add(caller.answer().status)
        return found

    def stop(self) -> StopOrder:
        """Stop it and return the order."""
        assert main(["stop", "model:strict", "--config", str(self.config)]) == 0
        orders = [decode(each.read_bytes()) for each in sorted((self.state / "orders").glob("*.json"))]
        return [order for order in orders if isinstance(order, StopOrder)][-1]

    def put(self, stop: StopOrder, approval: bytes, *approvers: tuple[str, bytes]) -> str:
        """Put a resume among the orders by hand, signed by this host; returns what the log names it by."""
        resume = issue_resume(
            [stop.id], reason="me", who="me", source=Source.CLI, now=time.time(), entropy=os.urandom(10)
        )
        named = tuple(Approver(person, signature.decode()) for person, signature in approvers)
        resume = replace(resume, approval=approval.decode(), approvers=named)
        OrderDirectory(self.state).put(Issuer.open(self.state).signed(resume))
        return f"{resume.id} {stop.id}"

    def judged(self) -> None:
        """Wait until every worker has looked, which it has when it acknowledges what was put there later."""
        later = issue_stop(
            Scope.parse("key:nobody"), reason="", who="me", source=Source.CLI, now=time.time(), entropy=os.urandom(10)
        )
        OrderDirectory(self.state).put(later)
        notes = [self.state / "workers" / f"{worker}.json" for worker in range(WORKERS)]
        wait_until(lambda: all(later.id in each.read_text() for each in notes), "all have judged")


def statement(stop: StopOrder) -> bytes:
    """What people approve of this stop."""
    now = int(time.time())
    lift = Lift(stop.id, "model:strict", fingerprint(stop), "stop", stop.who)
    return canonical(ResumeApproval((lift,), "mended", now - 10, now + 600, os.urandom(16).hex()))


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Strict]:
    config = tmp_path_factory.mktemp("passkeys")
    with ScriptedUpstream(says("hello")) as upstream:
        credentials = write_configuration(config, models=[ModelSpec("strict", 3, upstream.url)], workers=WORKERS)
        people = [("ana", "approver", ANA, [ANAS_SSH.line]), ("ben", "approver", BEN, []), ("vic", "viewer", VIC, [])]
        persons: list[dict[str, Any]] = [
            {"id": name, "name": name, "roles": [role], "keys": ssh, "passkeys": [key.entry], "expires": "2099-01-01"}
            for name, role, key, ssh in people
        ]
        write_operators(config, persons, webauthn=WHERE.model_dump(mode="json"))
        with GuardProcess(config) as guard:
            wait_until(lambda: guard.get("/health/ready").json().get("serving", 0) == WORKERS, "all serve")
            yield Strict(guard, config, credentials)


def test_two_passkeys_bring_the_model_back_also_by_the_command(
    host: Strict, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GUARD_ADMIN_TOKEN", raising=False)
    host.stop()
    text = tmp_path / "resume.json"
    asked = ["resume", "model:strict", "--reason", "mended", "--config", str(host.config), "--to", str(text)]
    assert main(asked) == 4  # all that other tests have left stopped
    for name, key in (("ana", ANA), ("ben", BEN)):
        (tmp_path / f"resume.{name}.sig").write_bytes(key.sign(text.read_bytes()))
    capsys.readouterr()
    assert main(["resume", "--approved", str(text), "--config", str(host.config)]) == 0
    assert f"as approved by ana (passkey), ben (passkey): applied on {WORKERS}/{WORKERS}" in capsys.readouterr().out
    assert host.statuses() == {200}
    assert "approved by ana (passkey), ben (passkey), judged by" in host.guard.lines("stop_lifted")[-1]["subject"]


Forged = Callable[[bytes], tuple[tuple[str, bytes], ...]]


@pytest.mark.parametrize(
    ("made", "why"),
    [
        (lambda text: (("ana", ANA.sign(text)),), "1 of 2 approvals (ana)"),
        (lambda text: (("ana", ANA.sign(text)), ("ana", ANAS_SSH.sign(text))), "1 of 2 approvals (ana)"),
        (lambda text: (("ana", ANA.sign(text)), ("ben", ANA.sign(text))), "is not made with a passkey of ben"),
        (lambda text: (("ana", ANA.sign(text)), ("vic", VIC.sign(text))), "vic has no role that may approve this"),
        (
            lambda text: (("ana", ANA.sign(text)), ("ben", BEN.sign(text.replace(b"mended", b"broken")))),
            "another statement was approved",
        ),
        (lambda text: (("ana", ANA.sign(text)), ("ben", BEN.sign(text, flags=1))), "asked for no PIN, finger or face"),
        (lambda text: (("ana", ANA.sign(text)), ("ben", BEN.sign(text, flags=4))), "nobody touched"),
        (
            lambda text: (("ana", ANA.sign(text)), ("ben", BEN.sign(text, rp_id="example.com"))),
            "is made for another domain than guard.example.com",
        ),
        (
            lambda text: (("ana", ANA.sign(text)), ("ben", BEN.sign(text, origin="https://example.com"))),
            "is made on a page that is not among webauthn.origins",
        ),
        (
            lambda text: (("ana", ANA.sign(text)), ("ben", BEN.sign(text, crossOrigin=True))),
            "is made on a page within a page of another site",
        ),
        (
            lambda text: (("ana", ANA.sign(text)), ("ben", BEN.sign(text, type="webauthn.create"))),
            "is no assertion",
        ),
    ],
    ids=[
        "half", "one person's two keys", "another's", "no right", "another statement", "not verified", "not touched",
        "another domain", "another page", "framed", "not asked to sign",
    ],
)  # fmt: skip
def test_every_worker_refuses_what_was_put_among_the_orders_by_hand(made: Forged, why: str, host: Strict) -> None:
    stop = host.stop()
    text = statement(stop)
    name = host.put(stop, text, *made(text))
    assert why in host.guard.wait_for("resume_not_counted", subject=name)["reason"]
    host.judged()
    assert host.statuses() == {503}


def test_an_approval_of_one_stop_lifts_no_later_one(host: Strict) -> None:
    first = host.stop()
    text = statement(first)
    both = ("ana", ANA.sign(text)), ("ben", BEN.sign(text))
    second = host.stop()
    name = host.put(second, text, *both)
    assert (
        "what was approved is to lift other stops" in host.guard.wait_for("resume_not_counted", subject=name)["reason"]
    )
    host.judged()
    assert host.statuses() == {503}
