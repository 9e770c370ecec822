"""The control page over its real application: who is let in, which forms count, what is done and what is shown.

One file, because every test asks the same application as the same browser would.
"""

from __future__ import annotations

import json
import re
from datetime import date
from html import unescape
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from guard.admin.attempts import MOST_WRONG
from guard.admin.emergency import stored
from guard.admin.modes import words_of
from guard.admin.overview import Overview, overview
from guard.admin.page.frame import ASSETS, VERSION
from guard.admin.running import Running
from guard.policy.load import load
from guard.policy.roles import OperatorRole as Role
from guard.policy.sign_in import EmergencyToken, ProxyPerson, ProxySignIn
from guard.state.orders import Source
from guard.state.rule_text import PushedRule
from guard.state.scope import MAX_SUBJECT
from safeguards.category import Category
from safeguards.decision import Target
from safeguards.mode import Mode
from tests.guard.admin.fakes import DAY, DRILL, HALF, NOW, TOKENS, WHOLE, Counter, InFleet, replica
from tests.guard.admin.signers import signed, write_signers
from tests.parts.configuration import ModelSpec, write_configuration

ENVELOPE = "et-guard-envelope-0123456789"
HEADER = "x-forwarded-email"
NEVER = date(2999, 1, 1)


@pytest.fixture
def counter(tmp_path: Path) -> Counter:
    write_configuration(tmp_path, models=[ModelSpec("demo", 2), ModelSpec("strict", 3)], now=DAY)
    return Counter(load(tmp_path), tmp_path / "var" / "state")


def overview_of(counter: Counter) -> Overview:
    return overview(counter.board, counter.behind, counter.behind, counter.clock.now())


def with_proxy(counter: Counter, *, peers: tuple[str, ...] = ("10.0.0.7",)) -> None:
    people = (
        ProxyPerson(name="ana@example.com", person="Ana by proxy", role=Role.RESPONDER, expires=NEVER),
        ProxyPerson(name="old@example.com", person="Old", role=Role.RESPONDER, expires=date(2001, 1, 1)),
    )
    proxy = ProxySignIn(header=HEADER, peers=peers, people=people)
    counter.entrance.take(counter.config.guard.admin.model_copy(update={"proxy": proxy}))
    counter.peer = ("10.0.0.7", 99)


def with_envelope(counter: Counter, expires: date = NEVER) -> None:
    token = EmergencyToken(
        id="envelope-1", holder="Envelope 1", owner="Ana", sha256=stored(ENVELOPE.encode()), expires=expires
    )
    counter.entrance.take(counter.config.guard.admin.model_copy(update={"emergency_tokens": (token,)}))


# What every answer says, and what anybody may have.


PAGES = [
    "/",
    "/control",
    "/control/stop",
    "/control/resume",
    "/control/events",
    "/control/incidents",
    "/control/incidents/open",
    f"/control/incidents/{'0' * 26}",
]


@pytest.mark.parametrize("path", [*PAGES, *(f"/control/{name}" for name in ASSETS)])
def test_every_answer_forbids_everything_from_elsewhere(path: str, counter: Counter) -> None:
    headers = counter.get(path).headers
    policy = dict(each.strip().partition(" ")[::2] for each in headers["content-security-policy"].split(";"))
    assert policy.pop("default-src") == "'none'"
    assert policy.pop("frame-ancestors") == policy.pop("base-uri") == "'none'"
    assert set(policy.values()) == {"'self'"}
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"


def test_the_files_of_the_page_may_be_kept_under_the_name_of_their_content(counter: Counter) -> None:
    answer = counter.get(f"/control/control.css?v={VERSION}")
    assert "immutable" in answer.headers["cache-control"]
    assert answer.headers["content-type"].startswith("text/css")


def test_pages_refer_to_nothing_from_elsewhere_and_hold_no_script_or_style(counter: Counter) -> None:
    counter.sign_in()
    for path in ("/control", "/control/stop?scope=all", "/control/resume?target=all"):
        page = counter.get(path).text
        assert all(link.startswith(("/", "#")) for link in re.findall(r'(?:href|src|action)="([^"]*)"', page))
        assert not re.search(r"<script(?! src=)|<style|\sstyle=|\son\w+=", page)


@pytest.mark.parametrize("path", ["/control", "/control/stop?scope=model:demo", "/control/resume?target=all"])
def test_who_is_not_signed_in_is_asked_who_it_is_and_told_nothing(path: str, counter: Counter) -> None:
    counter.board.stop("model:demo", "a secret reason", "Ana", Source.ADMIN)
    page = counter.get(path).text
    assert "Your token" in page
    assert "a secret reason" not in page
    assert "strict" not in page


def test_the_events_are_for_those_signed_in(counter: Counter) -> None:
    assert counter.get("/control/events").status_code == 401


def test_only_a_browser_that_reads_them_keeps_events_coming(counter: Counter) -> None:
    counter.sign_in()
    assert counter.ask("HEAD", "/control/events").status_code == 405


# Signing in.


def test_a_token_is_exchanged_for_a_cookie_that_scripts_and_other_sites_cannot_use(counter: Counter) -> None:
    answer = counter.sign_in()
    assert (answer.status_code, answer.headers["location"]) == (303, "/control")
    words = answer.headers["set-cookie"].split("; ")
    assert words[0].startswith("guard_session=")
    assert {"HttpOnly", "SameSite=Strict", "Path=/control"} <= set(words)
    assert "Secure" not in words
    assert TOKENS["ana"] not in answer.headers["set-cookie"]
    assert "Ana" in counter.get().text
    assert counter.behind.noted == [("Ana", "sign in", "ana", "")]


def test_over_tls_the_cookie_is_secure_and_bound_to_this_host(counter: Counter) -> None:
    counter.base = "https://guard.example"
    words = counter.sign_in().headers["set-cookie"].split("; ")
    assert words[0].startswith("__Host-guard=")
    assert {"Secure", "Path=/", "HttpOnly", "SameSite=Strict"} <= set(words)
    assert "Ana" in counter.get().text


