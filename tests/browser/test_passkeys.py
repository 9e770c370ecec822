"""Approving with passkeys in real Chromium, whose virtual authenticators stand for people's security keys.

Two people make a passkey each on the page of a guard; their lines go into operators.yaml, and then each presses in a
browser of their own. Every worker verifies what the browsers answered.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from playwright.sync_api import Browser, CDPSession, Page, expect

from guard.approval.order import CONFIGURATION, Act, Order, canonical
from guard.approval.port import ROLES
from guard.approval.verify import Signed, hear
from guard.credentials import digest, new_secret
from guard.policy.load import load
from tests.browser.stand import PATIENCE_MS, Change, Stand, Visit, stand, visit
from tests.browser.test_control import CONTRAST
from tests.parts.guard_process import wait_until
from tests.parts.ports import free_port
from tests.parts.raw_caller import RawCaller

APPROVERS: Final = ("carla", "dev")
PASSED_OVER: Final = "publicKey.pubKeyCredParams is missing"  # RS256, which is not taken


@dataclass
class Holder:
    """A person at a browser of their own with a security key in it, signed in on the control page."""

    seen: Visit
    page: Page
    devtools: CDPSession
    key: str

    def go(self, path: str) -> None:
        """Open a page."""
        self.page.goto(self.seen.url + path)

    def verified(self, *, yes: bool) -> None:
        """Say whether the key finds that it is its owner who touches it."""
        self.devtools.send("WebAuthn.setUserVerified", {"authenticatorId": self.key, "isUserVerified": yes})

    def makes(self) -> str:
        """Make a passkey; returns the lines that the page shows."""
        self.go("/control/passkey")
        self.page.get_by_role("button", name="Make a passkey").click()
        expect(self.page.get_by_label("The lines")).not_to_have_value("", timeout=PATIENCE_MS)
        return self.page.get_by_label("The lines").input_value()

    def opens(self) -> None:
        """Follow the control page to what waits for approval."""
        self.go("/control")
        self.page.locator("#approvals").get_by_role("link", name="Approve…").first.click()
        expect(self.page.get_by_role("heading", level=1)).to_have_text("Two people approve resuming model research")

    def presses(self) -> None:
        """Approve it with the key."""
        self.page.get_by_role("button", name="Approve with your key").click()


def plugged(page: Page, **more: Any) -> tuple[CDPSession, str]:
    """Put a security key that asks for a PIN into the browser of this page."""
    devtools = page.context.new_cdp_session(page)
    devtools.send("WebAuthn.enable")
    options = {
        "protocol": "ctap2",
        "transport": "usb",
        "hasResidentKey": True,
        "hasUserVerification": True,
        "isUserVerified": True,
        "automaticPresenceSimulation": True,
        **more,
    }
    return devtools, devtools.send("WebAuthn.addVirtualAuthenticator", {"options": options})["authenticatorId"]


@contextmanager
def holder(browser: Browser, url: str, token: str) -> Iterator[Holder]:
    """Let somebody sign in, with a key."""
    with visit(browser, url) as seen:
        page = seen.signed_in(token)
        yield Holder(seen, page, *plugged(page))


def peopled(directory: Path, port: int, tokens: dict[str, str], lines: Mapping[str, str]) -> Change:
    """Give the admin listener this port, the approvers tokens, and their entries these lines."""

    def change(settings: dict[str, Any]) -> None:
        settings["admin"]["port"] = port
        pepper = (directory / "secrets" / "pepper").read_text().strip().encode()
        for name in APPROVERS:
            tokens[name] = new_secret("at-guard", name, os.urandom)
            held = {"id": name, "digest": digest(pepper, tokens[name].encode()), "person": name, "role": "approver"}
            settings["admin"]["tokens"].append({**held, "expires": "2099-01-01"})
        file = directory / "operators.yaml"
        people = json.loads(file.read_text())
        people["webauthn"] = {"rp_id": "localhost", "origins": [f"http://localhost:{port}"]}
        for person in people["persons"]:
            if person["id"] in lines:
                person.update(yaml.safe_load(lines[person["id"]]))
        file.write_text(json.dumps(people))

    return change


@dataclass
class Night:
    """A guard with a model at ASL-3, the responder, and two approvers whose keys it knows."""

    host: Stand
    url: str
    ana: Page
    carla: Holder
    dev: Holder

    def asks(self) -> None:
        """Stop the model, and let the responder ask for its resume."""
        self.host.stop("model:research", "INC-7")
        self.ana.goto(f"{self.url}/control/resume?target=model:research")
        self.ana.get_by_label("Why it may be served again").fill("the finding is mended")
        self.ana.get_by_role("button", name="Write what two people sign").click()
        expect(self.ana.get_by_role("heading", level=1)).to_have_text("Two people approve resuming model research")

    def command(self) -> str:
        """What the page says to sign with SSH."""
        return self.ana.get_by_label("The command, with the statement in it").input_value()

    def refused(self) -> bool:
        """Whether the model is stopped, as a caller sees it."""
        with RawCaller(self.host.guard.data[1], self.host.credentials.key) as caller:
            caller.ask("hello", model="research")
            return b" 503 " in caller.until(b"\r\n")


@pytest.fixture(scope="module")
def night(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Night]:
    folder: Path = tmp_path_factory.mktemp("passkeys")
    port = free_port()
    url = f"http://localhost:{port}"
    tokens: dict[str, str] = {}
    with ExitStack() as stack:
        with stand(folder / "before", peopled(folder / "before", port, tokens, {}), strict=True):
            people = {name: stack.enter_context(holder(browser, url, tokens[name])) for name in APPROVERS}
            lines = {name: each.makes() for name, each in people.items()}
        change = peopled(folder / "config", port, tokens, lines)
        host = stack.enter_context(stand(folder / "config", change, strict=True))
        ana = stack.enter_context(visit(browser, url)).signed_in(host.credentials.responder)
        for name, each in people.items():
            each.go("/control")
            each.page.get_by_label("Your token").fill(tokens[name])
            each.page.get_by_role("button", name="Sign in").click()
            each.page.wait_for_selector("#sign-out")
        yield Night(host, url, ana, people["carla"], people["dev"])


def test_two_people_press_each_in_a_browser_of_their_own_and_the_model_comes_back(night: Night) -> None:
    night.asks()
    night.ana.goto(f"{night.url}/control")
    waits = night.ana.locator("#approvals tbody tr")
    expect(waits).to_contain_text("nobody yet")

    night.carla.opens()
    assert json.loads(night.carla.page.locator("#statement").text_content() or "")["reason"] == "the finding is mended"
    night.carla.presses()
    expect(night.carla.page.locator("#lacking")).to_have_text(
        "Approved by carla (passkey). One more is lacking, of dev."
    )
    expect(night.carla.page.get_by_role("button", name="Approve with your key")).to_have_count(0)
    expect(waits).to_contain_text("carla (passkey)")  # on a page that was open before
    assert night.refused()

    night.dev.opens()
    night.dev.presses()
    expect(night.dev.page.locator("#state-title")).to_have_text("Nothing is stopped")
    row = night.ana.locator("#history tbody tr").first
    expect(row).to_contain_text("approved by carla (passkey), dev (passkey)")
    expect(row).to_contain_text("ana")
    expect(night.ana.locator("#approvals")).to_be_hidden()
    wait_until(lambda: not night.refused(), "the model answers")
    (lifted,) = night.host.guard.lines("stop_lifted")
    assert "approved by carla (passkey), dev (passkey), judged by " in lifted["subject"]
    told = night.carla.seen.complaints + night.dev.seen.complaints
    assert [each for each in told if not each.startswith(PASSED_OVER)] == []


def test_an_ssh_signature_and_a_passkey_are_two_approvals(night: Night) -> None:
    night.asks()
    night.dev.opens()
    night.dev.presses()
    expect(night.dev.page.locator("#lacking")).to_contain_text("Approved by dev (passkey).")
    night.ana.get_by_label("Signatures").fill(night.host.signs(night.command(), "carla"))
    night.ana.get_by_role("button", name="Resume as approved").click()
    expect(night.ana.locator("#state-title")).to_have_text("Nothing is stopped")
    expect(night.ana.locator("#history tbody tr").first).to_contain_text("approved by dev (passkey), carla (ssh)")


def test_a_key_that_an_account_copies_is_not_shown_where_none_counts(night: Night, browser: Browser) -> None:
    with visit(browser, night.url, storage_state=night.carla.page.context.storage_state()) as seen:
        page = seen.page("/control/passkey")
        plugged(page, transport="internal", defaultBackupEligibility=True, defaultBackupState=True)
        page.get_by_role("button", name="Make a passkey").click()
        said = "Nothing was done: an account copies this key between devices. Take a security key."
        expect(page.locator("#key-said")).to_have_text(said)
        expect(page.get_by_label("The lines")).to_be_hidden()


def test_a_key_that_does_not_know_its_owner_approves_nothing(night: Night) -> None:
    night.asks()
    night.carla.opens()
    night.carla.verified(yes=False)
    try:
        night.carla.presses()
        said = night.carla.page.locator("#key-said")
        expect(said).to_have_text("Nothing was done: the key was not used, or it could not make sure that it was you.")
    finally:
        night.carla.verified(yes=True)
    night.carla.presses()
    expect(night.carla.page.locator("#lacking")).to_contain_text("Approved by carla (passkey).")


def test_a_key_that_was_shown_another_statement_approves_nothing(night: Night) -> None:
    night.asks()
    night.dev.opens()
    night.dev.page.evaluate("document.getElementById('statement').textContent += ' '")
    night.dev.presses()
    wrong = night.dev.page.get_by_role("alert").first
    expect(wrong).to_contain_text("does not fit: another statement was approved, or it was changed")
    assert night.refused()


def test_on_a_page_of_another_name_the_browser_asks_no_key(night: Night, browser: Browser) -> None:
    night.asks()
    night.carla.opens()
    here = night.carla.page.url
    kept = night.carla.page.context.storage_state()
    for cookie in kept["cookies"]:
        cookie["domain"] = "127.0.0.1"
    with visit(browser, night.url.replace("localhost", "127.0.0.1"), storage_state=kept) as elsewhere:
        page = elsewhere.page(here.removeprefix(night.url))
        page.get_by_role("button", name="Approve with your key").click()
        said = page.locator("#key-said")
        expect(said).to_have_text("Nothing was done: this page's address is not one that the keys are made for.")


def test_without_javascript_the_page_says_how_to_sign_instead(night: Night, browser: Browser) -> None:
    night.asks()
    night.carla.opens()
    kept = night.carla.page.context.storage_state()
    with visit(browser, night.url, storage_state=kept, java_script_enabled=False) as plain:
        page = plain.page(night.carla.page.url.removeprefix(night.url))
        expect(page.get_by_text("This takes JavaScript; without it sign in a terminal")).to_be_visible()
        expect(page.get_by_role("button", name="Approve with your key")).to_be_hidden()
        expect(page.get_by_label("The command, with the statement in it")).to_be_visible()


def test_a_file_is_approved_to_lie_beside_it(night: Night) -> None:
    now = int(time.time())
    text = canonical(Order(Act.BUNDLE, CONFIGURATION, "", "b" * 64, "RISK-17", now, now + 600, "0" * 32))
    page = night.dev.page
    night.dev.go("/control/file")
    page.get_by_label("The file").fill(text.decode())
    page.get_by_role("button", name="Read it").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Bundle")
    assert page.evaluate(CONTRAST) == []
    night.dev.presses()
    signed = Signed("x.dev.sig", "dev", page.get_by_label("Your approval").input_value().encode())
    heard = hear(text, [signed], load(night.host.config).operators, now + 1, ROLES)
    assert (heard.people, heard.refused) == (("dev",), ())


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_pages_can_be_read_and_used_on_a_phone_and_by_keyboard(scheme: str, night: Night, browser: Browser) -> None:
    night.asks()
    kept = night.carla.page.context.storage_state()
    look: Any = {"viewport": {"width": 360, "height": 740}, "color_scheme": scheme, "storage_state": kept}
    with visit(browser, night.url, **look) as phone:
        page = phone.page("/control")
        for path in ("/control", "/control/passkey", "/control/file"):
            page.goto(night.url + path)
            assert page.evaluate(CONTRAST) == []
            assert page.evaluate("document.documentElement.scrollWidth") == 360
        page.goto(night.url + "/control")
        page.locator("#approvals").get_by_role("link", name="Approve…").first.press("Enter")
        expect(page.get_by_role("button", name="Approve with your key")).to_be_visible()
        page.get_by_text("The statement, to the letter").press("Enter")
        assert page.evaluate(CONTRAST) == []
        assert page.evaluate("document.documentElement.scrollWidth") == 360
        ids = page.evaluate("[...document.querySelectorAll('[id]')].map((e) => e.id)")
        assert len(ids) == len(set(ids))
