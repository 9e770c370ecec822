"""No policy that `guard check` passes serves a model without each item of its floor in force.

Random policies, tiers and evidence are compiled and asked; what a row claims is looked for in what the compiled guard
does, never in what the policy says. A policy that does not pass is never forwarded. One file: the policies, and beside
each check what must be seen of it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from hypothesis import event, given, settings
from hypothesis import strategies as st

from guard.policy.config import Config
from guard.policy.fingerprint import of_classifiers
from guard.policy.floor import binding_rows, unmet
from guard.policy.load import builtin_standards, load
from guard.policy.model import CheckName, OnExpiry, Row, SafeguardKind, Standard, Target, ThresholdState
from guard.policy.source import ConfigError
from guard.policy.standard import AttestedRow, MountedRow, ScreenMode, ScreensRow
from safeguards.classifier import Classification
from safeguards.decision import Failure, Unavailable
from safeguards.decision import Target as Side
from safeguards.mode import Mode as Rung
from tests.guard.state.parts import merged, stop
from tests.parts.compiled import SAID, Compiled
from tests.parts.configuration import MARKER, write_configuration

NOW: Final = datetime(2026, 11, 23, 12, tzinfo=UTC)
STANDARDS: Final = (("example-internal", "1"), ("published", "1"))
MOUNTS: Final = ("request_log", "kill_switch", "evidence", "access", "limits", "patterns")
Document = dict[str, Any]
BANDS: Final[Document] = {
    "bands": [{"value": "block_rate", "window_seconds": 300, "max": 0.1, "at_least": 100, "then": "step_down"}],
    "reviewed": "2026-11-01",
    "review_every_days": 30,
}


# What must be seen of a model that is served, for each check


@dataclass(slots=True)
class Seen:
    """One served model, compiled for one look and asked as often as it takes."""

    compiled: Compiled

    def is_not_forwarded(self, content: str = "hello", **asked: Any) -> None:
        """The model must not be asked, and the caller must get an error."""
        got = self.compiled.ask(content, **asked)
        assert not got.forwarded
        assert got.code

    def the_log_is_needed(self) -> None:
        """Nothing is forwarded that cannot be recorded; what is forwarded was recorded before and is afterwards."""
        compiled = self.compiled
        compiled.log.fails = True
        self.is_not_forwarded()
        compiled.log.fails = False
        self.is_recorded()

    def is_recorded(self) -> None:
        """The intent comes before the model, the outcome always."""
        timeline, outcomes = self._timeline(), len(self.compiled.log.outcomes)
        got = self.compiled.ask()
        if got.forwarded:
            assert timeline().index("intent") < timeline().index("sent")
        assert "intent" in timeline()
        assert len(self.compiled.log.outcomes) == outcomes + 1

    def is_durable(self) -> None:
        """The intent is on disk before the model is asked, and each text is written before it leaves."""
        for stream in (False, True):
            timeline = self._timeline()
            if self.compiled.ask(stream=stream).forwarded:
                assert timeline().index("on disk") < timeline().index("sent")
                assert timeline().index("part") < timeline().index("left")

    def can_be_stopped(self) -> None:
        """A stop refuses, and so does a switch that cannot be read; what runs is cut."""
        compiled = self.compiled
        for state in ("stopped", "fails"):
            compiled.model.between = lambda: None
            setattr(compiled.switch, state, True)
            self.is_not_forwarded()
            setattr(compiled.switch, state, False)

            def act(state: str = state) -> None:
                setattr(compiled.switch, state, True)

            compiled.model.texts, compiled.model.between = ("first ", "SECOND"), act
            assert b"SECOND" not in compiled.ask(stream=True).body
            setattr(compiled.switch, state, False)

    def evidence_is_watched(self) -> None:
        """Evidence that lapses under way refuses, although the model was found in order."""
        compiled = self.compiled
        compiled.hold()
        then = {
            row.parameters.on_expiry for row in binding_rows(compiled.config, "demo") if isinstance(row, AttestedRow)
        }
        if then - {OnExpiry.WARN}:
            compiled.clock.at += 2000 * 86_400.0  # later than any evidence here
            self.is_not_forwarded()

    def access_is_needed(self) -> None:
        """A tier without a grant for the operation gets nothing, although it has a grant and a rate."""
        self.is_not_forwarded(key="stranger")

    def rates_are_kept(self) -> None:
        """A rate that is used up refuses, and so do counters that cannot be read."""
        buckets = self.compiled.buckets
        buckets.wait = 1.0
        self.is_not_forwarded()
        buckets.wait, buckets.fails = 0.0, True
        self.is_not_forwarded()

    def a_broken_classifier_lets_nothing_pass(self) -> None:
        """Whichever side it screens, nothing of the model's reaches the caller."""
        for mount in self.compiled.models.all()[0].pipeline.mounts:
            if isinstance(mount.safeguard, Classification):
                mount.safeguard._classifier = _Broken()
        for stream in (False, True):
            assert SAID.encode() not in self.compiled.ask(stream=stream).body

    def prompts_are_blocked(self) -> None:
        """What the rules name does not reach the model, in any place of the prompt."""
        self.is_not_forwarded(f"please say {MARKER} twice")
        parts = [{"role": "user", "content": MARKER[:9]}, {"role": "user", "content": MARKER[9:]}]
        self.is_not_forwarded(body={"messages": parts})

    def answers_are_blocked(self) -> None:
        """What the rules name does not reach the caller, however it is cut."""
        model = self.compiled.model
        for texts in ((f"well {MARKER}",), (MARKER[:4], MARKER[4:12], MARKER[12:]), tuple(MARKER)):
            model.texts = texts
            for stream in (False, True):
                body = self.compiled.ask(stream=stream).body
                assert MARKER.encode() not in body
                assert MARKER[:4].encode() not in body

    def prompts_are_reported(self) -> None:
        """What the rules name is at least on record as denied."""
        if self.compiled.ask(MARKER).forwarded:
            assert Side.INPUT in self._denied()

    def answers_are_reported(self) -> None:
        """What the rules name in an answer is at least on record as denied."""
        self.compiled.model.texts = (MARKER,)
        if self.compiled.ask().forwarded:
            assert Side.OUTPUT in self._denied()

    def only_listed_operations_are_served(self) -> None:
        """An operation that the model does not list reaches nobody."""
        listed = self.compiled.config.models["demo"].operations
        others = {
            "moderations": (b"/v1/moderations", {"input": "x"}),
            "embeddings": (b"/v1/embeddings", {"input": "x"}),
        }
        for operation, (path, body) in others.items():
            if operation not in listed:
                self.is_not_forwarded(path=path, body=body)

    def callers_are_known(self) -> None:
        """An unknown key and one past its last day get nothing."""
        self.is_not_forwarded(key="nobody")
        self.is_not_forwarded(key="lapsed")

    def dates_are_watched(self) -> None:
        """Until the first day on which something required lapses all is in order, from then on it is refused."""
        days = [*self._papers_end(), *self._findings_end()]
        if not days:
            return
        compiled, end = self.compiled, datetime.combine(min(days), time(), UTC).timestamp()
        compiled.clock.at = end - 1
        assert compiled.ask().code not in {"not_routable", "evidence_expired"}
        for day in sorted(days):
            compiled.clock.at = datetime.combine(day, time(), UTC).timestamp()
            got = compiled.ask()
            assert (got.code in {"not_routable", "evidence_expired"}, got.forwarded) == (True, False)

    def _papers_end(self) -> Iterator[date]:
        """When each attestation lapses whose lapse refuses at least newcomers; the key here is one."""
        config = self.compiled.config
        held = {each.claim: each for each in config.evidence["demo"]}
        for row in binding_rows(config, "demo"):
            if isinstance(row, AttestedRow) and row.parameters.on_expiry is not OnExpiry.WARN:
                wanted = row.parameters
                paper, age = held[wanted.claim], timedelta(days=wanted.max_age_days or 10_000)
                yield min(paper.expires, paper.issued + age) + timedelta(days=wanted.grace_days)

    def _findings_end(self) -> Iterator[date]:
        """When each finding lapses without which the model would need a higher level; it must rule that out now."""
        config = self.compiled.config
        policy = config.models["demo"]
        found = {each.threshold: each for each in policy.thresholds}
        for threshold in config.standard("demo").thresholds:
            wanted = threshold.demands
            if (wanted.deployment or 0) > policy.asl.deployment or (wanted.security or 0) > policy.asl.security:
                finding = found[threshold.name]
                assert finding.state is ThresholdState.RULED_OUT
                assert finding.assessed <= NOW.date() < finding.expires
                yield min(finding.expires, finding.assessed + timedelta(days=threshold.max_age_days or 10_000))

    def answers_are_of_the_expected_model(self) -> None:
        """An answer of another model reaches nobody."""
        self.compiled.model.name = "another"
        for stream in (False, True):
            assert SAID.encode() not in self.compiled.ask(stream=stream).body

    def its_level_goes_with_the_request(self) -> None:
        """What the safeguards decide on carries the higher of the declared levels."""
        compiled = self.compiled
        compiled.ask()
        asl = compiled.config.models["demo"].asl
        assert compiled.notes.began_with[-1].exchange.asl == max(asl.deployment, asl.security)

    def newcomers_can_be_turned_away(self) -> None:
        """On that rung a key that was there before is treated as ever, and one that was issued since gets nothing."""
        before = self.compiled.ask()
        for day, turned_away in ((NOW, False), (datetime(2024, 1, 1, tzinfo=UTC), True)):
            order = replace(stop("model:demo"), mode=Rung.NO_NEW_PRINCIPALS, created=day.timestamp())
            got = Compiled(self.compiled.config, NOW.timestamp(), ladder=merged([order])).ask()
            wanted = ("no_new_principals", False) if turned_away else (before.code, before.forwarded)
            assert (got.code, got.forwarded) == wanted

    def is_never_served(self) -> None:
        """A level without contents cannot be met."""
        raise AssertionError("a model is served at a level that nobody has defined")

    def _timeline(self) -> Callable[[], list[str]]:
        whole = self.compiled.timeline
        begin = len(whole)
        return lambda: whole[begin:]

    def _denied(self) -> set[Side]:
        return {decision.target for decision in self.compiled.log.outcomes[-1].decisions if decision.denied}