@pytest.mark.parametrize(
    ("token", "words"),
    [
        ("", "no token that is known"),
        ("short", "no token that is known"),
        ("at-guard-nobody-0123456789", "no token that is known"),
        ("ünïcode-tökens-are-no-tokens", "no token that is known"),
        (TOKENS["late"], "has expired"),
        (ENVELOPE, "no token that is known"),
    ],
)
def test_what_is_no_token_of_a_person_lets_nobody_in(token: str, words: str, counter: Counter) -> None:
    with_envelope(counter)
    answer = counter.post("/control/sign-in", token=token, onward="/control")
    assert answer.status_code == 403
    assert words in answer.text
    assert "set-cookie" not in answer.headers
    assert len(counter.behind.turned_away) == 1


def test_an_address_that_is_wrong_too_often_waits_but_a_right_token_never_does(counter: Counter) -> None:
    def wrong() -> httpx.Response:
        return counter.post("/control/sign-in", token="at-guard-nobody-0123456789", onward="")

    for _ in range(MOST_WRONG):
        assert wrong().status_code == 403
    answer = wrong()
    assert answer.status_code == 429
    assert 0 < int(answer.headers["retry-after"]) <= 61
    counter.peer = ("127.0.0.2", 4711)
    assert wrong().status_code == 403
    counter.peer = ("127.0.0.1", 4711)
    assert wrong().status_code == 429
    assert counter.sign_in().status_code == 303


def test_a_wrong_address_may_be_wrong_again_after_a_minute(counter: Counter) -> None:
    for _ in range(MOST_WRONG + 1):
        answer = counter.post("/control/sign-in", token="at-guard-nobody-0123456789", onward="")
    assert answer.status_code == 429
    counter.clock.go(61)
    assert counter.post("/control/sign-in", token="at-guard-nobody-0123456789", onward="").status_code == 403


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        ("/control/stop?scope=model%3Ademo", "/control/stop?scope=model%3Ademo"),
        ("/control/resume?target=01", "/control/resume?target=01"),
        ("/control/incidents", "/control/incidents"),
        (f"/control/incidents/open?stop={'0' * 26}", f"/control/incidents/open?stop={'0' * 26}"),
        (f"/control/incidents/{'0' * 26}", f"/control/incidents/{'0' * 26}"),
        (f"/control/incidents/{'0' * 26}/triage", "/control"),
        ("/control/incidents/../stop", "/control"),
        ("https://elsewhere.example/", "/control"),
        ("//elsewhere.example", "/control"),
        ("/control/../v1/status", "/control"),
        ("/control/stop?scope=a\r\nset-cookie: x=y", "/control"),
        ("/control/stop?" + "x" * 600, "/control"),
        ("", "/control"),
    ],
)
def test_signing_in_leads_to_our_own_pages_alone(asked: str, given: str, counter: Counter) -> None:
    answer = counter.post("/control/sign-in", token=TOKENS["ana"], onward=asked)
    assert answer.headers["location"] == given


def test_a_link_from_another_site_finds_who_is_signed_in_at_the_second_asking(counter: Counter) -> None:
    counter.sign_in()
    kept, counter.cookies = counter.cookies, {}  # SameSite=Strict: the browser leaves it out
    first = counter.get("/control/stop?scope=model:demo", headers={"sec-fetch-site": "cross-site"})
    assert 'content="0;url=/control/stop?scope=model%3Ademo"' in first.text
    counter.cookies = kept
    assert "Stop model demo now" in counter.get("/control/stop?scope=model%3Ademo").text


# How long.


def test_a_session_ends_after_its_time_without_use(counter: Counter) -> None:
    counter.sign_in()
    counter.clock.go(1799)
    assert "Sign out" in counter.get().text
    counter.clock.go(1801)
    assert "Your token" in counter.get().text


def test_a_page_that_renews_itself_keeps_nobody_signed_in(counter: Counter) -> None:
    counter.sign_in()
    for _ in range(3):
        counter.clock.go(700)
        page = counter.get("/control?auto=1").text
    assert "Your token" in page


def test_a_session_ends_after_its_longest_time_whatever_is_done(counter: Counter) -> None:
    counter.sign_in()
    for _ in range(43_200 // 1_200):
        assert "Sign out" in counter.get().text
        counter.clock.go(1_200)
    assert "Your token" in counter.get().text


def test_a_session_ends_with_the_token_behind_it(counter: Counter) -> None:
    counter.sign_in("vic")
    other = Counter(counter.config, counter.state)
    counter.people.take(other.people)
    assert "Sign out" in counter.get().text
    counter.people._holders.clear()
    assert "Your token" in counter.get().text


def test_signing_out_ends_the_session_and_not_only_the_cookie(counter: Counter) -> None:
    counter.sign_in()
    kept = dict(counter.cookies)
    answer = counter.post("/control/sign-out", form=counter.form())
    assert "Max-Age=0" in answer.headers["set-cookie"]
    counter.cookies = kept
    assert "Your token" in counter.get().text
    assert counter.behind.noted[-1][1] == "sign out"


def test_two_cookies_of_our_name_are_none(counter: Counter) -> None:
    counter.sign_in()
    value = counter.cookies.pop("guard_session")
    twice = counter.get(headers={"cookie": f"guard_session={value}; guard_session=other"})
    assert "Your token" in twice.text
    assert "Sign out" in counter.get(headers={"cookie": f"x=[bad; guard_session={value}; y"}).text


# Which forms count.


def acts(counter: Counter) -> list[tuple[str, dict[str, str]]]:
    order = counter.board.stop("model:demo", "", "Ben", Source.ADMIN).order
    return [
        ("/control/stop", {"scope": "all", "reason": "x"}),
        ("/control/resume", {"target": order, "reason": "x"}),
        ("/control/resume/approved", {"target": order, "approval": "{}", "signatures": "x"}),
        ("/control/incidents/open", {"model": "demo", "summary": "x"}),
        ("/control/sign-out", {}),
    ]


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://elsewhere.example"},
        {"origin": "null"},
        {"origin": "http://guard.example:8080"},
        {"origin": "http://guard.example.elsewhere.example"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "none"},
        {"origin": "", "sec-fetch-site": "cross-site"},
    ],
)
def test_a_form_from_another_site_does_nothing(headers: dict[str, str], counter: Counter) -> None:
    counter.sign_in()
    form = counter.form()
    for path, fields in acts(counter):
        before = counter.board.state()
        answer = counter.post(path, headers, form=form, **fields)
        assert answer.status_code == 403
        assert counter.board.state() == before
    assert "Sign out" in counter.get().text
    assert counter.post("/control/sign-in", headers, token=TOKENS["vic"], onward="").status_code == 403


