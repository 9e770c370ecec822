"""Acknowledgements: who has obeyed, judged by processes that are really alive."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.state.acknowledgements import MAX_ORDERS, Ack, Acknowledgements, process_started, waiting_for
from tests.guard.state.parts import stop

FIRST, SECOND = stop(number=1).id, stop(number=2).id


def mine(path: Path, worker: str) -> Acknowledgements:
    started = process_started(os.getpid())
    assert started is not None
    return Acknowledgements(path, worker, pid=os.getpid(), started=started)


def test_a_worker_that_applied_an_order_has_acknowledged_it_with_the_streams_it_cut(tmp_path: Path) -> None:
    mine(tmp_path, "w0").record({FIRST: 7}, 12.5)
    assert waiting_for(tmp_path, FIRST) == ((Ack("w0", os.getpid(), 7, 12.5),), ())


def test_a_live_worker_that_has_not_applied_it_is_missing(tmp_path: Path) -> None:
    mine(tmp_path, "w0").record({FIRST: 0}, 1.0)
    mine(tmp_path, "w1").record({}, 1.0)
    acks, missing = waiting_for(tmp_path, FIRST)
    assert [ack.worker for ack in acks] == ["w0"]
    assert missing == ("w1",)


def test_orders_add_up_and_one_told_again_replaces_what_was_told(tmp_path: Path) -> None:
    worker = mine(tmp_path, "w0")
    worker.record({FIRST: 1}, 1.0)
    worker.record({SECOND: 2}, 2.0)
    worker.record({FIRST: 3}, 3.0)
    assert waiting_for(tmp_path, FIRST)[0][0].streams_cut == 3
    assert waiting_for(tmp_path, SECOND)[0][0].streams_cut == 2


def test_files_of_dead_processes_are_ignored(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    assert child.stdin is not None
    started = process_started(child.pid)
    assert started is not None
    Acknowledgements(tmp_path, "w0", pid=child.pid, started=started).record({FIRST: 1}, 1.0)
    assert waiting_for(tmp_path, SECOND) == ((), ("w0",))
    child.stdin.close()
    # A zombie cannot obey either, so this holds before and after its parent has taken note of the end.
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert process_started(child.pid) is None
    assert waiting_for(tmp_path, SECOND) == waiting_for(tmp_path, FIRST) == ((), ())
    child.wait()
    assert process_started(child.pid) is None


def test_a_pid_used_again_by_a_later_process_is_not_the_worker(tmp_path: Path) -> None:
    Acknowledgements(tmp_path, "w0", pid=os.getpid(), started=1).record({FIRST: 1}, 1.0)
    assert waiting_for(tmp_path, FIRST) == ((), ())


def test_an_expected_worker_without_a_live_acknowledgement_is_missing(tmp_path: Path) -> None:
    assert waiting_for(tmp_path, FIRST, ["w1", "w0"]) == ((), ("w0", "w1"))
    mine(tmp_path, "w0").record({FIRST: 0}, 1.0)
    Acknowledgements(tmp_path, "w1", pid=os.getpid(), started=1).record({FIRST: 0}, 1.0)
    acks, missing = waiting_for(tmp_path, FIRST, ["w1", "w0"])
    assert [ack.worker for ack in acks] == ["w0"]
    assert missing == ("w1",)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"{}",
        b'{"version":2}',
        b'{"version":1,"pid":"x","started":1,"orders":{}}',
        b'{"version":1,"pid":1,"started":1,"orders":[1]}',
        b'{"version":1,"pid":1,"started":1,"orders":{"a":{}}}',
        b'{"version":1,"pid":1,"started":1,"orders":{"a":{"streams_cut":1,"at":null}}}',
        b"[" * 100_000,
        b" " * 300_000,
    ],
)
def test_a_file_that_cannot_be_read_counts_as_missing(tmp_path: Path, raw: bytes) -> None:
    mine(tmp_path, "w0").record({FIRST: 0}, 1.0)
    (tmp_path / "workers" / "w1.json").write_bytes(raw)
    acks, missing = waiting_for(tmp_path, FIRST)
    assert [ack.worker for ack in acks] == ["w0"]
    assert missing == ("w1",)


@settings(max_examples=50, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda inner: st.dictionaries(
            st.sampled_from(["version", "pid", "started", "orders", FIRST, "streams_cut", "at"]), inner
        ),
    )
)
def test_no_content_makes_an_acknowledgement_or_an_error(
    tmp_path_factory: pytest.TempPathFactory, value: object
) -> None:
    path = tmp_path_factory.mktemp("state")
    (path / "workers").mkdir()
    (path / "workers" / "w0.json").write_text(json.dumps(value))
    assert waiting_for(path, FIRST) == ((), ("w0",))


def test_only_the_newest_orders_are_kept(tmp_path: Path) -> None:
    worker = mine(tmp_path, "w0")
    worker.record({stop(number=number).id: 0 for number in range(1, MAX_ORDERS + 2)}, 1_700_000_000.123456)
    assert waiting_for(tmp_path, FIRST) == ((), ("w0",))
    assert waiting_for(tmp_path, SECOND)[1] == ()


def test_a_worker_that_ends_cleanly_is_waited_for_no_longer(tmp_path: Path) -> None:
    worker = mine(tmp_path, "w0")
    worker.record({}, 1.0)
    worker.withdraw()
    worker.withdraw()
    assert waiting_for(tmp_path, FIRST) == ((), ())


def test_nothing_is_left_beside_the_file(tmp_path: Path) -> None:
    mine(tmp_path, "w0").record({FIRST: 0}, 1.0)
    assert [path.name for path in (tmp_path / "workers").iterdir()] == ["w0.json"]


@pytest.mark.parametrize("name", ["", "a/b", "../w0", "a b", "a" * 65])
def test_a_workers_name_is_bounded(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="worker"):
        Acknowledgements(tmp_path, name, pid=1, started=1)


def test_the_start_of_a_process_with_an_odd_name_is_read(tmp_path: Path) -> None:
    odd = tmp_path / "a) R 1 (b"
    odd.symlink_to("/bin/sleep")
    child = subprocess.Popen([str(odd), "60"])
    try:
        mine_started, its = process_started(os.getpid()), process_started(child.pid)
        assert mine_started is not None
        assert its is not None
        assert its >= mine_started
    finally:
        child.kill()
        child.wait()