class _Broken:
    version = "broken"

    def judge(self, texts: list[str]) -> Any:
        raise Unavailable(Failure.UNREACHABLE, "gone")

    def session(self) -> Any:
        raise Unavailable(Failure.UNREACHABLE, "gone")


Look = Callable[[Seen], None]
MOUNTED: Final[Mapping[SafeguardKind, Look]] = {
    SafeguardKind.REQUEST_LOG: Seen.the_log_is_needed,
    SafeguardKind.KILL_SWITCH: Seen.can_be_stopped,
    SafeguardKind.EVIDENCE: Seen.evidence_is_watched,
    SafeguardKind.ACCESS: Seen.access_is_needed,
    SafeguardKind.LIMITS: Seen.rates_are_kept,
    SafeguardKind.CLASSIFIER: Seen.a_broken_classifier_lets_nothing_pass,
}
SCREENED: Final[Mapping[tuple[Target, ScreenMode], tuple[Look, ...]]] = {
    (Target.INPUT, ScreenMode.ENFORCE): (Seen.prompts_are_blocked, Seen.a_broken_classifier_lets_nothing_pass),
    (Target.OUTPUT, ScreenMode.ENFORCE): (Seen.answers_are_blocked, Seen.a_broken_classifier_lets_nothing_pass),
    (Target.INPUT, ScreenMode.ANY): (Seen.prompts_are_reported,),
    (Target.OUTPUT, ScreenMode.ANY): (Seen.answers_are_reported,),
}
# A check without parameters -> what must be seen; those with parameters are in the tables above.
PLAIN: Final[Mapping[CheckName, tuple[Look, ...]]] = {
    CheckName.ATTESTED: (Seen.dates_are_watched,),
    CheckName.MOUNTED: (),
    CheckName.MOUNTED_ANY_MODE: (),
    CheckName.SCREENS: (),
    CheckName.DURABLE_INTENT: (Seen.is_durable, Seen.the_log_is_needed),
    CheckName.LIMITS_PER_KEY: (Seen.rates_are_kept,),
    CheckName.LISTED_OPERATIONS: (Seen.only_listed_operations_are_served,),
    CheckName.AUTHENTICATED: (Seen.callers_are_known,),
    CheckName.DECLARED_LEVELS: (Seen.its_level_goes_with_the_request,),
    CheckName.LEVEL_DEFINED: (Seen.is_never_served,),
    CheckName.THRESHOLD: (Seen.dates_are_watched,),
    CheckName.THRESHOLDS_WITHIN_LEVELS: (Seen.dates_are_watched,),
    CheckName.NEWCOMERS_REFUSABLE: (Seen.newcomers_can_be_turned_away,),
    CheckName.REPORTED_MODEL: (Seen.answers_are_of_the_expected_model,),
}
# Of these nothing is to be seen but that a model which fails them is not served; `built_in` is test_invariants' matter.
UNSEEN: Final = frozenset(
    {
        CheckName.BUILT_IN,
        CheckName.BOTH_AXES_RAISED,
        CheckName.CONTROLS_AS_REPORTED,
        CheckName.COPIES,
        CheckName.PARTS_ON_TWO_DEVICES,
        CheckName.DIALS,
        CheckName.DRILLS,
        CheckName.REPORTING_CLOCK,
        CheckName.RESPONDERS_NAMED,
        CheckName.CUSTOM_PROFILE,
        CheckName.RETENTION,
        CheckName.SIGNED_BUNDLE,
        CheckName.SAME_WEIGHTS_DECLARED,
        CheckName.OVERDUE_STOPS,
        CheckName.REPLACEMENT_DECLARED,
        CheckName.MONITORED,
        CheckName.VARIANT_EVALUATED,
    }
)