@pytest.mark.parametrize("form", ["", "wrong", "ü"])
def test_a_form_without_its_sessions_secret_does_nothing(form: str, counter: Counter) -> None:
    counter.sign_in()
    for path, fields in acts(counter):
        before = counter.board.state()
        assert counter.post(path, form=form, **fields).status_code == 403
        assert counter.board.state() == before


def test_the_secret_of_another_session_does_not_count(counter: Counter) -> None:
    counter.sign_in()
    mine = counter.form()
    counter.cookies = {}
    counter.sign_in()
    assert counter.post("/control/stop", form=mine, scope="all").status_code == 403
    assert counter.stops() == []


@pytest.mark.parametrize("path", ["/control/stop?scope=all", "/control/resume?target=all", "/control/sign-out"])
def test_looking_changes_nothing(path: str, counter: Counter) -> None:
    counter.sign_in()
    before = counter.board.state()
    counter.get(path)
    assert counter.board.state() == before
    assert "Sign out" in counter.get().text


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b'{"scope": "all"}', "application/json", 403),
        (b"scope=all&scope=model:demo", "application/x-www-form-urlencoded", 403),
        (b"&".join(b"f%d=1" % number for number in range(20)), "application/x-www-form-urlencoded", 403),
        (b"scope=%ff%fe", "application/x-www-form-urlencoded", 403),
        (b"scope=\xff", "application/x-www-form-urlencoded", 403),
        (b"reason=" + b"x" * 20_000, "application/x-www-form-urlencoded", 400),
    ],
)
def test_what_is_no_form_of_ours_does_nothing(body: bytes, kind: str, status: int, counter: Counter) -> None:
    counter.sign_in()
    answer = counter.ask("POST", "/control/stop", content=body, headers={"content-type": kind})
    assert answer.status_code == status
    assert counter.stops() == []


# Stopping.


def test_a_stop_takes_two_actions_and_names_its_person(counter: Counter) -> None:
    counter.sign_in()
    counter.behind.names = ("0",)
    counter.obey("0")
    page = counter.get().text
    assert 'href="/control/stop?scope=model%3Ademo"' in page
    counter.behind.runs = (Running("demo", "general", "app", 4), Running("strict", "general", "app", 1))
    asked = counter.get("/control/stop?scope=model%3Ademo").text
    assert "It cuts 4 running requests and refuses new ones, at once, on 1 worker." in asked
    counter.behind.names = ()
    answer = counter.post("/control/stop", form=counter.form(), scope="model:demo", reason=" why ")
    assert (answer.status_code, answer.headers["location"]) == (303, "/control")
    assert counter.stops() == [("model:demo", "Ana", "why")]
    assert counter.behind.woken == 1
    shown = counter.get().text
    assert "Stopped: model demo" in shown
    assert "why" in shown


def drill_in(counter: Counter, scope: str = "model:guard-selftest") -> httpx.Response:
    return counter.post("/control/sign-in", token=DRILL, onward=f"/control/stop?scope={quote(scope)}")


def form_of(shown: httpx.Response) -> str:
    return shown.text.partition('name="form" value="')[2].partition('"')[0]


def test_a_drill_stops_the_self_test_model_by_the_page_and_is_signed_out(counter: Counter) -> None:
    signed_in = drill_in(counter)
    assert (signed_in.status_code, counter.behind.noted) == (303, [("guard drill", "sign in", "drill", "")])
    shown = counter.get(signed_in.headers["location"])
    assert "Stop model guard-selftest now" in unescape(shown.text)
    form = form_of(shown)
    done = counter.post("/control/stop", form=form, scope="model:guard-selftest", reason="drill")
    assert (done.status_code, counter.stops()) == (303, [("model:guard-selftest", "guard drill", "drill")])
    assert "Max-Age=0" in done.headers["set-cookie"]
    assert "Sign in" in counter.get("/control/stop?scope=model:guard-selftest").text


def test_a_drill_sees_no_other_page_and_stops_nothing_else(counter: Counter) -> None:
    drill_in(counter)
    form = (
        counter.get("/control/stop?scope=model:guard-selftest")
        .text.partition('name="form" value="')[2]
        .partition('"')[0]
    )
    for path in ("/control", "/control/resume?target=all", "/control?auto=1"):
        assert "Sign in" in counter.get(path).text
    assert counter.get("/control/events").status_code == 401
    for scope in ("all", "model:demo", "level:2"):
        assert counter.get(f"/control/stop?scope={scope}").status_code == 400
        refused = counter.post("/control/stop", form=form, scope=scope, reason="drill")
        assert (refused.status_code, "stops the self-test model and nothing else" in refused.text) == (400, True)
    others = [(path, fields) for path, fields in acts(counter) if path not in {"/control/stop", "/control/emergency"}]
    for path, fields in others:
        assert counter.post(path, **{**fields, "form": form}).status_code == 401
    assert counter.post("/control/stop", scope="model:guard-selftest").status_code == 403  # without the form's secret
    assert [scope for scope, who, _ in counter.stops() if who == "guard drill"] == []


