"""RFC 6962 written down as the RFC says it, by recursion over lists: what the real tree is compared with."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def _split(count: int) -> int:
    power = 1
    while power * 2 < count:
        power *= 2
    return power


def mth(leaves: Sequence[bytes]) -> bytes:
    """The Merkle tree hash over leaves that are hashes already."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = _split(len(leaves))
    return _node(mth(leaves[:k]), mth(leaves[k:]))


def path(index: int, leaves: Sequence[bytes]) -> list[bytes]:
    """PATH(m, D[n])."""
    if len(leaves) == 1:
        return []
    k = _split(len(leaves))
    if index < k:
        return [*path(index, leaves[:k]), mth(leaves[k:])]
    return [*path(index - k, leaves[k:]), mth(leaves[:k])]


def proof(old: int, leaves: Sequence[bytes], *, whole: bool = True) -> list[bytes]:
    """SUBPROOF(m, D[n], b)."""
    if old == len(leaves):
        return [] if whole else [mth(leaves)]
    k = _split(len(leaves))
    if old <= k:
        return [*proof(old, leaves[:k], whole=whole), mth(leaves[k:])]
    return [*proof(old - k, leaves[k:], whole=False), mth(leaves[:k])]