def looks(row: Row) -> Iterator[Look]:
    """What must be seen of a row that is met."""
    if isinstance(row, MountedRow):
        kind = row.parameters.safeguard
        if row.check is CheckName.MOUNTED:
            yield MOUNTED[kind]
        elif kind is SafeguardKind.REQUEST_LOG:
            yield Seen.is_recorded
    elif isinstance(row, ScreensRow):
        yield from SCREENED[row.parameters.target, row.parameters.mode]
    elif row.check is not None and row.check not in UNSEEN:
        yield from PLAIN[row.check]


def test_something_must_be_seen_of_every_check_and_of_every_safeguard() -> None:
    assert set(PLAIN) | UNSEEN == set(CheckName)
    assert not set(PLAIN) & UNSEEN
    assert set(MOUNTED) == set(SafeguardKind)
    assert set(SCREENED) == {(target, mode) for target in Target for mode in ScreenMode}


# The policies


@dataclass(frozen=True, slots=True)
class Place:
    """A configuration directory that is written anew for each policy, and the standards that there are."""

    directory: Path
    builtin: Path
    model: str
    tested: str
    standards: Mapping[tuple[str, str], Standard]

    def asked(self, standard: tuple[str, str]) -> Mapping[str, tuple[str, ...]]:
        """Every claim that a row of the standard asks for, and the roles that must have approved it."""
        asked: dict[str, tuple[str, ...]] = {}
        for row in self.standards[standard].rows:
            if isinstance(row, AttestedRow):
                claim = row.parameters.claim
                asked[claim] = (*asked.get(claim, ()), *row.parameters.approved_by)
        return {claim: tuple(dict.fromkeys(roles)) for claim, roles in asked.items()}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    directory, builtin = tmp_path_factory.mktemp("floor"), tmp_path_factory.mktemp("standards")
    write_configuration(directory, now=NOW)
    tiers = json.loads((directory / "tiers.yaml").read_text())
    for key in tiers["keys"]:
        key["expires"] = "2026-01-01" if key["id"] == "lapsed" else "2999-12-31"  # evidence is to lapse before
        key["issued"] = "2025-01-01"
    (directory / "tiers.yaml").write_text(json.dumps(tiers))
    guard = json.loads((directory / "guard.yaml").read_text())
    (directory / "guard.yaml").write_text(json.dumps({**guard, "signed_bundle": True}))
    example = (builtin_standards() / "example-internal.yaml").read_text()
    (builtin / "example-internal.yaml").write_text(example)
    rsp = yaml.safe_load((builtin_standards() / "anthropic-rsp-2.2.yaml").read_text())
    # A replacement is another model: tests/journeys/test_enforced.py has two.
    rows = [row for row in rsp["rows"] if row["check"] not in {None, CheckName.REPLACEMENT_DECLARED}]
    assert len(rows) > 100
    (builtin / "published.yaml").write_text(json.dumps({**rsp, "name": "published", "version": "1", "rows": rows}))
    config = load(directory, builtin)
    tested = of_classifiers(config, config.models["demo"])
    return Place(directory, builtin, (directory / "models" / "demo.yaml").read_text(), tested, config.standards)