def test_in_a_fleet_a_drill_waits_for_nobody_elsewhere(counter: Counter) -> None:
    counter.behind.member = InFleet([HALF])
    drill_in(counter)
    form = (
        counter.get("/control/stop?scope=model:guard-selftest")
        .text.partition('name="form" value="')[2]
        .partition('"')[0]
    )
    counter.post("/control/stop", form=form, scope="model:guard-selftest")
    assert len(counter.stops()) == 1
    assert counter.behind.member.waiting == []


def test_a_stop_needs_no_reason(counter: Counter) -> None:
    counter.sign_in()
    counter.post("/control/stop", form=counter.form(), scope="all")
    assert counter.stops() == [("all", "Ana", "")]
    assert "no reason given yet" in counter.get().text


def test_the_preview_of_everything_says_what_runs_on_which_model(counter: Counter) -> None:
    counter.sign_in()
    counter.behind.runs = (Running("demo", "general", "app", 4), Running("strict", "slow", "slow", 1))
    page = counter.get("/control/stop?scope=all").text
    assert "It cuts 5 running requests" in page
    assert "Of these: demo 4, strict 1" in page
    assert "It cuts 1 running request and" in counter.get("/control/stop?scope=key:slow").text


@pytest.mark.parametrize("scope", ["model:nobody", "nonsense", "model:", "<script>"])
def test_what_does_not_exist_cannot_be_stopped_and_the_answer_says_what_does(scope: str, counter: Counter) -> None:
    counter.sign_in()
    for answer in (
        counter.get("/control/stop", params={"scope": scope}),
        counter.post("/control/stop", form=counter.form(), scope=scope),
    ):
        assert answer.status_code == 400
        assert "<script>" not in answer.text
        assert "there are: demo, strict" in answer.text or "not one of all, " in answer.text
    assert counter.stops() == []


