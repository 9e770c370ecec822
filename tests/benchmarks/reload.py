"""What a change of policy costs: reading and compiling many models, a look-up, and reloads under load.

Reloads are made of a guard of one worker and 200 models while streams of 50 events a second and short JSON requests
run. A stall is how much later than without reloads the latest event of a window came, so any other work on the machine
counts too: the least disturbed window, of each kind, is compared.
"""

import asyncio
import contextlib
import gc
import json
import os
import signal
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, Final

from guard.app import SYSTEM_CLOCK, build_policy
from guard.policy.bundle import Bundle, read_bundle
from guard.policy.compile import Models, Ports, check_compiles
from guard.policy.load import Memory, load, understand
from guard.serve.beside import gently
from guard.serve.garbage import in_small_passes, settle
from guard.state.reloads import posted
from tests.benchmarks.measure import Run
from tests.benchmarks.process import stop
from tests.benchmarks.strict import Figure
from tests.benchmarks.targets import MODEL, Target, await_ready, launch
from tests.parts.configuration import ModelSpec, write_configuration

MODELS: Final = 200
STREAMS: Final = 50
COMPILED_MS: Final = 1000.0
LOOKUP_US: Final = 2.0
STALL_MS: Final = 5.0
LOOKUPS: Final = 20_000
WAIT_SECONDS: Final = 30.0


async def _held(work: Callable[[], object]) -> float:
    """Run it in a thread beside a loop that wakes every millisecond; the most processor milliseconds it took meanwhile.

    The thread's own clock is read at each wake-up, so work of other processes is left out. What the loop waited for a
    core meanwhile is taken off: then it is the system that held it up, not the interpreter's lock.
    """
    waited = Path(
        f"/proc/self/task/{threading.get_native_id()}/schedstat"
    )  # processor ns, ns of waiting for one, turns
    clocks: list[int] = []
    ended = False
    most = 0.0

    def run() -> None:
        nonlocal ended
        clocks.append(time.pthread_getcpuclockid(threading.get_ident()))
        with gently(), in_small_passes():
            work()
        clocks.clear()
        ended = True

    thread = threading.Thread(target=run)
    thread.start()
    last = None
    while not ended:
        await asyncio.sleep(0.001)
        with contextlib.suppress(OSError, IndexError):  # it ended meanwhile
            now = time.clock_gettime(clocks[0]), _waited(waited)
            if last is not None:
                most = max(most, (now[0] - last[0] - (now[1] - last[1])) * 1000)
            last = now
    thread.join()
    return most


def _waited(schedstat: Path) -> float:
    return int(schedstat.read_text().split()[1]) / 1e9


def _holding(directory: Path, rounds: int) -> list[Figure]:
    """How long a change of every file keeps the interpreter from a worker's loop, beside a thread that only counts."""
    absent: Any = None
    ports, memory = Ports(absent, absent, absent, SYSTEM_CLOCK), Memory()
    before = build_policy(understand(read_bundle(directory), directory, memory), ports).models
    passes = gc.get_threshold()
    settle()  # as a worker does before it serves
    changed, counted = [], []
    for number in range(max(3, rounds)):
        for path in (directory / "models").glob("*.yaml"):
            _write(path, number)
        bundle = read_bundle(directory)
        work = partial(_made, bundle, directory, memory, ports, before)
        changed.append(asyncio.run(_held(work)))
        counted.append(asyncio.run(_held(_count)))
    gc.unfreeze()
    gc.set_threshold(*passes)
    remark = "a thread that only counts, for comparison"
    return [
        (f"{MODELS} files changed: interpreter held at most, ms", changed, _goal(median(changed), STALL_MS, "ms")),
        ("interpreter held at most, ms", counted, remark),
    ]


def _count() -> None:
    total = 0
    for number in range(5_000_000):
        total += number


def _made(bundle: Bundle, directory: Path, memory: Memory, ports: Ports, before: Models) -> None:
    build_policy(understand(bundle, directory, memory), ports, before)


def alone(rounds: int) -> list[Figure]:
    """Read, check and compile 200 model files from nothing, and look a policy up."""
    compiled, found = [], []
    with TemporaryDirectory(prefix="bench-reload-") as name:
        directory = Path(name)
        write_configuration(directory, models=[ModelSpec(f"model-{number}", asl=3) for number in range(MODELS)])
        for _ in range(max(3, rounds)):
            started = time.perf_counter()
            check_compiles(understand(read_bundle(directory), directory))
            compiled.append((time.perf_counter() - started) * 1000)
        absent: Any = None  # safeguards do not touch their ports before the first exchange
        models = build_policy(load(directory), Ports(absent, absent, absent, SYSTEM_CLOCK)).models
        for _ in range(max(3, rounds)):
            started = time.perf_counter()
            for _ in range(LOOKUPS):
                models.find("model-7")
            found.append((time.perf_counter() - started) / LOOKUPS * 1e6)
        holding = _holding(directory, rounds)
    return [
        (f"{MODELS} model files read and compiled, ms", compiled, _goal(median(compiled), COMPILED_MS, "ms")),
        ("policy look-up, µs", found, _goal(median(found), LOOKUP_US, "µs")),
        *holding,
    ]


