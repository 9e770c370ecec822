"""Exchanges as Parquet, read back by DuckDB, which shares no code with what wrote them."""

from __future__ import annotations

import json
import math
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.audit import records
from guard.audit.contents import ContentError, Text
from guard.audit.export import RECORDS, Purpose, Shown, Tally, export, json_lines
from guard.audit.parquet import parquet_files
from guard.audit.read import Entry

PURPOSE = Purpose("1", "2026-11-23T00:00:00+00:00", "ana (uid 0)", "case 7", "exchanges: all", redacted=True)
INTENT = records.Intent(
    time=1_700_000_000.25,
    monotonic=5.5,
    id="request-1",
    received=1_700_000_000.0,
    key="k1",
    owner="team",
    tier="standard",
    model="demo",
    asl=3,
    surface="public",
    dialect="openai-chat",
    operation="chat",
    streamed=True,
    policy="ab" * 32,
    passages=(records.Passage("messages[0]", "user", 12, "c1", "m1"), records.Passage("messages[1]", "user", 3)),
    capabilities=("tools",),
)
DECISION = records.Decision("screen", "prompt", True, True, True, 0.25, "content_blocked", "r", "cbrn", "R1", score=0.9)
OUTCOME = records.Outcome(
    time=1_700_000_001.0,
    monotonic=6.25,
    id="request-1",
    ending="blocked_output",
    status=200,
    code="content_blocked",
    reason="screen",
    decisions=(DECISION, msgspec.structs.replace(DECISION, score=None, denied=False)),
    released=(records.Released("content/0", 40, 30, "c2"),),
    events=7,
    sent_bytes=321,
    ended=1_700_000_001.0,
    seconds=1.0,
    upstream_seconds=0.5,
    first_byte_seconds=None,
    prompt_tokens=12,
)
PART = records.Part(time=1_700_000_000.5, monotonic=6.0, id="request-1", channel="content/0", start=0, chars=30)
RECOVERED = records.Recovered(time=1_700_000_002.0, monotonic=0.5, what="open_intent", id="request-1", ending="error")


def shown(record: records.Record, *texts: str, lost: str = "", sequence: int = 1) -> Shown:
    return Shown(Entry("w1", "seg", sequence, record), tuple(Text(f"t{n}", text) for n, text in enumerate(texts)), lost)


def rows(folder: Path, what: str = "*") -> list[dict[str, Any]]:
    """The rows as JSON, in which a moment is words and an infinite number too."""
    said = f"set timezone = 'UTC'; select to_json(row) from (select {what} from '{folder}/*.parquet') row"  # noqa: S608 - the test's own
    return [json.loads(found) for (found,) in duckdb.connect().execute(said).fetchall()]


def written(folder: Path, *exchanges: Sequence[Shown], file_bytes: int = 1 << 20) -> list[Path]:
    folder.mkdir(exist_ok=True)
    return list(parquet_files(folder, exchanges, file_bytes))


def test_a_row_has_every_field_of_the_records_in_its_own_type(tmp_path: Path) -> None:
    written(tmp_path / "out", [shown(INTENT), shown(PART, sequence=2), shown(OUTCOME, sequence=3)])
    (row,) = rows(tmp_path / "out")
    assert row["time"] == "2023-11-14 22:13:20.25+00"
    assert (row["id"], row["asl"], row["streamed"], row["monotonic"]) == ("request-1", 3, True, 5.5)
    assert (row["capabilities"], row["audience"], row["writer"], row["sequence"]) == (["tools"], "", "w1", 1)
    assert row["passages"] == [msgspec.structs.asdict(each) for each in INTENT.passages]
    assert row["outcome"]["decisions"] == [
        {**msgspec.structs.asdict(each), "also": list(each.also)} for each in OUTCOME.decisions
    ]
    assert row["outcome"]["released"] == [msgspec.structs.asdict(OUTCOME.released[0])]
    assert (row["outcome"]["first_byte_seconds"], row["outcome"]["prompt_tokens"]) == (None, 12)
    assert [(part["start"], part["chars"], part["sequence"]) for part in row["parts"]] == [(0, 30, 2)]
    assert (row["recovered"], row["superseded"], row["texts"], row["lost"]) == ([], [], [], "")
    for kind, found in ((records.Intent, row), (records.Outcome, row["outcome"]), (records.Part, row["parts"][0])):
        assert set(kind.__struct_fields__) <= set(found)


def test_an_exchange_without_an_end_has_a_null_outcome(tmp_path: Path) -> None:
    written(tmp_path / "out", [shown(INTENT), shown(RECOVERED)])
    (row,) = rows(tmp_path / "out")
    assert (row["outcome"], [each["what"] for each in row["recovered"]]) == (None, ["open_intent"])


def test_the_last_outcome_counts_and_those_it_set_right_are_there_too(tmp_path: Path) -> None:
    later = msgspec.structs.replace(OUTCOME, status=503)
    written(tmp_path / "out", [shown(INTENT), shown(OUTCOME), shown(later)])
    (row,) = rows(tmp_path / "out")
    assert (row["outcome"]["status"], [each["status"] for each in row["superseded"]]) == (503, [200])


