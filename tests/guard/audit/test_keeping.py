"""Keeping: which texts lie where for how long, through the ledger that everybody uses, and what a failing disk does.

One file, because all of it asks one ledger over days that pass.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from guard.audit import records
from guard.audit.contents import Contents
from guard.audit.keys import DataKeys, KeyFolder
from guard.audit.ledger import Ledger, Limits
from guard.audit.read import Entry, find, iter_records
from guard.audit.wrapping import Investigator, KeyUnavailableError
from safeguards.decision import Decision, Ending, Outcome, Released, Target, Unavailable
from safeguards.exchange import Channel, ChannelId, ChannelKind
from safeguards.verdict import Code
from tests.guard.audit.fakes import (
    KEEP,
    KEK,
    Clock,
    FaultyDisk,
    contents,
    data_keys,
    exchange,
    kept,
    sealed_files,
    until,
)
from tests.guard.audit.fakes import outcome as flagged_outcome

QUIET = Limits(interval=30.0)
CONTENT = ChannelId(0, ChannelKind.CONTENT)


def opened(audit: Path, clock: Clock | None = None, disk: FaultyDisk | None = None) -> Ledger:
    return Ledger.open(audit / "w1", clock or Clock(), disk=disk, limits=QUIET, keys=data_keys(audit))


def served(text: str, withheld: str = "") -> Outcome:
    released = Released(CONTENT, len(text) + len(withheld), len(text), text, withheld)
    return replace(flagged_outcome(), decisions=(), ending=Ending.SERVED, code=None, released=(released,))


def fresh(*texts: str) -> Channel:
    channel = Channel(CONTENT)
    for text in texts:
        channel.settle()
        channel.append(text)
    return channel


def shown(audit: Path) -> list[list[str]]:
    return [[one.text for one in texts] for texts in kept(audit)]


def test_prompt_and_answer_are_kept_without_parts(tmp_path: Path) -> None:
    log = opened(tmp_path)
    log.intent(exchange("r1", "asked", passages=2), durable=False, keep=KEEP)
    log.outcome(exchange("r1"), served("answered", " and not sent"), durable=False)
    log.close()
    assert shown(tmp_path) == [["asked", "asked"], ["answered"]]
    found = find(tmp_path, "r1")
    assert found.outcome is not None
    assert found.outcome.body.startswith("content-30/2023-11-14/")
    assert found.outcome.flagged == ""


def test_what_the_parts_hold_is_not_kept_twice(tmp_path: Path) -> None:
    log = opened(tmp_path)
    log.intent(exchange("r1", "asked"), durable=False, keep=KEEP)
    log.part(exchange("r1"), fresh("ans"))
    log.part(exchange("r1"), fresh("ans", "wered"))
    log.outcome(exchange("r1"), served("answered"), durable=False)
    log.close()
    assert shown(tmp_path) == [["asked"], ["ans"], ["wered"]]
    found = find(tmp_path, "r1")
    assert found.outcome is not None
    assert found.outcome.body == found.outcome.released[0].commitment == ""
    assert len(found.outcome.released[0].match) == 32


def test_what_a_part_missed_is_kept_with_the_outcome(tmp_path: Path) -> None:
    disk, clock = FaultyDisk(), Clock()
    log = opened(tmp_path, clock, disk)
    log.intent(exchange("r1", "asked"), durable=False, keep=KEEP)
    log.part(exchange("r1"), fresh("ans"))
    disk.write_error = OSError(5, "Input/output error")
    with pytest.raises(Unavailable, match="bodies: Input/output error"):
        log.part(exchange("r1"), fresh("ans", "wered"))
    disk.write_error = None
    clock.pass_(2.0)
    log.outcome(exchange("r1"), served("answered"), durable=False)
    log.close()
    assert shown(tmp_path)[-1] == ["answered"]


class DyingDisk(FaultyDisk):
    """Once ``during`` is set, the next write runs it after the bytes are in the file."""

    during: Callable[[], None] | None = None

    def write(self, descriptor: int, data: bytes | memoryview) -> int:
        """As `Disk.write`."""
        done = super().write(descriptor, data)
        during, self.during = self.during, None
        if during is not None:
            during()
        return done


@pytest.mark.parametrize(
    "write",
    [
        lambda log: log.intent(exchange("r2", "asked"), durable=False, keep=KEEP),
        lambda log: log.part(exchange("r1"), fresh("ans")),
        lambda log: log.outcome(exchange("r1"), served("answered"), durable=False),
    ],
    ids=["intent", "part", "outcome"],
)
def test_no_leaf_refers_to_a_text_whose_sync_failed_before_the_leaf_was_written(
    tmp_path: Path, write: Callable[[Ledger], object]
) -> None:
    disk, clock = DyingDisk(), Clock()
    log = opened(tmp_path, clock, disk)
    log.intent(exchange("r1", "before"), durable=False, keep=KEEP)

    def fail() -> None:
        disk.sync_error = OSError(5, "Input/output error")
        log._commits.wake()
        until(lambda: bool(log._segment.dead))
        disk.sync_error = None

    disk.during = fail
    with pytest.raises(Unavailable, match="Input/output error"):
        write(log)
    log.close()
    assert shown(tmp_path) == [["before"]]


def test_what_a_classifier_objected_to_is_kept_whole_and_longer(tmp_path: Path) -> None:
    log = opened(tmp_path)
    asked = exchange("r1", "asked", passages=2)
    log.intent(asked, durable=False, keep=KEEP)
    ended = replace(flagged_outcome(), released=(Released(CONTENT, 12, 5, "so fa", "r and bad"),))
    log.outcome(asked, ended, durable=False)
    log.close()
    outcome = find(tmp_path, "r1").outcome
    assert outcome is not None
    assert outcome.flagged.startswith("flagged-730/2023-11-14/")
    reader = Contents(tmp_path, KeyFolder(tmp_path.parent / "content-keys"), KEK)
    assert [(one.place, one.text) for one in reader.flagged("w1", outcome)] == [
        ("messages[0].content", "asked"),
        ("messages[1].content", "asked"),
        ("content[0]", "so far and bad"),
    ]


@pytest.mark.parametrize(
    ("code", "denied", "whole"),
    [(Code.CONTENT_BLOCKED, True, True), (Code.CONTENT_BLOCKED, False, False), (Code.RATE_LIMITED, True, False)],
)
def test_only_an_objection_to_the_text_flags_it_also_in_shadow(
    tmp_path: Path, code: Code, denied: bool, whole: bool
) -> None:
    log = opened(tmp_path)
    log.intent(exchange("r1"), durable=False, keep=KEEP)
    decision = Decision("x", Target.INPUT, enforced=False, denied=denied, blocked=False, seconds=0.0, code=code)
    log.outcome(exchange("r1"), replace(served("yes"), decisions=(decision,)), durable=False)
    log.close()
    outcome = find(tmp_path, "r1").outcome
    assert outcome is not None
    assert (outcome.flagged != "") == whole


def test_every_request_lies_under_the_day_of_its_intent_and_a_new_day_has_new_keys(tmp_path: Path) -> None:
    clock = Clock(1_700_005_000.0)  # the evening of 14 November 2023, 23:36:40
    log = opened(tmp_path, clock)
    log.intent(exchange("r1"), durable=False, keep=KEEP)
    clock.pass_(3600.0)
    log.tend()
    log.part(exchange("r1"), fresh("late"))
    log.intent(exchange("r2"), durable=False, keep=KEEP)
    log.close()
    leaves = [one for one in contents(tmp_path) if isinstance(one, records.Intent | records.Part)]
    assert [leaf.body.split("/")[1] for leaf in leaves] == ["2023-11-14", "2023-11-14", "2023-11-15"]
    assert shown(tmp_path) == [["hello"], ["late"], ["hello"]]


def test_a_host_with_an_investigator_cannot_read_yesterday_and_goes_on_today(tmp_path: Path) -> None:
    private = X25519PrivateKey.generate()
    folder = KeyFolder(tmp_path / "keys")
    clock = Clock(1_700_005_000.0)
    log = Ledger.open(tmp_path / "audit" / "w1", clock, limits=QUIET, keys=DataKeys(folder, KEK, private.public_key()))
    log.intent(exchange("r1", "yesterday"), durable=False, keep=KEEP)
    clock.pass_(3600.0)
    log.tend()
    log.intent(exchange("r2", "today"), durable=False, keep=KEEP)
    log.close()
    entries = [one for one in iter_records(tmp_path / "audit") if isinstance(one, Entry)]
    old, new = (one for one in entries if isinstance(one.record, records.Intent))
    host = Contents(tmp_path / "audit", folder, KEK)
    assert host.texts("w1", new.record)[0].text == "today"
    with pytest.raises(Exception, match="its day is over: only the investigator's private key opens it"):
        host.texts("w1", old.record)
    away = Contents(tmp_path / "audit", folder, Investigator(private))
    assert [away.texts("w1", one.record)[0].text for one in (old, new)] == ["yesterday", "today"]


def test_without_a_key_a_request_whose_texts_must_be_kept_is_refused(tmp_path: Path) -> None:
    log = Ledger.open(tmp_path / "w1", Clock(), limits=QUIET)
    with pytest.raises(Unavailable, match="bodies: a data key: there is no key to keep texts with"):
        log.intent(exchange("r1"), durable=False, keep=KEEP)
    log.close()
    assert not [one for one in contents(tmp_path) if isinstance(one, records.Intent)]


def test_keys_that_cannot_be_had_refuse_requests_and_say_why_without_a_text(tmp_path: Path) -> None:
    (tmp_path / "content-keys").write_text("in the way")
    log = Ledger.open(tmp_path / "audit" / "w1", Clock(), limits=QUIET, keys=data_keys(tmp_path / "audit"))
    with pytest.raises(Unavailable) as refused:
        log.intent(exchange("r1", "SECRET"), durable=False, keep=KEEP)
    assert "bodies: " in refused.value.reason
    assert "SECRET" not in refused.value.reason
    log.close()


def test_a_body_is_on_the_disk_before_its_leaf(tmp_path: Path) -> None:
    order: list[str] = []

    class Ordered(FaultyDisk):
        """A disk that remembers which file was synced."""

        def __init__(self) -> None:
            """Begin."""
            super().__init__()
            self.names: dict[int, str] = {}

        def create(self, path: Path) -> int:
            """As `Disk.create`."""
            descriptor = super().create(path)
            self.names[descriptor] = "body" if "bodies" in path.parts else "leaf"
            return descriptor

        def fdatasync(self, descriptor: int) -> None:
            """As `Disk.fdatasync`."""
            super().fdatasync(descriptor)
            order.append(self.names[descriptor])

    async def journey() -> None:
        log = opened(tmp_path, disk=Ordered())
        order.clear()
        waiting = log.intent(exchange("r1"), durable=True, keep=KEEP)
        assert waiting is not None
        await waiting
        log.close()

    asyncio.run(journey())
    assert order == ["body", "leaf"]


def test_a_body_that_cannot_be_synced_fails_its_leaf_and_the_log_goes_on(tmp_path: Path) -> None:
    class BodyFails(FaultyDisk):
        """A disk on which only bodies cannot be synced."""

        def __init__(self) -> None:
            """Begin."""
            super().__init__()
            self.bodies: set[int] = set()
            self.fails = True

        def create(self, path: Path) -> int:
            """As `Disk.create`."""
            descriptor = super().create(path)
            (self.bodies.add if "bodies" in path.parts else self.bodies.discard)(descriptor)
            return descriptor

        def fdatasync(self, descriptor: int) -> None:
            """As `Disk.fdatasync`."""
            if self.fails and descriptor in self.bodies:
                raise OSError(5, "Input/output error")
            super().fdatasync(descriptor)

    async def journey() -> None:
        disk, clock = BodyFails(), Clock()
        log = opened(tmp_path, clock, disk)
        waiting = log.intent(exchange("lost"), durable=True, keep=KEEP)
        assert waiting is not None
        with pytest.raises(Unavailable, match="Input/output error"):
            await waiting
        with pytest.raises(Unavailable):
            log.intent(exchange("too early"), durable=True, keep=KEEP)
        disk.fails = False
        clock.pass_(2.0)
        waiting = log.intent(exchange("kept"), durable=True, keep=KEEP)
        assert waiting is not None
        await waiting
        log.close()

    asyncio.run(journey())
    doubtful = [one for one in contents(tmp_path) if isinstance(one, records.Recovered)]
    assert [(one.what, one.reason, one.first, one.last) for one in doubtful] == [
        ("failed_segment", "Input/output error", 2, 2)
    ]
    assert len(sealed_files(tmp_path)) == 2


def test_a_comment_is_kept_as_long_as_a_flagged_exchange(tmp_path: Path) -> None:
    async def journey() -> None:
        log = opened(tmp_path)
        await log.report(who="app", owner="a team", subject="r1", category="cyber", comment="it told me", keep=KEEP)
        log.close()

    asyncio.run(journey())
    control = next(one for one in contents(tmp_path) if isinstance(one, records.Control))
    assert (control.what, control.reason, control.chars) == ("report", "cyber", 10)
    assert control.body.startswith("flagged-730/")
    assert shown(tmp_path) == [["it told me"]]


def test_a_damaged_key_of_another_day_is_told_and_keeps_nobody_from_being_served(tmp_path: Path) -> None:
    private = X25519PrivateKey.generate()
    folder = KeyFolder(tmp_path / "keys")
    clock = Clock(1_700_005_000.0)
    keys = DataKeys(folder, KEK, private.public_key())
    log = Ledger.open(tmp_path / "audit" / "w1", clock, limits=QUIET, keys=keys)
    log.intent(exchange("r1"), durable=False, keep=KEEP)
    folder.paths("2023-11-14")[0].write_bytes(b"damaged")
    clock.pass_(3600.0)
    with pytest.raises(Unavailable, match="damaged"):
        log.tend()
    assert log.intent(exchange("r2"), durable=False, keep=KEEP) is None
    with pytest.raises(KeyUnavailableError):
        keys.turn("2023-11-15")
    log.close()
