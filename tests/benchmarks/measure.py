"""The measures: one load on one target, and the figures that come of it."""

import contextlib
import json
import subprocess
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.benchmarks.compile import build
from tests.benchmarks.process import LOAD_CORE, cpu_ns, on_core, pss_kb, stop
from tests.benchmarks.targets import Mock, Target, await_ready, launch

STREAM_RATE: Final = 50.0  # text events a second of each stream
MANY, FEW = 400, 12  # streams of the two loads for CPU per event; FEW is what LiteLLM carries
LATE_MS: Final = 20.0
ON_TIME: Final = 0.97  # the share of the expected events that has to arrive in the window
DISTURBED: Final = 0.03
LONG = 4000  # text events of a stream that outlasts every window

Report = dict[str, float]


@dataclass(slots=True)
class Run:
    """What one run has found so far, and how long its windows are."""

    mock: Mock
    seconds: float
    workdir: Path
    before: Path | None = None  # the source tree of the earlier guard
    values: dict[tuple[str, str], list[float]] = field(default_factory=lambda: defaultdict(list))
    remarks: list[str] = field(default_factory=list)
    coarse: bool = False
    failed: bool = False
    waits: list[float] = field(default_factory=list)  # of each load: how much of the window a target stood in line

    def note(self, figure: str, target: Target, value: float) -> None:
        """Keep a value of a figure."""
        self.values[figure, target.name].append(value)

    @contextlib.contextmanager
    def may_fail(self, what: str) -> Iterator[None]:
        """Turn a failure of a target into a remark, and into the exit status at the end."""
        try:
            yield
        except (RuntimeError, OSError, LookupError, ValueError) as error:
            self.failed = True
            self.remarks.append(f"{what}: {error!r}")

    def disturbance(self) -> str:
        """Say how far the cores were not the run's own."""
        held = [wait for wait in self.waits if wait > DISTURBED]
        return (
            f"In {len(held)} of {len(self.waits)} loads the target waited for its core, held by others or by its own "
            f"threads, more than {DISTURBED:.0%} of the window (at most {max(self.waits, default=0):.0%})."
        )

    def load(
        self,
        target: Target,
        kind: str,
        *,
        seconds: float = 0,
        during: Callable[[], None] = lambda: None,
        **options: float,
    ) -> Report:
        """Put a load on the target and report it, with `cpu_us`, its time on a core within the window."""
        window = seconds or self.seconds
        command = [str(build("load")), kind, "--port", str(target.port), "--key", target.key, "--model", target.model]
        for name, value in {"seconds": window, **options}.items():
            command += [f"--{name.replace('_', '-')}", f"{value:.10g}"]
        with on_core(LOAD_CORE):
            process = subprocess.Popen(command, stdout=subprocess.PIPE)
        before = after = (0, 0)
        last = b""
        try:
            for line in process.stdout or ():
                after = cpu_ns(target.pids)
                if line.startswith(b"BEGIN"):
                    during()
                    before = cpu_ns(target.pids)
                else:
                    last = line
        finally:
            stop([process])
            if process.stdout is not None:
                process.stdout.close()
        if not last:
            raise RuntimeError(f"the load generator said nothing about {target.name}")
        report = json.loads(last)
        what = report.pop("first_error")
        if report["errors"]:
            self.remarks.append(f"{target.name}: {report['errors']} errors under {kind} {options}: `{what}`")
        if kind == "stream" and (still := self.mock.drained()):
            self.remarks.append(f"{target.name}: {still} upstream streams open 10 s after their callers left")
        self.waits.append((after[1] - before[1]) / 1e9 / report["seconds"])
        return {**report, "cpu_us": (after[0] - before[0]) / 1000}


def json_cpu(run: Run, target: Target) -> None:
    """CPU and rate of short JSON requests over 32 connections."""
    report = run.load(target, "json", conns=32, warm=1)
    if target.pids and report["requests"]:
        run.note("json_cpu", target, report["cpu_us"] / report["requests"])
    run.note("json_rate", target, report["requests"] / report["seconds"])


def latency(run: Run, target: Target) -> None:
    """Latency of JSON requests of one caller who waits 2 ms between them; added: less that of the direct way."""
    report = run.load(target, "json", conns=1, gap_us=2000)
    for part in ("p50", "p99"):
        run.note(f"latency_{part}", target, report[f"{part}_us"] / 1000)
        base = run.values["latency_" + part, "direct"]
        if target.name != "direct" and base:
            run.note(f"added_{part}", target, report[f"{part}_us"] / 1000 - base[-1])


