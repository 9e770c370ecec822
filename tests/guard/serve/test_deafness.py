"""When silence is deafness: by level, and without what a busy machine takes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from guard.policy.load import load
from guard.serve.deafness import MOST_EXCUSED, STRICT_SECONDS, Silence, patience, waited
from tests.parts.configuration import ModelSpec, write_configuration


@pytest.mark.parametrize(
    ("asl", "seconds", "found"), [(2, 5.0, 5.0), (3, 5.0, STRICT_SECONDS), (3, 0.5, 0.5), (2, 60.0, 60.0)]
)
def test_from_asl_3_on_a_second_is_the_most(tmp_path: Path, asl: int, seconds: float, found: float) -> None:
    write_configuration(tmp_path, models=[ModelSpec(asl=asl)], supervision={"deaf_seconds": seconds})
    assert patience(load(tmp_path)) == found


def told(proc: Path, nanoseconds: object) -> None:
    (proc / "7").mkdir(exist_ok=True)
    (proc / "7" / "schedstat").write_text(f"5 {nanoseconds} 9\n")


def test_the_wait_for_a_cpu_is_no_silence(tmp_path: Path) -> None:
    told(tmp_path, 1_000_000_000)
    silence = Silence(7, tmp_path)
    assert silence.seconds(10.0, 10.1) == pytest.approx(0.1)
    told(tmp_path, 3_000_000_000)
    assert silence.seconds(10.0, 13.0) == pytest.approx(1.0)
    told(tmp_path, 60_000_000_000)
    assert silence.seconds(10.0, 70.0) == pytest.approx(60.0 - MOST_EXCUSED)
    told(tmp_path, 3_000_000_000)
    assert silence.seconds(14.0, 14.1) == pytest.approx(0.1)
    assert silence.seconds(14.0, 15.5) == pytest.approx(1.5)


def test_where_nothing_tells_the_wait_all_of_it_is_silence(tmp_path: Path) -> None:
    silence = Silence(7, tmp_path)
    assert silence.seconds(10.0, 10.0) == 0.0
    assert silence.seconds(10.0, 13.0) == 3.0
    told(tmp_path, "none")
    assert waited(7, tmp_path) == 0.0


def test_this_kernel_tells_it() -> None:
    assert waited(os.getpid()) >= 0.0
    assert Path("/proc/self/schedstat").exists()
