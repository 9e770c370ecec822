"""What is asked of etcd's API v3 and what it answers, in its JSON form: numbers of 64 bits are texts, bytes base64.

What is zero is left out of an answer, so every field has a default.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from typing import Any

import msgspec

from guard.state.engine import EngineError, Head


class Kv(msgspec.Struct):
    """A key, its value and the revision that last changed it."""

    key: bytes = b""
    value: bytes = b""
    mod_revision: int = 0


class Range(msgspec.Struct):
    """What a reading found."""

    kvs: list[Kv] = []


class Response(msgspec.Struct):
    """The answer to one part of a transaction; only readings have one that matters here."""

    response_range: Range = msgspec.field(default_factory=Range)


class Header(msgspec.Struct):
    """The revision that an answer is as of."""

    revision: int = 0


class Txn(msgspec.Struct):
    """Which branch of a transaction was taken, and what it answered."""

    header: Header
    succeeded: bool = False
    responses: list[Response] = []

    def found(self, index: int) -> list[Kv]:
        """What the reading at a place of the branch that was taken found."""
        if index >= len(self.responses):
            raise EngineError("etcd answers less than was asked")
        return self.responses[index].response_range.kvs


class Lease(msgspec.Struct):
    """A lease and the seconds left of its life; -1 when it has none."""

    ID: int = 0
    TTL: int = 0


class Kept(msgspec.Struct):
    """A lease whose life was begun anew."""

    result: Lease


class HeadRecord(msgspec.Struct, frozen=True):
    """The head as its value in etcd."""

    engine: str
    position: int
    digest: str

    @classmethod
    def read(cls, kv: Kv) -> Head:
        """The head as it stands in etcd; raises EngineError when it is none."""
        with suppress(msgspec.DecodeError, UnicodeDecodeError, ValueError):
            found = msgspec.json.decode(kv.value, type=cls)
            digest = bytes.fromhex(found.digest)
            if found.engine and found.position >= 0 and len(digest) == hashlib.sha256().digest_size:
                return Head(found.engine, found.position, digest)
        raise EngineError("etcd answers no head")


def get(key: bytes, end: bytes = b"", limit: int = 1) -> dict[str, Any]:
    """Read one key, or those from it to before ``end``, in their order."""
    span = {"range_end": end} if end else {}
    return {"request_range": {"key": key, "limit": str(limit), "sort_target": "KEY", "sort_order": "ASCEND", **span}}


def put(key: bytes, value: bytes) -> dict[str, Any]:
    """Write one key."""
    return {"request_put": {"key": key, "value": value}}


def delete(key: bytes) -> dict[str, Any]:
    """Remove one key."""
    return {"request_delete_range": {"key": key}}


def absent(key: bytes) -> dict[str, Any]:
    """Demand that there is no such key."""
    return {"key": key, "target": "CREATE", "result": "EQUAL", "create_revision": "0"}


def unchanged(kv: Kv) -> dict[str, Any]:
    """Demand that nobody has written the key since it was read."""
    return {"key": kv.key, "target": "MOD", "result": "EQUAL", "mod_revision": str(kv.mod_revision)}


def equal(key: bytes, value: bytes) -> dict[str, Any]:
    """Demand this value."""
    return {"key": key, "target": "VALUE", "result": "EQUAL", "value": value}
