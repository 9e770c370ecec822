"""Incidents on the control page in a real browser, over a real guard: from a stop to the bundle for somebody else."""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from playwright.sync_api import Browser, Page, expect

from guard.cli import main
from guard.incidents.folder import IncidentFolder
from tests.browser.stand import Stand, Visit, resumed, stand, visit
from tests.browser.test_control import CONTRAST, LIVE
from tests.guard.incidents.stories import CLOCKS
from tests.parts.guard_process import wait_until

RESPONSE: Final = {"max_hours": 48, "severe_max_hours": 12, "on_overdue": "alarm"}
DANA: Final = f"dana (uid {os.getuid()})"
FOUND: Final = "unexpected answers in the red-team channel"


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    def timed(settings: dict[str, Any]) -> None:
        settings["clocks"] = CLOCKS

    with stand(tmp_path_factory.mktemp("incidents") / "config", timed, response=RESPONSE) as found:
        yield found


def acts(office: Stand, one: str) -> list[tuple[str, str]]:
    """What is on record of an incident: who did what."""
    read = IncidentFolder(office.config / "var" / "state").read(one)
    return [(type(each).__name__, each.who) for each in read.events]


def on_the_host(office: Stand, *words: str) -> None:
    """Do something with the command, as somebody else."""
    assert main(["incident", *words, "--who", "dana", "--config", str(office.config)]) == 0


def complaints(mine: Visit) -> list[str]:
    """What the browser complained about, but for what it no longer wanted, such as the icon of a page that was left."""
    return [each for each in mine.complaints if "net::ERR_ABORTED" not in each]


def open_one(page: Page, office: Stand, summary: str = FOUND) -> str:
    """Open an incident by the form; returns its id."""
    page.goto(office.url + "/control/incidents/open")
    page.get_by_label("Model").select_option("assistant")
    page.get_by_label("What was found").fill(summary)
    page.get_by_role("button", name="Open the incident").click()
    expect(page.locator("#state-title")).to_have_text(summary)
    return page.url.rpartition("/")[2]


@pytest.mark.parametrize("scripts", [True, False], ids=["with JavaScript", "without"])
def test_an_incident_goes_its_whole_way_from_a_stop_to_the_bundle(
    scripts: bool, browser: Browser, office: Stand
) -> None:
    stop = office.stop("model:assistant", FOUND)
    with visit(browser, office.url, java_script_enabled=scripts, accept_downloads=True) as mine:
        page = mine.signed_in(office.credentials.responder)
        page.locator(f"#stop-{stop}").get_by_role("link", name="Open an incident…").click()
        expect(page.get_by_label("Model")).to_have_value("assistant")
        expect(page.get_by_label("What was found")).to_have_value(FOUND)
        page.get_by_role("button", name="Open the incident").click()
        one = page.url.rpartition("/")[2]
        expect(page.locator("#state")).to_contain_text(f"opened for the stop {stop}")

        page.get_by_label("Severity").select_option("3")
        page.get_by_label("Imminent risk").select_option("yes")
        page.get_by_role("button", name="Triage").click()
        expect(page.locator("#clocks")).to_contain_text("answer")
        expect(page.locator("#clocks")).to_contain_text("due in 11 h 59 min")
        expect(page.locator("#clocks")).to_contain_text("due in 23 h 59 min")
        expect(page.locator("#close")).to_contain_text("Not yet: not mitigated on public.")

        page.get_by_label("By what").fill("rules of release 2")
        page.get_by_role("button", name="Fixed there").click()
        expect(page.locator("#surfaces")).to_contain_text("Fixed: rules of release 2")
        page.get_by_label("Clock", exact=True).select_option("day")
        page.get_by_label("What was told to whom").fill("letter 1")
        page.get_by_role("button", name="Told, or need not be").click()
        page.get_by_label("How it ended").fill("the rules hold")
        page.get_by_role("button", name="Close the incident").click()
        expect(page.locator("#state .facts")).to_contain_text("closed")
        expect(page.locator("#story tbody tr")).to_have_count(5)

        folder = IncidentFolder(office.config / "var" / "state")
        wait_until(lambda: folder.recorded() >= {each.id for each in folder.read(one).events}, "all are on record")
        page.get_by_label("For whom, and why").fill("for the office")
        with page.expect_download() as downloading:
            page.get_by_role("button", name="Download the bundle").click()
        assert downloading.value.suggested_filename == f"incident-{one}.zip"
        with zipfile.ZipFile(io.BytesIO(Path(downloading.value.path()).read_bytes())) as archive:
            files = {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}
        manifest = json.loads(files["manifest.json"])
        assert manifest["by"] == "Ana Ferreira"
        assert {each["name"]: each["sha256"] for each in manifest["files"]} == {
            name: hashlib.sha256(content).hexdigest() for name, content in files.items() if name != "manifest.json"
        }
        whats = [json.loads(line)["what"] for line in files["records.jsonl"].splitlines()]
        assert {"stop", "incident open", "incident close", "export"} <= set(whats)
        assert [who for _, who in acts(office, one)] == ["Ana Ferreira"] * 5
        assert complaints(mine) == []
    resumed(office, [stop])


