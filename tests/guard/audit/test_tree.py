"""The Merkle tree against RFC 6962 as it is written, and its proofs against forgery."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.audit.tree import (
    EMPTY_ROOT,
    VOID,
    Frontier,
    Node,
    ProofError,
    check_consistency,
    check_inclusion,
    complete_root,
    consistency,
    inclusion,
    leaf_hash,
    node_hash,
    peaks,
    root,
)
from tests.guard.audit import naive_tree

sizes = st.integers(1, 600)


def leaves(count: int) -> list[bytes]:
    return [leaf_hash(2, str(number).encode()) for number in range(count)]


def node_of(all_leaves: list[bytes]) -> Node:
    def node(level: int, index: int) -> bytes:
        return complete_root(all_leaves[index << level : (index + 1) << level])

    return node


# From the Certificate Transparency test data that RFC 6962's implementations share: leaves and the roots over them.
CT_INPUTS = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
CT_ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def test_the_roots_are_those_of_the_shared_test_vectors() -> None:
    frontier = Frontier()
    assert frontier.root() == EMPTY_ROOT
    for data, expected in zip(CT_INPUTS, CT_ROOTS, strict=True):
        frontier.append(hashlib.sha256(b"\x00" + bytes.fromhex(data)).digest())
        assert frontier.root().hex() == expected


def test_a_leaf_is_the_hash_of_a_zero_byte_the_kind_and_the_payload() -> None:
    assert leaf_hash(2, b"payload") == hashlib.sha256(b"\x00\x02payload").digest()
    assert leaf_hash(0, b"") == VOID


@given(sizes, st.data())
def test_root_and_proofs_are_those_of_the_naive_tree(size: int, data: st.DataObject) -> None:
    all_leaves = leaves(size)
    node = node_of(all_leaves)
    frontier = Frontier()
    for leaf in all_leaves:
        frontier.append(leaf)
    expected = naive_tree.mth(all_leaves)
    assert frontier.root() == expected == root(size, node)
    index = data.draw(st.integers(0, size - 1))
    path = inclusion(index, size, node)
    assert path == naive_tree.path(index, all_leaves)
    check_inclusion(all_leaves[index], index, size, path, expected)
    old = data.draw(st.integers(1, size))
    between = consistency(old, size, node)
    assert between == naive_tree.proof(old, all_leaves)
    check_consistency(old, size, between, naive_tree.mth(all_leaves[:old]), expected)


@given(sizes, st.integers(0, 200))
def test_a_frontier_goes_on_from_its_peaks(size: int, more: int) -> None:
    all_leaves = leaves(size + more)
    frontier = Frontier(size, peaks(size, node_of(all_leaves)))
    for leaf in all_leaves[size:]:
        frontier.append(leaf)
    assert frontier.root() == naive_tree.mth(all_leaves)
    assert frontier.size == size + more


@given(st.integers(1, 80), st.data())
def test_no_altered_inclusion_proof_is_accepted(size: int, data: st.DataObject) -> None:
    all_leaves = leaves(size)
    index = data.draw(st.integers(0, size - 1))
    path = inclusion(index, size, node_of(all_leaves))
    good = naive_tree.mth(all_leaves)
    other = data.draw(st.integers(0, size + 3).filter(lambda one: one != index))
    with pytest.raises(ProofError):
        check_inclusion(all_leaves[index], other, size, path, good)
    with pytest.raises(ProofError):
        check_inclusion(VOID, index, size, path, good)
    with pytest.raises(ProofError):
        check_inclusion(all_leaves[index], index, size, [*path, VOID], good)
    if path:
        at = data.draw(st.integers(0, len(path) - 1))
        for forged in ([*path[:at], VOID, *path[at + 1 :]], path[:-1], [*path[:at], b"short", *path[at + 1 :]]):
            with pytest.raises(ProofError):
                check_inclusion(all_leaves[index], index, size, forged, good)


@given(st.integers(2, 80), st.data())
def test_no_altered_consistency_proof_is_accepted(size: int, data: st.DataObject) -> None:
    all_leaves = leaves(size)
    old = data.draw(st.integers(1, size - 1))
    path = consistency(old, size, node_of(all_leaves))
    before, after = naive_tree.mth(all_leaves[:old]), naive_tree.mth(all_leaves)
    at = data.draw(st.integers(0, len(path) - 1))
    for forged in ([*path[:at], VOID, *path[at + 1 :]], path[:-1], [*path, VOID], [*path[:at], b"", *path[at + 1 :]]):
        with pytest.raises(ProofError):
            check_consistency(old, size, forged, before, after)
    for first, second in ((VOID, after), (before, VOID), (after, before)):
        with pytest.raises(ProofError):
            check_consistency(old, size, path, first, second)
    with pytest.raises(ProofError):
        check_consistency(size, old, path, after, before)


def test_consistency_from_nothing_and_to_itself_needs_no_path() -> None:
    node = node_of(leaves(5))
    assert consistency(0, 5, node) == consistency(5, 5, node) == []
    check_consistency(0, 5, [], EMPTY_ROOT, root(5, node))
    check_consistency(5, 5, [], root(5, node), root(5, node))
    for old, first, path in ((0, VOID, []), (5, VOID, []), (0, EMPTY_ROOT, [VOID])):
        with pytest.raises(ProofError):
            check_consistency(old, 5, path, first, root(5, node))


@pytest.mark.parametrize("call", [lambda: inclusion(5, 5, node_of([])), lambda: consistency(6, 5, node_of([]))])
def test_a_proof_outside_the_tree_is_a_callers_error(call: object) -> None:
    assert callable(call)
    with pytest.raises(ValueError, match="5"):
        call()


def test_a_complete_subtree_has_a_power_of_two_of_hashes() -> None:
    one, two = leaves(2)
    assert complete_root([one, two]) == node_hash(one, two)
    for wrong in ([], leaves(3)):
        with pytest.raises(ValueError, match="no complete subtree"):
            complete_root(wrong)


def test_a_frontier_refuses_peaks_that_do_not_fit_its_size() -> None:
    with pytest.raises(ValueError, match="3 leaves"):
        Frontier(3, leaves(1))
