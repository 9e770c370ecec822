"""A worker's switches: other processes' orders at once, by the word or by looking, and what happens when files go.

Longer than 300 lines: each way in which files can change under a running worker is a test, and they share their parts.
It is one file because its tests share what stands for the outside.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.state.directory import OrderDirectory
from guard.state.merge import Judge, Judged, State
from guard.state.orders import Order, ResumeOrder, Source, StopOrder, encode
from guard.state.scope import Scope
from guard.state.switches import MAX_REJUDGED, REJUDGE_SECONDS, FileSwitches
from safeguards.decision import Failure, Unavailable
from tests.guard.state.parts import HandClock, exchange, of_a_known_host, resume, settled, stop

ROOT = Path(__file__).parents[3]
WRITER = """
import os, signal, sys
from pathlib import Path
from guard.state.directory import OrderDirectory
from guard.state.orders import decode
directory = OrderDirectory(Path(sys.argv[1]))
if sys.argv[2] == "killed":
    directory._announce = lambda: os.kill(os.getpid(), signal.SIGKILL)
directory.put(decode(sys.stdin.buffer.read()))
"""


def put_elsewhere(path: Path, order: Order, how: str = "whole") -> int:
    """Put an order from another process; returns how that process ended."""
    command = [sys.executable, "-c", WRITER, str(path), how]
    return subprocess.run(command, input=encode(order), cwd=ROOT, check=False, timeout=30).returncode


def order_of(switches: FileSwitches, model: str = "demo", asl: int = 2) -> str | None:
    found = switches.covering(exchange(model, asl))
    return None if found is None else found.order


def test_a_stop_by_another_process_covers_at_once_without_a_poll(tmp_path: Path) -> None:
    switches, _ = settled(tmp_path)
    assert order_of(switches) is None
    assert put_elsewhere(tmp_path, stop("model:demo")) == 0
    assert order_of(switches) == stop("model:demo").id
    assert order_of(switches, "other") is None
    assert switches.poll() == (stop("model:demo").id,)
    assert switches.poll() == ()


def test_a_stop_whose_writer_was_killed_before_it_told_is_found_by_the_next_poll(tmp_path: Path) -> None:
    switches, _ = settled(tmp_path)
    assert put_elsewhere(tmp_path, stop(), "killed") == -signal.SIGKILL
    assert switches.poll() == (stop().id,)
    assert order_of(switches) == stop().id


def test_an_order_put_again_after_its_writer_was_killed_is_seen_at_once(tmp_path: Path) -> None:
    switches, _ = settled(tmp_path)
    assert put_elsewhere(tmp_path, stop(), "killed") == -signal.SIGKILL
    assert put_elsewhere(tmp_path, stop()) == 0
    assert order_of(switches) == stop().id


def test_a_writer_frozen_half_way_holds_up_nobody(tmp_path: Path) -> None:
    switches, _ = settled(tmp_path)
    code = WRITER.replace("signal.SIGKILL", "signal.SIGSTOP")
    command = [sys.executable, "-c", code, str(tmp_path), "killed"]
    frozen = subprocess.Popen(command, stdin=subprocess.PIPE, cwd=ROOT)
    try:
        assert frozen.stdin is not None
        frozen.stdin.write(encode(stop("model:other", 1)))
        frozen.stdin.close()
        pid, status = os.waitpid(frozen.pid, os.WUNTRACED)
        assert (pid, os.WIFSTOPPED(status)) == (frozen.pid, True)
        OrderDirectory(tmp_path).put(stop("model:demo", 2))
        assert order_of(switches) == stop("model:demo", 2).id
        assert order_of(switches, "other") == stop("model:other", 1).id
    finally:
        frozen.kill()
        frozen.wait()


def test_a_stop_survives_a_restart(tmp_path: Path) -> None:
    OrderDirectory(tmp_path).put(stop())
    switches = FileSwitches(OrderDirectory(tmp_path), HandClock(), of_a_known_host)
    assert order_of(switches) == stop().id
    assert switches.state.ids == {stop().id}
    assert switches.poll() == ()


def test_a_resume_lifts_below_asl_3_only(tmp_path: Path) -> None:
    switches, _ = settled(tmp_path)
    writer = OrderDirectory(tmp_path)
    writer.put(stop())
    writer.put(resume(stop()))
    assert order_of(switches, asl=2) is None
    assert order_of(switches, asl=3) == stop().id
    assert switches.poll() == (stop().id, resume(stop()).id)


def test_a_hand_written_resume_is_found_by_polling_and_brings_no_asl_3_model_back(tmp_path: Path) -> None:
    switches, _ = settled(tmp_path)
    OrderDirectory(tmp_path).put(stop("model:demo"))
    assert order_of(switches) == stop("model:demo").id
    lift = resume(stop("model:demo"))
    (tmp_path / "orders" / f"{lift.id}.json").write_bytes(encode(lift))
    assert lift.id in switches.poll()
    assert order_of(switches, asl=2) is None
    assert order_of(switches, asl=3) == stop("model:demo").id


def test_many_changes_within_one_tick_of_the_file_systems_clock_are_all_found_by_polling(tmp_path: Path) -> None:
    switches, clock = settled(tmp_path)
    orders = [stop(number=number) for number in range(1, 60)]
    found: list[str] = []
    for order in orders:
        (tmp_path / "orders" / f"{order.id}.json").write_bytes(encode(order))
        clock.time += 0.001
        found.extend(switches.poll())
    clock.time += 0.05
    found.extend(switches.poll())
    assert found == [order.id for order in orders]


def test_a_change_that_the_directorys_times_hide_is_found_while_they_settle(tmp_path: Path) -> None:
    switches, clock = settled(tmp_path)
    orders = tmp_path / "orders"
    (orders / f"{stop(number=1).id}.json").write_bytes(encode(stop(number=1)))
    assert switches.poll() == (stop(number=1).id,)
    # As if the second file had come within the same tick: the times are what they were.
    (orders / f"{stop(number=2).id}.json").write_bytes(encode(stop(number=2)))
    switches._stamp = switches._directory.stamp()
    clock.time += 0.1
    assert switches.poll() == (stop(number=2).id,)


def test_a_stop_file_holds_while_it_is_there(tmp_path: Path) -> None:
    switches, _ = settled(tmp_path)
    (tmp_path / "orders" / "STOP").touch()
    assert switches.poll() == ("file:STOP",)
    assert order_of(switches, asl=3) == "file:STOP"
    (tmp_path / "orders" / "STOP").unlink()
    assert switches.poll() == ()
    assert order_of(switches, asl=3) is None


def test_a_damaged_order_stops_everything_until_it_is_repaired_in_place(tmp_path: Path) -> None:
    switches, clock = settled(tmp_path)
    file = tmp_path / "orders" / f"{stop('model:demo').id}.json"
    file.write_bytes(b"{")
    switches.poll()
    assert order_of(switches, "other") == f"file:{file.name}"
    clock.time += 60.0
    switches.poll()
    file.write_bytes(encode(stop("model:demo")))
    assert switches.poll() == (stop("model:demo").id,)
    assert order_of(switches, "other") is None
    assert order_of(switches, "demo") == stop("model:demo").id


def test_an_order_removed_or_damaged_by_hand_still_holds_in_a_running_worker_and_is_told(tmp_path: Path) -> None:
    switches, _ = settled(tmp_path)
    writer = OrderDirectory(tmp_path)
    writer.put(stop("model:demo", 1))
    writer.put(stop("model:other", 2))
    assert order_of(switches) is not None
    (tmp_path / "orders" / f"{stop('model:demo', 1).id}.json").unlink()
    (tmp_path / "orders" / f"{stop('model:other', 2).id}.json").write_bytes(b"")
    switches.poll()
    assert order_of(switches, "demo") == stop("model:demo", 1).id
    assert order_of(switches, "other") == stop("model:other", 2).id
    assert switches.vanished == {stop("model:demo", 1).id}


def test_a_directory_that_disappears_refuses_everything_and_known_stops_keep_their_name(tmp_path: Path) -> None:
    switches, _ = settled(tmp_path)
    OrderDirectory(tmp_path).put(stop("model:demo"))
    assert order_of(switches) == stop("model:demo").id
    (tmp_path / "orders").rename(tmp_path / "gone")
    switches.poll()
    assert order_of(switches, "demo") == stop("model:demo").id
    with pytest.raises(Unavailable) as caught:
        switches.covering(exchange("other"))
    assert caught.value.failure is Failure.UNREACHABLE
    assert switches.failure == caught.value.reason != ""
    (tmp_path / "gone").rename(tmp_path / "orders")
    switches.poll()
    assert order_of(switches, "other") is None
    assert switches.failure == ""


def test_the_whole_state_directory_may_disappear_and_come_back_empty_without_freeing_anything(tmp_path: Path) -> None:
    state = tmp_path / "state"
    switches, _ = settled(state)
    OrderDirectory(state).put(stop("model:demo"))
    assert order_of(switches) == stop("model:demo").id
    state.rename(tmp_path / "gone")
    switches.poll()
    with pytest.raises(Unavailable):
        switches.covering(exchange("other"))
    writer = OrderDirectory(state)
    switches.poll()
    assert order_of(switches, "demo") == stop("model:demo").id
    assert order_of(switches, "other") is None
    writer.put(stop("model:other", 2))
    assert order_of(switches, "other") == stop("model:other", 2).id


def test_an_unreadable_directory_at_a_call_that_saw_the_word_change_is_unavailable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    switches, _ = settled(tmp_path)
    OrderDirectory(tmp_path).put(stop())

    def refused(_: Path) -> list[str]:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(os, "listdir", refused)
        with pytest.raises(Unavailable, match="Permission denied"):
            switches.covering(exchange())
    assert order_of(switches) == stop().id


def test_switches_that_could_not_read_at_the_start_refuse_until_a_poll_succeeds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = OrderDirectory(tmp_path)

    def broken(_: Path) -> list[str]:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "listdir", broken)
        switches = FileSwitches(directory, HandClock(), of_a_known_host)
        with pytest.raises(Unavailable, match="Input/output"):
            switches.covering(exchange())
        assert switches.poll() == ()
    switches.poll()
    assert order_of(switches) is None


def test_a_replaced_word_is_followed_after_a_poll(tmp_path: Path) -> None:
    switches, _ = settled(tmp_path)
    (tmp_path / "generation").unlink()
    OrderDirectory(tmp_path).put(stop("model:demo", 1))
    assert switches.poll() == (stop("model:demo", 1).id,)
    OrderDirectory(tmp_path).put(stop("model:other", 2))
    assert order_of(switches, "other") == stop("model:other", 2).id


def test_a_failure_long_ago_ends_with_the_next_poll_though_the_directory_did_not_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    switches, clock = settled(tmp_path)

    def gone(*_: object) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(OrderDirectory, "refresh", gone)
        switches.poll()
    with pytest.raises(Unavailable):
        switches.covering(exchange())
    clock.time += 60.0
    switches.poll()
    assert order_of(switches) is None


def test_an_order_announced_while_the_directory_is_being_read_is_not_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    switches, _ = settled(tmp_path)
    writer = OrderDirectory(tmp_path)
    listed = os.listdir

    def overtaken(path: Path) -> list[str]:
        names = listed(path)
        monkeypatch.undo()
        writer.put(stop("model:demo", 2))
        return names

    monkeypatch.setattr(os, "listdir", overtaken)
    writer.put(stop("model:other", 1))
    assert order_of(switches, "other") == stop("model:other", 1).id
    assert order_of(switches, "demo") == stop("model:demo", 2).id


SCOPES = ["all", "model:demo", "tier:general", "key:demo-app"]
STEPS = st.one_of(
    st.tuples(st.sampled_from(["put", "drop"]), st.sampled_from([*SCOPES, "resume"])),
    st.tuples(st.sampled_from(["trip", "untrip", "restart", "wait", "blink"]), st.just("")),
)


def answers_as_its_state_means(switches: FileSwitches) -> bool:
    """Whether the quick answer to a question is the one that the merged orders give."""
    for asked in (exchange(), exchange("other", asl=3), exchange("other", tier="slow", key="second")):
        for quick, whole in ((switches.covering, State.covering), (switches.cutting, State.cutting)):
            try:
                found = quick(asked)
            except Unavailable:
                if not switches.failure or whole(switches.state, asked) is not None:
                    return False
            else:
                if found != whole(switches.state, asked) or (found is None and switches.failure):
                    return False
    return True


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(STEPS, st.booleans()), max_size=15))
def test_whatever_happens_to_the_files_the_switches_mean_what_they_mean_after_a_poll(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[tuple[str, str], bool]]
) -> None:
    path = tmp_path_factory.mktemp("state")
    writer, clock, orders = OrderDirectory(path), HandClock(), list[Order]()
    switches = FileSwitches(OrderDirectory(path), clock, of_a_known_host)
    for (step, what), polled in steps:
        number = len(orders) + 1
        stops = [order for order in orders if isinstance(order, StopOrder)]
        if step in {"put", "drop"} and (what != "resume" or stops):
            order = resume(stops[len(stops) // 2], number=number) if what == "resume" else stop(what, number)
            orders.append(order)
            if step == "put":
                writer.put(order)
                switches.covering(exchange())
                assert order.id in switches.state.ids
            else:
                (writer.orders / f"{order.id}.json").write_bytes(encode(order))
        elif step == "trip":
            writer.trip(Scope.parse("model:demo"))
        elif step == "untrip":
            (writer.orders / "STOP.model.demo").unlink(missing_ok=True)
        elif step == "restart":
            switches = FileSwitches(OrderDirectory(path), clock, of_a_known_host)
        elif step == "wait":
            clock.time += 0.1
        elif step == "blink":
            writer.orders.rename(path / "away")
            switches.poll()
            assert answers_as_its_state_means(switches)
            (path / "away").rename(writer.orders)
        assert answers_as_its_state_means(switches)
        if polled:
            switches.poll()
            assert switches.state == writer.snapshot(of_a_known_host)
            assert answers_as_its_state_means(switches)
    switches.poll()
    assert switches.state == writer.snapshot(of_a_known_host)
    assert switches.state.stops | {each.order for each in switches.state.resumes} == set(orders)
    assert switches.failure == ""
    assert switches.vanished == set()


def test_under_another_policy_what_lifted_goes_on_lifting_and_what_did_not_is_judged_once_more(tmp_path: Path) -> None:
    asked: list[str] = []

    def judging(name: str, *, lifts: str) -> Judge:
        def judge(order: ResumeOrder) -> Judged:
            asked.append(f"{name} {order.id}")
            counts = lifts in order.lifts
            return Judged(order, below=counts, why="" if counts else "nobody approved it")

        return judge

    first, second = stop("model:demo", 1), stop("model:other", 2)
    lift_first, lift_second = resume(first, number=901), resume(second, number=902)
    directory = OrderDirectory(tmp_path)
    for order in (first, second, lift_first, lift_second):
        directory.put(order)
    switches = FileSwitches(directory, HandClock(), judging("one", lifts=first.id))
    assert switches.covering(exchange("demo")) is None
    assert switches.covering(exchange("other")) is not None
    asked.clear()
    switches.take(judging("two", lifts=second.id))
    assert asked == [f"two {lift_second.id}"]
    assert switches.covering(exchange("demo")) is None
    assert switches.covering(exchange("other")) is None
    switches.poll()
    assert asked == [f"two {lift_second.id}"]


class ByTheClock:
    """Judges a resume as `guard.resuming` does one whose issuer's clock ran ahead."""

    def __init__(self, clock: HandClock) -> None:
        """Nothing was asked yet."""
        self.clock = clock
        self.asked: list[str] = []

    def __call__(self, order: ResumeOrder) -> Judged:
        """Judge one."""
        self.asked.append(order.id)
        early = order.created > self.clock.now() + 60.0
        return Judged(order, below=not early, why="issued in the future" if early else "")


