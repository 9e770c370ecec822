"""For each row claimed as enforced: the named test passes, and fails when what it proves is switched off."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from guard.policy.invariants import Invariant
from guard.policy.model import CheckName, SafeguardKind
from guard.policy.proof import CHECKS, INVARIANTS, SAFEGUARDS
from safeguards.base import Safeguard
from tests.mutations.table import MUTATIONS, Mutation

ROOT: Final = Path(__file__).resolve().parents[2]
QUIET: Final = ("-q", "--no-header", "-p", "no:cacheprovider", "-p", "no:hypothesispytest")
UNCHANGED: Final = "unchanged"


@dataclass(frozen=True, slots=True)
class Ran:
    """How a run of pytest ended."""

    code: int
    out: str

    @property
    def counts(self) -> dict[str, int]:
        """How many tests passed, failed or were in error."""
        last = self.out.strip().splitlines()[-1]
        return {word: int(count) for count, word in re.findall(r"(\d+) (passed|failed|errors?|skipped)", last)}


def pytest_run(*nodes: str, mutation: str = "") -> Ran:
    """Run these tests in a process of their own."""
    plugin = ("-p", "tests.mutations.plugin") if mutation else ()
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *QUIET, *plugin, *nodes],
        cwd=ROOT,
        env={**os.environ, "GUARD_MUTATION": mutation, "PYTHONDONTWRITEBYTECODE": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=110,
        check=False,
    )
    return Ran(done.returncode, done.stdout)


@pytest.fixture(scope="module")
def runs(request: pytest.FixtureRequest) -> Iterator[dict[str, Future[Ran]]]:
    """The runs of the chosen tests, two at a time."""
    chosen = [item.callspec.params.get("mutation") for item in request.session.items if hasattr(item, "callspec")]
    with ThreadPoolExecutor(2) as pool:
        everything = sorted({mutation.test for mutation in MUTATIONS})
        futures = {UNCHANGED: pool.submit(pytest_run, *everything)}
        for mutation in MUTATIONS:
            if mutation in chosen:
                futures[mutation.name] = pool.submit(pytest_run, mutation.test, mutation=mutation.name)
        yield futures
        pool.shutdown(cancel_futures=True)


def test_every_named_test_passes(runs: dict[str, Future[Ran]]) -> None:
    ran = runs[UNCHANGED].result()
    assert ran.code == 0, ran.out
    assert ran.counts == {"passed": len({mutation.test for mutation in MUTATIONS})}, ran.out


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda each: each.name.replace(" ", "-"))
def test_a_named_test_fails_when_what_it_proves_is_switched_off(
    mutation: Mutation, runs: dict[str, Future[Ran]]
) -> None:
    ran = runs[mutation.name].result()
    assert (ran.code, ran.counts) == (1, {"failed": 1}), f"{mutation.test} does not notice:\n{ran.out}"


def test_every_check_every_safeguard_and_every_invariant_has_a_proof() -> None:
    assert set(CHECKS) == set(CheckName) - {CheckName.BUILT_IN}
    assert set(INVARIANTS) == set(Invariant)
    assert set(SAFEGUARDS) == set(SafeguardKind)


def test_every_moment_of_every_safeguard_is_switched_off() -> None:
    """A moment that a safeguard does not define does nothing, so there is nothing to switch off."""
    for path in (ROOT / "safeguards").glob("[a-z]*.py"):
        importlib.import_module(f"safeguards.{path.stem}")
    defined = {
        f"{each.__module__}:{each.__name__}.{moment}"
        for each in Safeguard.__subclasses__()
        if each.__module__.startswith("safeguards.")
        for moment in ("admit", "watch", "close")
        if moment in vars(each)
    }
    assert defined
    assert defined <= {mutation.target for mutation in MUTATIONS}


def test_the_names_of_mutations_are_unique() -> None:
    assert len({mutation.name for mutation in MUTATIONS}) == len(MUTATIONS)
