"""Every order of this host is told once, with what it did, to whoever hears of such.

One file, because one stand of receivers and orders serves every case.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from guard.admin.switchboard import Obeyed
from guard.notices.receivers import read_receivers
from guard.policy.load import load
from guard.policy.notify import Occasion
from guard.serve.telling import LEASE_SECONDS, OBEYED_SECONDS, Telling
from guard.state.acknowledgements import Ack
from guard.state.issuer import Issuer
from guard.state.merge import Judged, StandingStop, State
from guard.state.orders import Source, StopOrder, issue_resume, issue_rule, issue_stop
from guard.state.rule_text import PushedRule
from guard.state.scope import Scope
from guard.telemetry.logs import JsonLog
from guard.telemetry.meter import Meter
from guard.telemetry.metric import Origin
from safeguards.category import Category
from safeguards.decision import Target
from safeguards.mode import Mode
from tests.parts.configuration import write_configuration
from tests.parts.notice_receiver import Answer, NoticeReceiver
from tests.safeguards.exchanges import StillClock

NOW = 1_780_000_000.0
EVERYTHING = [each.value for each in Occasion]


@dataclass
class Workers:
    """Stands for the switchboard: says which workers have obeyed."""

    obeyed_by: tuple[str, ...] = ("0",)

    def obeyed(self, order: str, expected: tuple[str, ...] = ()) -> Obeyed:
        """By what was set."""
        assert order
        acks = tuple(Ack(worker, 1, 3, NOW) for worker in self.obeyed_by)
        return Obeyed(acks, tuple(sorted(set(expected) - set(self.obeyed_by))))


@dataclass
class Stand:
    """A telling with one receiver of everything."""

    directory: Path
    board: NoticeReceiver
    fleet: bool = False
    workers: Workers = field(default_factory=Workers)
    known: State = field(default_factory=State)
    log: int = 2

    def __post_init__(self) -> None:
        """Write and open all."""
        write_configuration(self.directory)
        self.state = self.directory / "var" / "state"
        self.state.mkdir(parents=True, exist_ok=True)
        (self.directory / "secrets" / "hook").write_text(f"{self.board.url}/services/secret-path\n")
        (self.directory / "secrets" / "hook").chmod(0o600)
        self.receive(EVERYTHING)
        self.clock, self.meter = StillClock(epoch=NOW), Meter(Origin.SUPERVISOR)
        config = load(self.directory)
        self.telling = Telling(
            config,
            read_receivers(config),
            self.workers,  # type: ignore[arg-type]  # all that is asked of it
            self.meter,
            JsonLog(self.clock, self.log),
            self.clock,
        )

    def receive(self, occasions: list[str], name: str = "chat") -> None:
        """Write who is told."""
        guard = json.loads((self.directory / "guard.yaml").read_text())
        guard["notify"] = [{"name": name, "kind": "slack", "credential": {"file": "secrets/hook"}, "on": occasions}]
        if self.fleet:
            guard["fleet"] = {"engine": "folder", "replica": "paris-1", "folder": str(self.directory / "shared")}
        (self.directory / "guard.yaml").write_text(json.dumps(guard))

    def signed(self, stop: StopOrder) -> StopOrder:
        """As this host issues it."""
        return Issuer.open(self.state).signed(stop)

    @property
    def texts(self) -> list[str]:
        """What the receiver was told."""
        return [each.json["text"] for each in self.board.taken]

    def run(self, *steps: Callable[[], Any], expect: int) -> list[str]:
        """Take these steps while it runs, until so many notices were told, and let it end."""

        async def running() -> None:
            self.telling.begin(self.known)
            task = asyncio.ensure_future(self.telling.watch())
            await asyncio.sleep(0)
            for step in steps:
                done = step()
                if isinstance(done, Awaitable):
                    await done
                self.telling.look()
            async with asyncio.timeout(30):
                while len(self.board.taken) < expect:  # noqa: ASYNC110 - they come over a socket
                    await asyncio.sleep(0.01)
            await self.telling.close()
            task.cancel()

        asyncio.run(running())
        assert len(self.board.taken) == expect
        return self.texts

    def count(self, result: str) -> float:
        """How many notices ended so."""
        return self.meter.counters["guard_notices_total", "chat", result]


def stop(number: int = 1, source: Source = Source.CLI, mode: Mode = Mode.STOP, reason: str = "an attack") -> StopOrder:
    scope = Scope.parse("model:demo")
    return issue_stop(scope, reason=reason, who="ana", source=source, now=NOW, entropy=number.to_bytes(10), mode=mode)


def test_a_stop_is_told_with_what_it_cut(tmp_path: Path) -> None:
    with NoticeReceiver() as board:
        stand = Stand(tmp_path, board)
        (text,) = stand.run(lambda: stand.telling.ordered(stand.signed(stop())), expect=1)
    assert ": stop model:demo by ana; reason: an attack; applied on 1/1 workers, 3 answers cut; order 01" in text
    assert stand.count("sent") == 1


def test_a_stop_that_nobody_confirms_is_told_after_a_while(tmp_path: Path) -> None:
    def late() -> None:
        assert board.taken == []
        stand.clock.monotonic += OBEYED_SECONDS

    with NoticeReceiver() as board:
        stand = Stand(tmp_path, board, workers=Workers(()))
        (text,) = stand.run(lambda: stand.telling.ordered(stand.signed(stop())), late, expect=1)
    assert "not every worker has said that it obeys" in text


def test_in_a_fleet_the_host_that_issued_it_tells_it_and_unsigned_everybody_does(tmp_path: Path) -> None:
    foreign = Issuer.open(_made(tmp_path / "other")).signed(stop(2))
    with NoticeReceiver() as board:
        stand = Stand(tmp_path / "one", board, fleet=True)
        orders = [foreign, stand.signed(stop(1)), stop(3)]
        texts = stand.run(*(lambda each=each: stand.telling.ordered(each) for each in orders), expect=2)
    assert all("paris-1" in text for text in texts)
    assert not any(foreign.id in text for text in texts)


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


@pytest.mark.parametrize(("source", "heard"), [(Source.TRIP, 1), (Source.WEBHOOK, 1), (Source.DRILL, 1)])
def test_a_real_stop_is_told_as_one_whatever_its_source_says(source: Source, heard: int, tmp_path: Path) -> None:
    with NoticeReceiver() as board:
        stand = Stand(tmp_path, board)
        stand.receive(["stop"])
        config = load(tmp_path)
        stand.run(
            lambda: stand.telling.take(config, read_receivers(config)),
            lambda: stand.telling.ordered(stand.signed(stop(source=source))),
            expect=heard,
        )


def test_a_resume_is_told_with_what_it_lifts_and_who_approved_it(tmp_path: Path) -> None:
    with NoticeReceiver() as board:
        stand = Stand(tmp_path, board)
        one = stand.signed(stop(mode=Mode.DRAIN))
        resume = issue_resume([one.id], reason="mended", who="ben", source=Source.CLI, now=NOW + 60, entropy=b"r" * 10)
        stand.clock.epoch += 60
        judged = Judged(resume, below=True, people=("ana", "ben"))
        state = State(stops=frozenset({one}), resumes=frozenset({judged}))
        (text,) = stand.run(lambda: stand.telling.resumed(judged, state), expect=1)
    assert ": resume model:demo (drain) by ben; reason: mended; approved by ana, ben; lifts" in text
    assert one.id in text


def test_a_file_that_stops_is_told_when_it_comes_and_when_it_goes(tmp_path: Path) -> None:
    with NoticeReceiver() as board:
        stand = Stand(tmp_path, board)
        file = StandingStop("file:STOP", Scope.parse("all"), "")
        first, second = stand.run(lambda: stand.telling.tripped(file), lambda: stand.telling.removed(file), expect=2)
    assert "stop all by a file; no reason was given" in first
    assert "resume all by a file" in second


def test_a_drill_by_a_file_or_by_an_order_is_told_to_nobody_who_hears_of_stops(tmp_path: Path) -> None:
    scope = Scope.parse("model:guard-selftest")
    with NoticeReceiver() as board:
        stand = Stand(tmp_path, board)
        stand.receive(["stop", "resume"])
        config = load(tmp_path)
        file, order = StandingStop("file:STOP.model.guard-selftest", scope, ""), replace(stop(), scope=scope)
        stand.run(
            lambda: stand.telling.take(config, read_receivers(config)),
            lambda: stand.telling.tripped(file),
            lambda: stand.telling.removed(file),
            lambda: stand.telling.ordered(stand.signed(order)),
            expect=0,
        )


def test_a_resume_of_a_real_stop_is_told_though_it_says_that_it_is_a_drills(tmp_path: Path) -> None:
    with NoticeReceiver() as board:
        stand = Stand(tmp_path, board)
        stand.receive(["resume"])
        config = load(tmp_path)
        one = stand.signed(stop())
        resume = issue_resume([one.id], reason="", who="ben", source=Source.DRILL, now=NOW, entropy=b"r" * 10)
        judged = Judged(resume, below=True)
        state = State(stops=frozenset({one}), resumes=frozenset({judged}))
        (text,) = stand.run(
            lambda: stand.telling.take(config, read_receivers(config)),
            lambda: stand.telling.resumed(judged, state),
            expect=1,
        )
    assert "resume model:demo" in text


def test_a_lease_is_told_when_it_has_been_up_for_some_seconds_and_when_it_is_there_again(tmp_path: Path) -> None:
    with NoticeReceiver() as board:
        stand = Stand(tmp_path, board)

        def passes(levels: tuple[int, ...], seconds: float) -> None:
            stand.telling.lapsed = lambda: levels
            stand.telling.look()
            stand.clock.monotonic += seconds

        lapsed, renewed = stand.run(
            lambda: passes((3,), LEASE_SECONDS / 2),
            lambda: passes((), 1.0),
            lambda: passes((3, 4), LEASE_SECONDS),
            lambda: passes((3, 4), 1.0),
            lambda: passes((), 1.0),
            expect=2,
        )
    assert "ASL-3, ASL-4 refused" in lapsed
    assert "there is proof again" in renewed


def test_what_was_ordered_while_nobody_could_tell_is_told_at_the_next_start_and_only_then(tmp_path: Path) -> None:
    with NoticeReceiver() as board:
        stand = Stand(tmp_path, board)
        old, told, missed = (stand.signed(stop(number)) for number in (1, 2, 3))
        stand.known = State(stops=frozenset({old}))
        stand.run(lambda: stand.telling.ordered(told), expect=1)
        again = Stand(tmp_path, board, known=State(stops=frozenset({old, told, missed})))
        again.run(expect=2)
        once_more = Stand(tmp_path, board, known=again.known)
        texts = once_more.run(expect=2)
    assert [each.id in text for each, text in zip((told, missed), texts, strict=True)] == [True, True]


def test_what_was_found_is_told(tmp_path: Path) -> None:
    with NoticeReceiver() as board:
        stand = Stand(tmp_path, board)
        news = Occasion.MONITORING, "value out of its band", "demo alarm", "guard", "block_rate over 60 s is 1"
        (text,) = stand.run(lambda: stand.telling.found(*news), expect=1)
    assert "value out of its band demo alarm by guard; reason: block_rate over 60 s is 1" in text


def test_what_is_lost_is_counted_and_the_log_holds_nothing_secret(tmp_path: Path) -> None:
    with NoticeReceiver(Answer(403)) as board, (tmp_path / "log").open("wb") as log:
        stand = Stand(tmp_path, board, log=log.fileno())
        stand.run(lambda: stand.telling.ordered(stand.signed(stop())), expect=1)
    assert (stand.count("lost"), stand.count("sent")) == (1, 0)
    said = (tmp_path / "log").read_text()
    (line,) = map(json.loads, said.splitlines())
    assert line["event"] == "notice_failed"
    assert (line["receiver"], line["result"], line["reason"]) == ("chat", "lost", "it answered with status 403")
    assert "secret-path" not in said


def test_a_receiver_that_is_no_longer_there_hears_no_more(tmp_path: Path) -> None:
    with NoticeReceiver() as board:
        stand = Stand(tmp_path, board)

        def change() -> None:
            config = load(tmp_path)
            stand.telling.take(replace(config, guard=config.guard.model_copy(update={"notify": ()})), ())

        stand.run(
            lambda: stand.telling.ordered(stand.signed(stop())),
            change,
            lambda: stand.telling.ordered(stand.signed(stop(2))),
            expect=0,
        )


def test_rules_that_are_pushed_are_told_once_and_without_their_text(tmp_path: Path) -> None:
    scope = Scope.parse("model:demo")
    rules = [PushedRule("r1", Category.OTHER, phrase="FORBIDDEN-MARKER")]
    pushed = issue_rule(
        scope, rules, [Target.INPUT], reason="a wave", who="ana", source=Source.CLI, now=NOW, entropy=b"0" * 10
    )
    with NoticeReceiver() as board:
        stand = Stand(tmp_path, board)
        (text,) = stand.run(*[lambda: stand.telling.pushed(pushed)] * 2, expect=1)
    assert ": rule model:demo by ana; reason: a wave; applied on 1/1 workers" in text
    assert "MARKER" not in text
