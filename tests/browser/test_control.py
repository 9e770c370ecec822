"""The control page in a real browser, over a real guard with running streams: what a responder does at night."""

from __future__ import annotations

import os
import re
import signal
from contextlib import ExitStack

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from guard.admin.pulse import MAX_LISTENERS
from tests.browser.stand import PATIENCE_MS, WORKERS, Stand, visit
from tests.guard.state.parts import of_a_known_host
from tests.parts.guard_process import wait_until

LIVE = "#link[data-state=live]"
OBEYED = f"Obeyed by {WORKERS} of {WORKERS} workers"
CONTRAST = """() => {
  const light = (c) => {
    const p = c.map((v) => v / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * p[0] + 0.7152 * p[1] + 0.0722 * p[2];
  };
  const read = (text) => text.match(/[\\d.]+/g).map(Number);
  const ground = (e) => {
    for (; e; e = e.parentElement) {
      const c = read(getComputedStyle(e).backgroundColor);
      if (c.length < 4 || c[3] === 1) return c.slice(0, 3);
    }
    return [255, 255, 255];
  };
  const low = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const e = walk.currentNode.parentElement;
    if (!walk.currentNode.textContent.trim() || !e.checkVisibility()) continue;
    if (e.closest(".skip, noscript, datalist")) continue;
    const [a, b] = [light(read(getComputedStyle(e).color)), light(ground(e))].sort((x, y) => y - x);
    if ((a + 0.05) / (b + 0.05) < 4.5) low.push(walk.currentNode.textContent.trim());
  }
  return low;
}"""


def title(page: Page) -> str:
    return page.locator("#state-title").inner_text()


def test_a_stop_in_two_presses_cuts_running_streams_and_is_seen_in_another_window(
    browser: Browser, host: Stand
) -> None:
    with visit(browser, host.url) as mine, visit(browser, host.url) as other, host.streams(3) as streams:
        page, watching = mine.signed_in(host.credentials.responder), other.signed_in(host.credentials.viewer)
        watching.wait_for_selector(LIVE)
        expect(page.locator("#state-title")).to_have_text("Nothing is stopped")
        expect(page.locator("#state .facts")).to_contain_text("3 requests running")
        expect(page.get_by_role("row", name="assistant").get_by_role("cell").nth(2)).to_have_text("3")

        page.get_by_role("row", name="assistant").get_by_role("link", name="Stop…").click()
        expect(page.locator(".lead")).to_have_text(
            f"It cuts 3 running requests and refuses new ones, at once, on {WORKERS} workers."
        )
        page.get_by_role("button", name="Stop model assistant now").click()

        expect(page.locator("#state-title")).to_have_text("Stopped: model assistant")
        expect(page.locator(".obeyed")).to_have_text(
            f"Obeyed by {WORKERS} of {WORKERS} workers, 3 running requests cut"
        )
        for stream in streams:
            whole = stream.answer()
            assert whole.code == "stopped"
        expect(watching.locator("#state-title")).to_have_text("Stopped: model assistant")
        expect(watching.locator("#said")).to_have_text("Stopped: model assistant")
        assert watching.title().startswith("Stopped: model assistant")
        expect(watching.get_by_role("link", name="Resume…")).to_have_count(0)
        expect(page.locator("#history")).to_contain_text("Ana Ferreira")
        expect(page.locator("#state .facts")).to_contain_text("0 requests running")
        assert mine.complaints == other.complaints == []


def test_a_resume_takes_a_reason_and_names_its_person(browser: Browser, host: Stand) -> None:
    host.stop("model:assistant", "INC-42")
    with visit(browser, host.url) as mine:
        page = mine.signed_in(host.credentials.responder)
        page.get_by_role("link", name="Resume…").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Resume model assistant")
        page.get_by_role("button", name="Resume").click()  # the browser itself asks for the reason
        assert page.url.partition("?")[0].endswith("/control/resume")
        page.get_by_label("Why it may be served again").fill("INC-42 over")
        page.get_by_role("button", name="Resume").click()
        expect(page.locator("#state-title")).to_have_text("Nothing is stopped")
        expect(page.locator("#history tbody tr").first).to_contain_text("INC-42 over")
        assert mine.complaints == []