def test_who_has_not_obeyed_is_named_loudly(counter: Counter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("guard.admin.site.ACKNOWLEDGED_SECONDS", 0.05)
    counter.sign_in()
    counter.behind.names = ("0", "1")
    counter.post("/control/stop", form=counter.form(), scope="all")
    counter.obey("0", cut=3)
    page = counter.get().text
    assert "Only 1 of 2 workers have obeyed, 3 running cut so far" in page
    assert "worker 1: NOT CONFIRMED" in page
    counter.obey("1", cut=1)
    assert "Obeyed by 2 of 2 workers, 4 running requests cut" in counter.get().text


def test_in_a_fleet_a_stop_waits_for_every_replica_and_names_who_has_not_obeyed(
    counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("guard.admin.site.ACKNOWLEDGED_SECONDS", 0.05)
    counter.sign_in()
    member = counter.behind.member = InFleet([HALF])
    asked = counter.get("/control/stop?scope=all").text
    assert "It cuts 0 running requests here, and all that it covers on 1 other replica, and refuses new" in asked
    counter.post("/control/stop", form=counter.form(), scope="all")
    assert member.waiting == [True, False]
    page = counter.get().text
    assert "Only 2 of 4 workers on 1 of 2 replicas have obeyed, 3 running cut so far" in page
    assert "replica r1 (has not seen it): NOT CONFIRMED" in page
    member.words = [WHOLE]
    assert "Obeyed by 4 of 4 workers on 2 of 2 replicas, 9 running requests cut" in counter.get().text
    with_envelope(counter)
    member.words = [HALF]
    answer = counter.post("/control/emergency", token=ENVELOPE, scope="model:demo", reason="")
    assert "Obeyed by 2 of 4 workers on 1 of 2 replicas, 3 running requests cut." in answer.text
    assert "Not confirmed by r1 (has not seen it)." in answer.text


def test_every_mode_may_be_ordered_has_its_word_and_colour_and_only_a_stop_is_a_stop(counter: Counter) -> None:
    counter.sign_in()
    style = ASSETS["control.css"][0].decode()
    asked = counter.get("/control/stop?scope=model:demo").text
    answered = set(Mode) - {Mode.STOP, Mode.STRICTER, Mode.FALLBACK}  # these two are a stop without a rung in the file
    for mode in answered:
        words = words_of(mode.value)
        tone = f"mode-{mode.value.replace('_', '-')}"
        assert f'name="mode" value="{mode.value}"' in asked
        assert f".{tone} " in style
        counter.post("/control/stop", form=counter.form(), scope="model:demo", mode=mode.value)
        page = counter.get().text
        assert f'<article class="stop {tone}"' in page
        assert f'<span class="kind">{words.done} </span>' in page
        # The file of this model says nothing of these two: it is stopped.
        silent = mode in {Mode.STRICTER, Mode.FALLBACK}
        badge = ("mode-stop", "Stopped") if silent else (tone, words.done)
        assert '<span class="badge {}">{}</span>'.format(*badge) in page
        assert f'<span class="word {tone}">{words.act.lower()}</span>' in page
        assert ("Stopped" in page) is silent
        again = counter.get("/control/stop?scope=model:demo").text
        assert "It is stopped already" not in again
        assert f"{words.done} by Ana" in again
        counter.post("/control/resume", form=counter.form(), target="model:demo", reason="over")
    counter.post("/control/stop", form=counter.form(), scope="model:demo", mode="stricter")
    page = counter.get().text
    assert '<article class="stop mode-stricter"' in page
    assert '<span class="badge mode-stop">Stopped</span>' in page
    assert "demo, whose files do not answer it" in page
    assert 'value="quarantine"' in counter.get("/control/stop?scope=key:app").text
    assert 'value="stricter"' not in counter.get("/control/stop?scope=key:app").text
    counter.post("/control/stop", form=counter.form(), scope="model:demo")
    assert "It is stopped already" in counter.get("/control/stop?scope=model:demo").text
    assert counter.post("/control/stop", form=counter.form(), scope="all", mode="nothing").status_code == 400


def test_a_lapsed_lease_is_said_above_everything(counter: Counter) -> None:
    counter.sign_in()
    others = (replica("r1", silent=True, heard_seconds_ago=9), replica("r<2>", workers=None, position=None))
    counter.behind.member = InFleet(lapsed=(3, 4), age=33.0, problem="the database cannot be reached", others=others)
    page = counter.get().text
    assert '<h1 id="state-title"><span>Not served for want of proof: ASL-3</span></h1>' in page
    assert "strict: refused and cut on this replica until there is proof" in page
    assert "It was last known 33 s ago. The database cannot be reached." in page
    assert "1 of 2 models served" in page
    assert "silent for 9 s" in page
    assert "r&lt;2&gt;" in page
    assert '<span class="badge">lapsed</span>' in page
    counter.behind.member = InFleet(age=None)
    page = counter.get().text
    assert "Nothing is stopped" in page
    assert "never since this guard began" in page


def test_drills_are_told_with_what_came_of_the_latest(counter: Counter) -> None:
    counter.sign_in()
    assert "The kill switch is not drilled here." in counter.get().text
    newest = {"at": NOW - 120, "path": "webhook", "words": "FAILED, not_cut: <worker 1> went on"}
    stop = {"kind": "stop", "last_success": NOW - 7_200, "late_at": NOW - 60, "late": True, "failing": True}
    lease = {"kind": "lease", "last_success": None, "late_at": NOW + 60, "late": False, "failing": False}
    counter.behind.drilled = {
        "kinds": [{**stop, "newest": newest, "gap": "x"}, {**lease, "newest": None, "gap": ""}],
        "gaps": ["the last stop drill failed"],
        "models": ["strict"],
    }
    page = counter.get().text
    assert "2 h ago" in page
    assert '<span class="badge">Failed</span><span>FAILED, not_cut: &lt;worker 1&gt; went on</span>' in page
    assert "by webhook, 2027-01-15 07:58:00" in page
    assert "none yet" in page
    assert "<li>the last stop drill failed</li>" in page


def test_everything_that_may_be_stopped_is_offered(counter: Counter) -> None:
    counter.sign_in()
    page = counter.get().text
    for scope in ("all", "level:2", "model:demo", "tier:general", "operation:chat", "capability:tools", "key:app"):
        assert f'<option value="{scope}">' in page
    with_envelope(counter)
    counter.cookies = {}
    assert "level:&lt;ASL&gt; (of that level and above)" in counter.get().text


def test_the_longest_name_of_an_owner_comes_back_from_signing_in(counter: Counter) -> None:
    scope = f"org:{'x' * MAX_SUBJECT}"
    assert f'value="/control/stop?scope={quote(scope)}"' in counter.get("/control/stop", params={"scope": scope}).text


def test_a_viewer_looks_and_has_nothing_to_press(counter: Counter) -> None:
    counter.sign_in("vic")
    order = counter.board.stop("model:demo", "", "Ben", Source.ADMIN).order
    page = counter.get().text
    assert "Stopped: model demo" in page
    assert "/control/stop?" not in page
    assert "/control/resume?" not in page
    form = counter.form()
    assert counter.get("/control/stop?scope=all").status_code == 403
    assert counter.get(f"/control/resume?target={order}").status_code == 403
    assert counter.post("/control/stop", form=form, scope="all").status_code == 403
    assert counter.post("/control/resume", form=form, target=order, reason="x").status_code == 403
    assert len(counter.stops()) == 1
    assert not counter.board.state().resumes
    assert counter.behind.turned_away == ["vic is a viewer"] * 4


def test_who_was_signed_out_meanwhile_is_told_that_nothing_was_done_and_comes_back_there(counter: Counter) -> None:
    counter.sign_in()
    form = counter.form()
    counter.clock.go(50_000)
    answer = counter.post("/control/stop", form=form, scope="model:demo")
    assert answer.status_code == 401
    assert "nothing was done" in answer.text
    assert 'value="/control/stop?scope=model%3Ademo"' in answer.text
    assert counter.stops() == []


def test_an_order_that_cannot_be_written_falls_back_to_a_file_that_stops(
    counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    counter.sign_in()
    form = counter.form()
    monkeypatch.setattr("guard.state.directory.OrderDirectory.put", full)
    assert counter.post("/control/stop", form=form, scope="model:demo").status_code == 303
    page = counter.get().text
    assert "Stopped: model demo" in page
    assert "Holds while that file is in the orders&#x27; directory." in page
    assert "/control/resume?target=file" not in page


def test_a_stop_whose_acknowledgements_cannot_be_read_is_ordered_all_the_same(
    counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreadable(*_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("guard.admin.site.ACKNOWLEDGED_SECONDS", 0.05)
    counter.sign_in()
    counter.behind.names = ("0",)
    form = counter.form()
    monkeypatch.setattr("guard.admin.switchboard.waiting_for", unreadable)
    assert counter.post("/control/stop", form=form, scope="all").status_code == 303
    assert counter.stops() == [("all", "Ana", "")]
    assert "worker 0: NOT CONFIRMED" in counter.get().text


def test_a_stop_that_fails_altogether_says_so_and_names_other_ways(
    counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: object) -> None:
        raise OSError(5, "Input/output error")

    counter.sign_in()
    form = counter.form()
    monkeypatch.setattr("guard.state.directory.OrderDirectory.put", gone)
    monkeypatch.setattr("guard.state.directory.OrderDirectory.trip", gone)
    answer = counter.post("/control/stop", form=form, scope="all")
    assert answer.status_code == 500
    assert "Input/output error" in answer.text
    assert "touch STATE/orders/STOP" in answer.text


def test_orders_that_cannot_be_read_are_said_above_everything(counter: Counter) -> None:
    counter.sign_in()
    orders = counter.state / "orders"
    orders.rename(counter.state / "elsewhere")
    page = counter.get()
    assert page.status_code == 200
    assert '<span class="mode-stop">The stop orders cannot be read</span></h1>' in page.text
    assert "data-loud" in page.text
    assert "which models are served is not known" in page.text
    assert page.text.count("Not known") == 2
    assert ">Served<" not in page.text


def test_an_order_from_no_calendar_keeps_nobody_from_seeing_the_page(counter: Counter) -> None:
    counter.sign_in()
    counter.clock.at = 280_000_000_000.0  # the year 10842, which an order may name
    counter.board.stop("model:demo", "", "Ana", Source.ADMIN)
    counter.clock.at = NOW
    page = counter.get()
    assert page.status_code == 200
    assert "no day of the calendar" in page.text


# Resuming.


def test_a_resume_says_what_it_lifts_and_takes_a_reason(counter: Counter) -> None:
    counter.sign_in()
    order = counter.board.stop("model:demo", "INC-1", "Ben", Source.ADMIN).order
    asked = counter.get(f"/control/resume?target={order}").text
    assert "Resume model demo" in asked
    assert "Stopped by Ben at 2027-01-15 08:00:00 UTC: INC-1." in asked
    assert "<strong>demo</strong> is served again" in asked
    refused = counter.post("/control/resume", form=counter.form(), target=order, reason="  ")
    assert refused.status_code == 403
    assert "A resume needs a reason" in refused.text
    assert not counter.board.state().resumes
    assert counter.post("/control/resume", form=counter.form(), target=order, reason="over").status_code == 303
    (resume,) = counter.board.state().resumes
    assert (resume.order.who, resume.order.reason, resume.order.lifts) == ("Ana", "over", (order,))
    assert "Nothing is stopped" in counter.get().text


def test_a_resume_lifts_nothing_that_came_since_it_was_shown(counter: Counter) -> None:
    counter.sign_in()
    shown = counter.board.stop("model:demo", "INC-1", "Ben", Source.ADMIN).order
    (seen,) = re.findall(r'name="seen" value="([^"]+)"', counter.get("/control/resume?target=model:demo").text)
    counter.board.stop("model:demo", "INC-2", "Cleo", Source.ADMIN)
    form = {"target": "model:demo", "reason": "over", "seen": seen}
    stale = counter.post("/control/resume", form=counter.form(), **form)
    assert stale.status_code == 409
    assert "has changed since you looked" in stale.text
    assert not counter.board.state().resumes
    (seen,) = re.findall(r'name="seen" value="([^"]+)"', counter.get("/control/resume?target=model:demo").text)
    assert counter.post("/control/resume", form=counter.form(), **{**form, "seen": seen}).status_code == 303
    (resume,) = counter.board.state().resumes
    assert shown in resume.order.lifts
    assert len(resume.order.lifts) == 2


def test_a_resume_of_a_rule_says_that_it_is_one(counter: Counter) -> None:
    counter.sign_in()
    rules = [PushedRule("r1", Category.OTHER, phrase="FORBIDDEN-MARKER")]
    order = counter.board.push("model:demo", rules, [Target.INPUT], "INC-1", "Ben", Source.ADMIN).id
    asked = counter.get(f"/control/resume?target={order}").text
    assert "Resume rule on model demo" in asked
    assert "This lifts no stop, but 1 rule pushed by Ben: INC-1" in asked
    assert "<strong>demo</strong> is screened by these rules no more" in asked
    assert "MARKER" not in asked


def test_a_resume_that_may_not_be_has_no_button_and_does_nothing(counter: Counter) -> None:
    counter.sign_in()
    (counter.state / "orders" / "STOP").touch()
    page = counter.get("/control/resume?target=all").text
    assert "Refused: " in page
    assert 'action="/control/resume' not in page
    answer = counter.post("/control/resume", form=counter.form(), target="all", reason="x")
    assert answer.status_code == 409
    assert not counter.board.state().resumes


# Resuming with approvals.


@pytest.fixture
def signers(tmp_path: Path) -> Counter:
    write_configuration(tmp_path, models=[ModelSpec("demo", 2), ModelSpec("strict", 3)], now=DAY)
    write_signers(tmp_path)
    found = Counter(load(tmp_path), tmp_path / "var" / "state")
    found.sign_in()
    return found


def statement(counter: Counter, target: str) -> str:
    """Ask for a resume by the form, and return what the page gives to be signed."""
    answer = counter.post("/control/resume", form=counter.form(), target=target, reason="the finding is mended")
    assert answer.status_code == 200
    return unescape(answer.text.partition('name="approval" value="')[2].partition('"')[0])


def approve(counter: Counter, text: str, signatures: str) -> httpx.Response:
    return counter.post(
        "/control/resume/approved", form=counter.form(), target="x", approval=text, signatures=signatures
    )


def test_a_statement_of_a_rule_is_written_anew_by_the_rules_own_id(signers: Counter) -> None:
    rules = [PushedRule("r1", Category.OTHER, phrase="FORBIDDEN-MARKER")]
    order = signers.board.push("model:strict", rules, [Target.INPUT], "INC-1", "Ben", Source.ADMIN).id
    text = statement(signers, order)
    signatures = signed(text, "ana") + signed(text, "ben")
    assert approve(signers, text, signatures).status_code == 303
    again = approve(signers, text, signatures)
    assert f'href="/control/resume?target={order}"' in again.text


def test_a_model_at_asl_3_comes_back_when_two_people_have_signed(signers: Counter) -> None:
    order = signers.board.stop("model:strict", "", "Ben", Source.ADMIN).order
    assert "Resume model strict" in signers.get("/control/resume?target=model:strict").text
    asked = signers.get(f"/control/resume?target={order}").text
    assert "Write what two people sign" in asked
    assert "strict</strong> stays stopped: ASL-3: resuming takes two people&#x27;s approval" in asked
    text = statement(signers, order)
    assert not signers.board.state().resumes
    assert json.loads(text)["lifts"][0]["order"] == order

    half = approve(signers, text, signed(text, "ana"))
    assert half.status_code == 409
    assert "Not resumed: 1 of 2 approvals (ana)" in half.text
    assert "Approved by ana (ssh). One more is lacking, of ben." in half.text
    assert unescape(half.text.partition('name="approval" value="')[2].partition('"')[0]) == text
    assert "BEGIN SSH SIGNATURE" in half.text
    assert not signers.board.state().resumes

    whole = approve(signers, text.replace("\n", "\r\n"), signed(text, "ana", "ben").replace("\n", "\r\n"))
    assert (whole.status_code, whole.headers["location"]) == (303, "/control")
    (resume,) = signers.board.state().resumes
    assert (resume.people, resume.order.who, resume.order.reason) == (("ana", "ben"), "Ana", "the finding is mended")
    page = signers.get().text
    assert "Nothing is stopped" in page
    assert "approved by ana (ssh), ben (ssh)" in page

    again = approve(signers, text, signed(text, "ana", "ben"))
    assert again.status_code == 409
    assert "already lifted; an approval is used once" in again.text
    assert len(signers.board.state().resumes) == 1


def test_what_one_person_may_lift_is_lifted_and_the_rest_is_given_to_be_signed(signers: Counter) -> None:
    signers.board.stop("all", "", "Ben", Source.ADMIN)
    answer = signers.post("/control/resume", form=signers.form(), target="all", reason="over")
    assert answer.status_code == 200
    assert "Lifted for the models below ASL-3. For the others two people approve it." in answer.text
    assert [each.report.model for each in overview_of(signers).models if each.held] == ["strict"]


def test_a_statement_that_another_stop_has_overtaken_says_so_and_lifts_only_what_it_names(signers: Counter) -> None:
    order = signers.board.stop("model:strict", "", "Ben", Source.ADMIN).order
    text = statement(signers, order)
    signers.clock.go(30)
    later = signers.board.stop("model:strict", "", "Ben", Source.ADMIN).order
    half = approve(signers, text, signed(text, "ben"))
    assert "This statement is not enough any more:" in half.text
    assert f"Model strict is also stopped by {later} (model:strict)" in half.text
    assert 'href="/control/resume?target=model%3Astrict"' in half.text
    whole = approve(signers, text, signed(text, "ana", "ben"))
    assert whole.status_code == 200
    assert "Lifted as approved, and still stopped" in whole.text
    assert f"Model strict stays stopped: also stopped by {later} (model:strict)" in whole.text
    assert [each.id for each in signers.board.state().still_held(3)] == [later]


@pytest.mark.parametrize(
    ("approval", "status", "words"),
    [
        ("", 400, "Approval: not JSON in ASCII."),
        ("{}", 400, "missing"),
        ("ü" * 40, 400, "Approval: not JSON in ASCII."),
        ("x" * 17_000, 400, "The statement is more than 16384 characters."),
    ],
)
def test_what_is_no_statement_resumes_nothing(approval: str, status: int, words: str, signers: Counter) -> None:
    signers.board.stop("model:strict", "", "Ben", Source.ADMIN)
    answer = approve(signers, approval, signed("x", "ana", "ben"))
    assert answer.status_code == status
    assert words in answer.text
    assert not signers.board.state().resumes


def test_a_statement_that_was_changed_is_another(signers: Counter) -> None:
    order = signers.board.stop("model:strict", "", "Ben", Source.ADMIN).order
    text = statement(signers, order)
    signatures = signed(text, "ana", "ben")
    answer = approve(signers, text.replace("mended", "forgot"), signatures)
    assert answer.status_code == 409
    assert "the signature of ana does not fit" in answer.text
    signers.clock.go(3_600)
    signers.sign_in()
    answer = approve(signers, text, signatures)
    assert "It has expired at 2027-01-15T09:00:00Z" in answer.text
    assert not signers.board.state().resumes


def test_an_approved_resume_counts_only_as_a_form_of_this_page(signers: Counter) -> None:
    order = signers.board.stop("model:strict", "", "Ben", Source.ADMIN).order
    text = statement(signers, order)
    fields = {"target": order, "approval": text, "signatures": signed(text, "ana", "ben")}
    form = signers.form()
    for headers, secret in (({"origin": "https://elsewhere.example"}, form), ({}, ""), ({}, "wrong")):
        assert signers.post("/control/resume/approved", headers, form=secret, **fields).status_code == 403
    assert signers.get("/control/resume/approved", params=fields).status_code == 405
    signers.cookies = {}
    signers.sign_in("vic")
    assert signers.post("/control/resume/approved", form=signers.form(), **fields).status_code == 403
    assert not signers.board.state().resumes


def test_nothing_that_is_signed_stands_in_an_address(signers: Counter) -> None:
    order = signers.board.stop("model:strict", "", "Ben", Source.ADMIN).order
    answer = signers.post("/control/resume", form=signers.form(), target=order, reason="a marker of this reason")
    for link in re.findall(r'(?:href|src|action)="([^"]*)"', answer.text):
        assert "marker" not in link
        assert "sha256" not in link
    assert "location" not in answer.headers


def test_a_fleet_says_who_has_not_heard_of_a_resume(signers: Counter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("guard.admin.site.ACKNOWLEDGED_SECONDS", 0.05)
    member = signers.behind.member = InFleet([HALF])
    order = signers.board.stop("model:demo", "", "Ben", Source.ADMIN).order
    assert signers.post("/control/resume", form=signers.form(), target=order, reason="over").status_code == 303
    assert member.waiting == [True, False]


def test_a_reason_of_mark_up_is_shown_as_text(counter: Counter) -> None:
    counter.sign_in()
    words = "<script>alert(1)</script> & \"quotes\" 'too'"
    counter.post("/control/stop", form=counter.form(), scope="model:demo", reason=words)
    page = counter.get().text
    assert "<script>alert" not in page
    assert page.count("&lt;script&gt;alert(1)&lt;/script&gt; &amp; &quot;quotes&quot; &#x27;too&#x27;") == 2


# Emergency tokens.


def test_an_emergency_token_stops_without_a_session_and_opens_none(counter: Counter) -> None:
    with_envelope(counter)
    assert "Stop with an emergency token" in counter.get().text
    answer = counter.post("/control/emergency", token=ENVELOPE, scope="model:demo", reason="Eve, at night")
    assert answer.status_code == 200
    assert "Stopped: model demo" in answer.text
    assert "set-cookie" not in answer.headers
    assert counter.stops() == [("model:demo", "Envelope 1 (emergency token, Ana)", "Eve, at night")]
    assert counter.behind.emergencies == ["Envelope 1 (emergency token, Ana)"]
    assert "Your token" in counter.get().text


def test_an_emergency_token_stops_over_the_api_and_does_nothing_else(counter: Counter) -> None:
    with_envelope(counter)
    bearer = {"authorization": f"Bearer {ENVELOPE}"}
    for method, path in (
        ("GET", "/v1/status"),
        ("POST", "/v1/resumes"),
        ("POST", "/v1/reloads"),
        ("GET", "/v1/orders/x"),
    ):
        assert counter.ask(method, path, headers=bearer, json={}).status_code == 401
    assert counter.behind.emergencies == []
    assert counter.ask("POST", "/v1/stops", headers=bearer, json={"scope": "all"}).status_code == 200
    assert counter.stops() == [("all", "Envelope 1 (emergency token, Ana)", "")]
    assert counter.behind.emergencies == ["Envelope 1 (emergency token, Ana)"]


def test_an_emergency_token_that_has_expired_or_is_none_stops_nothing(counter: Counter) -> None:
    with_envelope(counter, expires=date(2001, 1, 1))
    for token in (ENVELOPE, "et-guard-other-0123456789", "", TOKENS["ana"]):
        answer = counter.post("/control/emergency", token=token, scope="all", reason="")
        assert answer.status_code == 403
        assert "Nothing was stopped" in answer.text
    assert counter.stops() == []
    assert counter.behind.emergencies == []
    assert len(counter.behind.turned_away) == 4


def test_without_emergency_tokens_the_page_does_not_offer_them(counter: Counter) -> None:
    assert "emergency token" not in counter.get().text


# A trusted proxy.


def test_who_the_pinned_proxy_names_signs_in_with_one_press(counter: Counter) -> None:
    with_proxy(counter)
    named = {HEADER: "ana@example.com"}
    assert "Continue as ana@example.com" in counter.get(headers=named).text
    assert counter.post("/control/sign-in/proxy", named, onward="/control").status_code == 303
    assert "Ana by proxy" in counter.get(headers=named).text
    form = counter.get(headers=named).text.partition('name="form" value="')[2].partition('"')[0]
    counter.post("/control/stop", named, form=form, scope="all")
    assert counter.stops() == [("all", "Ana by proxy", "")]


@pytest.mark.parametrize("peer", [("10.0.0.8", 1), ("127.0.0.1", 1)])
def test_the_header_from_anybody_else_is_refused_and_recorded(peer: tuple[str, int], counter: Counter) -> None:
    with_proxy(counter)
    counter.peer = peer
    named = {HEADER: "ana@example.com"}
    for answer in (
        counter.get(headers=named),
        counter.post("/control/sign-in/proxy", named, onward="/control"),
        counter.post("/control/stop", named, scope="all"),
        counter.get("/control/events", headers=named),
    ):
        assert answer.status_code == 403
        assert "set-cookie" not in answer.headers
    words = f"{HEADER} from {peer[0]} (no certificate)"
    assert counter.behind.turned_away == [words] * 4
    assert counter.behind.noted == [("guard", "forged header", words, "")]
    counter.clock.go(61)
    counter.get(headers=named)
    assert len(counter.behind.noted) == 2
    assert counter.stops() == []


def test_the_header_stops_nobody_from_stopping_over_the_api(counter: Counter) -> None:
    with_proxy(counter)
    counter.peer = ("10.0.0.8", 1)
    headers = {HEADER: "x", "authorization": f"Bearer {TOKENS['ana']}"}
    assert counter.ask("POST", "/v1/stops", headers=headers, json={"scope": "all"}).status_code == 200


@pytest.mark.parametrize("name", ["eve@example.com", "old@example.com", ""])
def test_a_name_that_is_not_listed_or_has_expired_lets_nobody_in(name: str, counter: Counter) -> None:
    with_proxy(counter)
    answer = counter.post("/control/sign-in/proxy", {HEADER: name}, onward="/control")
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers


def test_a_session_by_proxy_ends_when_the_proxy_names_nobody_or_another(counter: Counter) -> None:
    with_proxy(counter)
    named = {HEADER: "ana@example.com"}
    for other in ({}, {HEADER: "old@example.com"}):
        counter.post("/control/sign-in/proxy", named, onward="/control")
        assert "Sign out" in counter.get(headers=named).text
        assert "Sign out" not in counter.get(headers=other).text
        assert "Sign out" not in counter.get(headers=named).text


def test_without_a_proxy_in_the_settings_the_header_means_nothing(counter: Counter) -> None:
    page = counter.get(headers={HEADER: "ana@example.com"}).text
    assert "Your token" in page
    assert "Continue as" not in page


def test_what_is_shown_is_dated(counter: Counter) -> None:
    counter.sign_in()
    assert '<time id="clock">08:00:00 UTC</time>' in counter.get().text