def days(issued: int, lasts: int) -> tuple[date, date]:
    """The first day and the first day after, by days from today."""
    begin = NOW.date() + timedelta(days=issued)
    return begin, begin + timedelta(days=lasts)


def paper(claim: str, roles: tuple[str, ...], tested: str) -> Document:
    """An attestation of the last thirty days."""
    begin, end = days(-30, 120)
    return {
        "claim": claim,
        "uri": f"https://models.example/{claim}",
        "sha256": "0" * 64,
        "owner": "a team",
        "issued": str(begin),
        "expires": str(end),
        "tested": tested,
        "approvals": [{"role": role, "person": f"the {role}", "on": "2000-01-01"} for role in roles],
    }


def finding(threshold: str) -> Document:
    """An assessment that rules a threshold out."""
    begin, end = days(-20, 100)
    return {"threshold": threshold, "state": "ruled_out", "assessed": str(begin), "expires": str(end)}


def strict(place: Place, standard: tuple[str, str], deployment: int, security: int) -> Document:
    """A model's file that meets everything that can be met."""
    document: Document = json.loads(place.model)
    patterns = {"engine": "patterns", "screens": ["input", "output"], "rules": "rules/test.yaml"}
    common = {"mode": "enforce", "on_failure": "block", "deadline_seconds": 5}
    mounts: dict[str, Document] = {name: {"use": name, **common} for name in MOUNTS}
    mounts["request_log"]["settings"] = {"durable": "before_forward", "parts": True, "content": True}
    mounts["patterns"] |= {"use": "classifier", "name": "patterns", "settings": patterns}
    named = any(row.check is CheckName.REPORTED_MODEL for row in place.standards[standard].rows)
    return {
        **document,
        "framework": {"name": standard[0], "version": standard[1]},
        "asl": {"deployment": deployment, "security": security},
        "operations": ["chat"] if named else ["chat", "completions"],  # only answers to chat can be held to a name
        "safeguards": list(mounts.values()),
        "upstream": {**document["upstream"], "expect_model": "up" if named else None},
        "response": {"max_hours": 48},
        "ladder": {"no_new_principals": True},
        "monitoring": BANDS,
        "thresholds": [finding(each.name) for each in place.standards[standard].thresholds],
        "evidence": [paper(claim, roles, place.tested) for claim, roles in place.asked(standard).items()],
    }