def test_the_keyboard_alone_signs_in_and_stops(browser: Browser, host: Stand) -> None:
    with visit(browser, host.url) as mine:
        page = mine.page()
        page.wait_for_selector("#token:focus")
        page.keyboard.type(host.credentials.responder)
        page.keyboard.press("Enter")
        page.wait_for_selector(LIVE)
        seen: list[str] = []
        while page.evaluate("document.activeElement.id") != "stop-model-assistant":
            page.keyboard.press("Tab")
            seen.append(page.evaluate("document.activeElement.textContent"))
            outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
            assert outline == "solid", seen[-1]
            assert len(seen) < 20, seen
        assert seen[0] == "Skip to the content"
        page.keyboard.press("Enter")
        page.wait_for_selector("#stop-now:focus")
        page.keyboard.press("Enter")
        expect(page.locator("#state-title")).to_have_text("Stopped: model assistant")


def test_without_javascript_everything_works(browser: Browser, host: Stand) -> None:
    with visit(browser, host.url, java_script_enabled=False) as mine, host.streams(1):
        page = mine.signed_in(host.credentials.responder)
        # Playwright's way of switching scripts off leaves noscript unread, so that it is there is all that can be seen.
        served = page.request.get(host.url + "/control").text()
        assert '<noscript><meta http-equiv="refresh" content="10;url=/control?auto=1"></noscript>' in served
        expect(page.locator("#clock")).to_have_text(re.compile(r"\d\d:\d\d:\d\d UTC"))
        expect(page.get_by_text("Live", exact=True)).to_be_hidden()
        page.get_by_label("Stop something else").fill("tier:general")
        page.get_by_role("button", name="Preview…").click()
        expect(page.locator(".lead")).to_contain_text("It cuts 1 running request ")
        page.get_by_role("button", name="Stop tier general now").click()
        assert title(page) == "Stopped: tier general"
        expect(page.locator(".obeyed")).to_have_text(f"{OBEYED}, 1 running request cut")
        page.get_by_role("link", name="Resume…").click()
        page.get_by_label("Why it may be served again").fill("over")
        page.get_by_role("button", name="Resume").click()
        assert title(page) == "Nothing is stopped"


def test_a_page_that_hears_nothing_looks_stale_and_comes_back_by_itself(browser: Browser, host: Stand) -> None:
    with visit(browser, host.url) as mine:
        page = mine.signed_in(host.credentials.responder)
        page.wait_for_selector(LIVE)
        page.evaluate("heard -= 9000")  # as if it had been quiet for so long already
        os.kill(host.guard.pid, signal.SIGSTOP)
        try:
            page.wait_for_selector("#stale:not([hidden])")
            expect(page.locator("#stale")).to_contain_text("Nothing was heard from the guard.")
            expect(page.locator("#link")).to_have_text("Not live")
            assert page.locator("#models").evaluate("(e) => getComputedStyle(e).opacity") == "0.65"
        finally:
            os.kill(host.guard.pid, signal.SIGCONT)
        host.stop("model:drafts")
        page.wait_for_selector(LIVE)
        expect(page.locator("#state-title")).to_have_text("Stopped: model drafts")
        expect(page.locator("#stale")).to_be_hidden()
        mine.context.clear_cookies()
        page.evaluate("renew()")
        expect(page.locator("#stale")).to_contain_text("You are signed out.")


def test_typing_and_focus_are_kept_while_the_page_renews_itself(browser: Browser, host: Stand) -> None:
    with visit(browser, host.url) as mine:
        page = mine.signed_in(host.credentials.responder)
        page.wait_for_selector(LIVE)
        page.get_by_label("Stop something else").fill("tier:gen")
        page.locator("#unmet-drafts").click()
        page.locator("#stop-model-drafts").focus()
        host.stop("key:slow", "noticed elsewhere")
        expect(page.locator("#state-title")).to_have_text("Stopped: key slow")
        expect(page.get_by_label("Stop something else")).to_have_value("tier:gen")
        expect(page.locator("#stop-model-drafts")).to_be_focused()
        expect(page.locator(".rows").first).to_be_visible()


def test_two_responders_at_once_both_stop_and_each_is_named(browser: Browser, host: Stand) -> None:
    with visit(browser, host.url) as one, visit(browser, host.url) as two:
        pages = [each.signed_in(host.credentials.responder, "/control/stop?scope=all") for each in (one, two)]
        for page in pages:
            page.get_by_role("button", name="Stop everything now").click(no_wait_after=True)
        for page in pages:
            expect(page.locator("#state-title")).to_have_text("Stopped: everything and 1 more")


