"""``guard audit search`` and ``export``: what they print and write, and what they put on record."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import os
import sys
from pathlib import Path

import duckdb
import pytest

from guard.audit.keys import DataKeys, KeyFolder
from guard.audit.ledger import Ledger
from guard.audit.records import Control
from guard.audit.wrapping import Kek
from guard.cli import main
from tests.guard.audit.fakes import KEEP, Clock, contents, exchange, outcome
from tests.parts.configuration import write_configuration, write_people

PROMPT = "the prompt's own words"
ACCESS = ("--who", "ana", "--reason", "case 7")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Three exchanges, each a minute after the other."""
    write_configuration(tmp_path)
    write_people(tmp_path, {"ana": ["investigator"], "ben": ["auditor"]})
    asyncio.run(_write(tmp_path))
    return tmp_path


async def _write(config: Path) -> None:
    kek = Kek((config / "secrets" / "content-key").read_text().strip())
    keys = DataKeys(KeyFolder(config / "var" / "content-keys"), kek)
    clock = Clock(1_800_000_000.0)
    ledger = Ledger.open(config / "var" / "audit" / "worker-0", clock, keys=keys)
    for number in range(3):
        asked = exchange(f"request-{number}", text=f"{PROMPT} {number}")
        ledger.intent(asked, durable=False, keep=KEEP)
        ledger.outcome(asked, outcome(), durable=False)
        clock.pass_(60.0)
    ledger.close()


def run(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, list[str], str]:
    capsys.readouterr()
    code = main(["audit", *map(str, arguments)])
    out, err = capsys.readouterr()
    return code, out.splitlines(), err


def acts(config: Path) -> list[tuple[str, str, str]]:
    found = [one for one in contents(config / "var" / "audit") if isinstance(one, Control)]
    assert all(one.who == f"ana (uid {os.getuid()})" for one in found)
    return [(one.what, one.subject, one.reason) for one in found]


