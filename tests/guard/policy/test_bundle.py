"""The bytes of a configuration: read once, in full or named as missing, and the same from a snapshot."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.policy import bundle
from guard.policy.bundle import UnsettledError, digest_of, read_bundle, read_settled, read_snapshot, stamps
from guard.policy.file import read_regular
from guard.policy.load import load, understand
from guard.policy.source import ConfigError
from guard.state.snapshots import Snapshots
from tests.bad_config.test_bad_config import BUILTIN, HERE


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return Path(shutil.copytree(HERE / "base", tmp_path / "config"))


def test_a_snapshot_of_a_bundle_is_the_same_configuration_wherever_it_lies(directory: Path, tmp_path: Path) -> None:
    read = read_bundle(directory, BUILTIN)
    place = Snapshots(tmp_path / "state").put(read.digest, read.files)
    kept = read_snapshot(place)
    assert (kept.digest, dict(kept.files), kept.problems) == (read.digest, dict(read.files), ())
    shutil.rmtree(directory / "models")
    assert understand(kept, directory).models == understand(read, directory).models
    assert understand(kept, directory).directory == directory


def test_the_digest_is_that_of_the_loaded_configuration(directory: Path) -> None:
    assert read_bundle(directory, BUILTIN).digest == load(directory, BUILTIN).digest


@given(st.dictionaries(st.text(max_size=4), st.binary(max_size=4), max_size=4))
def test_no_two_sets_of_files_have_the_same_digest(files: dict[str, bytes]) -> None:
    seen = {digest_of(files)}
    for label, content in files.items():
        seen.add(digest_of({**files, label: content + b"x"}))
        seen.add(digest_of({**files, label + "x": b""}))
        seen.add(digest_of({each: files[each] for each in files if each != label}))
    assert len(seen) >= 1 + len(files)
    assert digest_of(dict(reversed(files.items()))) in seen


def test_every_way_to_change_a_file_changes_its_stamp(directory: Path) -> None:
    before = stamps(directory)
    assert set(before) == {label for label in read_bundle(directory, BUILTIN).files if not label.startswith("builtin/")}
    path = directory / "rules" / "demo.yaml"
    content = path.read_bytes()
    seen = {before["rules/demo.yaml"]}
    path.write_bytes(content + b"\n")
    seen.add(stamps(directory)["rules/demo.yaml"])
    aside = path.with_name(".aside")
    aside.write_bytes(content)
    os.utime(aside, ns=(before["rules/demo.yaml"][3], before["rules/demo.yaml"][3]))
    aside.rename(path)  # the same size and the same time, and still another file
    seen.add(stamps(directory)["rules/demo.yaml"])
    assert len(seen) == 3
    path.unlink()
    assert "rules/demo.yaml" not in stamps(directory)


def test_links_are_followed_and_what_is_not_there_has_no_stamp(directory: Path, tmp_path: Path) -> None:
    path = directory / "rules" / "demo.yaml"
    (tmp_path / "real").write_bytes(path.read_bytes())
    path.unlink()
    path.symlink_to(tmp_path / "real")
    before = stamps(directory)["rules/demo.yaml"]
    (tmp_path / "real").write_text("other")
    assert stamps(directory)["rules/demo.yaml"] != before
    assert stamps(tmp_path / "nowhere") == {}


def test_files_that_change_while_they_are_read_are_not_taken(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = read_regular

    def written_meanwhile(path: Path, limit: int) -> tuple[bytes, int]:
        if path.name == "tiers.yaml":
            (directory / "guard.yaml").write_bytes((directory / "guard.yaml").read_bytes() + b"\n")
        return original(path, limit)

    monkeypatch.setattr(bundle, "read_regular", written_meanwhile)
    with pytest.raises(UnsettledError):
        read_settled(directory, BUILTIN)
    monkeypatch.undo()
    read, seen = read_settled(directory, BUILTIN)
    assert (read.digest, seen) == (read_bundle(directory, BUILTIN).digest, stamps(directory))


def test_a_configuration_that_is_too_large_as_a_whole_is_refused(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundle, "MAX_TOTAL", 3000)
    read = read_bundle(directory, BUILTIN)
    assert sum(map(len, read.files.values())) <= 3000
    with pytest.raises(ConfigError, match="makes the configuration larger than 3000 bytes"):
        understand(read, directory)
