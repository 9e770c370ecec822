"""Renews the pictures of the documents: ``python -m tests.browser.screenshots``; no test compares their dots."""

from __future__ import annotations

import os
import signal
import tempfile
from pathlib import Path
from typing import Any, Final

from playwright.sync_api import Browser, Page, expect

from tests.browser.stand import Stand, stand, visit
from tests.parts.chromium import chromium

FOLDER: Final = Path(__file__).resolve().parents[2] / "deploy" / "images"
DESK: Final[dict[str, Any]] = {"viewport": {"width": 1120, "height": 760}}
PHONE: Final[dict[str, Any]] = {"viewport": {"width": 360, "height": 740}}
REASON: Final = "INC-42: unexpected answers in the red-team channel"


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
        page.screenshot(path=FOLDER / "control-stop.png", clip={"x": 0, "y": 0, "width": 1120, "height": 430})
        page.click("#stop-now")
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


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        stand(Path(folder) / "config", strict=True) as host,
        chromium() as browser,
    ):
        pictures(browser, host)
