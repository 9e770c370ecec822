"""With which policy a guard begins: what its files hold, or what was in force when they may not take its place."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from guard.policy.acceptance import under_care
from guard.policy.bundle import read_bundle
from guard.policy.load import load
from guard.policy.source import ConfigError
from guard.serve.beginning import Beginning, begin
from guard.state.snapshots import Current, SnapshotError, Snapshots
from tests.parts.approvals import NobodyApproves
from tests.parts.configuration import ModelSpec, write_configuration


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    write_configuration(tmp_path, models=[ModelSpec(asl=3)])
    return tmp_path


def put_in_force(directory: Path) -> str:
    """As a guard leaves it that served what the files hold."""
    bundle, snapshots = read_bundle(directory), Snapshots(directory / "var" / "state")
    snapshots.put(bundle.digest, bundle.files)
    snapshots.choose(Current(bundle.digest, 5.0, "start", under_care(load(directory))))
    return bundle.digest


def edit(directory: Path, name: str, change: Callable[[Any], Any]) -> None:
    content = json.loads((directory / name).read_text())
    change(content)
    (directory / name).write_text(json.dumps(content))


def begun(directory: Path) -> Beginning:
    return begin(directory, NobodyApproves(), lambda: 7.0)


def weaken(directory: Path) -> None:
    edit(directory, "tiers.yaml", lambda tiers: tiers["tiers"]["general"]["rate"].update(burst=100_000, per_minute=9e5))
    edit(directory, "tiers.yaml", lambda tiers: tiers["tiers"]["slow"]["rate"].update(burst=2))


def test_the_first_time_the_files_are_taken_as_they_are_and_nothing_is_written(directory: Path) -> None:
    found = begun(directory)
    assert (found.held, found.last, found.accepted) == ((), None, None)
    assert found.checked.config.digest == found.bundle.digest == load(directory).digest
    assert not (directory / "var").exists()


def test_unchanged_files_are_what_was_in_force(directory: Path) -> None:
    digest = put_in_force(directory)
    found = begun(directory)
    assert found.last is not None
    assert (found.held, found.last.digest, found.bundle.digest) == ((), digest, digest)


def test_a_stronger_change_made_while_the_guard_was_off_is_taken(directory: Path) -> None:
    put_in_force(directory)
    edit(directory, "tiers.yaml", lambda tiers: tiers["keys"].pop())
    found = begun(directory)
    assert found.held == ()
    assert found.accepted is not None
    assert found.accepted.effect.value == "stronger"
    assert found.checked.config.digest == load(directory).digest


def test_a_weaker_change_of_a_model_at_asl_3_is_not_taken(directory: Path) -> None:
    digest = put_in_force(directory)
    weaken(directory)
    found = begun(directory)
    assert found.checked.config.digest == found.bundle.digest == digest
    assert any("slow" in reason and "is weaker" in reason for reason in found.held)
    assert "two people" in found.held[-1]


def test_files_that_are_broken_are_no_reason_to_be_without_a_service(directory: Path) -> None:
    digest = put_in_force(directory)
    (directory / "tiers.yaml").write_text("version: [")
    found = begun(directory)
    assert found.checked.config.digest == digest
    assert found.held[0].startswith("tiers.yaml:1: is not YAML")


def test_a_missing_secret_is_a_reason_not_to_begin_even_with_what_was_in_force(directory: Path) -> None:
    put_in_force(directory)
    (directory / "secrets" / "pepper").unlink()
    with pytest.raises(ConfigError, match="secrets/pepper is missing"):
        begun(directory)


def test_where_nothing_was_in_force_broken_files_are_an_error(directory: Path) -> None:
    (directory / "tiers.yaml").write_text("version: [")
    with pytest.raises(ConfigError, match=r"tiers.yaml:1: is not YAML"):
        begun(directory)


@pytest.mark.parametrize("content", [None, "version: [", "version: 1"])
def test_without_a_guard_yaml_nothing_is_known_and_nothing_begins(directory: Path, content: str | None) -> None:
    put_in_force(directory)
    (directory / "guard.yaml").unlink()
    if content is not None:
        (directory / "guard.yaml").write_text(content)
    with pytest.raises(ConfigError, match=r"guard.yaml"):
        begun(directory)


def test_a_policy_in_force_that_cannot_be_read_is_an_error_and_not_a_way_around(directory: Path) -> None:
    digest = put_in_force(directory)
    weaken(directory)
    policy = directory / "var" / "state" / "policy"
    (policy / digest / "tiers.yaml").write_text((directory / "tiers.yaml").read_text())
    with pytest.raises(SnapshotError, match="put it back"):
        begun(directory)
    (policy / "current").write_text("{")
    with pytest.raises(SnapshotError, match="put it back"):
        begun(directory)


def test_a_state_folder_that_moved_is_not_left_for_the_one_that_the_old_policy_names(directory: Path) -> None:
    put_in_force(directory)
    edit(directory, "guard.yaml", lambda guard: guard["storage"].update(state="var/moved"))
    (directory / "var" / "state").rename(directory / "var" / "moved")
    with pytest.raises(ConfigError, match="would not see the stop orders"):
        begun(directory)


def test_below_asl_3_a_weaker_change_needs_a_restart_or_a_reload_alone(tmp_path: Path) -> None:
    write_configuration(tmp_path)
    put_in_force(tmp_path)
    weaken(tmp_path)
    found = begun(tmp_path)
    assert found.held == ()
    assert found.checked.config.digest == load(tmp_path).digest
