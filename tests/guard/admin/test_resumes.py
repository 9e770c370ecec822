"""Two people approve on the page, each in a browser of their own; what does not count is refused with a word.

It is one file, because all of it begins with a statement that waits on one desk.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any

import msgspec
import pytest

from guard.admin.api import Person
from guard.admin.approving import still_waiting
from guard.admin.page.waiting import Waits
from guard.credentials import Holder, Register, digest
from guard.policy.load import load
from guard.policy.model import Role
from guard.state.asked import AskedFolder
from guard.state.directory import OrderDirectory
from guard.state.orders import Approver
from tests.guard.admin.desk import PASSKEYS, TOKENS, Desk, desk_of, fields
from tests.guard.admin.fakes import NOW, PEPPER, Counter
from tests.guard.admin.signers import signed
from tests.parts.configuration import ModelSpec, write_configuration, write_operators
from tests.parts.passkeys import WHERE, SoftPasskey


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return desk_of(tmp_path)


def test_two_people_press_and_the_model_comes_back_in_the_name_of_who_asked(desk: Desk) -> None:
    order = desk.stops()
    text = desk.asks()
    page = desk.as_("ben").get().text
    assert "Waiting for approval" in page
    assert "nobody yet" in page
    first = desk.presses("ana", text)
    assert (first.status_code, first.headers["location"]) == (303, f"/control/approval?of={desk.link()}")
    assert "ana (passkey)" in desk.as_("ben").get().text
    assert desk.lifted() == []
    second = desk.presses("ben", text)
    assert (second.status_code, second.headers["location"]) == (303, "/control")
    assert desk.lifted() == [("rita", ("ana", "ben"), ("passkey", "passkey"))]
    assert "Waiting for approval" not in desk.as_("ben").get().text
    noted = [each for each in desk.counter.behind.noted if each[1] == "approve resume by passkey"]
    assert [(who, subject.split()[1]) for who, _, subject, _ in noted] == [("ana", order), ("ben", order)]


def test_the_page_shows_who_looks_the_statement_and_their_own_keys(desk: Desk) -> None:
    desk.stops()
    text = desk.asks()
    link = desk.link()
    page = desk.as_("ana").get(f"/control/approval?of={link}").text
    assert unescape(page.partition('<pre id="statement">')[2].partition("</pre>")[0]) == text
    assert f'data-approve="{WHERE.rp_id}" data-credentials="{PASSKEYS["ana"].entry["credential"]}"' in page
    assert PASSKEYS["ben"].entry["credential"] not in page
    assert "Resume as approved" not in page  # which an approver may not
    asked = desk.as_("rita").get(f"/control/approval?of={link}").text
    assert "Resume as approved" in asked
    assert "finds this on the control page, under Waiting for approval" in asked


def test_who_could_approve_and_has_no_passkey_is_led_to_making_one(desk: Desk) -> None:
    file = desk.counter.config.directory / "operators.yaml"
    people = json.loads(file.read_text())
    people["persons"][0]["passkeys"] = []
    file.write_text(json.dumps(people))
    desk.counter.board.take(load(desk.counter.config.directory))
    desk.stops()
    desk.asks()
    assert 'href="/control/passkey"' in desk.as_("ana").get(f"/control/approval?of={desk.link()}").text


def test_an_ssh_signature_and_a_passkey_are_two_approvals_in_either_order(desk: Desk) -> None:
    desk.stops()
    text = desk.asks()
    desk.presses("ana", text)
    browser = desk.as_("rita")
    more = {"target": "x", "approval": text, "signatures": signed(text, "ben")}
    assert browser.post("/control/resume/approved", form=browser.form(), **more).status_code == 303
    assert desk.lifted() == [("rita", ("ana", "ben"), ("passkey", "ssh"))]

    desk.counter.clock.go(60)
    desk.stops()
    text = desk.asks()
    browser = desk.as_("rita")
    more = {"target": "x", "approval": text, "signatures": signed(text, "ben")}
    half = browser.post("/control/resume/approved", form=browser.form(), **more)
    assert half.status_code == 409
    assert "Approved by ben (ssh). One more is lacking, of ana." in half.text
    assert desk.presses("ana", text).headers["location"] == "/control"
    assert ("rita", ("ben", "ana"), ("ssh", "passkey")) in desk.lifted()


def test_one_person_with_two_keys_is_one(desk: Desk) -> None:
    desk.stops()
    text = desk.asks()
    desk.presses("ana", text)
    assert desk.presses("ana", text).status_code == 303
    browser = desk.as_("rita")
    more = {"target": "x", "approval": text, "signatures": signed(text, "ana")}
    answer = browser.post("/control/resume/approved", form=browser.form(), **more)
    assert answer.status_code == 409
    assert "Approved by ana (passkey). One more is lacking, of ben." in answer.text
    assert desk.lifted() == []


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"origin": "https://elsewhere.example"}, "made on a page that is not among webauthn.origins"),
        ({"rp_id": "example.com"}, "made for another domain than guard.example.com"),
        ({"flags": 0x01}, "asked for no PIN, finger or face"),
        ({"flags": 0x04}, "nobody touched"),
        ({"flags": 0x0D}, "copied between devices, which webauthn.synced does not allow"),
        ({"type": "webauthn.create"}, "is no assertion"),
        ({"crossOrigin": True}, "within a page of another site"),
        ({"challenge": "AAAA"}, "another statement was approved"),
        ({"key": PASSKEYS["ben"]}, "is not made with a passkey of ana"),
        ({"key": PASSKEYS["eve"]}, "is not made with a passkey of ana"),
        ({"key": SoftPasskey(PASSKEYS["eve"].private, PASSKEYS["ana"].credential)}, "does not fit: it was changed"),
    ],
)
def test_what_does_not_count_is_refused_with_a_word_and_kept_nowhere(
    how: dict[str, Any], said: str, desk: Desk
) -> None:
    desk.stops()
    text = desk.asks()
    answer = desk.presses("ana", text, **how)
    assert answer.status_code == 409
    assert said in unescape(answer.text)
    assert said in desk.counter.behind.turned_away[-1]
    assert "nobody yet" in desk.as_("ben").get().text


def test_an_approval_of_one_statement_is_none_of_another(desk: Desk) -> None:
    desk.stops()
    first = desk.asks()
    desk.counter.clock.go(60)
    desk.stops()
    second = desk.asks()
    assert first != second
    answer = desk.presses("ana", first)  # the link leads to the newest
    assert "another statement was approved" in answer.text


@pytest.mark.parametrize(
    "change",
    [
        lambda sent: sent | {"credential": ""},
        lambda sent: sent | {"signature": "ü"},
        lambda sent: sent | {"client_data": "%%%"},
        lambda sent: sent | {"authenticator_data": sent["authenticator_data"] + "AAAA"},
        lambda sent: sent | {"client_data": "A" * 9_000},
        lambda sent: {name: value for name, value in sent.items() if name != "signature"},
    ],
    ids=["no key", "not ASCII", "not base64", "more", "too long", "no signature"],
)
def test_what_no_key_answered_is_refused(change: Callable[[dict[str, str]], dict[str, str]], desk: Desk) -> None:
    desk.stops()
    text = desk.asks()
    sent = change(fields(PASSKEYS["ana"].answer(text.encode())))
    link, browser = desk.link(), desk.as_("ana")
    answer = browser.post("/control/approval", form=browser.form(), of=link, **sent)
    assert answer.status_code == 409
    assert "Not approved: what the key answered" in answer.text
    assert desk.lifted() == []


def test_who_may_not_approve_does_not(desk: Desk) -> None:
    desk.stops()
    text = desk.asks()
    rita = desk.presses("rita", text)
    assert rita.status_code == 409
    assert "rita has no role that may approve this" in rita.text
    assert desk.presses("vic", text).status_code == 403
    link = desk.link()
    assert desk.as_("vic").get(f"/control/approval?of={link}").status_code == 403
    assert "Approve…" not in desk.as_("vic").get().text
    cleo = desk.presses("cleo", text, PASSKEYS["eve"])  # who is in no file of people
    assert "is named for nobody in operators.yaml" in cleo.text


def test_a_form_from_elsewhere_approves_nothing(desk: Desk) -> None:
    desk.stops()
    text = desk.asks()
    sent = {"of": desk.link(), **fields(PASSKEYS["ana"].answer(text.encode()))}
    browser = desk.as_("ana")
    form = browser.form()
    for headers, secret in (({"origin": "https://elsewhere.example"}, form), ({}, ""), ({}, "wrong")):
        assert browser.post("/control/approval", headers, form=secret, **sent).status_code == 403
    browser.cookies = {}
    out = browser.post("/control/approval", form=form, **sent)
    assert out.status_code == 401
    assert f'name="onward" value="/control/approval?of={sent["of"]}"' in out.text
    assert "nobody yet" in desk.as_("ben").get().text


def test_what_waits_no_longer_says_so(desk: Desk) -> None:
    desk.stops()
    text = desk.asks()
    name = desk.link()
    sent = fields(PASSKEYS["ana"].answer(text.encode()))
    desk.counter.clock.go(3_600)
    desk.cookies = {}
    browser = desk.as_("ana")
    assert browser.get(f"/control/approval?of={name}").status_code == 404
    answer = browser.post("/control/approval", form=browser.form(), of=name, **sent)
    assert answer.status_code == 404
    assert "This waits no longer" in answer.text
    assert "Waiting for approval" not in browser.get().text


def test_what_another_stop_has_overtaken_is_kept_and_resumes_nothing_yet(desk: Desk) -> None:
    desk.stops()
    text = desk.asks()
    desk.counter.clock.go(60)
    later = desk.stops("all")
    name = desk.link()
    assert desk.presses("ana", text).status_code == 303
    page = desk.as_("ben").get(f"/control/approval?of={name}").text
    assert f"also stopped by {later}" in page
    assert "Approve with your key" not in page
    assert desk.presses("ben", text).headers["location"] == f"/control/approval?of={name}"
    assert desk.lifted() == []
    browser = desk.as_("rita")  # who may have lifted what it names all the same
    part = browser.post("/control/resume/approved", form=browser.form(), target="x", approval=text, signatures="")
    assert "Lifted as approved, and still stopped" in part.text
    assert desk.lifted() == [("rita", ("ana", "ben"), ("passkey", "passkey"))]


def test_a_statement_that_was_written_elsewhere_can_be_brought_and_approved_here(desk: Desk) -> None:
    desk.stops()
    text = desk.asks()
    shutil.rmtree(desk.counter.state / "asked")  # of which nothing is known on another host
    again = Desk(Counter(desk.counter.config, desk.counter.state))
    again.counter.people.take(desk.counter.people)
    browser = again.as_("rita")
    assert "Waiting for approval" not in browser.get().text
    brought = browser.post("/control/resume/approved", form=browser.form(), target="x", approval=text, signatures="")
    assert brought.status_code == 200
    assert again.presses("ana", text).status_code == 303
    assert again.presses("ben", text).headers["location"] == "/control"
    assert again.lifted() == [("rita", ("ana", "ben"), ("passkey", "passkey"))]


def waiting(desk: Desk) -> tuple[Waits, ...]:
    """What is found on the disk, as `guard status` does."""
    return still_waiting(AskedFolder(desk.counter.state).read(), desk.counter.board, desk.counter.clock.now())


def test_one_approves_before_the_guard_is_started_anew_and_one_after_it(desk: Desk) -> None:
    desk.stops()
    text = desk.asks()
    desk.presses("ana", text)
    again = Desk(Counter(desk.counter.config, desk.counter.state))
    again.counter.people.take(desk.counter.people)
    (waits,) = waiting(again)
    assert (waits.who, waits.people, waits.scopes) == ("rita", "ana (passkey)", ("model:strict",))
    assert again.presses("ben", text).headers["location"] == "/control"
    assert again.lifted() == [("rita", ("ana", "ben"), ("passkey", "passkey"))]
    assert waiting(again) == ()
    assert list((desk.counter.state / "asked").iterdir()) == []


def test_an_approval_that_somebody_wrote_to_the_disk_counts_for_nothing(desk: Desk) -> None:
    desk.stops()
    text = desk.asks()
    (asked,) = AskedFolder(desk.counter.state).read()
    forged = [Approver(name, "-----BEGIN SSH SIGNATURE-----") for name in ("ana", "carla")]
    AskedFolder(desk.counter.state).write(msgspec.structs.replace(asked, approvers=tuple(forged)))
    again = Desk(Counter(desk.counter.config, desk.counter.state))
    again.counter.people.take(desk.counter.people)
    assert "nobody yet" in again.as_("ben").get().text
    assert again.presses("ben", text).headers["location"].startswith("/control/approval")
    assert again.lifted() == []


def test_a_statement_for_a_later_hour_is_not_approved_in_advance(desk: Desk) -> None:
    desk.stops()
    clock = desk.counter.clock
    clock.at += 7200.0
    later = desk.asks()
    again = Desk(Counter(desk.counter.config, desk.counter.state))  # of which no page has heard
    again.counter.people.take(desk.counter.people)
    browser = again.as_("rita")
    refused = browser.post("/control/resume/approved", form=browser.form(), target="x", approval=later, signatures="")
    assert refused.status_code == 400
    assert "t holds only from" in refused.text
    assert "Waiting for approval" not in browser.get().text


def test_what_is_ordered_holds_what_the_keys_answered(desk: Desk) -> None:
    desk.stops()
    text = desk.asks()
    desk.presses("ana", text)
    desk.presses("ben", text)
    (judged,) = desk.counter.board.state().resumes
    record = json.loads(OrderDirectory(desk.counter.state).bytes_of(judged.order.id))
    assert record["approval"] == text
    assert [each["person"] for each in record["approvers"]] == ["ana", "ben"]
    assert all(each["signature"].startswith("-----BEGIN WEBAUTHN ASSERTION-----") for each in record["approvers"])


def test_a_passkey_is_made_on_a_page_that_sends_nothing(desk: Desk) -> None:
    page = desk.as_("ana").get("/control/passkey").text
    assert f'data-make="{WHERE.rp_id}" data-person="ana"' in page
    assert PASSKEYS["ana"].entry["credential"] in page
    assert "action=" not in page.partition("data-make")[2].partition("</form>")[0]
    assert "Passkeys are taken from persons of operators.yaml" in desk.as_("cleo").get("/control/passkey").text
    desk.counter.cookies = {}
    assert 'value="/control/passkey"' in desk.counter.get("/control/passkey").text


def test_without_passkeys_in_the_file_the_page_offers_none(tmp_path: Path) -> None:
    write_configuration(tmp_path, models=[ModelSpec("strict", 3)])
    person = {"id": "rita", "name": "Rita", "roles": ["responder"], "keys": [], "expires": "2099-01-01"}
    write_operators(tmp_path, [person])
    counter = Counter(load(tmp_path), tmp_path / "var" / "state")
    holder = Holder(Person("rita", "rita", Role.RESPONDER), NOW + 86_400_000)
    counter.people.take(Register(PEPPER, {digest(PEPPER, TOKENS["rita"].encode()): holder}, counter.clock))
    desk = Desk(counter)
    desk.stops()
    desk.asks()
    name = desk.as_("rita").get().text.partition("approval?of=")[2][:32]
    page = counter.get(f"/control/approval?of={name}").text
    assert "your key" not in page
    assert "/control/passkey" not in page