def test_columns_can_be_asked_for_as_columns(tmp_path: Path) -> None:
    written(tmp_path / "out", [shown(INTENT), shown(OUTCOME)], [shown(msgspec.structs.replace(INTENT, model="other"))])
    said = "model, outcome.ending as ending, list_max([d.score for d in outcome.decisions]) as score"
    assert rows(tmp_path / "out", said) == [
        {"model": "demo", "ending": "blocked_output", "score": 0.9},
        {"model": "other", "ending": None, "score": None},
    ]


def test_nothing_to_export_is_a_file_with_all_columns_and_no_row(tmp_path: Path) -> None:
    (path,) = written(tmp_path / "out")
    assert rows(tmp_path / "out") == []
    types = {
        name: kind
        for name, kind, *_ in duckdb.connect().execute("describe from read_parquet(?)", [str(path)]).fetchall()
    }
    assert set(records.Intent.__struct_fields__) < set(types)
    assert (types["time"], types["asl"], types["streamed"]) == ("TIMESTAMP WITH TIME ZONE", "BIGINT", "BOOLEAN")
    assert (types["monotonic"], types["capabilities"]) == ("DOUBLE", "VARCHAR[]")


def test_a_large_export_is_several_files_and_the_manifest_has_each(tmp_path: Path) -> None:
    exchanges = [[shown(msgspec.structs.replace(INTENT, id=f"request-{n}"), "x" * 3000)] for n in range(10)]

    def small(directory: Path, given: Any) -> Iterator[Path]:
        return parquet_files(directory, given, file_bytes=10_000)

    export(tmp_path / "out", PURPOSE, exchanges, Tally(), small)
    paths = sorted((tmp_path / "out").glob("*.parquet"))
    assert [path.name for path in paths] == [f"exchanges-{n:05}.parquet" for n in (1, 2, 3, 4)]
    assert {stat.S_IMODE(path.stat().st_mode) for path in paths} == {0o600}
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert [each["name"] for each in manifest["files"]] == [path.name for path in paths]
    assert [each["bytes"] for each in manifest["files"]] == [path.stat().st_size for path in paths]
    assert [row["id"] for row in rows(tmp_path / "out", "id")] == [f"request-{n}" for n in range(10)]


@pytest.mark.parametrize(
    "problem", [OSError(5, "Input/output error"), ContentError("a damaged key"), KeyboardInterrupt()]
)
def test_what_goes_wrong_while_reading_is_told_as_it_was_and_leaves_no_manifest(
    tmp_path: Path, problem: BaseException
) -> None:
    def broken() -> Iterator[list[Shown]]:
        for _ in range(3):
            yield [shown(INTENT, "x" * 9_000_000)]
        raise problem

    with pytest.raises(type(problem)) as found:
        export(tmp_path / "out", PURPOSE, broken(), Tally(), parquet_files)
    assert found.value is problem
    assert not (tmp_path / "out" / "manifest.json").exists()


def test_what_columns_cannot_hold_is_the_nearest_that_they_can(tmp_path: Path) -> None:
    intent = msgspec.structs.replace(INTENT, time=math.inf, received=1e300)
    huge = msgspec.structs.replace(OUTCOME, prompt_tokens=2**70, completion_tokens=-(2**70), seconds=math.inf)
    written(tmp_path / "out", [shown(intent, "a\ud800b"), shown(huge)])
    (row,) = rows(tmp_path / "out")
    assert (row["time"], row["received"], row["texts"][0]["text"]) == (None, None, "a\N{REPLACEMENT CHARACTER}b")
    assert row["outcome"]["prompt_tokens"] == 2**63 - 1
    assert row["outcome"]["completion_tokens"] == -(2**63 - 1)
    assert math.isinf(float(row["outcome"]["seconds"]))


WORDS = st.text(st.characters(codec="utf-8"), max_size=20)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(WORDS, max_size=3), max_size=6), st.integers(1, 5000))
def test_texts_come_back_as_they_were_however_the_files_are_cut(
    tmp_path_factory: pytest.TempPathFactory, given_texts: list[list[str]], file_bytes: int
) -> None:
    folder = tmp_path_factory.mktemp("out")
    written(folder, *([shown(INTENT, *texts)] for texts in given_texts), file_bytes=file_bytes)
    found = [[one["text"] for one in row["texts"]] for row in rows(folder, "texts")]
    assert found == given_texts


def test_both_forms_hold_the_same(tmp_path: Path) -> None:
    exchange = [shown(INTENT, lost="its key is gone"), shown(PART, "FORBIDDEN-MARKER"), shown(OUTCOME)]
    written(tmp_path / "columns", exchange)
    (tmp_path / "lines").mkdir()
    list(json_lines(tmp_path / "lines", [exchange]))
    intent, part, outcome = map(json.loads, (tmp_path / "lines" / RECORDS).read_text().splitlines())
    (row,) = rows(tmp_path / "columns")
    assert (row["lost"], row["policy"], row["id"]) == (intent["lost"], intent["policy"], intent["id"])
    assert row["parts"][0]["texts"] == part["texts"]
    assert row["outcome"]["released"][0]["commitment"] == outcome["released"][0]["commitment"]
