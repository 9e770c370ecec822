"""An order is used once: by one of many processes, across crashes, and never again."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from guard.approval import used as used_module
from guard.approval.used import UsedError, UsedOrders
from tests.guard.approval.persons import NOW, order

FIRST, SECOND = order(nonce=1), order(nonce=2)


def test_an_order_is_used_once_and_another_still_can_be(tmp_path: Path) -> None:
    used = UsedOrders(tmp_path / "state" / "approvals")
    assert not used.has(FIRST)
    used.use(FIRST, NOW)
    assert used.has(FIRST)
    with pytest.raises(UsedError, match="was used before"):
        used.use(FIRST, NOW + 1)
    used.use(SECOND, NOW)
    record = tmp_path / "state" / "approvals" / FIRST.nonce
    assert record.read_text() == "weaker_policy configuration used 2026-11-23T08:00:00Z\n"
    assert record.stat().st_mode & 0o777 == 0o600


def test_it_is_remembered_by_who_comes_later(tmp_path: Path) -> None:
    UsedOrders(tmp_path / "used").use(FIRST, NOW)
    with pytest.raises(UsedError):
        UsedOrders(tmp_path / "used").use(FIRST, NOW)


USE = """
import sys
from pathlib import Path
from guard.approval.used import UsedError, UsedOrders
from tests.guard.approval.persons import NOW, order
print("ready", flush=True)
sys.stdin.readline()
won = 0
for nonce in range(100):
    try:
        UsedOrders(Path(sys.argv[1])).use(order(nonce=nonce), NOW)
        won += 1
    except UsedError:
        pass
print(won)
"""


def test_of_several_processes_exactly_one_uses_an_order(tmp_path: Path) -> None:
    root = Path(__file__).resolve().parents[3]
    command = [sys.executable, "-c", USE, str(tmp_path / "used")]
    racers = [
        subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(4)
    ]
    won = []
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    for racer in racers:
        out, _ = racer.communicate(timeout=30)
        won.append(int(out))
    assert sum(won) == 100
    assert len(list((tmp_path / "used").iterdir())) == 100


USE_ON = """
import sys
from itertools import count
from pathlib import Path
from guard.approval.used import UsedOrders
from tests.guard.approval.persons import NOW, order
used = UsedOrders(Path(sys.argv[1]))
for nonce in count():
    used.use(order(nonce=nonce), NOW)
    print(nonce, flush=True)
"""


@pytest.mark.parametrize("told", [1, 7, 40])
def test_what_a_process_used_before_it_was_killed_stays_used(told: int, tmp_path: Path) -> None:
    root = Path(__file__).resolve().parents[3]
    command = [sys.executable, "-c", USE_ON, str(tmp_path / "used")]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        first = [process.stdout.readline() for _ in range(told)]
        process.kill()
        nonces = [int(line) for line in [*first, *process.stdout] if line.endswith("\n")]
    used = UsedOrders(tmp_path / "used")
    assert nonces == list(range(len(nonces)))
    for nonce in nonces:
        with pytest.raises(UsedError):
            used.use(order(nonce=nonce), NOW)
    # One more may have been on its way: used up, and nobody was told so.
    assert len(nonces) <= len(list((tmp_path / "used").iterdir())) <= len(nonces) + 1
    used.use(order(nonce=len(nonces) + 1), NOW)


@pytest.mark.parametrize("call", ["write", "fsync"])
def test_what_fails_half_way_leaves_the_order_used(call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    used = UsedOrders(tmp_path / "used")
    used.use(SECOND, NOW)
    with monkeypatch.context() as patched:
        patched.setattr(os, call, fail)
        with pytest.raises(OSError, match="No space"):
            used.use(FIRST, NOW)
    assert used.has(FIRST)
    with pytest.raises(UsedError):
        used.use(FIRST, NOW)


def test_the_file_and_its_directory_are_on_disk_before_use_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    real = os.fsync

    def watched(fd: int) -> None:
        synced.append(str(Path(f"/proc/self/fd/{fd}").readlink()))
        real(fd)

    monkeypatch.setattr(os, "fsync", watched)
    UsedOrders(tmp_path / "used").use(FIRST, NOW)
    assert synced == [str(tmp_path), str(tmp_path / "used" / FIRST.nonce), str(tmp_path / "used")]


def test_a_directory_that_is_full_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(used_module, "MAX_USED", 1)
    used = UsedOrders(tmp_path / "used")
    used.use(FIRST, NOW)
    with pytest.raises(UsedError, match="more are not kept"):
        used.use(SECOND, NOW)
    assert not used.has(SECOND)


def test_anything_in_the_place_of_the_record_counts_as_used(tmp_path: Path) -> None:
    (tmp_path / FIRST.nonce).symlink_to(tmp_path / "nowhere")
    used = UsedOrders(tmp_path)
    assert used.has(FIRST)
    with pytest.raises(UsedError):
        used.use(FIRST, NOW)


def test_a_place_that_is_no_directory_is_an_error_and_not_an_unused_order(tmp_path: Path) -> None:
    (tmp_path / "used").write_text("")
    used = UsedOrders(tmp_path / "used")
    with pytest.raises(NotADirectoryError):
        used.has(FIRST)
    with pytest.raises(NotADirectoryError):
        used.use(FIRST, NOW)
