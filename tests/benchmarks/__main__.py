"""The command line of the benchmarks."""

import argparse
import contextlib
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.benchmarks import (
    before,
    durable,
    indexing,
    measure,
    plot,
    policy,
    reload,
    rules,
    sealing,
    stops,
    strict,
    switch,
)
from tests.benchmarks.bystanders import bystanders
from tests.benchmarks.measure import Run, warm_up
from tests.benchmarks.process import stop
from tests.benchmarks.table import alone, compared, conditions, table
from tests.benchmarks.targets import BEFORE, LITELLM_DONE, NAMES, Mock, Target, await_ready, install_litellm, launch

MEASURES = {**measure.MEASURES, "bystanders": bystanders}
STRICT = "strict"  # of the guard's own parts alone, in this process: no target and no load
RELOAD = "reload"  # of the guard: a change of policy, alone and under load
POLICY = "policy"  # of reading, compiling and looking up models, also in this process
SWITCH = "switch"  # of asking the kill switch before a send, likewise alone
RULES = "rules"  # of watching an answer beside pushed rules, likewise alone
SEALING = "sealing"  # of the request log, likewise alone
DURABLE = "durable"  # of the request log on this disk: latency, saturation, space
INDEXING = "indexing"  # of finding one request among ten million records of it
STOPS = "stops"  # of stop orders, on guards and a database of its own
ALONE: dict[str, Callable[[float], list[strict.Figure]]] = {
    STRICT: strict.measure,
    POLICY: policy.measure,
    SWITCH: switch.measure,
    RULES: rules.measure,
    SEALING: lambda seconds: sealing.measure(int(50_000 * seconds)),
    DURABLE: durable.measure,
    INDEXING: lambda seconds: indexing.measure(int(10_000_000 * seconds)),
    STOPS: lambda seconds: stops.measure(max(1, int(5 * seconds))),
}
KNOWN = (*MEASURES, *ALONE, RELOAD)
READING = (
    "How to read it: trust CPU per request and per event (2 to 10 % from run to run); requests a second, p99 figures "
    "and streams a core move by 15 % and more on a virtual machine. Compare within one table only, and at the same "
    "load: a wake-up costs more than the work it wakes for. Other work on the machine only ever takes streams away, so "
    "of streams a core the highest value is the least disturbed."
)


def options(arguments: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one round of short windows, 2 to 3 minutes")
    parser.add_argument("--rounds", type=int, choices=range(1, 11), default=3, metavar="N", help="1 to 10, default 3")
    parser.add_argument("--only", default="", help=f"measures, by commas: {', '.join(KNOWN)}")
    parser.add_argument("--targets", default=",".join(NAMES), help="targets, by commas; default all: %(default)s")
    parser.add_argument("--before", default="", metavar="COMMIT", help="measure the guard of this commit too")
    parser.add_argument(
        "--plot", type=Path, metavar="FILE", help="draw how long reading takes by size, as SVG, and end"
    )
    chosen = parser.parse_args(arguments)
    if chosen.before:
        try:
            chosen.before = before.resolve(chosen.before)
        except ValueError as error:
            parser.error(str(error))
    chosen.only = chosen.only.split(",") if chosen.only else list(KNOWN)
    chosen.targets = chosen.targets.split(",")
    for word, allowed in [(word, KNOWN) for word in chosen.only] + [(w, NAMES) for w in chosen.targets]:
        if word not in allowed:
            parser.error(f"{word!r} is none of {', '.join(allowed)}")
    if chosen.quick:
        chosen.rounds = 1
    return chosen


def say(text: str) -> None:
    """Tell how far the run is, beside the table."""
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {text}\n")


def one_round(run: Run, number: int, names: list[str], only: list[str]) -> dict[str, str]:
    """Start every target afresh, measure each in turn, stop them all; odd rounds go the other way round.

    What cannot be started or measured is remarked, and the others go on.
    """
    with contextlib.ExitStack() as undo:
        ready: list[Target] = []
        for name in names:
            home = run.workdir / name
            with run.may_fail(f"{name} was not measured in round {number + 1}"):
                target = launch(name, run.mock.port, home, run.before)
                undo.callback(stop, target.processes)
                await_ready(target, home / "log")
                ready.append(target)
        ready.sort(key=lambda target: target.name != "direct")  # first: the others are compared with it
        order = ready if number % 2 == 0 else [*ready[:1], *reversed(ready[1:])]
        say(f"round {number + 1}: {', '.join(target.name for target in order)}")
        for name, take in {"warm-up": warm_up, **MEASURES}.items():
            if name in {"warm-up", *only}:
                say(name)
                for target in order:
                    with run.may_fail(f"{target.name}: {name} failed in round {number + 1}"):
                        take(run, target)
        return {target.name: target.version for target in ready}


def reloads(chosen: argparse.Namespace) -> list[strict.Figure]:
    """Measure changes of policy under load, on a guard and a mock of its own."""
    mock = Mock()
    try:
        with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as workdir:
            run = Run(mock, 1.5 if chosen.quick else 3.0, Path(workdir), coarse=chosen.quick)
            return reload.under_load(run, chosen.rounds)
    finally:
        mock.stop()


def main(arguments: list[str]) -> int:
    """Run the benchmarks and print their table; 1 when a chosen target could not be measured."""
    chosen = options(arguments)
    if chosen.plot is not None:
        chosen.plot.write_text(plot.reading(strict.sizes(0.2 if chosen.quick else 1.0), strict.GOAL_MS))
        return 0
    parts: list[strict.Figure] = []
    for name, take in ALONE.items():
        if name in chosen.only:
            say(name)
            parts += take(0.2 if chosen.quick else 1.0)
    if RELOAD in chosen.only:
        say(RELOAD)
        parts += reload.alone(chosen.rounds)
    if set(chosen.only) <= {*ALONE, RELOAD}:
        if RELOAD in chosen.only:
            parts += reloads(chosen)
        sys.stdout.write(alone(parts) + "\n")
        return 0
    names: list[str] = list(chosen.targets)
    busy = os.getloadavg()[0]
    if chosen.quick and "litellm" in names and not LITELLM_DONE.exists():
        names.remove("litellm")
        say("LiteLLM is not installed yet and a quick run does not install it: left out")
    if "litellm" in names:
        say("LiteLLM: looking for its environment, or installing it")
        install_litellm()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what was started is stopped
    versions: dict[str, str] = {}
    with contextlib.ExitStack() as undo:
        mock = Mock()
        undo.callback(mock.stop)
        workdir = Path(undo.enter_context(tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True)))
        run = Run(mock, 1.5 if chosen.quick else 3.0, workdir, coarse=chosen.quick)
        if chosen.before:
            run.before = undo.enter_context(before.unpacked(chosen.before))
            names.append(BEFORE)
        for number in range(chosen.rounds):
            run.workdir = workdir / str(number)
            versions |= one_round(run, number, names, chosen.only)
        if RELOAD in chosen.only and "guard" in names:
            say("reload, under load")
            run.workdir = workdir
            parts += reload.under_load(run, chosen.rounds)
    lines = [table(run.values), ""]
    if chosen.before:
        lines += [compared(run.values, chosen.before), ""]
    if parts:
        lines += [alone(parts), ""]
    lines += [conditions(chosen.rounds, run.seconds, versions, busy), run.disturbance(), READING]
    lines += [f"- {remark}" for remark in dict.fromkeys(run.remarks)]
    sys.stdout.write("\n".join(lines) + "\n")
    return 1 if run.failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
