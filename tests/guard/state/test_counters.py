"""Rate counters: exact over every window, shared by real processes, and sane after a reboot."""

from __future__ import annotations

import fcntl
import math
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from guard.state import counters
from guard.state.counters import MAX_KEYS, SharedBuckets
from safeguards.decision import Failure, Unavailable

ROOT = Path(__file__).parents[3]
TAKER = """
import sys
from pathlib import Path
from guard.state.counters import SharedBuckets
from safeguards.decision import Unavailable
buckets = SharedBuckets(Path(sys.argv[1]), ["a", "b"])
print("ready", flush=True)
sys.stdin.readline()
taken = 0
for _ in range(int(sys.argv[2])):
    while True:
        try:
            taken += buckets.take("a", 0.001, 500, 1000.0) == 0.0
            break
        except Unavailable:
            pass
print(taken, flush=True)
"""
HOLDER = """
import fcntl, sys
file = open(sys.argv[1], "r+b")
fcntl.lockf(file, fcntl.LOCK_EX, 8, int(sys.argv[2]))
print("held", flush=True)
sys.stdin.readline()
"""


def time_of(buckets: SharedBuckets, key: str) -> int:
    """Where in the file the time of this key stands."""
    return 16 * buckets._places[key] + 8


rates = st.one_of(st.sampled_from([1e-6, 0.1, 1 / 3, 1.0, 10.0, 1e6]), st.floats(1e-6, 1e6))
bursts = st.integers(1, 50)
times = st.floats(0.0, 1e7)


@given(rates, bursts, times, st.lists(st.floats(0.0, 3.0), min_size=1, max_size=60), st.data())
def test_no_window_ever_sees_more_than_burst_plus_rate_times_its_length(
    tmp_path_factory: pytest.TempPathFactory,
    rate: float,
    burst: int,
    start: float,
    steps: list[float],
    data: st.DataObject,
) -> None:
    buckets = SharedBuckets(tmp_path_factory.mktemp("state"), ["a"])
    now, taken = start, list[float]()
    for step in steps:
        now += step / rate
        tries = data.draw(st.integers(1, 5))
        taken += [now for _ in range(tries) if buckets.take("a", rate, burst, now) == 0.0]
    buckets.close()
    # A time is known to a nanosecond, and to the last place of its float.
    slack = rate * (2e-9 + 2.0 * math.ulp(now))
    for first, begin in enumerate(taken):
        for last in range(first, len(taken)):
            assert last - first + 1 <= burst + rate * (taken[last] - begin) + slack


@given(rates, bursts, times)
@example(1 / 3, 7, 12_345_678.9)
def test_the_whole_burst_is_there_at_once_and_then_one_at_a_time(
    tmp_path_factory: pytest.TempPathFactory, rate: float, burst: int, now: float
) -> None:
    buckets = SharedBuckets(tmp_path_factory.mktemp("state"), ["a"])
    assert [buckets.take("a", rate, burst, now) for _ in range(burst)] == [0.0] * burst
    assert buckets.take("a", rate, burst, now) == pytest.approx(1.0 / rate, rel=2e-3, abs=1e-8)
    buckets.close()


@given(rates, bursts, times, st.lists(st.floats(0.0, 2.0), max_size=30))
@example(3.0, 1, 1_234_567.891, [0.0] * 30)
@example(7.0, 1, 9_876_543.21, [0.1] * 30)
def test_waiting_as_long_as_told_always_succeeds(
    tmp_path_factory: pytest.TempPathFactory, rate: float, burst: int, now: float, steps: list[float]
) -> None:
    buckets = SharedBuckets(tmp_path_factory.mktemp("state"), ["a"])
    for step in [0.0, *steps]:
        now += step / rate
        wait = buckets.take("a", rate, burst, now)
        if wait > 0.0:
            now += wait
            assert buckets.take("a", rate, burst, now) == 0.0
    buckets.close()