def compiled(place: Place, document: Document, grants: Document) -> Config:
    """Write it, load it; raises ConfigError."""
    (place.directory / "models" / "demo.yaml").write_text(json.dumps(document))
    path = place.directory / "tiers.yaml"
    tiers = json.loads(path.read_text())
    tiers["tiers"]["general"]["models"] = grants
    # Where it can be, the stranger's tier has a grant and a rate, but for another operation.
    tiers["tiers"]["nothing"]["models"] = {"demo": ["completions"]} if "completions" in document["operations"] else {}
    path.write_text(json.dumps(tiers))
    return load(place.directory, place.builtin)


# A change to a strict policy: most weaken it.
SINGLE: Final[tuple[tuple[str, Any], ...]] = (
    *((what, name) for what in ("mode", "on_failure", "drop") for name in MOUNTS),
    *(("log", change) for change in (("durable", "within_a_second"), ("parts", False), ("content", False))),
    *(("screens", [side]) for side in ("input", "output")),
    *(("second", change) for change in (("enforce", "block"), ("shadow", "block"), ("enforce", "pass"))),
    ("order", (5, 4, 3, 2)),
    ("paper", (0, -30, 20)),
    ("paper", (1, -700, 900)),
    ("paper", (2, 5, 90)),
    ("no paper", 0),
    ("no paper", 1),
    ("operations", ["chat", "completions", "embeddings"]),
    ("operations", ["completions", "chat", "moderations"]),
    ("finding", (0, {"state": "crossed"})),
    ("finding", (0, {"state": "cannot_rule_out"})),
    ("finding", (1, {"assessed": "2026-01-01", "expires": "2026-11-23"})),
    ("finding", (1, {"assessed": "2026-11-24", "expires": "2027-11-23"})),
    ("no finding", 2),
    ("expect_model", None),
    ("variant_of", "the-base-model"),
    ("grants", {}),
    ("allow_keys", ["signature"]),
    ("ladder", {}),
    ("response", None),
    ("response", {"max_hours": 48, "on_overdue": "alarm"}),
    ("monitoring", None),
    ("monitoring", {**BANDS, "reviewed": "2026-10-01"}),
    ("monitoring", {**BANDS, "bands": [{**BANDS["bands"][0], "value": "error_rate"}]}),
)
CHANGES: Final = st.one_of(
    st.sampled_from(SINGLE),
    st.tuples(st.just("order"), st.permutations(range(2, 6))),
    st.tuples(st.just("paper"), st.tuples(st.integers(0, 200), st.integers(-700, 5), st.integers(1, 900))),
    st.tuples(st.just("no paper"), st.integers(0, 200)),
)


