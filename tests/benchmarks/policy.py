"""What the policy costs: two hundred models compiled, and the look-up that every request makes."""

import tempfile
import time
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from statistics import median
from typing import Final

from guard.clock import SystemClock
from guard.policy.compile import Models, Ports
from guard.policy.config import Config
from guard.policy.load import load
from tests.benchmarks.process import PROXY_CORE, on_core
from tests.benchmarks.strict import Figure, timed, timed_values
from tests.parts.compiled import Buckets, Journal, Switch
from tests.parts.configuration import ModelSpec, write_configuration

MODELS: Final = 200
GOAL_MS, GOAL_US = 1000.0, 2.0  # of all models loaded and compiled, and of one look-up
_LOOKUPS: Final = 20_000


def write(directory: Path, models: int = MODELS) -> None:
    """Write so many models of ASL-3, each with its own file and evidence, and rules of the usual size for them all."""
    rules = [{"id": f"p{n}", "category": "other", "phrase": f"forbidden marker number {n}"} for n in range(100)]
    specs = [ModelSpec(f"model-{number}", asl=3) for number in range(models)]
    write_configuration(directory, models=specs, now=datetime.now(UTC), rules=rules)


def compiled(config: Config) -> Models:
    """Compile with what lies outside in memory."""
    return Models(config, Ports(Switch(), Buckets(), Journal([]), SystemClock()))


def load_and_compile(directory: Path) -> Models:
    """Read, check and compile a whole configuration, as a worker does at its start."""
    return compiled(load(directory))


def look_up(models: Models, aliases: list[str]) -> float:
    """Seconds per look-up of a model that is in order, as the arrival of each request makes it."""
    started = time.perf_counter()
    for alias in aliases:
        found = models.find(alias)
    taken = time.perf_counter() - started
    if found is None or found.unmet:
        raise RuntimeError("a model of the benchmark is below its floor")
    return taken / len(aliases)


def measure(seconds: float, *, models: int = MODELS) -> list[Figure]:
    """Time it all, each act for up to so many seconds: title, the values in the unit of the title, and a remark."""
    with tempfile.TemporaryDirectory(prefix="bench-policy-") as name, on_core(PROXY_CORE):
        directory = Path(name)
        write(directory, models)
        reading = [each * 1000 for each in timed(partial(load, directory), seconds, least=3)]
        config = load(directory)
        compiling = [each * 1000 for each in timed(partial(compiled, config), seconds, least=3)]
        whole = [each * 1000 for each in timed(partial(load_and_compile, directory), seconds, least=3)]
        ready = compiled(config)
        aliases = [f"model-{number % models}" for number in range(_LOOKUPS)]
        looking = [each * 1e6 for each in timed_values(partial(look_up, ready, aliases), seconds)]
    goal = f"goal {GOAL_MS:g} ms: {'met' if median(whole) < GOAL_MS else 'MISSED'}"
    found = f"goal {GOAL_US:g} µs: {'met' if median(looking) < GOAL_US else 'MISSED'}"
    return [
        (f"policy: {models} models read and checked, ms", reading, "the built-in standards too"),
        (f"policy: {models} models compiled, ms", compiling, "judged by their floor, classifiers included"),
        (f"policy: {models} models read, checked and compiled, ms", whole, goal),
        ("policy: look-up of a model for one request, µs", looking, found),
    ]
