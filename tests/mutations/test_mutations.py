"""For each row claimed as enforced: the named test passes, and fails when what it proves is switched off."""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from guard.policy.invariants import Invariant
from guard.policy.model import CheckName, SafeguardKind
from guard.policy.proof import CHECKS, INVARIANTS, SAFEGUARDS
from safeguards.base import Safeguard
from tests.mutations.runner import UNCHANGED
from tests.mutations.table import MUTATIONS, Mutation

ROOT: Final = Path(__file__).resolve().parents[2]


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


class Runs:
    """The runs of these names, which go on while the first results are looked at."""

    def __init__(self, names: Sequence[str]) -> None:
        """Begin."""
        command = [sys.executable, "-m", "tests.mutations.runner", *names]
        self._process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        self._done: dict[str, Ran] = {}

    def of(self, name: str) -> Ran:
        """Wait for one."""
        assert self._process.stdout is not None
        while name not in self._done:
            line = self._process.stdout.readline()
            assert line, f"the runner ended without {name}"
            found, code, out = json.loads(line)
            self._done[found] = Ran(code, out)
        return self._done[name]

    def end(self) -> None:
        """Let what still runs end, and leave."""
        self._process.kill()
        self._process.communicate()


@pytest.fixture(scope="module")
def runs(request: pytest.FixtureRequest) -> Iterator[Runs]:
    """The runs of the chosen mutations, and of every named test with nothing switched off."""
    chosen = [item.callspec.params.get("mutation") for item in request.session.items if hasattr(item, "callspec")]
    runs = Runs([UNCHANGED, *(mutation.name for mutation in MUTATIONS if mutation in chosen)])
    yield runs
    runs.end()


def test_every_named_test_passes(runs: Runs) -> None:
    ran = runs.of(UNCHANGED)
    assert ran.code == 0, ran.out
    assert ran.counts == {"passed": len({mutation.test for mutation in MUTATIONS})}, ran.out


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda each: each.name.replace(" ", "-"))
def test_a_named_test_fails_when_what_it_proves_is_switched_off(mutation: Mutation, runs: Runs) -> None:
    ran = runs.of(mutation.name)
    assert (ran.code, ran.counts) == (1, {"failed": 1}), f"{mutation.test} does not notice:\n{ran.out}"


def test_every_proof_is_tried() -> None:
    """A check, a safeguard or an invariant that is new has no proof yet, and a proof that is not tried is none."""
    proofs = [*CHECKS.values(), *SAFEGUARDS.values(), *INVARIANTS.values()]
    assert {proof.test for proof in proofs} == {mutation.test for mutation in MUTATIONS}
    assert set(CHECKS) == set(CheckName) - {CheckName.BUILT_IN}
    assert set(SAFEGUARDS) == set(SafeguardKind)
    assert set(INVARIANTS) == set(Invariant)


def test_every_moment_of_every_safeguard_is_switched_off() -> None:
    """A moment that a safeguard does not define does nothing, so there is nothing to switch off."""
    for path in (ROOT / "safeguards").glob("[a-z]*.py"):
        importlib.import_module(f"safeguards.{path.stem}")
    defined = {
        f"{each.__module__}:{each.__name__}.{moment}"
        for each in Safeguard.__subclasses__()
        if each.__module__.startswith("safeguards.")
        for moment in ("admit", "watch", "before_last", "close")
        if moment in vars(each)
    }
    assert defined
    assert defined <= {mutation.target for mutation in MUTATIONS}


def test_the_names_of_mutations_are_unique() -> None:
    assert len({mutation.name for mutation in MUTATIONS}) == len(MUTATIONS)
