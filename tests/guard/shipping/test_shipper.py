"""What is under a signed head gets to the store whole, at least once and in order, or it is told."""

from __future__ import annotations

import shutil
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from guard.audit.body_places import FOLDER
from guard.audit.read import Entry, iter_records
from guard.audit.segments import LedgerError, listing
from guard.audit.verify import verify
from guard.shipping.cursor import FOLDER as SHIPPING
from guard.shipping.store import StoreError
from tests.guard.audit.fakes import KEEP, exchange, outcome, quiet_ledger
from tests.guard.audit.sealed_log import Guard, grown, write
from tests.guard.shipping.fakes import MemoryStore, fails, folder, key, shipper

STEPS = ("bodies", "w1/seg", "w1/tile", "fleet/seg", "epochs", "fleet/tile", "checkpoint")


def ids(audit: Path) -> list[tuple[str, int, object]]:
    """Every record, but for where it was cut."""
    found = list(iter_records(audit))
    return sorted(
        ((one.writer, one.sequence, one.record) for one in found if isinstance(one, Entry)), key=lambda each: each[:2]
    )


def database(guard: Guard) -> Path:
    """The cursor's file."""
    (found,) = (guard.state / SHIPPING).glob("cursor-*.sqlite")
    return found


def bodies(log: Path) -> dict[str, bytes]:
    """The segments of bodies, joined from their pieces."""
    found: dict[str, bytes] = {}
    for path in sorted(log.glob(f"*/{FOLDER}/*/*/seg-*.log.*")):
        name = str(path.relative_to(log).with_suffix(""))
        found[name] = found.get(name, b"") + path.read_bytes()
    return found


def texts(guard: Guard, name: str) -> None:
    """Two requests whose texts are kept."""
    ledger = quiet_ledger(guard.audit)
    for number in range(2):
        asked = exchange(f"{name}-{number}", text=f"FORBIDDEN-MARKER {number} " * 20)
        ledger.intent(asked, durable=False, keep=KEEP)
        ledger.outcome(asked, outcome(), durable=False)
    ledger.close()


def test_a_copy_verifies_as_the_log_does_and_holds_the_same_records_and_bodies(tmp_path: Path) -> None:
    guard = grown(tmp_path / "host")
    texts(guard, "kept")
    guard.seal()
    store = MemoryStore()
    assert shipper(guard, store).round() == ()
    copy = store.to(tmp_path / "copy")
    assert copy.name == folder(guard)
    report = verify(copy, key(guard))
    assert report.intact, report.findings
    assert {log.writer: log.signed for log in report.logs} == {
        log.writer: log.signed for log in verify(guard.audit, key(guard)).logs
    }
    assert ids(copy) == ids(guard.audit)
    local = {str(path.relative_to(guard.audit)): path.read_bytes() for path in guard.audit.glob("*/bodies/*/*/*")}
    assert bodies(copy) == local
    assert len(local) >= 2
    assert not [name for name in store.objects if "content-keys" in name or "audit-keys" in name]


def test_it_goes_on_where_it_stood_and_ships_nothing_twice(tmp_path: Path) -> None:
    guard, store = Guard(tmp_path / "host"), MemoryStore()
    for number in range(4):
        write(guard.audit, "worker-0", number * 40, 40)
        texts(guard, f"kept-{number}")
        guard.clock.pass_(1800.0)
        guard.seal()
        assert shipper(guard, store).round() == ()
        assert shipper(guard, store).round() == ()
    assert len(store.puts) == len(set(store.puts))
    assert any("/tile/0/" in name for name in store.puts)
    assert verify(store.to(tmp_path / "copy"), key(guard)).intact
    assert ids(tmp_path / "copy" / folder(guard)) == ids(guard.audit)


def test_what_is_not_under_a_signed_head_is_not_shipped_and_lags(tmp_path: Path) -> None:
    guard, store = Guard(tmp_path / "host"), MemoryStore()
    write(guard.audit, "worker-0", 0, 3)
    guard.seal()
    ship = shipper(guard, store)
    ship.round()
    before = dict(store.objects)
    assert ship.status().shipped_to == guard.clock.now()  # nothing waits
    write(guard.audit, "worker-0", 3, 3)  # at the fake's own time, which stands still
    guard.clock.pass_(500.0)
    ship.round()
    assert store.objects == before
    assert ship.status().shipped_to == 1_700_000_000.0
    guard.seal()
    ship.round()
    assert ship.status().shipped_to == guard.clock.now()
    assert ship.status().records["worker-0"] == len(ids(guard.audit))