@given(st.binary(min_size=8, max_size=8), rates, bursts, times)
@example(struct.pack("@q", 2**63 - 1), 1.0, 5, 10.0)
@example(struct.pack("@q", -(2**63)), 1.0, 5, 10.0)
def test_after_a_reboot_or_with_any_damage_a_bucket_is_at_most_empty(
    tmp_path_factory: pytest.TempPathFactory, raw: bytes, rate: float, burst: int, now: float
) -> None:
    buckets = SharedBuckets(tmp_path_factory.mktemp("state"), ["a"])
    with buckets.path.open("r+b") as file:
        file.seek(time_of(buckets, "a"))
        file.write(raw)
    wait = buckets.take("a", rate, burst, now)
    assert 0.0 <= wait <= 1.0 + 1.002 / rate + 1e-8
    buckets.close()


def test_a_time_from_before_a_reboot_leaves_the_bucket_just_emptied(tmp_path: Path) -> None:
    before = SharedBuckets(tmp_path, ["a"])
    assert before.take("a", 2.0, 3, 9_000_000.0) == 0.0
    before.close()
    after = SharedBuckets(tmp_path, ["a"])
    assert after.take("a", 2.0, 3, 10.0) == pytest.approx(0.5, abs=1e-6)
    assert [after.take("a", 2.0, 3, 11.5) for _ in range(3)] == [0.0, 0.0, 0.0]
    assert after.take("a", 2.0, 3, 11.5) > 0.0


def test_a_process_whose_time_was_read_earlier_gives_nothing_back(tmp_path: Path) -> None:
    buckets = SharedBuckets(tmp_path, ["a"])
    assert [buckets.take("a", 1.0, 2, 10.5) for _ in range(2)] == [0.0, 0.0]
    assert buckets.take("a", 1.0, 2, 10.0) == pytest.approx(1.5, abs=1e-6)
    assert buckets.take("a", 1.0, 2, 11.25) == pytest.approx(0.25, abs=1e-6)


def test_two_processes_share_one_bucket(tmp_path: Path) -> None:
    command = [sys.executable, "-c", TAKER, str(tmp_path), "2000"]
    takers = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) for _ in range(2)
    ]
    for taker in takers:
        assert taker.stdout is not None
        assert taker.stdout.readline() == "ready\n"
    for taker in takers:
        assert taker.stdin is not None
        taker.stdin.write("go\n")
        taker.stdin.flush()
    taken = [int(taker.communicate(timeout=30)[0]) for taker in takers]
    assert sum(taken) == 500
    buckets = SharedBuckets(tmp_path, ["b", "a"])
    assert buckets.take("a", 0.001, 500, 1000.0) > 0.0
    assert buckets.take("b", 0.001, 500, 1000.0) == 0.0


def test_a_bucket_held_by_a_frozen_process_is_unavailable_and_the_others_go_on(tmp_path: Path) -> None:
    buckets = SharedBuckets(tmp_path, ["a", "b"])
    command = [sys.executable, "-c", HOLDER, str(buckets.path), str(time_of(buckets, "a"))]
    holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(Unavailable) as caught:
        buckets.take("a", 1.0, 1, 10.0)
    assert caught.value.failure is Failure.OVERLOAD
    assert buckets.take("b", 1.0, 1, 10.0) == 0.0
    holder.communicate("\n", timeout=30)
    assert buckets.take("a", 1.0, 1, 10.0) == 0.0