def test_a_resume_that_does_not_count_is_not_acknowledged_until_it_does(tmp_path: Path) -> None:
    clock = HandClock()
    judge = ByTheClock(clock)
    held, lift = stop("model:demo"), resume(stop("model:demo"), number=2_000)
    directory = OrderDirectory(tmp_path)
    directory.put(held)
    switches = FileSwitches(directory, clock, judge)
    directory.put(lift)
    assert switches.poll() == ()
    assert order_of(switches) == held.id
    assert switches.counting == {held.id}
    clock.time += 900.0  # it is 1,900 s after the clock's beginning now, and the resume says 2,000
    assert switches.poll() == ()
    clock.time += 60.0
    assert switches.poll() == (lift.id,)
    assert order_of(switches) is None
    assert switches.counting == {held.id, lift.id}
    assert switches.poll() == ()


def test_a_resume_that_was_there_at_the_start_counts_as_soon_as_its_time_has_come(tmp_path: Path) -> None:
    clock = HandClock()
    held, lift = stop("model:demo"), resume(stop("model:demo"), number=2_000)
    directory = OrderDirectory(tmp_path)
    directory.put(held)
    directory.put(lift)
    switches = FileSwitches(directory, clock, ByTheClock(clock))
    assert switches.counting == {held.id}
    clock.time += 1_000.0
    assert switches.poll() == (lift.id,)
    assert order_of(switches) is None