@pytest.mark.parametrize("stored", [False, True], ids=["before it is stored", "after"])
def test_dying_at_any_object_ships_all_of_it_the_next_time(tmp_path: Path, stored: bool) -> None:
    guard = grown(tmp_path / "host", rounds=1, requests=6)
    texts(guard, "kept")
    guard.seal()
    whole = MemoryStore()
    shipper(guard, whole).round()

    class Killed(BaseException):
        """What no part of the shipper catches."""

    for number in range(len(whole.puts)):
        shutil.rmtree(guard.state / SHIPPING)
        store, count = MemoryStore(), 0

        def kill(_: str, number: int = number) -> None:
            nonlocal count
            count += 1
            if count > number:
                raise Killed

        setattr(store, "after" if stored else "before", kill)
        with pytest.raises(Killed):
            shipper(guard, store).round()
        store.before = store.after = lambda _: None
        assert shipper(guard, store).round() == ()
        assert store.objects == whole.objects


def test_a_lost_cursor_compares_what_is_there_and_goes_on_although_it_was_cut_otherwise(tmp_path: Path) -> None:
    guard, store = Guard(tmp_path / "host"), MemoryStore()
    for number in range(3):
        write(guard.audit, "worker-0", number * 8, 8)
        texts(guard, f"kept-{number}")
        guard.seal()
        shipper(guard, store).round()
    before = dict(store.objects)
    database(guard).unlink()
    write(guard.audit, "worker-0", 100, 8)
    guard.seal()
    assert shipper(guard, store).round() == ()
    assert before.items() <= store.objects.items()
    copy = store.to(tmp_path / "copy")
    assert verify(copy, key(guard)).intact
    assert ids(copy) == ids(guard.audit)


def test_a_store_that_is_away_ends_the_round_and_what_waits_lags(tmp_path: Path) -> None:
    guard, store = grown(tmp_path / "host"), MemoryStore()
    store.before = fails
    ship = shipper(guard, store)
    guard.clock.pass_(60.0)
    with pytest.raises(StoreError, match="is away"):
        ship.round()
    assert guard.clock.now() - ship.status().shipped_to >= 60.0
    store.before = lambda _: None
    assert ship.round() == ()
    assert ship.status().shipped_to == guard.clock.now()


@pytest.mark.parametrize("where", ["worker-0/seg-", "worker-0/tile/", "w1/bodies/", "fleet/seg-", "epochs."])
def test_other_content_under_a_name_is_told_never_replaced_and_holds_up_no_other_log(
    tmp_path: Path, where: str
) -> None:
    guard, store = Guard(tmp_path / "host"), MemoryStore()
    write(guard.audit, "worker-0", 0, 100)
    write(guard.audit, "worker-1", 0, 8)
    texts(guard, "kept")
    guard.seal()
    whole = MemoryStore()
    shipper(guard, whole).round()
    shutil.rmtree(guard.state / SHIPPING)
    name = next(name for name in sorted(whole.objects) if name.startswith(f"{folder(guard)}/{where}"))
    store.objects[name] = b"something else"
    ship = shipper(guard, store)
    (problem,) = ship.round()
    assert "another object" in problem
    assert name in problem
    assert store.objects[name] == b"something else"
    assert ship.counts.failures == 1
    other = [each for each in whole.objects if "/worker-1/" in each]
    assert set(other) <= set(store.objects)


def test_a_leaf_is_never_there_without_its_body_nor_a_head_without_its_leaves(tmp_path: Path) -> None:
    guard, store = Guard(tmp_path / "host"), MemoryStore()
    texts(guard, "kept")
    guard.seal()

    def away(name: str) -> None:
        if "/bodies/" in name:
            raise StoreError("the store is away")

    store.before = away
    with pytest.raises(StoreError):
        shipper(guard, store).round()
    assert store.objects == {}
    store.before = lambda _: None
    shipper(guard, store).round()
    order = [each.removeprefix(f"{folder(guard)}/") for each in store.puts]
    kinds = [next(kind for kind in STEPS if kind in each) for each in order]
    assert kinds == sorted(kinds, key=STEPS.index)
    assert set(kinds) == set(STEPS)


