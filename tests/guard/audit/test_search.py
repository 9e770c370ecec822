"""Search: exactly the exchanges that are wanted, by what is on record, or by a text that somebody knows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.audit import records, search
from guard.audit.contents import Contents
from guard.audit.indexing import index_sealed
from guard.audit.keys import KeyFolder
from guard.audit.ledger import Ledger, Limits
from guard.audit.read import Damage, Entry, Item, iter_records
from guard.audit.search import Exchanged, KnownText, Wanted, exchanges
from guard.audit.segments import SegmentReader, listing
from guard.audit.wrapping import Kek
from safeguards.decision import Ending
from safeguards.exchange import Channel, ChannelId, ChannelKind
from tests.guard.audit.fakes import KEEP, KEK, Clock, exchange, outcome, quiet_ledger


@pytest.fixture
def audit(tmp_path: Path) -> Path:
    """Three exchanges an hour apart: one served, one flagged and of another model and owner, one without an end."""
    clock = Clock()
    log = quiet_ledger(tmp_path / "audit", clock)
    first = exchange("r1", "what is the way to the sea")
    log.intent(first, durable=False, keep=KEEP)
    channel = Channel(ChannelId(0, ChannelKind.CONTENT))
    channel.append("down")
    log.part(first, channel)
    log.outcome(first, replace(outcome("down the road"), decisions=(), ending=Ending.SERVED, code=None), durable=False)
    clock.pass_(3600.0)
    second = replace(exchange("r2", "hello"), model="other", caller=replace(first.caller, owner="another team"))
    log.intent(second, durable=False, keep=KEEP)
    log.outcome(second, outcome("world"), durable=False)
    clock.pass_(3600.0)
    log.intent(exchange("r3", "hello"), durable=False, keep=KEEP)
    log.close()
    return tmp_path / "audit"


def found(audit: Path, wanted: Wanted, text: KnownText | None = None) -> list[str]:
    hits = [hit for hit in exchanges(iter_records(audit), wanted, text) if isinstance(hit, Exchanged)]
    return [hit.intent.record.id for hit in hits if isinstance(hit.intent.record, records.Intent)]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (Wanted(), ["r1", "r2", "r3"]),
        (Wanted(id="r2"), ["r2"]),
        (Wanted(model="demo"), ["r1", "r3"]),
        (Wanted(owner="another team"), ["r2"]),
        (Wanted(key="key-1", tier="trusted"), ["r1", "r2", "r3"]),
        (Wanted(tier="none"), []),
        (Wanted(since=1_700_003_600.0), ["r2", "r3"]),
        (Wanted(until=1_700_003_600.0), ["r1"]),
        (Wanted(ending="served"), ["r1"]),
        (Wanted(ending="blocked_output", code="content_blocked"), ["r2"]),
        (Wanted(code="stopped"), []),
        (Wanted(category="cbrn"), ["r2"]),
        (Wanted(category="cyber"), []),
        (Wanted(safeguard="rules", rule="r7"), ["r2"]),
        (Wanted(safeguard="access"), []),
        (Wanted(model="demo", category="cbrn"), []),
        (Wanted(score=0.91, category="cbrn"), ["r2"]),
        (Wanted(score=0.0), ["r2"]),
        (Wanted(score=0.92), []),
    ],
)
def test_what_is_wanted_is_found_and_nothing_else(audit: Path, wanted: Wanted, expected: list[str]) -> None:
    assert found(audit, wanted) == expected


def known(audit: Path, text: str, kek: Kek = KEK) -> KnownText:
    return KnownText(text, Contents(audit, KeyFolder(audit.parent / "content-keys"), kek))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("hello", ["r2", "r3"]),
        ("what is the way to the sea", ["r1"]),
        ("down the road", ["r1"]),
        ("world", ["r2"]),
        ("what is the way", []),
        ("", []),
    ],
)
def test_a_known_text_is_found_as_a_whole_in_prompts_and_answers(audit: Path, text: str, expected: list[str]) -> None:
    assert found(audit, Wanted(), known(audit, text)) == expected


def test_a_known_text_is_found_no_more_once_its_key_is_destroyed_or_another(audit: Path) -> None:
    assert found(audit, Wanted(), known(audit, "hello", Kek("99" * 32))) == []
    folder = KeyFolder(audit.parent / "content-keys")
    for stored in list(folder.of("2023-11-14")):
        if stored.file.owner == "another team":
            folder.destroy(stored)
    assert found(audit, Wanted(), known(audit, "hello")) == ["r3"]


def test_parts_are_given_along_only_when_asked_for(audit: Path) -> None:
    for whole in (True, False):
        (hit,) = exchanges(iter_records(audit), Wanted(id="r1"), whole=whole)
        assert isinstance(hit, Exchanged)
        assert len(hit.rest) == whole
        assert hit.outcome is not None


def test_damage_is_given_along_and_progress_is_told(audit: Path) -> None:
    path = listing(audit / "w1")[0]
    raw = bytearray(path.read_bytes())
    raw[-20] ^= 0xFF
    path.write_bytes(raw)
    counts: list[int] = []
    hits = list(exchanges(iter_records(audit), Wanted(), passed=counts.append))
    assert [type(hit) for hit in hits] == [Damage, Exchanged, Exchanged]
    assert counts == list(range(1, len(list(iter_records(audit))) + 1))


@pytest.mark.parametrize("settled", [1, 100])
def test_an_outcome_that_was_set_right_counts_as_it_was_set_right(
    audit: Path, monkeypatch: pytest.MonkeyPatch, settled: int
) -> None:
    monkeypatch.setattr(search, "SETTLED", settled)
    log = quiet_ledger(audit)
    asked = exchange("r4")
    log.intent(asked, durable=False, keep=None)
    log.outcome(asked, replace(outcome(), ending=Ending.SERVED), durable=False)
    log.outcome(asked, replace(outcome(), ending=Ending.CALLER_GONE), durable=False)
    log.close()
    assert found(audit, Wanted(id="r4", ending="caller_gone")) == ["r4"]
    assert found(audit, Wanted(id="r4", ending="served")) == []


def test_more_open_exchanges_than_the_bound_are_an_error(audit: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "MAX_OPEN", 0)
    with pytest.raises(MemoryError, match="without an end"):
        found(audit, Wanted())


@given(st.lists(st.tuples(st.sampled_from(["intent", "outcome", "part"]), st.sampled_from("abc")), max_size=12))
def test_no_order_of_records_confuses_it(written: list[tuple[str, str]]) -> None:
    items: list[Item] = []
    for kind, one in written:
        record: records.Record
        if kind == "intent":
            record = records.Intent(
                1.0, 0.0, one, 0.0, "k", "o", "t", "m", 1, "s", "d", "c", streamed=False, policy="", passages=()
            )
        elif kind == "part":
            record = records.Part(1.0, 0.0, one, "content[0]", 0, 1)
        else:
            record = records.Outcome(1.0, 0.0, one, "served", 200, None, "", (), (), 0, 0, 0.0, 0.0, 0.0, None)
        items.append(Entry("w", "s", len(items), record))
    for hit in exchanges(items, Wanted(), whole=True):
        assert isinstance(hit, Exchanged)
        ids = {
            item.record.id for item in (hit.intent, *hit.rest) if isinstance(item.record, records.Intent | records.Part)
        }
        assert len(ids) == 1


def many_days(audit: Path) -> None:
    """Sixty exchanges over many segments: an hour apart, of two models and three owners, a few cut off or corrected."""
    clock = Clock()
    log = Ledger.open(audit / "w1", clock, limits=Limits(segment=700, interval=30.0))
    for number in range(60):
        if number == 30:
            log.close()  # what ran then was cut off
            log = Ledger.open(audit / "w1", clock, limits=Limits(segment=700, interval=30.0))
        clock.pass_(-7200.0 if number == 40 else 3600.0)
        one = exchange(f"r{number}")
        owner = f"team {number // 20}"
        one = replace(one, model="rare" if number in {7, 45} else "demo", caller=replace(one.caller, owner=owner))
        log.intent(one, durable=False, keep=None)
        if number not in {13, 28}:
            log.outcome(one, outcome(), durable=False)
        if number % 10 == 0:
            log.outcome(one, replace(outcome(), ending=Ending.CALLER_GONE), durable=False)
    log.close()


TIMES = st.sampled_from([float("-inf"), float("inf"), *(1_700_000_000.0 + 3600.0 * hour for hour in range(0, 62, 3))])


@pytest.fixture(scope="module")
def days(tmp_path_factory: pytest.TempPathFactory) -> Path:
    audit = tmp_path_factory.mktemp("days")
    many_days(audit)
    for segment in listing(audit / "w1")[:-1]:
        index_sealed(segment)
    return audit


@settings(deadline=None)
@given(
    wanted=st.builds(
        Wanted,
        since=TIMES,
        until=TIMES,
        model=st.sampled_from(["", "demo", "rare", "none"]),
        owner=st.sampled_from(["", "team 0", "team 1", "nobody"]),
        ending=st.sampled_from(["", "caller_gone"]),
    ),
    whole=st.booleans(),
)
def test_what_is_skipped_is_nothing_that_is_wanted(wanted: Wanted, whole: bool, days: Path) -> None:
    everything = list(exchanges(iter_records(days), wanted, whole=whole))
    assert list(search.found(days, wanted, whole=whole)) == everything


@pytest.mark.parametrize(
    ("wanted", "most"),
    [
        (Wanted(model="none"), 1),
        (Wanted(since=1e12), 1),
        (Wanted(until=1_700_000_000.0), 1),
        (Wanted(owner="team 2"), 12),
        (Wanted(id="r7"), 0),
        (Wanted(), 99),
    ],
)
def test_segments_that_cannot_matter_are_not_read(
    wanted: Wanted, most: int, days: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = []

    class Counting(SegmentReader):
        def __init__(self, path: Path, begin: int = 0, first: int = 0, *, passing: bool = False) -> None:
            super().__init__(path, begin, first, passing=passing)
            if begin == 0:
                begun.append(path)

    monkeypatch.setattr("guard.audit.read.SegmentReader", Counting)
    list(search.found(days, wanted))
    count = len(listing(days / "w1"))
    assert count > 20
    assert len(begun) <= most
    assert len(begun) == count or most < count


def test_one_exchange_is_found_by_its_id_with_all_of_it(days: Path) -> None:
    (hit,) = search.found(days, Wanted(id="r20"), whole=True)
    assert isinstance(hit, Exchanged)
    assert hit.outcome is not None
    assert [type(one.record).__name__ for one in (hit.intent, *hit.rest, hit.outcome)] == [
        "Intent",
        "Outcome",
        "Outcome",
    ]
    assert list(search.found(days, Wanted(id="r20", model="rare"))) == []
