"""The page of a guard in a fleet: a lapsed lease is seen without a reload, and gone without one."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Browser, expect

from tests.browser.stand import PATIENCE_MS, away, replica, visit


def test_a_lapsed_lease_turns_the_open_page_and_a_proof_turns_it_back(browser: Browser, tmp_path: Path) -> None:
    with replica(tmp_path / "fleet") as (host, shared), visit(browser, host.url) as mine:
        page = mine.signed_in(host.credentials.viewer)
        page.wait_for_selector("#link[data-state=live]")
        title, models = page.locator("#state-title"), page.locator("#models")
        expect(title).to_have_text("Nothing is stopped")
        expect(page.locator("#fleet")).to_contain_text("this is r0")
        with away(shared):
            expect(title).to_have_text("Not served for want of proof: ASL-3", timeout=PATIENCE_MS)
            expect(models.get_by_role("row", name="research")).to_contain_text("Not served")
            expect(models.get_by_role("row", name="assistant")).to_contain_text("Served")
            expect(page.locator("#findings")).to_contain_text("ASL-3 is not served on this replica")
            expect(page.locator("#said")).to_have_text("Not served for want of proof: ASL-3")
        expect(title).to_have_text("Nothing is stopped", timeout=PATIENCE_MS)
        expect(models.get_by_role("row", name="research")).to_contain_text("Served")
        assert mine.complaints == []
