"""Two whole configurations: what is compared, what makes no difference, and that nothing passes unseen."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.policy.config import Config
from guard.policy.diff import Change, compare, diff, effect_of, tree
from guard.policy.diff_rules import Effect
from guard.policy.load import load
from guard.policy.ssh_key import KeyKind
from tests.guard.policy.test_diff_rules import leaves
from tests.parts.configuration import ModelSpec, write_configuration, write_operators
from tests.parts.ssh_keys import soft_key

S, W, N = Effect.STRONGER, Effect.WEAKER, Effect.NEUTRAL
NOW = datetime(2026, 6, 1, tzinfo=UTC)
MODELS = (ModelSpec(operations=("chat", "messages")), ModelSpec("other"))


def configure(directory: Path) -> Path:
    write_configuration(directory, now=NOW, models=MODELS, randomness=lambda size: bytes(range(size)))
    return directory


def edit(path: Path, change: Callable[[Any], None]) -> None:
    value = yaml.safe_load(path.read_text())
    change(value)
    path.write_text(yaml.safe_dump(value, sort_keys=False))


@pytest.fixture
def old(tmp_path: Path) -> Config:
    return load(configure(tmp_path / "old"))


def changed(tmp_path: Path, old: Config, file: str, change: Callable[[Any], None]) -> tuple[Change, ...]:
    directory = configure(tmp_path / "new")
    # The credentials are made anew for each directory; these are the same.
    (directory / "tiers.yaml").write_text((old.directory / "tiers.yaml").read_text())
    (directory / "guard.yaml").write_text((old.directory / "guard.yaml").read_text())
    edit(directory / file, change)
    return diff(old, load(directory))


def told(changes: tuple[Change, ...]) -> list[tuple[str, str, Effect]]:
    return [(each.subject, each.key, each.effect) for each in changes]


def nothing(_: Any) -> None:
    """Change nothing but how it is written: JSON becomes YAML."""


def test_comments_and_the_way_of_writing_make_no_difference(tmp_path: Path, old: Config) -> None:
    assert changed(tmp_path, old, "models/demo.yaml", nothing) == ()
    assert effect_of(()) is N


def test_a_default_written_out_makes_no_difference(tmp_path: Path, old: Config) -> None:
    assert (
        changed(tmp_path, old, "models/demo.yaml", lambda model: model["upstream"].update(max_idle=32, tls=None)) == ()
    )


def test_who_may_approve_is_compared_person_by_person(tmp_path: Path, old: Config) -> None:
    one, two, three = (soft_key(KeyKind.ED25519, number).line for number in range(3))
    ana = {"id": "ana", "name": "Ana", "roles": ["approver"], "keys": [one, two], "expires": "2027-01-01"}
    ben = {**ana, "id": "ben", "name": "Ben", "roles": ["viewer"], "keys": [three]}
    edit(old.directory / "guard.yaml", lambda guard: guard["admin"].update(tokens=[]))  # they would be other persons
    (old.directory / "operators.yaml").write_text(yaml.safe_dump({"version": 1, "persons": [ana, ben]}))
    (tmp_path / "new").mkdir()
    new = {**ana, "keys": [one.replace("a comment", "another")], "roles": ["approver", "operator"]}
    (tmp_path / "new" / "operators.yaml").write_text(yaml.safe_dump({"version": 1, "persons": [new]}))
    assert told(changed(tmp_path, load(old.directory), "tiers.yaml", nothing)) == [
        ("operator ana", "roles", W),
        ("operator ana", "keys", S),
        ("operator ben", "", S),
    ]
    (tmp_path / "new" / "operators.yaml").unlink()
    assert told(changed(tmp_path, load(old.directory), "tiers.yaml", nothing)) == [
        ("operator ana", "", S),
        ("operator ben", "", S),
    ]


def test_a_token_lasts_no_longer_than_its_person_and_whoever_removes_the_person_lengthens_it(
    tmp_path: Path, old: Config
) -> None:
    write_operators(old.directory, [], NOW)
    persons = yaml.safe_load((old.directory / "operators.yaml").read_text())
    persons["persons"][1]["expires"] = str(NOW.date())
    (old.directory / "operators.yaml").write_text(yaml.safe_dump(persons))
    found = told(changed(tmp_path, load(old.directory), "tiers.yaml", nothing))
    assert ("guard.yaml", "admin.tokens.viewer.expires", W) in found
    assert not [each for each in found if each[1] == "admin.tokens.responder.expires"]


def test_an_unused_file_and_a_rules_file_of_another_name_make_no_safeguard_weaker(tmp_path: Path, old: Config) -> None:
    def elsewhere(model: Any) -> None:
        (tmp_path / "new" / "rules" / "copy.yaml").write_bytes((tmp_path / "new" / "rules" / "test.yaml").read_bytes())
        model["safeguards"][5]["settings"]["rules"] = "rules/copy.yaml"

    assert told(changed(tmp_path, old, "models/demo.yaml", elsewhere)) == [
        ("model demo", "safeguards.patterns.settings.rules.file", N)
    ]


def test_a_rules_file_concerns_every_model_that_uses_it(tmp_path: Path, old: Config) -> None:
    def other(rules: Any) -> None:
        rules["rules"] = [{"id": "new", "category": "other", "phrase": "private words"}]

    changes = changed(tmp_path, old, "rules/test.yaml", other)
    below = "safeguards.patterns.settings.rules.rules"
    assert told(changes) == [
        (f"model {name}", f"{below}.{rule}", effect)
        for name in ("demo", "other")
        for rule, effect in (("marker", W), ("new", S))
    ]
    assert "private" not in str([asdict(each) for each in changes])


def test_a_safeguard_removed_is_one_change_and_not_a_change_of_order(tmp_path: Path, old: Config) -> None:
    changes = changed(tmp_path, old, "models/demo.yaml", lambda model: model["safeguards"].pop(3))
    assert told(changes) == [("model demo", "safeguards.access", W)]
    assert (changes[0].old, changes[0].new) == ("present", "none")


def test_another_order_is_told(tmp_path: Path, old: Config) -> None:
    changes = changed(tmp_path, old, "models/demo.yaml", lambda model: model["safeguards"].reverse())
    assert told(changes) == [("model demo", "order", W)]


def test_another_standard_is_judged_by_its_rows(tmp_path: Path, old: Config) -> None:
    def longer(model: Any) -> None:
        standards = tmp_path / "new" / "standards"
        standards.mkdir()
        standard = yaml.safe_load(
            (Path(__file__).resolve().parents[3] / "config/standards/example-internal.yaml").read_text()
        )
        standard["name"] = model["framework"]["name"] = "house"
        standard["rows"].append({**standard["rows"][0], "id": "H1"})
        (standards / "house.yaml").write_text(yaml.safe_dump(standard))

    changes = changed(tmp_path, old, "models/demo.yaml", longer)
    assert told(changes) == [("model demo", "framework.name", N), ("model demo", "framework.rows", S)]
    assert changes[1].new == f"{len(old.standard('demo').rows) + 1} rows"


def test_a_key_with_a_longer_life_and_a_tier_with_more_are_weaker(tmp_path: Path, old: Config) -> None:
    def more(tiers: Any) -> None:
        tiers["keys"][0]["expires"] = "2030-01-01"
        tiers["tiers"]["nothing"]["models"]["demo"] = ["chat"]

    assert told(changed(tmp_path, old, "tiers.yaml", more)) == [
        ("tier nothing", "models.demo", W),
        ("key app", "expires", W),
    ]


def test_the_process_is_a_subject_and_no_place_of_a_secret_is_told(tmp_path: Path, old: Config) -> None:
    def process(guard: Any) -> None:
        guard["keys"]["pepper"]["file"] = "secrets/hidden"
        guard["admin"]["host"] = "0.0.0.0"  # noqa: S104 - a value of the file; nothing listens

    changes = changed(tmp_path, old, "guard.yaml", process)
    assert told(changes) == [("guard.yaml", "keys.pepper.file", N), ("guard.yaml", "admin.host", W)]
    assert (changes[0].old, changes[0].new) == ("not shown", "not shown")
    assert (changes[1].old, changes[1].new) == ("127.0.0.1", "0.0.0.0")  # noqa: S104 - as above


def test_a_model_more_is_weaker_and_a_model_less_is_stronger(tmp_path: Path, old: Config) -> None:
    def less(tiers: Any) -> None:
        (tmp_path / "new" / "models" / "other.yaml").unlink()
        for tier in tiers["tiers"].values():
            tier["models"].pop("other", None)

    changes = changed(tmp_path, old, "tiers.yaml", less)
    assert ("model other", "", S) in told(changes)
    assert effect_of(changes) is S
    back = diff(load(tmp_path / "new"), old)
    assert ("model other", "", W) in told(back)


def test_a_long_value_is_cut() -> None:
    (change,) = compare(("models", "m", "upstream", "url"), "a" * 300, "b")
    assert change.old == "a" * 200 + "…"


NOT_SCALAR = {"order", "tls", "credential"}  # a list of names, and sections; the table's own test has them


def put(value: Mapping[str, Any], path: tuple[str, ...], new: Any) -> Any:
    whole: Any = copy.deepcopy(value)
    place = whole
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = new
    return whole


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return copy.deepcopy(tree(load(configure(tmp_path_factory.mktemp("whole")))))


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_whatever_leaf_changes_it_is_told_and_what_is_stronger_is_weaker_backwards(
    data: st.DataObject, whole: Any
) -> None:
    path = data.draw(st.sampled_from([path for path in leaves(whole, ()) if path[-1] not in NOT_SCALAR]))
    before: Any = whole
    for step in path:
        before = before[step]
    number: st.SearchStrategy[float] = st.integers(0, 100) if isinstance(before, int) else st.floats(0, 100)
    if isinstance(before, bool):
        number = st.booleans()
    after = data.draw(number if isinstance(before, int | float) else st.sampled_from(["2029-01-01", "enforce", "zz"]))
    after = [after] if isinstance(before, list | tuple) else after
    other = put(whole, path, after)
    forth = [each for name in whole for each in compare((name,), whole[name], other[name])]
    back = [each for name in whole for each in compare((name,), other[name], whole[name])]
    same = after == before and type(after) is type(before)
    assert len(forth) == len(back) == (0 if same else 1)
    if forth and S in {forth[0].effect, back[0].effect}:
        assert W in {forth[0].effect, back[0].effect}
