"""One attempt after the other, each whole or not at all, and every one of them told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from guard.clock import SystemClock
from guard.policy.acceptance import under_care
from guard.policy.bundle import UnsettledError, stamps
from guard.policy.config import Config
from guard.policy.fingerprint import named
from guard.policy.load import load
from guard.serve import reloading as module
from guard.serve.beginning import Checked, begin
from guard.serve.processes import Standing
from guard.serve.reloading import Desk, Reloading
from guard.state.reloads import Outcome, posted
from guard.state.snapshots import Current, Snapshots
from guard.telemetry.logs import JsonLog
from guard.telemetry.meter import Meter
from guard.telemetry.metric import Origin
from tests.parts.approvals import NobodyApproves
from tests.parts.configuration import ModelSpec, write_configuration


class Spread:
    """Stands for the workers: ready unless the test names a problem."""

    def __init__(self) -> None:
        """All is well."""
        self.problems: tuple[str, ...] = ()
        self.missing: tuple[str, ...] = ()
        self.abandoned: list[str] = []
        self.adopted: list[tuple[str, tuple[str, ...]]] = []
        self.fails = False

    async def prepare(self, _: Standing) -> tuple[str, ...]:
        """As the test says."""
        if self.fails:
            raise RuntimeError("not to be repeated")
        return self.problems

    def abandon(self, standing: Standing) -> None:
        """Remember."""
        self.abandoned.append(standing.digest)

    async def adopt(self, _: Config, standing: Standing, stricter: tuple[str, ...]) -> tuple[tuple[str, ...], int]:
        """Remember; one stream was cut."""
        self.adopted.append((standing.digest, stricter))
        return self.missing, 1


class Stand:
    """A reloading with everything around it in reach."""

    def __init__(self, directory: Path) -> None:
        """Begin with what the files hold."""
        self.directory = directory
        self.state = directory / "var" / "state"
        self.snapshots = Snapshots(self.state)
        beginning = begin(directory, NobodyApproves(), lambda: 7.0)
        config = beginning.checked.config
        self.snapshots.put(config.digest, beginning.bundle.files)
        current = Current(config.digest, 5.0, "start", under_care(config))
        self.snapshots.choose(current)
        self.spread = Spread()
        self.taken: list[str] = []
        self.records: list[tuple[str, str, str, str]] = []
        self.meter = Meter(Origin.SUPERVISOR)
        self.log = (directory / "log").open("wb", buffering=0)
        desk = Desk(self.meter, JsonLog(SystemClock(), self.log.fileno()), self._record, SystemClock())
        spread: Any = self.spread
        self.reloading = Reloading(beginning, current, self.snapshots, spread, NobodyApproves(), desk, self._take)

    async def _record(self, *act: str) -> None:
        self.records.append((act[0], act[1], act[2], act[3]))

    def _take(self, checked: Checked) -> None:
        self.taken.append(checked.config.digest)

    def gauge(self, name: str) -> float:
        """A metric's value."""
        return self.meter.state().gauges[(name,)]

    def count(self, outcome: Outcome) -> float:
        """How many attempts ended so."""
        return self.meter.state().counters["guard_policy_reloads_total", outcome.value]

    def events(self) -> list[str]:
        """The lines of the log, by their names."""
        return [json.loads(line)["event"] for line in (self.directory / "log").read_text().splitlines()]


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    write_configuration(tmp_path, models=[ModelSpec(asl=3)])
    stand = Stand(tmp_path)
    yield stand
    stand.log.close()


def edit(directory: Path, name: str, change: Callable[[Any], Any]) -> None:
    content = json.loads((directory / name).read_text())
    change(content)
    (directory / name).write_text(json.dumps(content))


def more(directory: Path) -> None:
    rule = {"id": "more", "category": "other", "phrase": "more"}
    edit(directory, "rules/test.yaml", lambda rules: rules["rules"].append(rule))


def weaken(directory: Path) -> None:
    edit(directory, "tiers.yaml", lambda tiers: tiers["tiers"]["slow"]["rate"].update(burst=2))


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(work)


def test_what_may_come_into_force_does_and_is_told_everywhere(stand: Stand) -> None:
    before = load(stand.directory).digest
    more(stand.directory)
    after = load(stand.directory).digest
    found = run(stand.reloading.reload("Ada", "INC-7"))
    assert (found.outcome, found.before, found.digest) == (Outcome.IN_FORCE, before, after)
    assert (found.effect, found.changes, found.streams_cut) == ("stronger", 1, 1)
    assert stand.spread.adopted == [(after, ("demo",))]
    assert stand.taken == [after]
    current = stand.snapshots.current()
    assert current is not None
    assert (current.digest, current.who) == (after, "Ada")
    standard = named(load(stand.directory).standard("demo"))
    assert stand.records == [
        ("Ada", "policy in_force", f"{before[:16]} -> {after[:16]}", f"INC-7: 1 change: stronger; under {standard}"),
    ]
    assert stand.events() == ["policy_in_force"]
    assert stand.count(Outcome.IN_FORCE) == 1
    assert stand.gauge("guard_policy_in_force_timestamp_seconds") == current.since
    note = posted(stand.state)
    assert note is not None
    assert (note.count, note.differs, note.last["digest"]) == (1, "", after)