def test_a_resume_that_counts_by_another_policy_is_acknowledged_then(tmp_path: Path) -> None:
    directory = OrderDirectory(tmp_path)
    directory.put(stop())
    directory.put(resume(stop()))
    switches = FileSwitches(directory, HandClock(), lambda order: Judged(order, below=False, why="nobody approved it"))
    assert switches.poll() == ()
    switches.take(of_a_known_host)
    assert switches.poll() == (resume(stop()).id,)


def test_a_flood_of_resumes_that_never_count_is_judged_a_few_a_second_and_each_in_its_turn(tmp_path: Path) -> None:
    clock = HandClock()
    judge = ByTheClock(clock)
    directory = OrderDirectory(tmp_path)
    lifts = [resume(stop(), number=10_000 + number) for number in range(3 * MAX_REJUDGED)]
    for lift in lifts:
        directory.put(lift)
    switches = FileSwitches(directory, clock, judge)
    judge.asked.clear()
    for _ in range(100):
        clock.time += REJUDGE_SECONDS / 20  # a worker looks so often
        switches.poll()
    assert len(judge.asked) <= 5 * MAX_REJUDGED
    assert set(judge.asked) == {lift.id for lift in lifts}


def test_a_resume_whose_file_was_removed_before_it_counted_never_comes_to_count(tmp_path: Path) -> None:
    switches, clock = settled(tmp_path)
    held, lift = stop("model:demo"), resume(stop("model:demo"), number=2_000)
    switches.take(ByTheClock(clock))
    directory = OrderDirectory(tmp_path)
    directory.put(held)
    directory.put(lift)
    assert switches.poll() == (held.id,)
    (tmp_path / "orders" / f"{lift.id}.json").unlink()
    clock.time += 2_000.0
    assert switches.poll() == ()
    switches.take(of_a_known_host)
    assert switches.poll() == ()
    assert order_of(switches) == held.id


def test_a_drill_that_is_over_is_forgotten_with_its_files_and_nothing_is_told_of_it(tmp_path: Path) -> None:
    switches, _ = settled(tmp_path)
    directory = OrderDirectory(tmp_path)
    drill = stop("model:guard-selftest", 1)
    over = replace(resume(drill), source=Source.DRILL)
    directory.put(drill)
    directory.put(over)
    directory.put(stop("model:demo", 2))
    switches.poll()
    assert switches.state.ids == {drill.id, over.id, stop("model:demo", 2).id}
    for gone in (drill.id, over.id, stop("model:demo", 2).id):
        (directory.orders / f"{gone}.json").unlink()
    switches.poll()
    assert switches.state.ids == switches.vanished == {stop("model:demo", 2).id}
    assert switches.forgotten() == {drill.id, over.id}
    assert switches.forgotten() == frozenset()
    assert order_of(switches) == stop("model:demo", 2).id
