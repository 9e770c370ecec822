"""A file that takes two people is approved on the page: read in words, pressed, and given back to lie beside it."""

from __future__ import annotations

from html import unescape
from pathlib import Path

import httpx
import pytest

from guard.approval.order import CONFIGURATION, Act, Order, canonical
from guard.approval.port import ROLES
from guard.approval.verify import Kind, Signed, hear
from guard.cli import main
from guard.policy.load import load
from tests.guard.admin.desk import PASSKEYS, Desk, desk_of, fields
from tests.guard.admin.fakes import NOW


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return desk_of(tmp_path)


def order(reason: str = "RISK-17", after: str = "b" * 64) -> Order:
    return Order(Act.BUNDLE, CONFIGURATION, "", after, reason, int(NOW), int(NOW) + 86_400, "0" * 32)


def send(desk: Desk, name: str, text: str, **more: str) -> httpx.Response:
    browser = desk.as_(name)
    return browser.post("/control/file", form=browser.form(), file=text, **more)


def given(answer: httpx.Response) -> bytes:
    assert answer.status_code == 200
    return unescape(answer.text.partition('id="approval"')[2].partition(">")[2].partition("</textarea>")[0]).encode()


def test_an_order_is_read_pressed_and_given_back_to_lie_beside_its_file(desk: Desk) -> None:
    assert "Approve a file with your passkey" in desk.as_("ana").get("/control/file").text
    text = canonical(order()).decode()
    asked = send(desk, "ana", text.replace("\n", "\r\n"))
    assert "Bundle" in asked.text
    assert "<dt>why</dt><dd>RISK-17</dd>" in asked.text
    assert "<dt>until</dt><dd>2027-01-16T08:00:00Z</dd>" in asked.text
    assert unescape(asked.text.partition('<pre id="statement">')[2].partition("</pre>")[0]) == text
    answer = send(desk, "ana", text.replace("\n", "\r\n"), **fields(PASSKEYS["ana"].answer(text.encode())))
    assert "NAME.ana.sig" in answer.text
    signed = Signed("x.ana.sig", "ana", given(answer))
    heard = hear(text.encode(), [signed], desk.counter.board.operators, NOW, ROLES)
    assert (heard.people, heard.kinds) == (("ana",), (Kind.PASSKEY,))


def test_two_who_pressed_have_approved_the_configuration(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    directory = desk.counter.config.directory
    found = order(after=load(directory).digest)
    (directory / "approvals").mkdir()
    (directory / "approvals" / "x.json").write_bytes(canonical(found))
    for name in ("ana", "ben"):
        text = canonical(found).decode()
        answer = send(desk, name, text, **fields(PASSKEYS[name].answer(text.encode())))
        (directory / "approvals" / f"x.{name}.sig").write_bytes(given(answer))
    assert main(["approval", "check", "--config", str(directory), "--at", "2027-01-16"]) == 0
    assert "approvals/x.json: approved by ana (passkey), ben (passkey)" in capsys.readouterr().out


def test_a_resume_that_was_written_elsewhere_is_read_too(desk: Desk) -> None:
    stopped = desk.stops()
    text = desk.asks()
    asked = send(desk, "ana", text)
    assert f"<dt>lifts model:strict</dt><dd>{stopped}, stop by Ana</dd>" in asked.text
    assert given(send(desk, "ana", text, **fields(PASSKEYS["ana"].answer(text.encode())))).startswith(
        b"-----BEGIN WEBAUTHN"
    )


def test_a_resume_for_a_later_hour_is_refused_before_a_key_is_asked(desk: Desk) -> None:
    desk.stops()
    desk.counter.clock.at += 7200.0
    text = desk.asks()
    desk.counter.clock.at -= 7200.0
    answer = send(desk, "ana", text)
    assert answer.status_code == 400
    assert "it holds only from" in answer.text


@pytest.mark.parametrize("text", ["", "{}", "ü", "x" * 17_000, canonical(order()).decode() + "x"])
def test_what_is_no_file_that_is_approved_is_said(text: str, desk: Desk) -> None:
    answer = send(desk, "ana", text)
    assert answer.status_code == 400
    assert "This is no file that is approved" in answer.text


def test_what_does_not_count_is_refused_with_a_word(desk: Desk) -> None:
    text = canonical(order()).decode()
    other = canonical(order("another")).decode()
    answer = send(desk, "ana", text, **fields(PASSKEYS["ana"].answer(other.encode())))
    assert answer.status_code == 409
    assert "another statement was approved" in answer.text
    broken = fields(PASSKEYS["ana"].answer(text.encode())) | {"signature": ""}
    assert (
        "Not approved: what the key answered is longer than any that is taken" in send(desk, "ana", text, **broken).text
    )
    assert "rita has no role" in send(desk, "rita", text, **fields(PASSKEYS["rita"].answer(text.encode()))).text
    assert send(desk, "vic", text).status_code == 403
    assert desk.as_("vic").get("/control/file").status_code == 403
    assert "You have no passkey here" in send(desk, "cleo", text).text


def test_signed_out_it_asks_who(desk: Desk) -> None:
    desk.counter.cookies = {}
    assert 'name="onward" value="/control/file"' in desk.counter.get("/control/file").text
    assert 'name="onward" value="/control/file"' in desk.counter.post("/control/file", file="x").text
