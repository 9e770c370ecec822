"""The RFC 6962 Merkle tree over a writer's records: leaves, roots, and proofs of inclusion and consistency.

A leaf is a record's frame without what only the file needs: ``SHA-256(0x00 || kind || payload)``, where ``kind`` is the
frame's one byte and ``payload`` its bytes as they stand in the segment. The leaf of sequence *s* has the index *s - 1*.
A sequence that no record has (a segment was begun and left empty) has the leaf ``VOID``, whose kind 0 no record has.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Final

HASH_BYTES: Final = 32
MAX_SIZE: Final = 2**63 - 1
EMPTY_ROOT: Final = hashlib.sha256(b"").digest()
VOID: Final = hashlib.sha256(b"\x00\x00").digest()
_LEAF: Final = tuple(bytes((0, kind)) for kind in range(256))

# The hash of the complete subtree of 2**level leaves that begins at leaf index * 2**level.
Node = Callable[[int, int], bytes]


class ProofError(ValueError):
    """A proof does not show what it should; the message says which check failed."""


def leaf_hash(kind: int, payload: bytes) -> bytes:
    """The leaf of one record; ``kind`` is its frame's byte."""
    return hashlib.sha256(_LEAF[kind] + payload).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of an inner node."""
    return hashlib.sha256(b"\x01" + left + right).digest()


class Frontier:
    """The right edge of a growing tree: the roots of its complete subtrees, at most one of each height."""

    __slots__ = ("_peaks", "size")

    def __init__(self, size: int = 0, peaks: Sequence[bytes] = ()) -> None:
        """Begin empty, or with a tree of ``size`` leaves whose complete subtrees have these roots, largest first."""
        if size.bit_count() != len(peaks):
            raise ValueError(f"{len(peaks)} subtrees for {size} leaves")
        self.size = size
        self._peaks = list(peaks)

    def append(self, leaf: bytes) -> None:
        """Add a leaf."""
        peaks, size = self._peaks, self.size
        while size & 1:
            leaf = node_hash(peaks.pop(), leaf)
            size >>= 1
        peaks.append(leaf)
        self.size += 1

    def root(self) -> bytes:
        """The tree's root as it stands."""
        if not self._peaks:
            return EMPTY_ROOT
        root = self._peaks[-1]
        for peak in self._peaks[-2::-1]:
            root = node_hash(peak, root)
        return root


def complete_root(hashes: Sequence[bytes]) -> bytes:
    """The root over a power of two of neighbouring hashes."""
    row = list(hashes)
    if len(row).bit_count() != 1:
        raise ValueError(f"{len(row)} hashes are no complete subtree")
    while len(row) > 1:
        row = [node_hash(row[at], row[at + 1]) for at in range(0, len(row), 2)]
    return row[0]


def peaks(size: int, node: Node) -> list[bytes]:
    """The roots of the complete subtrees of a tree of this size, largest first."""
    found, begin = [], 0
    for level in range(size.bit_length() - 1, -1, -1):
        if size >> level & 1:
            found.append(node(level, begin >> level))
            begin += 1 << level
    return found


def root(size: int, node: Node) -> bytes:
    """The root of a tree of this size."""
    return Frontier(size, peaks(size, node)).root()


def inclusion(index: int, size: int, node: Node) -> list[bytes]:
    """The audit path of a leaf, RFC 6962 section 2.1.1, from the leaf upwards."""
    if not 0 <= index < size:
        raise ValueError(f"leaf {index} of a tree of {size}")
    path: list[bytes] = []
    begin, end = 0, size
    while end - begin > 1:
        middle = begin + _split(end - begin)
        if index < middle:
            path.append(_range(middle, end, node))
            end = middle
        else:
            path.append(_range(begin, middle, node))
            begin = middle
    return path[::-1]


def consistency(old: int, size: int, node: Node) -> list[bytes]:
    """The proof that a tree of ``size`` leaves begins with that of ``old``, RFC 6962 section 2.1.2."""
    if not 0 <= old <= size:
        raise ValueError(f"from {old} to {size} leaves")
    path: list[bytes] = []
    if old in {0, size}:
        return path
    begin, end, whole = 0, size, True
    while old != end:
        middle = begin + _split(end - begin)
        if old <= middle:
            path.append(_range(middle, end, node))
            end = middle
        else:
            path.append(_range(begin, middle, node))
            begin, whole = middle, False
    if not whole:
        path.append(_range(begin, end, node))
    return path[::-1]


def check_inclusion(leaf: bytes, index: int, size: int, path: Sequence[bytes], expected: bytes) -> None:
    """Prove that the leaf is the one of this index under the root; raises ProofError. RFC 9162 section 2.1.3.2."""
    if not 0 <= index < size <= MAX_SIZE:
        raise ProofError("the leaf's index lies outside the tree")
    here, last, found = index, size - 1, leaf
    for each in path:
        if len(each) != HASH_BYTES or last == 0:
            raise ProofError("the path does not fit the tree's size")
        if here & 1 or here == last:
            found = node_hash(each, found)
            while not here & 1 and here:
                here >>= 1
                last >>= 1
        else:
            found = node_hash(found, each)
        here >>= 1
        last >>= 1
    if last:
        raise ProofError("the path is too short for the tree's size")
    if found != expected:
        raise ProofError("the path does not lead from the record to the root")


def check_consistency(old: int, size: int, path: Sequence[bytes], old_root: bytes, new_root: bytes) -> None:
    """Prove that the new tree begins with the old one; raises ProofError. RFC 9162 section 2.1.4.2."""
    if not 0 <= old <= size <= MAX_SIZE:
        raise ProofError("a tree cannot become smaller")
    if any(len(each) != HASH_BYTES for each in path):
        raise ProofError("the path does not consist of hashes")
    if old in {0, size}:
        if path:
            raise ProofError("the path should be empty")
        if old_root != (EMPTY_ROOT if old == 0 else new_root):
            raise ProofError("the roots differ")
        return
    steps = [old_root, *path] if old.bit_count() == 1 else list(path)
    if not steps:
        raise ProofError("the path is empty")
    here, last = old - 1, size - 1
    while here & 1:
        here >>= 1
        last >>= 1
    before = after = steps[0]
    for each in steps[1:]:
        if last == 0:
            raise ProofError("the path is too long for the trees' sizes")
        if here & 1 or here == last:
            before, after = node_hash(each, before), node_hash(each, after)
            while not here & 1 and here:
                here >>= 1
                last >>= 1
        else:
            after = node_hash(after, each)
        here >>= 1
        last >>= 1
    if last:
        raise ProofError("the path is too short for the trees' sizes")
    if before != old_root or after != new_root:
        raise ProofError("the path does not lead to both roots")


def _split(count: int) -> int:
    """The largest power of two below ``count``."""
    return 1 << (count - 1).bit_length() - 1


def _range(begin: int, end: int, node: Node) -> bytes:
    """The root of a subtree as proofs cut them: it begins at a multiple of every power of two that it holds."""
    count = end - begin
    if count.bit_count() == 1:
        level = count.bit_length() - 1
        return node(level, begin >> level)
    middle = begin + _split(count)
    return node_hash(_range(begin, middle, node), _range(middle, end, node))
