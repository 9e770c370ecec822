"""A configuration loads whole or not at all."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

from guard.policy import bundle
from guard.policy.bundle import read_bundle
from guard.policy.load import Memory, builtin_standards, digest, load, understand
from guard.policy.source import ConfigError, Document
from tests.bad_config.test_bad_config import BUILTIN, HERE

EXAMPLE = Path(__file__).parents[3] / "config"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return Path(shutil.copytree(HERE / "base", tmp_path / "config"))


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_the_example_of_the_project_loads() -> None:
    config = load(EXAMPLE)
    assert list(config.models) == ["demo"]
    assert config.standard("demo").name == "example-internal"
    assert [each.claim for each in config.evidence["demo"]] == ["model_card", "usage_policy"]
    assert list(config.rules) == ["rules/demo.yaml"]


def test_operators_may_be_absent_and_count_for_the_digest_when_they_are_there(directory: Path) -> None:
    guard = (directory / "guard.yaml").read_text()
    (directory / "guard.yaml").write_text(re.sub(r"  tokens:\n(    .*\n)+", "  tokens: []\n", guard))
    without = load(directory, BUILTIN)
    assert without.operators is None
    shutil.copy(EXAMPLE / "operators.yaml", directory)
    config = load(directory, BUILTIN)
    assert config.operators is not None
    assert [person.id for person in config.operators.persons] == ["ana", "ben", "dan", "eve"]
    assert config.digest != without.digest
    assert config.problem("operators.yaml", ("persons", 1, "keys", 0), "x").line == 17


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (Path.mkdir, "operators.yaml: is not a regular file"),
        (lambda path: path.symlink_to("nowhere"), "operators.yaml: is missing"),
        (lambda path: path.write_text(""), "operators.yaml:1: must be a mapping"),
    ],
)
def test_an_operators_file_that_is_there_must_be_good(
    make: Callable[[Path], object], words: str, directory: Path
) -> None:
    make(directory / "operators.yaml")
    with pytest.raises(ConfigError) as caught:
        load(directory, BUILTIN)
    assert str(caught.value) == words


def test_the_folder_of_approvals_is_not_part_of_the_configuration(directory: Path) -> None:
    before = load(directory, BUILTIN).digest
    (directory / "approvals").mkdir()
    (directory / "approvals" / "x.json").write_text("not even an order")
    assert load(directory, BUILTIN).digest == before


def test_the_built_in_standards_load_beside_an_operators_own(directory: Path) -> None:
    config = load(directory, BUILTIN)
    assert sorted(config.standards) == [("high", "1"), ("house", "1"), ("own", "1")]
    edit(directory / "models/demo.yaml", "name: house", "name: own")
    builtin = {("anthropic-rsp", "2.2"), ("anthropic-rsp", "3.4"), ("google-fsf", "3.1"), ("openai-preparedness", "2")}
    assert builtin <= set(load(directory, builtin_standards()).standards)


def test_a_built_in_standard_may_be_repeated_word_for_word(directory: Path) -> None:
    text = (BUILTIN / "house.yaml").read_text()
    (directory / "standards/house.yaml").write_text("# a copy\n" + text)
    assert ("house", "1") in load(directory, BUILTIN).standards


def test_a_standard_given_by_two_files_is_refused(directory: Path) -> None:
    shutil.copy(directory / "standards/own.yaml", directory / "standards/zwei.yaml")
    with pytest.raises(ConfigError) as caught:
        load(directory, BUILTIN)
    assert str(caught.value) == "standards/zwei.yaml:1: name: own 1 is already given by standards/own.yaml"


def test_evidence_may_stand_in_the_models_own_file(directory: Path) -> None:
    text = (directory / "evidence/demo.yaml").read_text()
    edit(
        directory / "models/demo.yaml",
        "evidence: evidence/demo.yaml",
        text.split("\n", 1)[1].replace("attestations", "evidence"),
    )
    before = load(HERE / "base", BUILTIN)
    assert load(directory, BUILTIN).evidence["demo"] == before.evidence["demo"]


def test_the_problems_of_all_files_are_named_together_in_order(directory: Path) -> None:
    edit(directory / "guard.yaml", "workers: 1", "workers: 0")
    edit(directory / "tiers.yaml", "burst: 50", "burst: 0")
    edit(directory / "models/demo.yaml", "[public]", "[elsewhere]")
    edit(directory / "rules/demo.yaml", "version: 1", "version: [")
    edit(directory / "evidence/demo.yaml", "owner: model team", "owner: ''")
    with pytest.raises(ConfigError) as caught:
        load(directory, BUILTIN)
    assert [(problem.file, problem.path) for problem in caught.value.problems] == [
        ("evidence/demo.yaml", "attestations[0].owner"),
        ("guard.yaml", "workers"),
        ("rules/demo.yaml", ""),
        ("tiers.yaml", "tiers.general.rate.burst"),
    ]


def test_a_broken_file_does_not_make_its_names_unknown(directory: Path) -> None:
    for name in ("models/demo.yaml", "rules/demo.yaml", "evidence/demo.yaml"):
        edit(directory / name, "version: 1", "version: 3")
        with pytest.raises(ConfigError) as caught:
            load(directory, BUILTIN)
        assert str(caught.value) == f"{name}:1: version: must be 1"
        edit(directory / name, "version: 3", "version: 1")


def test_what_begins_with_a_dot_is_skipped_and_links_are_followed(directory: Path) -> None:
    data = directory / "models/..2026_11_23"
    data.mkdir()
    shutil.move(directory / "models/demo.yaml", data / "demo.yaml")
    (directory / "models/..data").symlink_to(data.name)
    (directory / "models/demo.yaml").symlink_to("..data/demo.yaml")
    assert list(load(directory, BUILTIN).models) == ["demo"]


def test_no_model_is_an_error(directory: Path) -> None:
    (directory / "models/demo.yaml").unlink()
    with pytest.raises(ConfigError) as caught:
        load(directory, BUILTIN)
    assert str(caught.value) == (
        "models: is missing or has no file\ntiers.yaml:5: tiers.general.models.demo: there is no file models/demo.yaml"
    )


def test_a_folder_that_does_not_exist_is_named_and_not_a_crash(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "nowhere", BUILTIN)
    assert [problem.file for problem in caught.value.problems] == ["guard.yaml", "models", "tiers.yaml"]


def test_a_missing_folder_of_built_in_standards_is_an_error(directory: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="builtin: is missing or has no file"):
        load(directory, tmp_path / "nowhere")


def test_a_file_in_place_of_a_folder_a_folder_and_a_pipe_in_place_of_a_file_are_refused(directory: Path) -> None:
    shutil.rmtree(directory / "evidence")
    (directory / "evidence").write_text("")
    (directory / "rules/folder.yaml").mkdir()
    os.mkfifo(directory / "rules/pipe.yaml")
    with pytest.raises(ConfigError) as caught:
        load(directory, BUILTIN)
    assert {str(problem) for problem in caught.value.problems} >= {
        "evidence: cannot be read (Not a directory)",
        "rules/folder.yaml: is not a regular file",
        "rules/pipe.yaml: is not a regular file",
    }


def test_a_folder_of_too_many_files_is_refused_before_they_are_read(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundle, "MAX_FILES", 2)
    (directory / "rules/a.yaml").write_text("not: rules")
    (directory / "rules/b.yaml").write_text("not: rules")
    with pytest.raises(ConfigError) as caught:
        load(directory, BUILTIN)
    assert "rules: has more than 2 files" in str(caught.value)
    assert "rules/a.yaml" not in str(caught.value)


def test_a_name_that_is_not_text_is_shown_escaped(directory: Path) -> None:
    (directory / "models" / os.fsdecode(b"\xff\n.yaml")).write_text("")
    with pytest.raises(ConfigError, match=r"models/'\\udcff\\n.yaml': must be named"):
        load(directory, BUILTIN)


def test_the_digest_changes_with_any_byte_and_with_nothing_else(directory: Path) -> None:
    before = load(directory, BUILTIN).digest
    assert before == load(HERE / "base", BUILTIN).digest
    for name in ("guard.yaml", "tiers.yaml", "models/demo.yaml", "rules/demo.yaml", "evidence/demo.yaml"):
        edit(directory / name, "version: 1", "version: 1 # seen")
        after = load(directory, BUILTIN).digest
        assert after != before
        before = after


def test_the_digest_covers_the_built_in_standards(directory: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(BUILTIN, tmp_path / "builtin"))
    edit(other / "house.yaml", "level: 2", "level: 1")
    assert load(directory, other).digest != load(directory, BUILTIN).digest


def test_the_digest_cannot_be_kept_by_moving_bytes_between_name_and_content() -> None:
    def one(file: str, content: bytes) -> Document:
        return Document(file, content, None, {})

    assert digest([one("ab", b"c")]) != digest([one("a", b"bc")])
    assert digest([one("a", b"2"), one("b", b"1")]) == digest([one("b", b"1"), one("a", b"2")])
    whole = b"".join(len(part).to_bytes(8, "big") + part for part in (b"a", b"2", b"b", b"1"))
    assert digest([one("b", b"1"), one("a", b"2")]) == sha256(whole).hexdigest()


def test_two_hundred_models_load_in_about_a_second(directory: Path) -> None:
    model, evidence = (directory / "models/demo.yaml").read_text(), (directory / "evidence/demo.yaml").read_text()
    for number in range(200):
        (directory / f"models/m{number}.yaml").write_text(
            model.replace("model: demo\n", f"model: m{number}\n").replace("evidence/demo", f"evidence/m{number}")
        )
        (directory / f"evidence/m{number}.yaml").write_text(evidence)
    began = time.process_time()
    assert len(load(directory, BUILTIN).models) == 201
    assert time.process_time() - began < 3  # generous: measured 0.2 s


def test_what_is_remembered_of_unchanged_files_is_the_very_same_and_nothing_broken_is(directory: Path) -> None:
    memory = Memory()
    first = understand(read_bundle(directory, BUILTIN), directory, memory)
    (directory / "tiers.yaml").write_bytes((directory / "tiers.yaml").read_bytes() + b"# words\n")
    second = understand(read_bundle(directory, BUILTIN), directory, memory)
    assert second == load(directory, BUILTIN)
    assert second.models["demo"] is first.models["demo"]
    assert second.tiers is not first.tiers
    known = dict(memory.known)
    edit(directory / "guard.yaml", "workers: 1", "workers: 0")
    for _ in range(2):
        with pytest.raises(ConfigError, match=r"guard.yaml:\d+: workers"):
            understand(read_bundle(directory, BUILTIN), directory, memory)
    assert memory.known == known
