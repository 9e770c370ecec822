"""What stands behind a row: the tables are closed, and what they name exists."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from guard.policy.invariants import Invariant
from guard.policy.model import CheckName, SafeguardKind, Standard
from guard.policy.proof import CHECKS, INVARIANTS, SAFEGUARDS, Proof, proofs
from guard.telemetry.catalogue import METRICS
from tests.docs.standards import UNVERIFIED, shipped, standards

ROOT = Path(__file__).resolve().parents[3]
ALL = [*CHECKS.values(), *INVARIANTS.values(), *SAFEGUARDS.values()]


def test_every_check_and_every_invariant_has_a_proof() -> None:
    """A check that nobody shows to work must not make a row look enforced."""
    assert set(CHECKS) == set(CheckName) - {CheckName.BUILT_IN}
    assert set(INVARIANTS) == set(Invariant)


def test_every_safeguard_has_a_proof() -> None:
    assert set(SAFEGUARDS) == set(SafeguardKind)


@pytest.mark.parametrize("proof", ALL, ids=lambda proof: proof.test.rpartition("::")[2])
def test_the_metric_and_the_test_of_a_proof_exist(proof: Proof) -> None:
    assert proof.metric in METRICS
    path, _, name = proof.test.partition("::")
    tree = ast.parse((ROOT / path).read_text())
    assert name in {each.name for each in tree.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_no_two_proofs_share_a_test() -> None:
    assert len({proof.test for proof in ALL}) == len(ALL)


@pytest.mark.parametrize("standard", shipped(), ids=lambda each: f"{each.name}-{each.version}")
def test_every_row_is_on_the_page_with_its_check_or_as_not_verified(standard: Standard) -> None:
    _, _, section = standards().partition(f"\n## {standard.name} {standard.version}\n")
    section = section.partition("\n## ")[0]
    lines = {line.split("|")[1].strip(): line for line in section.splitlines() if line.startswith("| `")}
    assert list(lines) == [f"`{row.id}`" for row in standard.rows]
    for row in standard.rows:
        line = lines[f"`{row.id}`"]
        assert (UNVERIFIED in line) is (row.check is None)
        for proof in proofs(row):
            assert proof.metric in line
            assert proof.test.rpartition("::")[2] in line


def test_a_row_that_asks_for_a_safeguard_has_its_proof_beside_that_of_the_check() -> None:
    rows = [row for standard in shipped() for row in standard.rows]
    for row in rows:
        assert len(proofs(row)) == (0 if row.check is None else 2 if row.check in TWO else 1)


TWO = {CheckName.MOUNTED, CheckName.MOUNTED_ANY_MODE, CheckName.SCREENS}