def test_what_is_refused_changes_nothing_and_is_told_once_however_often_it_is_tried(stand: Stand) -> None:
    before = load(stand.directory).digest
    weaken(stand.directory)
    for _ in range(3):
        found = run(stand.reloading.reload("files"))
    assert found.outcome is Outcome.REFUSED
    assert stand.taken == []
    assert stand.spread.adopted == []
    current = stand.snapshots.current()
    assert current is not None
    assert current.digest == before
    assert stand.gauge("guard_policy_disk_differs") == 1.0
    assert stand.count(Outcome.REFUSED) == 1
    assert stand.events() == ["policy_refused"]
    assert "two people" in stand.reloading.standing["differs"]
    run(stand.reloading.reload("signal"))  # whoever asks is answered
    assert stand.count(Outcome.REFUSED) == 2


def test_files_that_are_the_same_again_are_told_to_be_so_and_nobody_is_bothered(stand: Stand) -> None:
    whole = (stand.directory / "tiers.yaml").read_text()
    (stand.directory / "tiers.yaml").write_text("version: [")
    assert run(stand.reloading.reload("files")).outcome is Outcome.INVALID
    (stand.directory / "tiers.yaml").write_text(whole)
    assert run(stand.reloading.reload("files")).outcome is Outcome.UNCHANGED
    assert stand.gauge("guard_policy_disk_differs") == 0.0
    assert stand.spread.adopted == []
    assert stand.events() == ["policy_refused", "policy_in_force"]
    assert run(stand.reloading.reload("files")).outcome is Outcome.UNCHANGED
    assert stand.events() == ["policy_refused", "policy_in_force"]


def test_asked_for_with_unchanged_files_every_worker_reads_its_secrets_anew(stand: Stand) -> None:
    digest = load(stand.directory).digest
    found = run(stand.reloading.reload("signal"))
    assert (found.outcome, found.digest) == (Outcome.UNCHANGED, digest)
    assert stand.spread.adopted == [(digest, ())]
    current = stand.snapshots.current()
    assert current is not None
    assert current.since == 5.0  # it has been in force all the time


def test_what_one_worker_cannot_serve_comes_into_force_nowhere(stand: Stand) -> None:
    before = load(stand.directory).digest
    more(stand.directory)
    stand.spread.problems = ("worker 1: a secret is missing",)
    found = run(stand.reloading.reload("signal"))
    assert (found.outcome, found.problems) == (Outcome.FAILED, ("worker 1: a secret is missing",))
    assert stand.spread.abandoned == [found.digest]
    current = stand.snapshots.current()
    assert current is not None
    assert current.digest == before
    assert stand.taken == []


def test_a_disk_that_cannot_keep_it_leaves_the_policy_before(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    more(stand.directory)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Snapshots, "choose", full)
    found = run(stand.reloading.reload("signal"))
    assert found.problems == ("it could not be kept: No space left on device",)
    assert stand.spread.abandoned == [found.digest]
    assert stand.taken == []


def test_a_failure_that_nobody_expected_is_one_attempt_and_not_the_end(stand: Stand) -> None:
    more(stand.directory)
    stand.spread.fails = True
    found = run(stand.reloading.reload("signal"))
    assert found.problems == ("RuntimeError in the supervisor; its log says where",)
    stand.spread.fails = False
    assert run(stand.reloading.reload("signal")).outcome is Outcome.IN_FORCE
    assert "not to be repeated" not in (stand.directory / "log").read_text()


def test_files_that_never_settle_are_not_taken(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "READING_PAUSE_SECONDS", 0.001)

    def restless(_: Path) -> None:
        raise UnsettledError

    monkeypatch.setattr(module, "read_settled", restless)
    found = run(stand.reloading.reload("Ada"))
    assert (found.outcome, found.problems) == (Outcome.INVALID, ("the files are being written to; ask again",))


def test_attempts_follow_one_another_and_many_signals_are_one(stand: Stand) -> None:
    async def main() -> None:
        more(stand.directory)
        for _ in range(10):
            stand.reloading.signalled()
        await asyncio.gather(stand.reloading.reload("Ada"), stand.reloading.reload("Ben"))

    run(main())
    assert stand.count(Outcome.IN_FORCE) + stand.count(Outcome.UNCHANGED) == 3
    assert len(stand.taken) == 3


def test_the_watch_takes_up_a_change_once_it_has_settled_and_goes_on_after_a_failure(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.01)
    looks = 0
    original = stamps

    def look(directory: Path) -> Any:
        nonlocal looks
        looks += 1
        if looks == 2:
            raise RuntimeError
        return original(directory)

    monkeypatch.setattr(module, "stamps", look)

    async def main() -> None:
        watching = asyncio.ensure_future(stand.reloading.watch())
        async with asyncio.timeout(30):
            while looks < 4:  # noqa: ASYNC110 - the watch announces nothing
                await asyncio.sleep(0.002)
            assert stand.taken == []
            more(stand.directory)
            while not stand.taken:  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.002)
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)

    run(main())
    assert "internal_error" in stand.events()
    assert stand.reloading.standing["by"] == "files"


def test_who_asks_while_many_wait_is_turned_away_at_once(stand: Stand) -> None:
    async def main() -> list[Outcome]:
        asking = [stand.reloading.reload("Ada") for _ in range(module.MOST_WAITING + 2)]
        return [found.outcome for found in await asyncio.gather(*asking)]

    outcomes = run(main())
    assert outcomes.count(Outcome.UNCHANGED) == module.MOST_WAITING
    assert outcomes.count(Outcome.FAILED) == 2