def test_the_page_reads_well_to_a_screen_reader(browser: Browser, host: Stand) -> None:
    host.stop("model:assistant", "INC-42")
    with visit(browser, host.url) as mine:
        page = mine.signed_in(host.credentials.viewer)
        page.wait_for_selector(LIVE)
        tree = page.locator("body").aria_snapshot()
        for words in (
            "- banner:",
            "- main:",
            '"Stopped: model assistant" [level=1]',
            '- region "Models":',
            '- rowheader "assistant example-internal 1"',
            '- columnheader "Running"',
            "- status",
        ):
            assert words in tree, tree
        assert page.locator("h1").count() == 1
        assert page.evaluate(
            "[...document.querySelectorAll('input')].every((e) => e.type === 'hidden' || e.labels.length)"
        )
        ids = page.evaluate("[...document.querySelectorAll('[id]')].map((e) => e.id)")
        assert len(ids) == len(set(ids))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_word_can_be_read_and_nothing_scrolls_sideways_on_a_phone(
    scheme: str, browser: Browser, host: Stand
) -> None:
    host.stop("model:assistant", "a reason that goes on " + "and on " * 20 + "x" * 80)
    with visit(browser, host.url, viewport={"width": 360, "height": 740}, color_scheme=scheme) as mine:
        page = mine.page()
        assert page.evaluate(CONTRAST) == []
        page.get_by_label("Your token").fill(host.credentials.responder)
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_selector(LIVE)
        for path in ("/control", "/control/stop?scope=all", "/control/resume?target=model:assistant"):
            page.goto(host.url + path)
            assert page.evaluate(CONTRAST) == []
            assert page.evaluate("document.documentElement.scrollWidth") == 360
        page.goto(host.url + "/control")
        small = page.evaluate(
            "[...document.querySelectorAll('main a.act, main a.on-stop, button')].filter((e) => e.checkVisibility()"
            " && e.getBoundingClientRect().height < 36).map((e) => e.textContent)"
        )
        assert small == []
        assert mine.complaints == []


def test_the_browser_refuses_what_the_policy_forbids(browser: Browser, host: Stand) -> None:
    """The policy is in force, so that the absence of complaints elsewhere means something."""
    with visit(browser, host.url) as mine:
        page = mine.page()
        page.evaluate(
            "document.body.append(Object.assign(document.createElement('script'), {textContent: 'window.bad = 1'}))"
        )
        assert page.evaluate("window.bad") is None
        assert any("Content Security Policy" in each for each in mine.complaints)


def test_a_page_of_another_site_can_neither_frame_it_nor_act_through_it(browser: Browser, host: Stand) -> None:
    with visit(browser, host.url) as mine:
        mine.signed_in(host.credentials.responder)
        evil = mine.context.new_page()
        evil.set_default_timeout(PATIENCE_MS)
        form = (
            f"<form method=post action={host.url}/control/stop><input name=scope value=all><button>Go</button></form>"
        )
        evil.route("http://evil.example/", lambda route: route.fulfill(body=form, content_type="text/html"))
        frame = f"<iframe src={host.url}/control></iframe>"
        evil.route("http://evil.example/frame", lambda route: route.fulfill(body=frame, content_type="text/html"))
        evil.goto("http://evil.example/")
        evil.get_by_role("button").click()
        expect(evil.locator("h1")).to_have_text("Not done")
        evil.goto("http://evil.example/frame")
        refused = evil.frames[1]
        assert "state-title" not in refused.content()
        assert not host.directory.snapshot(of_a_known_host).still_held(0)


def test_so_many_pages_are_live_and_one_that_is_closed_makes_room(host: Stand) -> None:
    with ExitStack() as stack:
        client = stack.enter_context(httpx.Client(base_url=host.url, trust_env=False, timeout=30))
        client.post("/control/sign-in", data={"token": host.credentials.viewer, "onward": "/control"})
        limits = httpx.Limits(max_connections=2 * MAX_LISTENERS)
        many = stack.enter_context(
            httpx.Client(base_url=host.url, trust_env=False, timeout=30, limits=limits, cookies=client.cookies)
        )
        live = [stack.enter_context(many.stream("GET", "/control/events")) for _ in range(MAX_LISTENERS)]
        assert {each.status_code for each in live} == {200}
        assert client.get("/control/events").status_code == 503
        assert client.get("/control").status_code == 200
        live[0].close()

        def room() -> bool:
            with client.stream("GET", "/control/events") as answer:
                return answer.status_code == 200

        wait_until(room, "a place is free")