def test_search_prints_the_records_of_what_it_finds_and_puts_nothing_on_record(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, lines, err = run(
        capsys, "search", "--category", "cbrn", "--since", "2027-01-15T08:01:00Z", "--config", config
    )
    assert (code, err) == (0, "")
    assert [line.split()[2] for line in lines] == ["intent", "outcome"] * 2
    assert not any(PROMPT in line for line in lines)
    assert acts(config) == []


def test_search_by_score_finds_what_scored_as_much(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert len(run(capsys, "search", "--score", "0.9", "--config", config)[1]) == 6
    assert run(capsys, "search", "--score", "0.95", "--config", config)[0] == 1
    for score in ("1.01", "-0.1", "nan", "high"):
        with pytest.raises(SystemExit) as ended:
            run(capsys, "search", "--score", score, "--config", config)
        assert ended.value.code == 2
        assert "a number from 0 to 1" in capsys.readouterr().err


def test_what_is_not_there_is_said(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, lines, err = run(capsys, "search", "--model", "none", "--config", config)
    assert (code, lines, err) == (1, [], "guard: no such exchange is on record\n")


def test_search_with_texts_is_on_record(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, lines, _ = run(capsys, "search", "--id", "request-1", "--content", *ACCESS, "--json", "--config", config)
    assert code == 0
    assert json.loads(lines[0])["texts"][0]["text"] == f"{PROMPT} 1"
    assert acts(config) == [("read", "exchanges: id=request-1", "case 7")]


def test_a_known_text_is_found_from_a_file_or_standard_input_and_never_quoted(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = config / "text"
    file.write_text(f"{PROMPT} 2\n")
    code, lines, _ = run(capsys, "search", "--text-file", file, *ACCESS, "--json", "--config", config)
    assert (code, {json.loads(line)["id"] for line in lines}) == (0, {"request-2"})
    assert not any(PROMPT in line for line in lines)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(f"{PROMPT} 0".encode())))
    code, lines, _ = run(capsys, "search", "--text-file", "-", *ACCESS, "--json", "--config", config)
    assert {json.loads(line)["id"] for line in lines} == {"request-0"}
    assert acts(config) == [("read", "exchanges: a known text", "case 7")] * 2


def test_a_known_text_needs_a_person_and_a_reason(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = config / "text"
    file.write_bytes(b"\xff")
    assert run(capsys, "search", "--text-file", file, "--config", config)[0] == 4
    code, _, err = run(capsys, "search", "--text-file", file, *ACCESS, "--config", config)
    assert (code, err) == (4, f"guard: {file}: is not UTF-8\n")


def test_an_export_is_redacted_unless_texts_are_asked_for(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, more in (("redacted", []), ("whole", ["--content"])):
        code, lines, _ = run(capsys, "export", "--out", config / name, *more, *ACCESS, "--config", config)
        assert (code, lines) == (0, [f"3 exchanges, 6 records: {config / name}"])
        raw = (config / name / "records.jsonl").read_bytes()
        manifest = json.loads((config / name / "manifest.json").read_text())
        assert manifest["files"][0]["sha256"] == hashlib.sha256(raw).hexdigest()
        assert manifest["redacted"] == (not more)
        assert (PROMPT.encode() in raw) == bool(more)
    assert [what for what, *_ in acts(config)] == ["export", "exported", "read", "export", "exported"]
    sealed = hashlib.sha256((config / "redacted" / "manifest.json").read_bytes()).hexdigest()
    assert acts(config)[1][2] == f"case 7 [3 exchanges, manifest.json sha256 {sealed}]"


def test_an_export_as_parquet_is_redacted_entitled_and_recorded_alike(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parquet = ("--format", "parquet")
    for name, more in (("redacted", []), ("whole", ["--content"])):
        code, lines, _ = run(capsys, "export", "--out", config / name, *parquet, *more, *ACCESS, "--config", config)
        assert (code, lines) == (0, [f"3 exchanges, 6 records: {config / name}"])
        manifest = json.loads((config / name / "manifest.json").read_text())
        raw = (config / name / "exchanges-00001.parquet").read_bytes()
        assert manifest["files"][0]["sha256"] == hashlib.sha256(raw).hexdigest()
        assert manifest["redacted"] == (not more)
        found = (
            duckdb.connect().execute("select id, texts from read_parquet(?)", [f"{config / name}/*.parquet"]).fetchall()
        )
        assert [one[0] for one in found] == ["request-0", "request-1", "request-2"]
        assert [[text["text"] for text in one[1]] for one in found] == [
            [f"{PROMPT} {number}"] if more else [] for number in range(3)
        ]
    assert [what for what, *_ in acts(config)] == ["export", "exported", "read", "export", "exported"]
    assert [acts(config)[at][2] for at in (0, 3)] == ["case 7 [redacted, parquet]", "case 7 [with texts, parquet]"]
    one = ("--who", "ben", "--reason", "case 7")
    assert run(capsys, "export", "--out", config / "ben", *parquet, "--content", *one, "--config", config)[0] == 4


def test_parquet_without_its_extra_says_which_one_and_does_nothing(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "guard.audit.parquet", raising=False)
    monkeypatch.setitem(sys.modules, "arro3.core", None)
    code, _, err = run(capsys, "export", "--out", config / "out", "--format", "parquet", *ACCESS, "--config", config)
    assert (code, err) == (2, "guard: --format parquet needs the extra parquet: pip install 'asl-guard[parquet]'\n")
    assert not (config / "out").exists()
    assert acts(config) == []


def test_an_export_says_which_texts_it_could_not_open(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in (config / "var" / "content-keys").glob("*/content-*.key"):
        path.unlink()
    code, lines, _ = run(capsys, "export", "--out", config / "out", "--content", *ACCESS, "--config", config)
    assert (code, lines) == (1, [f"3 exchanges, 6 records, texts of 3 records could not be opened: {config / 'out'}"])


def test_an_export_overwrites_nothing_and_needs_a_person(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "export", "--out", config, *ACCESS, "--config", config)
    assert (code, err) == (2, f"guard: {config} exists, and nothing is overwritten\n")
    with pytest.raises(SystemExit) as ended:
        run(capsys, "export", "--out", config / "out", "--config", config)
    assert ended.value.code == 2
