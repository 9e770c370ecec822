"""What is asked, what is answered and how it ended is written as the settings say, or it does not go on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import replace
from typing import Any

import pytest

from safeguards.decision import Ending, Failure, Outcome, Unavailable
from safeguards.exchange import Channel, Exchange
from safeguards.ports import Keep
from safeguards.request_log import LogSettings, RequestLog
from safeguards.verdict import PASS, Block, Cleared, Code
from tests.safeguards.exchanges import content, exchange

KEEP = Keep(30, 730)
OUTCOME = Outcome(
    ending=Ending.SERVED,
    status=200,
    code=None,
    reason="",
    decisions=(),
    released=(),
    events=0,
    sent_bytes=0,
    ended=0.0,
    seconds=0.0,
    upstream_seconds=0.0,
    first_byte_seconds=None,
)


class Log:
    """Remembers what is written; waits only where durability is asked for."""

    def __init__(self, *, full: bool = False) -> None:
        """Begin; ``full`` makes every write fail."""
        self.full = full
        self.written: list[tuple[Any, ...]] = []
        self.synced = 0
        self.patience = -1.0

    def intent(
        self, exchange: Exchange, *, durable: bool, keep: Keep | None, patience: float = 0.0
    ) -> Awaitable[None] | None:
        """Write."""
        self.patience = patience
        return self._write("intent", durable=durable, keep=keep)

    def part(self, exchange: Exchange, channel: Channel, *, durable: bool = False) -> Awaitable[None] | None:
        """Write."""
        return self._write("part", channel.fresh, durable=durable)

    def outcome(self, exchange: Exchange, outcome: Outcome, *, durable: bool) -> Awaitable[None] | None:
        """Write."""
        return self._write("outcome", outcome.ending, durable=durable)

    def _write(self, *record: object, durable: bool = False, keep: Keep | None = None) -> Awaitable[None] | None:
        if self.full:
            raise Unavailable(Failure.CRASH, "the disk is full")
        self.written.append((*record, durable, keep))
        return self._sync() if durable else None

    async def _sync(self) -> None:
        await asyncio.sleep(0)
        self.synced += 1


def mounted(log: Log, *, durable: bool = True, parts: bool = True, keeps: bool = True) -> RequestLog:
    return RequestLog(log, LogSettings(durable=durable, parts=parts, keep=KEEP if keeps else None))


async def admit(safeguard: RequestLog) -> object:
    verdict = safeguard.admit(exchange())
    return await verdict if isinstance(verdict, Awaitable) else verdict


def test_a_durable_intent_passes_only_once_it_is_on_disk() -> None:
    log = Log()
    assert asyncio.run(admit(mounted(log))) is PASS
    assert log.written == [("intent", True, KEEP)]
    assert log.synced == 1


def test_an_intent_that_need_not_be_durable_passes_at_once() -> None:
    log = Log()
    assert mounted(log, durable=False, keeps=False).admit(exchange()) is PASS
    assert log.written == [("intent", False, None)]


@pytest.mark.parametrize(("parts", "text", "written"), [(True, "abc", 1), (True, "", 0), (False, "abc", 0)])
def test_fresh_text_is_written_before_it_is_cleared_where_parts_are_kept(parts: bool, text: str, written: int) -> None:
    log = Log()
    assert mounted(log, parts=parts).watch(exchange(), content(text)) == Cleared(len(text))
    assert log.written == [("part", text, False, None)] * written


def test_fresh_text_that_must_be_on_disk_is_cleared_only_then() -> None:
    async def watched() -> None:
        log = Log()
        safeguard = RequestLog(log, LogSettings(durable=True, parts=True, keep=None, parts_durable=True))
        channel = content("abc")
        verdict = safeguard.watch(exchange(), channel)
        assert isinstance(verdict, Awaitable)
        channel.append("later")
        assert log.synced == 0
        assert await verdict == Cleared(3)
        assert log.written == [("part", "abc", True, None)]
        assert log.synced == 1
        log.full = True
        with pytest.raises(Unavailable, match="the disk is full"):
            safeguard.watch(exchange(), channel)

    asyncio.run(watched())


@pytest.mark.parametrize("durable", [True, False])
def test_the_outcome_is_written_always(durable: bool) -> None:
    log = Log()
    assert mounted(log, durable=durable, parts=False).close(exchange(), OUTCOME) is None
    assert log.written == [("outcome", Ending.SERVED, False, None)]
    assert not log.synced


@pytest.mark.parametrize(("durable", "expected"), [(True, 0.0), (False, 7.0)])
def test_an_outage_is_served_through_only_where_intents_need_not_be_durable(durable: bool, expected: float) -> None:
    log = Log()
    safeguard = RequestLog(log, LogSettings(durable=durable, parts=True, keep=None, patience=7.0))
    assert asyncio.run(admit(safeguard)) is PASS
    assert log.patience == expected


class Behind:
    """Copies that lag by so many seconds, or of which nothing is known."""

    def __init__(self, seconds: float | None) -> None:
        """Take the seconds."""
        self.seconds = seconds

    def lag(self) -> float:
        """As `Copies.lag`."""
        if self.seconds is None:
            raise Unavailable(Failure.UNREACHABLE, "nothing was shipped yet")
        return self.seconds


@pytest.mark.parametrize("durable", [True, False])
@pytest.mark.parametrize(("most", "lag", "passes"), [(None, None, True), (60.0, 60.0, True), (60.0, 60.1, False)])
def test_lagging_copies_turn_away_where_that_is_demanded_and_it_is_on_record(
    durable: bool, most: float | None, lag: float | None, passes: bool
) -> None:
    log = Log()
    safeguard = RequestLog(log, LogSettings(durable, parts=True, keep=None, max_lag=most), Behind(lag))
    verdict = asyncio.run(admit(safeguard))
    assert (verdict is PASS) is passes
    if not passes:
        assert isinstance(verdict, Block)
        assert verdict.code is Code.LOG_UNAVAILABLE
    assert log.written == [("intent", durable, None)]


@pytest.mark.parametrize("durable", [True, False])
@pytest.mark.parametrize("copies", [Behind(None), None])
def test_where_lag_is_bounded_and_not_known_the_log_has_failed(durable: bool, copies: Behind | None) -> None:
    log = Log()
    safeguard = RequestLog(log, LogSettings(durable, parts=True, keep=None, max_lag=60.0), copies)
    with pytest.raises(Unavailable):
        asyncio.run(admit(safeguard))
    assert log.written == [("intent", durable, None)]


def ended(safeguard: RequestLog, *outcomes: Outcome) -> None:
    """The last of an answer is about to leave with the first outcome; it ends with the second."""
    about, after = outcomes

    async def journey() -> None:
        waiting = safeguard.before_last(exchange(), about)
        if waiting is not None:
            await waiting
        safeguard.close(exchange(), after)

    asyncio.run(journey())


def test_an_outcome_that_is_on_disk_already_is_not_written_again() -> None:
    log = Log()
    ended(mounted(log), OUTCOME, replace(OUTCOME, seconds=9.0, ended=9.0))
    assert [record[:3] for record in log.written] == [("outcome", Ending.SERVED, True)]
    assert log.synced == 1


def test_an_outcome_that_came_otherwise_is_added() -> None:
    log = Log()
    ended(mounted(log), OUTCOME, replace(OUTCOME, ending=Ending.CALLER_GONE))
    assert [record[1:3] for record in log.written] == [(Ending.SERVED, True), (Ending.CALLER_GONE, False)]


def test_where_intents_need_not_be_durable_nobody_waits_for_the_outcome() -> None:
    log = Log()
    assert mounted(log, durable=False).before_last(exchange(), OUTCOME) is None
    assert log.written == []


def test_what_cannot_be_written_does_not_pass() -> None:
    safeguard = mounted(Log(full=True))
    with pytest.raises(Unavailable):
        safeguard.admit(exchange())
    with pytest.raises(Unavailable):
        safeguard.watch(exchange(), content("abc"))
    with pytest.raises(Unavailable):
        safeguard.close(exchange(), OUTCOME)