def test_records_that_vanished_before_they_were_shipped_are_told_once_and_the_rest_goes_on(tmp_path: Path) -> None:
    guard, store = Guard(tmp_path / "host"), MemoryStore()
    write(guard.audit, "worker-0", 0, 4)
    guard.seal()
    ship = shipper(guard, store)
    ship.round()
    for number in range(1, 4):
        write(guard.audit, "worker-0", number * 40, 40)
    guard.seal()
    gone = listing(guard.audit / "worker-0")[3]
    gone.unlink()
    (problem,) = ship.round()
    assert "are gone and were never shipped" in problem
    assert ship.round() == ()
    assert ship.status().shipped_to == guard.clock.now()
    assert len(ids(store.to(tmp_path / "copy"))) == len(ids(guard.audit))


def test_a_newest_head_that_a_power_cut_took_is_no_alarm(tmp_path: Path) -> None:
    guard, store = Guard(tmp_path / "host"), MemoryStore()
    write(guard.audit, "worker-0", 0, 4)
    guard.seal()
    heads = [guard.audit / name / "checkpoint" for name in ("worker-0", "fleet")]
    before = [path.read_bytes() for path in heads]
    write(guard.audit, "worker-0", 4, 4)
    guard.seal()
    shipper(guard, store).round()
    for path, content in zip(heads, before, strict=True):
        path.write_bytes(content)
    assert shipper(guard, store).round() == ()
    write(guard.audit, "worker-0", 8, 4)
    guard.seal()
    assert shipper(guard, store).round() == ()
    assert verify(store.to(tmp_path / "copy"), key(guard)).intact


def test_tiles_go_in_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("guard.shipping.shipper.LEAVES_AT_ONCE", 256)
    guard, store = Guard(tmp_path / "host"), MemoryStore()
    write(guard.audit, "worker-0", 0, 350)
    guard.seal()
    shipper(guard, store).round()
    there = {f"{folder(guard)}/{path.relative_to(guard.audit)}" for path in guard.audit.glob("*/tile/?/???")}
    assert there == {name for name in store.objects if "/tile/" in name and ".p/" not in name}
    assert len(there) >= 4


def test_a_log_that_was_put_back_is_told(tmp_path: Path) -> None:
    guard, store = Guard(tmp_path / "host"), MemoryStore()
    write(guard.audit, "worker-0", 0, 4)
    guard.seal()
    shutil.copytree(guard.audit, tmp_path / "earlier")
    write(guard.audit, "worker-0", 4, 4)
    guard.seal()
    shipper(guard, store).round()
    shutil.rmtree(guard.audit)
    (tmp_path / "earlier").rename(guard.audit)
    problems = shipper(guard, store).round()
    assert [each for each in problems if "worker-0: " in each and "it was put back" in each]


@pytest.mark.parametrize(("days", "until"), [(0, date(2023, 12, 15)), (31, None)], ids=["in time", "after its time"])
def test_texts_are_locked_by_their_class_and_the_rest_as_it_is_said(
    tmp_path: Path, days: int, until: date | None
) -> None:
    guard, store = Guard(tmp_path / "host"), MemoryStore()
    texts(guard, "kept")  # of 2023-11-14
    guard.seal()
    guard.clock.pass_(days * 86_400.0)
    shipper(guard, store, keep_days=400).round()
    assert {keep for name, keep in store.keeps.items() if "/content-30/" in name} == {until}
    today = datetime.fromtimestamp(guard.clock.now(), UTC).date()
    assert {keep for name, keep in store.keeps.items() if "/bodies/" not in name} == {today + timedelta(days=401)}


def test_nothing_there_is_nothing_to_ship_and_a_damaged_cursor_is_told(tmp_path: Path) -> None:
    guard = Guard(tmp_path / "host")
    guard.ring()
    assert shipper(guard, MemoryStore()).round() == ()
    database(guard).write_bytes(b"no database at all, but long enough to be looked at as one" * 20)
    with pytest.raises(LedgerError, match=r"cursor-.*\.sqlite"):
        shipper(guard, MemoryStore())