def ttft(run: Run, target: Target) -> None:
    """Time to the first text of four callers who open one short stream after another."""
    run.mock.control(STREAM_RATE, 10)
    report = run.load(target, "stream", conns=4, seconds=run.seconds * 2)
    run.note("ttft_p50", target, report["p50_us"] / 1000)
    run.note("ttft_p99", target, report["p99_us"] / 1000)


def events(run: Run, target: Target) -> None:
    """CPU and one-way delay of a streamed event, at many streams, and at the few that LiteLLM carries.

    LiteLLM cannot keep up with the many: what it delivers of them at full load is what its time is divided by, and
    the remark says how much that was.
    """
    run.mock.control(STREAM_RATE, LONG)
    for count in (FEW, MANY):
        report = run.load(target, "stream", conns=count, rate=STREAM_RATE, ramp=1, warm=1)
        if report["delivered"] < ON_TIME:
            run.remarks.append(f"{target.name}: {report['delivered']:.0%} of the events came at {count} streams")
        if target.pids and report["texts"]:
            run.note(f"event_cpu_{count}", target, report["cpu_us"] / report["texts"])
        run.note(f"delay_p50_{count}", target, report["delay_p50_us"] / 1000)
        run.note(f"delay_p99_{count}", target, report["delay_p99_us"] / 1000)


def _holds(run: Run, target: Target, count: int) -> bool:
    """Tell whether the target carries so many streams in time.

    A miss is tried again, up to three times in all, where its median delay is small, which is a disturbance and not
    saturation, or where the target had to wait for its core. So the figure is the best of three, for every target.
    """
    for _ in range(2 if run.coarse else 3):
        report = run.load(target, "stream", conns=count, rate=STREAM_RATE, ramp=1, warm=0.7)
        if report["errors"]:
            return False
        if report["delivered"] >= ON_TIME and report["delay_p99_us"] < LATE_MS * 1000:
            return True
        full = report["delivered"] < ON_TIME or report["delay_p50_us"] > LATE_MS * 1000 / 4
        if full and run.waits[-1] <= DISTURBED:
            return False
    return False


def capacity(run: Run, target: Target) -> None:
    """Search the number of streams one core carries: doubling, then halving the gap; later rounds start near the last.

    The end of the search is within an eighth of the truth, in a coarse run within a quarter. `direct` shows where
    the mock and the load generator, which share a core, reach their own end.
    """
    known = run.values["capacity", target.name]
    if target.name == "direct" and (known or run.coarse):
        return
    run.mock.control(STREAM_RATE, LONG)
    best, worst, step = 0, 0, 4 if target.name == "litellm" else 200
    if known:
        step = max(1, int(known[-1] * 0.9))
    while not worst and step <= 6400:
        if _holds(run, target, step):
            best, step = step, (round(step * 1.12) + 1 if known else step * 2)
        else:
            worst = step
    for _ in range(8):
        middle = (best + worst) // 2
        if middle <= best or middle >= worst or (best and worst - best <= best // (4 if run.coarse else 8)):
            break
        best, worst = (middle, worst) if _holds(run, target, middle) else (best, middle)
    run.note("capacity", target, best)


def memory(run: Run, target: Target) -> None:
    """Memory of a fresh process at rest, and what each open stream adds to it."""
    if not target.pids:
        return
    count = 50 if target.name == "litellm" else 1000
    home = run.workdir / f"{target.name}-fresh"
    fresh = launch(target.name, run.mock.port, home, run.before)
    try:
        await_ready(fresh, home / "log")
        run.mock.control(STREAM_RATE, 10)
        run.load(fresh, "json", conns=4, seconds=0.5, count=200)
        run.load(fresh, "stream", conns=4, seconds=0.5)
        idle, seen = pss_kb(fresh.pids), list[int]()
        run.mock.control(1, LONG)

        def sample() -> None:
            time.sleep(1.5)
            seen.append(pss_kb(fresh.pids))

        run.load(fresh, "stream", conns=count, rate=1, ramp=3, warm=0.5, seconds=2.5, during=sample)
        run.note("memory_base", fresh, idle / 1000)
        run.note("memory_stream", fresh, (seen[0] - idle) / count)
    finally:
        stop(fresh.processes)


def warm_up(run: Run, target: Target) -> None:
    """Let a target answer for each kind of load before anything counts."""
    run.mock.control(STREAM_RATE, 10)
    run.load(target, "json", conns=4, seconds=0.7)
    run.load(target, "stream", conns=2, seconds=0.5)


MEASURES: Final[dict[str, Callable[[Run, Target], None]]] = {
    "memory": memory,
    "json": json_cpu,
    "latency": latency,
    "ttft": ttft,
    "events": events,
    "capacity": capacity,
}