def test_a_page_is_renewed_by_what_others_do_and_its_form_then_does_nothing(browser: Browser, office: Stand) -> None:
    with visit(browser, office.url) as mine:
        page = mine.signed_in(office.credentials.responder)
        one = open_one(page, office)
        page.wait_for_selector(LIVE)
        page.get_by_label("Commander").fill("typed and kept")
        on_the_host(office, "triage", one, "--severity", "2", "--commander", "dana", "--imminent-risk", "no")
        expect(page.locator("#story")).to_contain_text("commander dana")
        expect(page.locator("#said")).to_have_text("triaged, 2 events")
        expect(page.get_by_label("Commander")).to_have_value("typed and kept")
        page.get_by_label("Severity").select_option("0")
        page.get_by_role("button", name="Triage").click()
        expect(page.get_by_role("alert").filter(has_text="Nothing was done.")).to_have_text(
            f"Nothing was done. Meanwhile {DANA} has triaged it."
        )
        expect(page.get_by_label("Commander")).to_have_value("typed and kept")
        assert len(acts(office, one)) == 2
        on_the_host(office, "mitigate", one, "--surface", "public", "--how", "x")
        on_the_host(office, "close", one, "--resolution", "closed on the host")
        page.get_by_label("By what").fill("too late")
        page.get_by_role("button", name="Fixed there").click()
        expect(page.locator("#wrong")).to_contain_text(f"Meanwhile {DANA} has closed it")
        expect(page.locator("#story")).to_contain_text("closed on the host")
        page.wait_for_selector(LIVE)
        page.evaluate("renew()")  # though the window's address is the form's
        expect(page.locator("#stale")).to_be_hidden()
        assert [kind for kind, _ in acts(office, one)] == ["Opened", "Triaged", "Mitigated", "Closed"]


def test_the_front_page_hears_of_an_incident_and_leads_to_it(browser: Browser, office: Stand) -> None:
    with visit(browser, office.url) as mine:
        page = mine.signed_in(office.credentials.viewer)
        page.wait_for_selector(LIVE)
        on_the_host(office, "open", "--model", "assistant", "--summary", "heard of", "--discovered", "2026-01-01")
        link = page.locator("#incidents").get_by_role("link", name="heard of")
        link.wait_for()
        expect(page.locator("#state .facts")).to_contain_text("answer late by")
        expect(page.locator("#incidents")).to_contain_text("4, not judged")
        link.click()
        expect(page.locator("#state-title")).to_have_text("heard of")
        expect(page.get_by_role("button", name="Triage")).to_have_count(0)  # a viewer looks
        page.get_by_role("link", name="All incidents").click()
        expect(page.get_by_role("link", name="heard of")).to_be_visible()
        assert complaints(mine) == []


def test_the_keyboard_alone_opens_and_triages(browser: Browser, office: Stand) -> None:
    with visit(browser, office.url) as mine:
        page = mine.signed_in(office.credentials.responder)
        page.goto(office.url + "/control/incidents")
        page.wait_for_selector(LIVE)

        def tab_to(name: str) -> None:
            for _ in range(40):
                page.keyboard.press("Tab")
                outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
                assert outline in {"solid", "auto"}, page.evaluate("document.activeElement.outerHTML")
                if page.evaluate("document.activeElement.id || document.activeElement.textContent") == name:
                    return
            pytest.fail(f"{name} is not reached")

        tab_to("Open an incident…")
        page.keyboard.press("Enter")
        page.wait_for_selector("#field-model")
        tab_to("field-model")
        page.keyboard.type("assistant")
        tab_to("field-summary")
        page.keyboard.type("by keyboard")
        page.keyboard.press("Enter")
        expect(page.locator("#state-title")).to_have_text("by keyboard")
        tab_to("field-severity")
        page.keyboard.type("2")
        tab_to("triage-now")
        page.keyboard.press("Enter")
        expect(page.locator("#state .facts")).to_contain_text("commander Ana Ferreira")


def test_the_pages_read_well_to_a_screen_reader(browser: Browser, office: Stand) -> None:
    with visit(browser, office.url) as mine:
        page = mine.signed_in(office.credentials.responder)
        one = open_one(page, office, "heard by ear")
        for path, words in (
            ("/control/incidents", ["[level=1]", '- region "Open', '- region "Closed"', "- columnheader"]),
            (f"/control/incidents/{one}", ['- region "Clocks', '- region "Triage"', '- form "Triage"', "- table"]),
            ("/control/incidents/open", ['"Open an incident" [level=1]', 'textbox "What was found']),
        ):
            page.goto(office.url + path)
            tree = page.locator("body").aria_snapshot()
            for each in ("- banner:", "- main:", *words):
                assert each in tree, tree
            assert page.locator("h1").count() == 1
            fields = "[...document.querySelectorAll('input, select, textarea')]"
            assert page.evaluate(f"{fields}.every((e) => e.type === 'hidden' || e.labels.length)")
            ids = page.evaluate("[...document.querySelectorAll('[id]')].map((e) => e.id)")
            assert len(ids) == len(set(ids))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_word_can_be_read_and_nothing_scrolls_sideways_on_a_phone(
    scheme: str, browser: Browser, office: Stand
) -> None:
    with visit(browser, office.url, viewport={"width": 360, "height": 740}, color_scheme=scheme) as mine:
        page = mine.signed_in(office.credentials.responder)
        one = open_one(page, office, "words that go on " + "and on " * 20 + "x" * 80)
        for path in ("/control", "/control/incidents", "/control/incidents/open", f"/control/incidents/{one}"):
            page.goto(office.url + path)
            assert page.evaluate(CONTRAST) == []
            assert page.evaluate("document.documentElement.scrollWidth") == 360, path
            small = page.evaluate(
                "[...document.querySelectorAll('main button, main a.go, main select, main input')].filter((e) =>"
                " e.checkVisibility() && e.getBoundingClientRect().height < 36).map((e) => e.outerHTML)"
            )
            assert small == []
        assert complaints(mine) == []
