"""Renews the pictures of the documents: ``python -m tests.browser.screenshots``; no test compares their dots."""

from __future__ import annotations

import os
import signal
import tempfile
from pathlib import Path
from typing import Any, Final

from playwright.sync_api import Browser, Page, expect

from safeguards.mode import Mode
from tests.browser.stand import WORKERS, Stand, away, replica, stand, visit
from tests.parts.chromium import chromium

FOLDER: Final = Path(__file__).resolve().parents[2] / "deploy" / "images"
DESK: Final[dict[str, Any]] = {"viewport": {"width": 1120, "height": 760}}
PHONE: Final[dict[str, Any]] = {"viewport": {"width": 360, "height": 740}}
RESPONSE: Final = {"max_hours": 48, "severe_max_hours": 12, "on_overdue": "stop"}
CLOCK: Final = {"name": "board", "starts": "discovered", "hours": 72, "to": "the board is told", "source": "a promise"}
REASON: Final = "INC-42: unexpected answers in the red-team channel"


def timed(settings: dict[str, Any]) -> None:
    """Let a clock of others run for incidents."""
    settings["clocks"] = [CLOCK]


def take(page: Page, name: str) -> None:
    """Keep what the window shows."""
    page.evaluate("document.activeElement.blur()")
    page.mouse.move(0, 0)
    page.screenshot(path=FOLDER / f"control-{name}.png", animations="disabled")


def live(page: Page) -> Page:
    """Wait until it is."""
    page.wait_for_selector("#link[data-state=live]")
    return page


def pictures(browser: Browser, host: Stand) -> None:
    """Take them all, in the order of a night."""
    with host.streams(12), visit(browser, host.url, **DESK) as desk:
        page = live(desk.signed_in(host.credentials.responder))
        expect(page.locator(".facts")).to_contain_text("12 requests")
        take(page, "quiet")
        page.click("#stop-model-assistant")
        page.fill("#reason", REASON)
        page.screenshot(path=FOLDER / "control-stop.png", clip={"x": 0, "y": 0, "width": 1120, "height": 480})
        page.click("#stop-now")
        host.stop("model:research", "a canary answered", who="ben", mode=Mode.DRAIN)
        expect(page.locator("#state-title")).to_contain_text("Draining")
        expect(page.locator(".obeyed")).to_contain_text([f"Obeyed by {WORKERS}"] * 2)
        expect(live(page).locator(".facts")).to_contain_text(" 0 requests")
        take(page, "stopped")
        kept = desk.context.storage_state()
        with visit(browser, host.url, **DESK, color_scheme="dark", storage_state=kept) as dark:
            take(live(dark.page()), "stopped-dark")
        with visit(browser, host.url, **PHONE, storage_state=kept) as phone:
            take(live(phone.page()), "phone")
        page.evaluate("heard -= 10000")
        os.kill(host.guard.pid, signal.SIGSTOP)
        try:
            page.wait_for_selector("#stale:not([hidden])")
            take(page, "stale")
        finally:
            os.kill(host.guard.pid, signal.SIGCONT)
        live(page)
        page.get_by_role("article").filter(has_text="assistant").get_by_role("link", name="Open an incident…").click()
        page.select_option("#field-severity", "3")
        page.click("#open-now")
        page.select_option("#field-imminent", "no")
        page.fill("#field-commander", "carla")
        page.click("#triage-now")
        expect(live(page).locator("#state .facts")).to_contain_text("commander carla")
        page.set_viewport_size({"width": 1120, "height": 960})
        take(page, "incident")
        page.set_viewport_size({"width": 1120, "height": 760})
        page.goto(host.url + "/control")
        live(page).get_by_role("article").filter(has_text="research").get_by_role("link", name="Resume…").click()
        page.fill("#reason", "the canary was a test")
        page.click("#resume-now")
        command = page.get_by_label("The command, with the statement in it").input_value()
        page.fill("#signatures", host.signs(command, "carla"))
        page.click("#resume-approved")
        page.wait_for_selector("#lacking")
        page.set_viewport_size({"width": 1120, "height": 1180})
        take(page, "approval")


def lapse(browser: Browser, folder: Path) -> None:
    """Take the page of a guard whose fleet's engine has gone."""
    with replica(folder) as (host, shared), visit(browser, host.url, **DESK) as desk:
        page = live(desk.signed_in(host.credentials.responder))
        expect(page.locator("#state-title")).to_have_text("Nothing is stopped")
        with away(shared):
            expect(page.locator("#state-title")).to_contain_text("Not served", timeout=30_000)
            take(page, "lapsed")


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary, chromium() as browser:
        with stand(Path(temporary) / "config", timed, strict=True, response=RESPONSE) as host:
            pictures(browser, host)
        lapse(browser, Path(temporary) / "fleet")
