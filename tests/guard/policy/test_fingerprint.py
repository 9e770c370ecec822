"""Fingerprints change with what counts and with nothing else."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from guard.policy.config import Config
from guard.policy.fingerprint import of_classifiers, of_standard
from guard.policy.load import load
from guard.policy.model import ClassifierMount, Mode, Target
from tests.parts.configuration import ModelSpec, write_configuration


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    directory = tmp_path_factory.mktemp("fingerprint")
    write_configuration(directory, models=[ModelSpec()], now=datetime(2026, 6, 1, tzinfo=UTC))
    return load(directory)


def classifiers(config: Config, **changes: Any) -> str:
    """The fingerprint after a change of the one classifier's mount."""
    policy = config.models["demo"]
    mounts = tuple(
        mount.model_copy(update=changes) if mount.use == "classifier" else mount for mount in policy.safeguards
    )
    return of_classifiers(config, policy.model_copy(update={"safeguards": mounts}))


def test_a_standard_changes_with_its_contents_alone(config: Config) -> None:
    standard = config.standard("demo")
    assert of_standard(standard) == of_standard(standard.model_copy())
    assert of_standard(standard) != of_standard(standard.model_copy(update={"rows": standard.rows[1:]}))


def test_classifiers_change_with_their_mode_their_sides_and_every_rule(config: Config) -> None:
    policy = config.models["demo"]
    (mount,) = [mount for mount in policy.safeguards if isinstance(mount, ClassifierMount)]
    before = of_classifiers(config, policy)
    assert classifiers(config) == before
    assert classifiers(config, mode=Mode.SHADOW) != before
    settings = mount.settings
    assert classifiers(config, settings=settings.model_copy(update={"screens": (Target.INPUT,)})) != before
    rules = config.rules[settings.rules]
    fewer = rules.model_copy(update={"rules": rules.rules[:-1]})
    assert of_classifiers(replace(config, rules=MappingProxyType({settings.rules: fewer})), policy) != before


def test_what_is_no_classifier_does_not_change_them(config: Config) -> None:
    policy = config.models["demo"]
    mounts = tuple(mount for mount in policy.safeguards if mount.use in {"classifier", "request_log"})
    assert of_classifiers(config, policy.model_copy(update={"safeguards": mounts})) == of_classifiers(config, policy)


def test_a_comment_in_the_rules_changes_nothing(config: Config, tmp_path: Path) -> None:
    write_configuration(tmp_path, models=[ModelSpec()], now=datetime(2026, 6, 1, tzinfo=UTC))
    for path in (tmp_path / "rules").iterdir():
        path.write_text(path.read_text() + "\n# looked at again\n")
    again = load(tmp_path)
    assert again.digest != config.digest
    assert of_classifiers(again, again.models["demo"]) == of_classifiers(config, config.models["demo"])
