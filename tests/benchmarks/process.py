"""Start a program on a core, read what it and its children cost, stop it by its own process id."""

import contextlib
import gc
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from guard.serve.garbage import settle

PROXY_CORE = 0
LOAD_CORE = 1
STOP_SECONDS = 10.0

Process = subprocess.Popen[bytes]


def usable_cores() -> set[int]:
    """List the cores that this process may run on at its start."""
    return set(_CORES)


_CORES = frozenset(os.sched_getaffinity(0))


def can_pin() -> bool:
    """Tell whether both cores of the plan are there."""
    return {PROXY_CORE, LOAD_CORE} <= _CORES


@contextlib.contextmanager
def on_core(core: int) -> Iterator[None]:
    """Let processes started inside inherit one core, where the machine has the two that the plan needs."""
    before = os.sched_getaffinity(0)
    if can_pin():
        os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextlib.contextmanager
def as_a_worker() -> Iterator[None]:
    """Collect garbage as a worker does, and stay on its core."""
    before = gc.get_threshold()
    settle()
    try:
        with on_core(PROXY_CORE):
            yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


def start(command: Sequence[str], log: Path, *, core: int, env: Mapping[str, str] | None = None) -> Process:
    """Start a program on a core with its output in a file."""
    with on_core(core), log.open("ab") as out:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=env)


def _parents() -> dict[int, int]:
    found: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                after_name = (entry / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2]
                found[int(entry.name)] = int(after_name.split()[1])
    return found


def family(pids: Sequence[int]) -> tuple[int, ...]:
    """List these processes and all that descend from them."""
    parents = _parents()
    known = {pid for pid in pids if pid in parents}
    while more := {child for child, parent in parents.items() if parent in known} - known:
        known |= more
    return tuple(sorted(known))


def cpu_ns(pids: Sequence[int]) -> tuple[int, int]:
    """Add up the time on a core, and the time spent waiting for one, of every thread of these and their children.

    In nanoseconds. A thread that ends takes its count with it, so a program that starts a thread per request reads
    too low. Waiting means that something else held the core: another program, or the target's own other thread.
    """
    ran = waited = 0
    for pid in family(pids):
        for task in Path(f"/proc/{pid}/task").glob("*/schedstat"):
            with contextlib.suppress(OSError):
                fields = task.read_text().split()
                ran, waited = ran + int(fields[0]), waited + int(fields[1])
    return ran, waited


def pss_kb(pids: Sequence[int]) -> int:
    """Add up the proportional set size of these processes and their children, in kB."""
    total = 0
    for pid in family(pids):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1])
    return total


def _born(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[19]
    except OSError:
        return ""


def stop(processes: Sequence[Process]) -> None:
    """End these processes: asked first, then made to, and then whatever children they left behind."""
    children = {pid: _born(pid) for pid in family([process.pid for process in processes])}
    for process in processes:
        process.terminate()
    deadline = time.monotonic() + STOP_SECONDS
    for process in processes:
        children.pop(process.pid, None)
        try:
            process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(STOP_SECONDS)
    for pid, born in children.items():
        if born and _born(pid) == born:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
