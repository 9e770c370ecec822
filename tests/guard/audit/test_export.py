"""Export: what the manifest says is what the files hold, and an export that did not end has none."""

from __future__ import annotations

import hashlib
import json
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from guard.audit.export import MANIFEST, RECORDS, Purpose, Tally, export

PURPOSE = Purpose("1", "2026-11-23T00:00:00+00:00", "ana (uid 0)", "case 7", "exchanges: all", redacted=True)


def test_the_manifest_says_what_the_records_hash_to(tmp_path: Path) -> None:
    tally = Tally(exchanges=1, records=2, lost=1, damage=["- w1 damage"])
    digest = export(tmp_path / "out", PURPOSE, ['{"a": 1}', '{"b": 2}'], tally)
    raw = (tmp_path / "out" / RECORDS).read_bytes()
    assert raw == b'{"a": 1}\n{"b": 2}\n'
    manifest = json.loads((tmp_path / "out" / MANIFEST).read_text())
    assert manifest["files"] == [{"name": RECORDS, "bytes": 18, "sha256": hashlib.sha256(raw).hexdigest()}]
    assert digest == manifest["files"][0]["sha256"]
    assert (manifest["by"], manifest["reason"], manifest["redacted"]) == ("ana (uid 0)", "case 7", True)
    assert (manifest["exchanges"], manifest["records"], manifest["texts_lost"], manifest["damage"]) == (
        1,
        2,
        1,
        ["- w1 damage"],
    )


def test_the_files_are_for_their_owner_only(tmp_path: Path) -> None:
    export(tmp_path / "out", PURPOSE, [], Tally())
    modes = [stat.S_IMODE((tmp_path / "out" / name).stat().st_mode) for name in (RECORDS, MANIFEST)]
    assert modes == [0o600, 0o600]
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o700


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    with pytest.raises(FileExistsError):
        export(tmp_path, PURPOSE, [], Tally())


def test_an_export_that_broke_off_has_no_manifest(tmp_path: Path) -> None:
    def lines() -> Iterator[str]:
        yield "{}"
        raise OSError(5, "Input/output error")

    with pytest.raises(OSError, match="Input/output"):
        export(tmp_path / "out", PURPOSE, lines(), Tally())
    assert not (tmp_path / "out" / MANIFEST).exists()