def under_load(run: Run, rounds: int) -> list[Figure]:
    """Reload again and again under load: one file changed, and then every file."""
    home = run.workdir / "reload"
    target = launch("guard", run.mock.port, home)
    figures: list[Figure] = []
    try:
        await_ready(target, home / "log")
        _grow(home)
        _reload(home, target)
        run.mock.control(50, 4000)
        _quiet(run, target)  # the first window of a process is not like the others
        calm = [_quiet(run, target) for _ in range(rounds)]
        latest = [each["delay_max_us"] / 1000 for each in calm]
        figures.append(("latest stream event without reloads, ms", latest, f"{STREAMS} streams"))
        for what, change in (("one file", _change_one), ("every file", _change_all)):
            took: list[float] = []
            windows = [_reloading(run, target, home, change, took) for _ in range(rounds)]
            late = [each["delay_max_us"] / 1000 for each in windows]
            added = min(late) - min(latest)
            lost = sum(each["errors"] for each in windows)
            figures.append((f"reload of {what} of {MODELS} models, ms", took, f"{len(took)} reloads"))
            remark = f"{max(0.0, added):.1f} ms added; {_goal(added, STALL_MS, 'ms')}; {lost:g} requests lost"
            figures.append((f"latest stream event while {what} changes, ms", late, remark))
    finally:
        stop(target.processes)
    return figures


def _goal(value: float, goal: float, unit: str) -> str:
    return f"goal {goal:g} {unit}: {'met' if value < goal else 'MISSED'}"


def _grow(home: Path) -> None:
    """Give the guard's configuration 199 more models, of the same kind."""
    text = (home / "models" / f"{MODEL}.yaml").read_text()
    aliases = [f"{MODEL}-{number}" for number in range(1, MODELS)]
    for alias in aliases:
        own = text.replace(f"model: {MODEL}\n", f"model: {alias}\n", 1).replace("deployment: 3, security: 3", _LOW)
        own = own.replace(run_url(own), "http://127.0.0.1:9")
        (home / "models" / f"{alias}.yaml").write_text(own)


_LOW: Final = "deployment: 2, security: 2"


def run_url(text: str) -> str:
    """The upstream's URL in a model's file."""
    return text.partition('url: "')[2].partition('"')[0]


def _quiet(run: Run, target: Target) -> dict[str, float]:
    return _window(run, target, lambda: None)


def _reloading(
    run: Run, target: Target, home: Path, change: Callable[[Path, int], None], took: list[float]
) -> dict[str, float]:
    ended = threading.Event()

    def reload() -> None:
        number = time.monotonic_ns()
        while not ended.is_set():
            number += 1
            change(home, number)
            took.append(_reload(home, target))
            ended.wait(0.3)

    reloading = threading.Thread(target=reload)
    try:
        return _window(run, target, reloading.start)
    finally:
        ended.set()
        reloading.join()


def _window(run: Run, target: Target, during: Callable[[], None]) -> dict[str, float]:
    """Streams, and JSON requests beside them; the errors of both."""
    beside: dict[str, float] = {}

    def ask() -> None:
        beside.update(run.load(target, "json", conns=4, gap_us=5000, warm=0.1, seconds=run.seconds))

    asking = threading.Thread(target=ask)

    def begin() -> None:
        asking.start()
        during()

    found = run.load(target, "stream", conns=STREAMS, rate=50, ramp=0.5, warm=0.5, during=begin)
    asking.join()
    return {**found, "errors": found["errors"] + beside.get("errors", 1.0)}


def _change_one(home: Path, number: int) -> None:
    _write(home / "models" / f"{MODEL}-1.yaml", number)


def _change_all(home: Path, number: int) -> None:
    for path in (home / "models").glob("*.yaml"):
        _write(path, number)


def _write(path: Path, number: int) -> None:
    text = path.read_text().partition("\n# ")[0]
    aside = path.with_name(f".{path.name}")
    aside.write_text(f"{text}\n# {number}\n")
    aside.rename(path)


def _reload(home: Path, target: Target) -> float:
    """Reload by a signal and wait for the answer; returns its milliseconds."""
    state = home / "state"
    before = posted(state)
    os.kill(target.pids[0], signal.SIGHUP)
    until = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < until:
        now = posted(state)
        if now is not None and before is not None and now.count > before.count and now.last["by"] == "signal":
            if now.last["outcome"] not in {"in_force", "unchanged"} or now.last["missing"]:
                raise RuntimeError(f"the reload did not succeed: {json.dumps(now.last)}")
            return float(now.last["seconds"]) * 1000
        time.sleep(0.005)
    raise RuntimeError("the guard did not reload")