def weaken(document: Document, grants: Document, changes: list[tuple[str, Any]]) -> None:
    """Apply the changes that still have something to apply to."""
    mounts = document["safeguards"]
    for what, value in changes:
        named = {mount.get("name", mount["use"]): mount for mount in mounts}
        if what == "order" and len(mounts) == len(MOUNTS):
            mounts[2:] = [mounts[index] for index in value]
        elif what in {"mode", "on_failure"} and value in named:
            named[value][what] = {"mode": "shadow", "on_failure": "pass"}[what]
        elif what == "drop" and value in named and len(mounts) > 1:
            mounts.remove(named[value])
        elif what == "log" and "request_log" in named:
            key, worth = value
            named["request_log"]["settings"] = {**named["request_log"]["settings"], key: worth}
        elif what == "screens" and "patterns" in named:
            named["patterns"]["settings"] = {**named["patterns"]["settings"], "screens": value}
        elif what == "second" and "patterns" in named and "second" not in named:
            mode, on_failure = value
            mounts.append({**named["patterns"], "name": "second", "mode": mode, "on_failure": on_failure})
        elif what == "paper" and document["evidence"]:
            index, *shift = value
            begin, end = days(*shift)
            document["evidence"][index % len(document["evidence"])] |= {"issued": str(begin), "expires": str(end)}
        elif what == "no paper" and document["evidence"]:
            del document["evidence"][value % len(document["evidence"])]
        elif what == "finding" and document["thresholds"]:
            index, change = value
            document["thresholds"][index % len(document["thresholds"])] |= change
        elif what == "no finding" and document["thresholds"]:
            del document["thresholds"][value % len(document["thresholds"])]
        elif what == "expect_model":
            document["upstream"] = {**document["upstream"], "expect_model": value}
        elif what in {"operations", "allow_keys", "variant_of", "monitoring", "ladder", "response"}:
            document[what] = value
        elif what == "grants":
            grants.clear()
            grants.update(value)


def judge(place: Place, standard: tuple[str, str], levels: tuple[int, int], *changes: tuple[str, Any]) -> str:
    """Hold one policy to its floor; returns what became of it."""
    document, grants = strict(place, standard, *levels), {"demo": ["chat"]}
    weaken(document, grants, list(changes))
    try:
        config = compiled(place, document, grants)
        served = Compiled(config, NOW.timestamp())
    except ConfigError:
        return "refused"
    if unmet(config, "demo", NOW):
        got = served.ask()
        assert (got.code, got.forwarded, served.log.intents) == ("not_routable", False, [])
        return "not routable"
    for look in {look: None for row in binding_rows(config, "demo") for look in looks(row)}:
        look(Seen(Compiled(config, NOW.timestamp())))
    return "served"


@settings(max_examples=150, deadline=None)
@given(
    standard=st.sampled_from(STANDARDS),
    levels=st.tuples(st.sampled_from([3, 2, 1, 4]), st.sampled_from([3, 2, 1, 4])),
    changes=st.lists(CHANGES, max_size=4),
)
def test_a_policy_that_passes_the_check_serves_with_every_item_of_its_floor_in_force(
    place: Place, standard: tuple[str, str], levels: tuple[int, int], changes: list[tuple[str, Any]]
) -> None:
    event(judge(place, standard, levels, *changes))


@pytest.mark.parametrize("standard", STANDARDS, ids=lambda each: each[0])
@pytest.mark.parametrize("level", [1, 2, 3])
def test_no_single_change_gets_around_the_floor(place: Place, standard: tuple[str, str], level: int) -> None:
    found = {judge(place, standard, (level, level), change) for change in SINGLE}
    assert found == {"served", "refused", "not routable"}


@pytest.mark.parametrize("standard", STANDARDS, ids=lambda each: each[0])
@pytest.mark.parametrize("level", [1, 2, 3])
def test_the_strict_policy_is_served_so_that_the_above_is_about_something(
    place: Place, standard: tuple[str, str], level: int
) -> None:
    assert judge(place, standard, (level, level)) == "served"
    config = compiled(place, strict(place, standard, level, level), {"demo": ["chat"]})
    served = Compiled(config, NOW.timestamp())
    got = served.ask()
    assert (got.status, got.forwarded) == (200, True)
    assert SAID.encode() in got.body
    found = {look for row in binding_rows(config, "demo") for look in looks(row)}
    assert len(found) > 3


def test_level_four_is_served_by_no_policy(place: Place) -> None:
    for standard in STANDARDS:
        for levels in ((4, 1), (1, 4), (4, 4)):
            config = compiled(place, strict(place, standard, *levels), {"demo": ["chat"]})
            assert Compiled(config, NOW.timestamp()).ask().code == "not_routable"