def test_the_lock_is_given_back_after_a_refusal_and_after_an_error(tmp_path: Path) -> None:
    buckets = SharedBuckets(tmp_path, ["a"])
    buckets.take("a", 1.0, 1, 10.0)
    assert buckets.take("a", 1.0, 1, 10.0) > 0.0
    command = [sys.executable, "-c", HOLDER, str(buckets.path), str(time_of(buckets, "a"))]
    done = subprocess.run(command, input="\n", capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout == "held\n"


def test_an_unknown_key_is_unavailable(tmp_path: Path) -> None:
    for keys in ([], ["a"]):
        buckets = SharedBuckets(tmp_path, keys)
        with pytest.raises(Unavailable) as caught:
            buckets.take("b", 1.0, 1, 10.0)
        assert caught.value.failure is Failure.BAD_ANSWER


@pytest.mark.parametrize(
    ("rate", "burst", "now"),
    [
        (0.0, 1, 1.0),
        (-1.0, 1, 1.0),
        (math.nan, 1, 1.0),
        (math.inf, 1, 1.0),
        (1e-300, 1, 1.0),
        (1.0, 0, 1.0),
        (1.0, 10**12, 1.0),
        (1e-6, 101, 1.0),
        (1.0, 1, 1e10),
        (1.0, 1, math.nan),
        (1.0, 1, math.inf),
        (1.0, 1, -1.0),
    ],
)
def test_a_rate_burst_or_time_out_of_bounds_is_an_error_and_never_taken(
    tmp_path: Path, rate: float, burst: int, now: float
) -> None:
    with pytest.raises(ValueError, match="rate"):
        SharedBuckets(tmp_path, ["a"]).take("a", rate, burst, now)


def test_a_key_keeps_its_bucket_whatever_keys_there_are_beside_it(tmp_path: Path) -> None:
    first = SharedBuckets(tmp_path, ["a", "b"])
    assert first.path.stat().st_mode & 0o777 == 0o600
    assert first.take("b", 0.001, 1, 10.0) == 0.0
    assert SharedBuckets(tmp_path, ["b", "c", "b"]).take("b", 0.001, 1, 10.0) > 0.0
    first.know(["b", "d"])
    assert first.take("b", 0.001, 1, 10.0) > 0.0
    assert first.take("d", 0.001, 1, 10.0) == 0.0
    with pytest.raises(Unavailable):
        first.take("a", 0.001, 1, 10.0)
    first.know(["a", "b"])
    assert first.take("a", 0.001, 1, 10.0) == 0.0
    assert first.take("b", 0.001, 1, 10.0) > 0.0


@given(st.lists(st.sets(st.text(max_size=3), max_size=6), min_size=1, max_size=8))
def test_a_bucket_that_was_emptied_stays_so_through_every_change_of_keys(
    tmp_path_factory: pytest.TempPathFactory, changes: list[set[str]]
) -> None:
    folder = tmp_path_factory.mktemp("state")
    emptied: set[str] = set()
    one, two = SharedBuckets(folder, []), SharedBuckets(folder, [])
    for keys in changes:
        for buckets in (one, two):
            buckets.know(keys)
            for key in sorted(keys):
                assert (buckets.take(key, 0.001, 1, 10.0) == 0.0) is (key not in emptied)
                emptied.add(key)
    one.close()
    two.close()


def test_two_keys_never_share_a_place_however_crowded_the_table_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counters, "PLACES", 64)
    keys = [str(number) for number in range(64)]
    buckets = SharedBuckets(tmp_path, keys)
    assert sorted(buckets._places.values()) == list(range(64))
    with pytest.raises(OSError, match="no room"):
        buckets.know([*keys, "one more"])
    assert buckets.take("63", 0.001, 1, 10.0) == 0.0


def test_a_table_that_a_frozen_process_holds_is_not_waited_for_and_known_keys_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counters, "_PATIENCE_SECONDS", 0.05)
    buckets = SharedBuckets(tmp_path, ["a"])
    with buckets.path.open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(OSError, match="held"):
            buckets.know(["a", "b"])
        buckets.know(["a"])
        assert buckets.take("a", 0.001, 1, 10.0) == 0.0
    buckets.know(["a", "b"])
    assert buckets.take("b", 0.001, 1, 10.0) == 0.0


def test_a_file_of_another_size_is_refused(tmp_path: Path) -> None:
    buckets = SharedBuckets(tmp_path, ["a", "b"])
    buckets.close()
    buckets.path.write_bytes(bytes(9))
    with pytest.raises(OSError, match="9 bytes"):
        SharedBuckets(tmp_path, ["a", "b"])


def test_too_many_keys_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="keys"):
        SharedBuckets(tmp_path, [str(number) for number in range(MAX_KEYS + 1)])


def test_a_link_in_the_files_place_is_not_followed(tmp_path: Path) -> None:
    buckets = SharedBuckets(tmp_path, ["a"])
    buckets.close()
    target = tmp_path / "target"
    buckets.path.rename(target)
    buckets.path.symlink_to(target)
    with pytest.raises(OSError, match="symbolic"):
        SharedBuckets(tmp_path, ["a"])
