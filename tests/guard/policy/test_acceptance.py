"""What may come into force in place of what: weaker for an ASL-3 model takes two people, by whatever file and step.

It is one file, because all of it asks `accept` about the same two models.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from guard.policy.acceptance import (
    MAX_NAMED,
    Accepted,
    Asked,
    NotAcceptedError,
    Wanted,
    accept,
    under_care,
)
from guard.policy.config import Config
from guard.policy.diff_rules import Effect
from guard.policy.load import load
from guard.policy.lowering import levels_in
from tests.parts.approvals import NobodyApproves
from tests.parts.configuration import ModelSpec, write_configuration
from tests.parts.ladders import write_ladder

BIG, SMALL = "http://127.0.0.1:1", "http://127.0.0.1:2"
Edit = Callable[[Path], None]


@dataclass
class TwoPeople:
    """Approve everything, and remember what they were asked."""

    asked: list[tuple[str, str, float]] = field(default_factory=list)

    def approve(self, wanted: Wanted) -> tuple[str, ...]:
        """Yes."""
        before = wanted.asked.before
        self.asked.append((before.digest if before else "", wanted.asked.after.digest, wanted.asked.at))
        return ("Ada", "Ben")

    def use(self, wanted: Wanted) -> None:
        """Nothing is used up."""

    def bundle(self, wanted: Wanted) -> tuple[str, ...]:
        """Yes."""
        return ("Ada", "Cy")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    models = [ModelSpec("big", asl=3, upstream=BIG, surfaces=("public",)), ModelSpec("small", upstream=SMALL)]
    write_configuration(tmp_path, models=models, surfaces={"partner": 0})
    return tmp_path


def edit(directory: Path, name: str, change: Callable[[Any], Any]) -> None:
    path = directory / name
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content, indent=1))


def change_of(name: str, change: Callable[[Any], Any]) -> Edit:
    return lambda directory: edit(directory, name, change)


def append(path: Path, text: str) -> None:
    path.write_text(path.read_text() + text)


def mount(model: Any, name: str) -> Any:
    return next(each for each in model["safeguards"] if each.get("name", each["use"]) == name)


def asked(before: Config, after: Config, *, remembered: frozenset[str] = frozenset(), running: bool = False) -> Asked:
    return Asked(before, after, remembered, 7.0, running)


def judged(directory: Path, change: Edit) -> Accepted:
    before = load(directory)
    change(directory)
    return accept(asked(before, load(directory)), NobodyApproves())


WEAKER: dict[str, Edit] = {
    "a safeguard in shadow": change_of("models/big.yaml", lambda model: mount(model, "patterns").update(mode="shadow")),
    "a lower level": change_of("models/big.yaml", lambda model: model["asl"].update(security=2, deployment=2)),
    "one axis lower": change_of("models/big.yaml", lambda model: model["asl"].update(security=2)),
    "another server": change_of("models/big.yaml", lambda model: model["upstream"].update(url="http://127.0.0.1:3")),
    "a rule less": change_of("rules/test.yaml", lambda rules: rules["rules"][0].update(phrase="other")),
    "a higher rate": change_of("tiers.yaml", lambda tiers: tiers["tiers"]["slow"]["rate"].update(burst=9)),
    "a grant more": change_of(
        "tiers.yaml", lambda tiers: tiers["tiers"]["nothing"]["models"].update({"big": ["chat"], "small": ["chat"]})
    ),
    "a key moved to its tier": change_of("tiers.yaml", lambda tiers: tiers["keys"][1].update(tier="general")),
    "a key that holds longer": change_of("tiers.yaml", lambda tiers: tiers["keys"][0].update(expires="2999-01-01")),
    "a wider bound": change_of("guard.yaml", lambda guard: guard["limits"].update(body_bytes=5_000_000)),
    "another administrator": change_of(
        "guard.yaml", lambda guard: guard["admin"]["tokens"][1].update(person="somebody else")
    ),
    "its surface elsewhere": change_of("guard.yaml", lambda guard: guard["surfaces"][0].update(host="127.0.0.9")),
    "the small model on the big one's server": change_of(
        "models/small.yaml", lambda model: model["upstream"].update(url=BIG)
    ),
    "a new name for the big one's server": lambda directory: write_small(directory, "other", BIG),
}
NOT_OF_IT: dict[str, Edit] = {
    "the small model in shadow": change_of(
        "models/small.yaml", lambda model: mount(model, "patterns").update(mode="shadow")
    ),
    "a grant of the small model alone": change_of(
        "tiers.yaml", lambda tiers: tiers["tiers"]["nothing"]["models"].update(small=["chat"])
    ),
    "a key of a tier without it": change_of("tiers.yaml", lambda tiers: tiers["keys"][1].update(expires="2999-01-01")),
    "a surface without it": change_of("guard.yaml", lambda guard: guard["surfaces"][1].update(host="127.0.0.9")),
    "another small model": lambda directory: write_small(directory, "other", "http://127.0.0.1:4"),
}
NEVER_WEAKER: dict[str, Edit] = {
    "a comment": lambda directory: append(directory / "tiers.yaml", "# words\n"),
    "a rule more": change_of(
        "rules/test.yaml", lambda rules: rules["rules"].append({"id": "new", "category": "other", "phrase": "new"})
    ),
    "renewed evidence": change_of(
        "models/big.yaml",
        lambda model: [each.update(issued="2998-01-01", expires="2999-01-01") for each in model["evidence"]],
    ),
    "a key less": change_of("tiers.yaml", lambda tiers: tiers["keys"].pop(0)),
    "a higher level": change_of("models/big.yaml", lambda model: model["asl"].update(security=4)),
}


def write_small(directory: Path, name: str, url: str) -> None:
    content = json.loads((directory / "models" / "small.yaml").read_text())
    content["model"], content["upstream"]["url"] = name, url
    (directory / "models" / f"{name}.yaml").write_text(json.dumps(content))


@pytest.mark.parametrize("change", WEAKER.values(), ids=WEAKER)
def test_what_is_weaker_for_a_model_at_asl_3_takes_two_people(directory: Path, change: Edit) -> None:
    before = load(directory)
    change(directory)
    after = load(directory)
    with pytest.raises(NotAcceptedError, match="two people") as refusal:
        accept(asked(before, after), NobodyApproves())
    assert ": is weaker (" in refusal.value.reasons[0]
    people = TwoPeople()
    accepted = accept(asked(before, after), people)
    assert (accepted.approved_by, accepted.effect) == (("Ada", "Ben"), Effect.WEAKER)
    assert people.asked == [(before.digest, after.digest, 7.0)]


RUNGS: dict[str, dict[str, Any]] = {
    "stricter": {"stricter": {"enforce": ["tried"]}},
    "fallback": {"fallback": {"model": "small"}},
    "a replacement that answers": {"de_deployed": {"replacement": "small", "route": True}},
    "no_new_principals": {"no_new_principals": True},
}


@pytest.mark.parametrize("ladder", RUNGS.values(), ids=RUNGS)
def test_a_rung_that_makes_a_stop_milder_takes_two_people_to_add_and_to_remove(
    directory: Path, ladder: dict[str, Any]
) -> None:
    without = load(directory)
    write_ladder(directory, "big", ladder)  # with the mount in shadow that it names
    declared = load(directory)
    for before, after in ((without, declared), (declared, without)):
        with pytest.raises(NotAcceptedError, match=r"model big: ladder\.\w+: is weaker"):
            accept(asked(before, after), NobodyApproves())
        assert accept(asked(before, after), TwoPeople()).approved_by == ("Ada", "Ben")


@pytest.mark.parametrize(
    "change",
    [
        lambda model: mount(model, "patterns").update(mode="shadow"),
        lambda model: model["upstream"].update(url="http://127.0.0.1:3"),
    ],
)
def test_what_answers_in_place_of_an_asl_3_model_is_weakened_by_two_people(
    directory: Path, change: Callable[[Any], Any]
) -> None:
    """However many models lie between; a model that callers are only told of answers nobody."""
    write_small(directory, "middle", "http://127.0.0.1:4")
    write_ladder(directory, "middle", {"de_deployed": {"replacement": "small", "route": True}})
    write_ladder(directory, "big", {"fallback": {"model": "middle"}})
    before = load(directory)
    edit(directory, "models/small.yaml", change)
    with pytest.raises(NotAcceptedError, match=r"model small: .*is weaker"):
        accept(asked(before, load(directory)), NobodyApproves())
    edit(
        directory,
        "models/middle.yaml",
        lambda model: model.update(ladder={"de_deployed": {"replacement": "small", "route": False}}),
    )
    told = load(directory)
    edit(directory, "models/small.yaml", lambda model: model["upstream"].update(url="http://127.0.0.1:5"))
    assert accept(asked(told, load(directory)), NobodyApproves()).effect is Effect.WEAKER


def test_a_file_that_is_stricter_about_what_no_stream_is_judged_by_ends_no_stream(directory: Path) -> None:
    write_ladder(
        directory,
        "small",
        {"de_deployed": {"replacement": "tiny", "route": True}, "stricter": {"enforce": ["tried"]}},
    )
    write_small(directory, "tiny", "http://127.0.0.1:4")
    edit(directory, "models/tiny.yaml", lambda model: model.pop("ladder"))
    band = {"value": "block_rate", "window_seconds": 60, "max": 0.1, "at_least": 10, "then": "alarm"}

    def several(model: Any) -> None:
        model["response"] = {"max_hours": 48, "trip_from_severity": 3}
        model["monitoring"] = {"bands": [band], "reviewed": "2026-06-01", "review_every_days": 30}
        model["also"] = [{"name": "eu-ai-act", "version": "2024/1689"}]
        model["ladder"]["de_deployed"]["route"] = False

    found = judged(directory, change_of("models/small.yaml", several))
    changed = {each.key.partition(".")[0] for each in found.changes if each.effect is Effect.STRONGER}
    assert changed == {"response", "monitoring", "framework", "also", "ladder"}
    assert found.stricter == ()


def test_more_that_the_rung_stricter_enforces_is_something_its_streams_were_not_judged_by(directory: Path) -> None:
    def second(model: Any) -> None:
        model["safeguards"].append({**mount(model, "tried"), "name": "second"})

    write_ladder(directory, "small", RUNGS["stricter"])
    edit(directory, "models/small.yaml", second)
    more = change_of("models/small.yaml", lambda model: model["ladder"]["stricter"]["enforce"].append("second"))
    assert judged(directory, more).stricter == ("small",)


@pytest.mark.parametrize("change", NOT_OF_IT.values(), ids=NOT_OF_IT)
def test_what_is_weaker_for_others_alone_takes_nobody(directory: Path, change: Edit) -> None:
    accepted = judged(directory, change)
    assert (accepted.effect, accepted.approved_by) == (Effect.WEAKER, ())


@pytest.mark.parametrize("change", NEVER_WEAKER.values(), ids=NEVER_WEAKER)
def test_what_is_not_weaker_takes_nobody(directory: Path, change: Edit) -> None:
    assert judged(directory, change).effect is not Effect.WEAKER


def test_what_was_under_care_does_not_come_back_without_two_people(directory: Path) -> None:
    whole = load(directory)
    remembered = under_care(whole)
    assert remembered == {"model big", "upstream this host:1"}
    for tier in ("general", "slow"):
        edit(directory, "tiers.yaml", lambda tiers, tier=tier: tiers["tiers"][tier]["models"].pop("big"))  # type: ignore[misc]
    (directory / "models" / "big.yaml").unlink()
    before = load(directory)
    assert accept(asked(whole, before), NobodyApproves()).effect is Effect.STRONGER
    for name, url in (("big", "http://127.0.0.1:5"), ("other", BIG)):
        write_small(directory, name, url)
        after = load(directory)
        with pytest.raises(NotAcceptedError, match=f"model {name}: is weaker"):
            accept(asked(before, after, remembered=remembered), NobodyApproves())
        assert accept(asked(before, after), NobodyApproves()).effect is Effect.WEAKER  # where nothing is remembered
        (directory / "models" / f"{name}.yaml").unlink()


@pytest.mark.parametrize(
    ("change", "key"),
    [
        (lambda guard: guard.update(workers=3), "workers"),
        (lambda guard: guard["storage"].update(audit="elsewhere"), "storage"),
        (lambda guard: guard.update(telemetry={"log": "error"}), "telemetry"),
        (lambda guard: guard["admin"].update(port=1), "admin.port"),
        (lambda guard: guard["surfaces"][0].update(port=1), "surfaces[0].port"),
        (lambda guard: guard["surfaces"].append({"name": "new", "host": "127.0.0.1", "port": 0}), "surfaces[2]"),
        (lambda guard: guard["surfaces"].pop(), "surfaces"),
    ],
)
def test_what_takes_a_restart_is_refused_while_running_and_named_by_line(
    tmp_path: Path, change: Callable[[Any], Any], key: str
) -> None:
    write_configuration(tmp_path, surfaces={"partner": 0})
    before = load(tmp_path)
    edit(tmp_path, "guard.yaml", change)
    after = load(tmp_path)
    with pytest.raises(NotAcceptedError) as refusal:
        accept(asked(before, after, running=True), TwoPeople())
    (reason,) = refusal.value.reasons
    place, _, words = reason.partition(f" {key}: ")
    assert place.removeprefix("guard.yaml:").removesuffix(":").isdigit()
    assert "without a restart" in words
    accept(asked(before, after), TwoPeople())


def test_only_what_a_stream_was_not_judged_by_makes_its_policy_stricter(directory: Path) -> None:
    def several(at: Path) -> None:
        NEVER_WEAKER["renewed evidence"](at)
        edit(at, "models/small.yaml", lambda model: model["asl"].update(security=3))

    assert judged(directory, several).stricter == ("small",)
    assert judged(directory, NEVER_WEAKER["a rule more"]).stricter == ("big", "small")
    assert judged(directory, NEVER_WEAKER["a key less"]).stricter == ()


def test_a_refusal_names_so_many_and_counts_the_rest(tmp_path: Path) -> None:
    rules = [{"id": f"r{number}", "category": "other", "phrase": f"phrase {number}"} for number in range(MAX_NAMED + 8)]
    write_configuration(tmp_path, models=[ModelSpec(asl=3)], rules=rules)
    before = load(tmp_path)
    edit(tmp_path, "rules/test.yaml", lambda content: content.update(rules=rules[:1]))
    with pytest.raises(NotAcceptedError) as refusal:
        accept(asked(before, load(tmp_path)), NobodyApproves())
    assert len(refusal.value.reasons) == MAX_NAMED + 2
    assert refusal.value.reasons[-2] == "and 7 more that are weaker"


def test_a_lower_level_takes_two_people_at_any_level(directory: Path) -> None:
    """Row A12: raising is for one, lowering for two."""
    before = load(directory)
    edit(directory, "models/small.yaml", lambda model: model["asl"].update(deployment=1, security=1))
    after, people = load(directory), TwoPeople()
    with pytest.raises(NotAcceptedError, match="model small: its levels are lower"):
        accept(asked(before, after), NobodyApproves())
    found = accept(asked(before, after), people)
    assert found.approved_by == ("Ada", "Ben")
    assert found.wanted == Wanted(asked(before, after), weaker=False)
    assert accept(asked(after, before), NobodyApproves()).approved_by == ()


def test_a_model_that_was_removed_does_not_come_back_lower_without_two_people(directory: Path) -> None:
    whole = load(directory)
    small = directory / "models" / "small.yaml"
    text = small.read_text()
    small.unlink()
    edit(directory, "tiers.yaml", lambda file: [tier["models"].pop("small", None) for tier in file["tiers"].values()])
    without = load(directory)
    small.write_text(text)
    edit(directory, "models/small.yaml", lambda model: model["asl"].update(deployment=1, security=1))
    again = load(directory)
    question = Asked(without, again, frozenset(), 7.0, running=False, levels=levels_in(whole))
    with pytest.raises(NotAcceptedError, match="model small: its levels are lower"):
        accept(question, NobodyApproves())
    found = accept(question, TwoPeople())
    assert found.approved_by == ("Ada", "Ben")
    assert [each.model for each in found.lowered] == ["small"]


def test_a_configuration_that_asks_for_signatures_as_a_whole_needs_them_to_come_and_to_go(directory: Path) -> None:
    before = load(directory)
    edit(directory, "guard.yaml", lambda guard: guard.update(signed_bundle=True))
    signed = load(directory)
    for one, other in ((None, signed), (before, signed), (signed, before)):
        question = Asked(one, other, frozenset(), 7.0, running=False)
        with pytest.raises(NotAcceptedError):
            accept(question, NobodyApproves())
        assert "Cy" in accept(question, TwoPeople()).approved_by


def test_where_nothing_was_in_force_nothing_is_weaker(directory: Path) -> None:
    assert accept(Asked(None, load(directory), frozenset(), 7.0, running=False), NobodyApproves()) == Accepted(
        (), (), ()
    )
