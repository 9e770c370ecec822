"""Resuming at ASL-3 on the page, as people do it: two sign in a real shell with ssh-keygen, one pastes and presses."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.stand import Stand, stand, visit
from tests.browser.test_control import CONTRAST


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    folder: Path = tmp_path_factory.mktemp("approval")
    with stand(folder / "config", strict=True) as found:
        yield found


def ask(page: Page, reason: str = "the finding is mended") -> str:
    """Ask for the statement from the stop's own card; returns the command that signs it."""
    page.get_by_role("link", name="Resume…").click()
    page.get_by_label("Why it may be served again").fill(reason)
    page.get_by_role("button", name="Write what two people sign").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Two people approve resuming model research")
    return page.get_by_label("The command, with the statement in it").input_value()


@pytest.mark.parametrize("scripts", [True, False], ids=["with JavaScript", "without"])
def test_two_people_sign_and_the_model_comes_back(scripts: bool, browser: Browser, night: Stand) -> None:
    night.stop("model:research", "INC-7")
    with visit(browser, night.url, java_script_enabled=scripts) as mine:
        page = mine.signed_in(night.credentials.responder)
        command = ask(page)
        copy = page.get_by_role("button", name="Copy")
        if scripts:
            copy.click()
            expect(page.get_by_role("button", name="Copied")).to_be_visible()
        else:
            expect(copy).to_be_hidden()
        assert "resume/approved" not in page.url

        page.get_by_label("Signatures").fill(night.signs(command, "carla"))
        page.get_by_role("button", name="Resume as approved").click()
        expect(page.locator("#lacking")).to_have_text("Approved by carla (ssh). One more is lacking, of dev.")
        assert page.get_by_label("The command, with the statement in it").input_value() == command

        pasted = page.get_by_label("Signatures").input_value()
        page.get_by_label("Signatures").fill(pasted + night.signs(command, "dev"))
        page.get_by_role("button", name="Resume as approved").click()
        expect(page.locator("#state-title")).to_have_text("Nothing is stopped")
        expect(page.locator("#history tbody tr").first).to_contain_text("approved by carla (ssh), dev (ssh)")
        assert [each for each in mine.complaints if "409" not in each] == []


def test_a_statement_that_another_stop_has_overtaken_says_so(browser: Browser, night: Stand) -> None:
    night.stop("model:research", "INC-8")
    with visit(browser, night.url) as mine:
        page = mine.signed_in(night.credentials.responder)
        command = ask(page)
        later = night.stop("model:research", "INC-9")
        both = night.signs(command, "carla") + night.signs(command, "dev")
        page.get_by_label("Signatures").fill("nothing of the kind")
        page.get_by_role("button", name="Resume as approved").click()
        expect(page.locator("#stale-statement")).to_contain_text(f"also stopped by {later}")
        page.get_by_role("link", name="Write a new one").click()
        page.get_by_label("Why it may be served again").fill("both are mended")
        page.get_by_role("button", name="Write what two people sign").click()
        command = page.get_by_label("The command, with the statement in it").input_value()
        page.get_by_label("Signatures").fill(both)
        page.get_by_role("button", name="Resume as approved").click()
        expect(page.locator("#what-is-wrong")).to_contain_text("another file was signed")
        page.get_by_label("Signatures").fill(night.signs(command, "carla") + night.signs(command, "dev"))
        page.get_by_role("button", name="Resume as approved").click()
        expect(page.locator("#state-title")).to_have_text("Nothing is stopped")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_form_can_be_read_and_used_on_a_phone_and_by_keyboard(scheme: str, browser: Browser, night: Stand) -> None:
    night.stop("model:research", "INC-10")
    with visit(browser, night.url, viewport={"width": 360, "height": 740}, color_scheme=scheme) as mine:
        page = mine.signed_in(night.credentials.responder)
        command = ask(page)
        assert page.evaluate(CONTRAST) == []
        assert page.evaluate("document.documentElement.scrollWidth") == 360
        assert page.evaluate("[...document.querySelectorAll('textarea')].every((each) => each.labels.length)")
        ids = page.evaluate("[...document.querySelectorAll('[id]')].map((e) => e.id)")
        assert len(ids) == len(set(ids))
        page.get_by_label("Signatures").fill(night.signs(command, "carla") + night.signs(command, "dev"))
        page.get_by_label("Signatures").press("Tab")
        expect(page.locator("#resume-approved")).to_be_focused()
        page.keyboard.press("Enter")
        expect(page.locator("#state-title")).to_have_text("Nothing is stopped")


def test_a_drain_is_told_apart_from_a_stop(browser: Browser, night: Stand) -> None:
    with visit(browser, night.url) as mine, night.streams(1):
        page = mine.signed_in(night.credentials.responder, "/control/stop?scope=model:assistant")
        page.get_by_text("More: something other than a stop").click()
        page.get_by_role("button", name="Drain").click()
        expect(page.locator("#state-title")).to_have_text("Draining: model assistant")
        expect(page.get_by_role("row", name="assistant").locator(".badge")).to_have_text("Draining")
        expect(page.locator("#state .facts")).to_contain_text("1 request running")
        assert "Stopped" not in page.locator("main").inner_text()
        page.get_by_role("link", name="Resume…").click()
        page.get_by_label("Why it may be served again").fill("over")
        page.get_by_role("button", name="Resume").click()
        expect(page.locator("#state-title")).to_have_text("Nothing is stopped")
