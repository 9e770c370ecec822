"""Export: what the manifest says is what the files hold, and an export that did not end has none."""

from __future__ import annotations

import hashlib
import json
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from guard.audit import records
from guard.audit.contents import Text
from guard.audit.export import MANIFEST, RECORDS, Purpose, Shown, Tally, export, json_lines
from guard.audit.read import Entry

PURPOSE = Purpose("1", "2026-11-23T00:00:00+00:00", "ana (uid 0)", "case 7", "exchanges: all", redacted=True)


SHOWN = Shown(
    Entry("w1", "seg-1", 1, records.Control(1.5, 2.5, "ana", "stop", "all", "because")), (Text("content/0", "said"),)
)


def test_the_manifest_says_what_the_records_hash_to_and_its_own_hash_is_returned(tmp_path: Path) -> None:
    tally = Tally(exchanges=1, records=2, lost=1, damage=["- w1 damage"])
    digest = export(tmp_path / "out", PURPOSE, [[SHOWN, SHOWN]], tally, json_lines)
    raw = (tmp_path / "out" / RECORDS).read_bytes()
    one, two = map(json.loads, raw.splitlines())
    assert one == two
    assert (one["record"], one["what"], one["writer"]) == ("control", "stop", "w1")
    assert one["texts"] == [{"place": "content/0", "text": "said"}]
    whole = (tmp_path / "out" / MANIFEST).read_bytes()
    manifest = json.loads(whole)
    assert manifest["files"] == [{"name": RECORDS, "bytes": len(raw), "sha256": hashlib.sha256(raw).hexdigest()}]
    assert digest == hashlib.sha256(whole).hexdigest()
    assert (manifest["by"], manifest["reason"], manifest["redacted"]) == ("ana (uid 0)", "case 7", True)
    assert (manifest["exchanges"], manifest["records"], manifest["texts_lost"], manifest["damage"]) == (
        1,
        2,
        1,
        ["- w1 damage"],
    )


def test_the_files_are_for_their_owner_only(tmp_path: Path) -> None:
    export(tmp_path / "out", PURPOSE, [], Tally(), json_lines)
    modes = [stat.S_IMODE((tmp_path / "out" / name).stat().st_mode) for name in (RECORDS, MANIFEST)]
    assert modes == [0o600, 0o600]
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o700


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    with pytest.raises(FileExistsError):
        export(tmp_path, PURPOSE, [], Tally(), json_lines)


def test_an_export_that_broke_off_has_no_manifest(tmp_path: Path) -> None:
    def broken() -> Iterator[list[Shown]]:
        yield [SHOWN]
        raise OSError(5, "Input/output error")

    with pytest.raises(OSError, match="Input/output"):
        export(tmp_path / "out", PURPOSE, broken(), Tally(), json_lines)
    assert not (tmp_path / "out" / MANIFEST).exists()
