"""The engine of a fleet over etcd: every change a transaction on the head, every reading by quorum, a watch as hint.

Keys below the prefix: ``head``; ``orders/POSITION`` (the id, a line feed, the order's bytes); ``ids/ORDER`` (its
position); ``names/REPLICA`` (incarnation and lease) and ``replicas/REPLICA`` (what it last said). A beat is a write, so
a member that was cut off from the others confirms none.

Weaknesses: whoever has the user's password may write and remove any key below the prefix, where PostgreSQL has
functions that only add; a rewritten history is noticed by its digests and not believed, and every replica puts back
what it knows. etcd tells no time but in the life of leases, in whole seconds, and forgets how much of it was used when
its leader changes: a replica that is gone then seems heard a moment ago, for as long as it may be silent.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from contextlib import suppress
from typing import Any, Final
from uuid import uuid4

import msgspec

from guard.state.engine import (
    GENESIS,
    MAX_PAGE,
    MAX_REPORT_BYTES,
    TAKEN_SECONDS,
    ConflictError,
    EngineError,
    Entry,
    Head,
    Heard,
    TakenError,
    chain,
)
from guard.state.etcd_gateway import Cluster, Gateway
from guard.state.etcd_messages import HeadRecord, Kept, Kv, Lease, Txn, absent, delete, equal, get, put, unchanged
from guard.state.orders import MAX_ORDER_BYTES, is_order_id
from guard.state.places import Patience

_REPLICA: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_LIFE_SECONDS: Final = 86_400
_ATTEMPTS: Final = 100  # of a write beside others, of which one succeeds in each round
_MAX_REPLICAS: Final = 1_000
_AT_ONCE: Final = 16
_PAUSE_SECONDS: Final = 1.0  # between two beginnings of a watch, while none holds
_WATCH_SECONDS: Final = 60.0  # a watch that goes nowhere is silent as a quiet one is: begin anew now and then


class EtcdEngine:
    """Implements `StateEngine`; for one event loop, one call at a time."""

    def __init__(self, cluster: Cluster, tls: ssl.SSLContext | None, patience: Patience) -> None:
        """Take the cluster and whom to trust there (None: nothing is encrypted)."""
        self._gateway = Gateway(cluster, tls, patience)
        self._watcher = Gateway(cluster, tls, patience)
        self._prefix = f"{cluster.prefix}/"
        self._leases: dict[str, int] = {}
        self._revision = 0
        self._watching: asyncio.Task[None] | None = None
        self._watched = -_PAUSE_SECONDS
        self._grown = asyncio.Event()

    async def put(self, order: str, raw: bytes) -> int:
        """Add an order."""
        if not is_order_id(order) or not 1 <= len(raw) <= MAX_ORDER_BYTES:
            raise EngineError("neither the id nor the bytes of an order")
        name = self._key("ids", order)
        for _ in range(_ATTEMPTS):
            kv, head = await self._head()
            at = head.position + 1
            digest = chain(head.digest, Entry(at, order, raw))
            grown = msgspec.json.encode(HeadRecord(head.engine, at, digest.hex()))
            done = await self._txn(
                [unchanged(kv), absent(name)],
                [
                    put(kv.key, grown),
                    put(self._key("orders", f"{at:020d}"), order.encode("ascii") + b"\n" + raw),
                    put(name, str(at).encode("ascii")),
                ],
                [get(name)],
            )
            if done.succeeded:
                return at
            if there := done.found(0):
                return await self._same(there[0].value, order, raw)
        raise EngineError("etcd has too many writers at once")

    async def _same(self, position: bytes, order: str, raw: bytes) -> int:
        with suppress(ValueError):
            at = int(position)
            got = await self._txn([], [get(self._key("orders", f"{at:020d}"))])
            if [each.value for each in got.found(0)] == [order.encode("ascii") + b"\n" + raw]:
                return at
        raise ConflictError("another order has this id")

    async def head(self) -> Head:
        """Answer the head, by quorum."""
        return (await self._head())[1]

    async def beat(self, replica: str, incarnation: str, report: bytes) -> Head:
        """Write down what a replica says."""
        if _REPLICA.fullmatch(replica) is None or not 1 <= len(incarnation) <= 64:  # noqa: PLR2004 - as elsewhere
            raise EngineError("a replica's name is 1 to 64 of A-Z a-z 0-9 . _ -")
        if len(report) > MAX_REPORT_BYTES:
            raise EngineError(f"a report of {len(report)} bytes, at most {MAX_REPORT_BYTES}")
        await self._head()  # so that there is one
        lease = await self._alive(incarnation)
        name, own = self._key("names", replica), f"{incarnation} {lease}".encode()
        said = put(self._key("replicas", replica), report)
        read = get(self._key("head"))
        condition = equal(name, own)
        for _ in range(3):
            done = await self._txn([condition], [read, put(name, own), said], [get(name)])
            if done.succeeded:
                return self._noted(done, done.found(0))
            there = done.found(0)
            anothers = there and there[0].value.partition(b" ")[0] != incarnation.encode()
            if anothers and await self._ago(there[0].value) < TAKEN_SECONDS:
                raise TakenError
            condition = unchanged(there[0]) if there else absent(name)
        raise TakenError

    async def since(self, position: int) -> tuple[Entry, ...]:
        """Return a page."""
        begin, end = self._key("orders", f"{position + 1:020d}"), self._key("orders0")
        got = await self._txn([], [get(begin, end, MAX_PAGE)])
        return tuple(map(_entry, got.found(0)))

    async def heard(self) -> tuple[Heard, ...]:
        """Return what the replicas said."""
        spans = [(self._key(kind, ""), self._key(f"{kind}0")) for kind in ("names", "replicas")]
        got = await self._txn([], [get(begin, end, _MAX_REPLICAS) for begin, end in spans])
        names = {_last(each.key): each.value for each in got.found(0)}
        at_once = asyncio.Semaphore(_AT_ONCE)

        async def one(replica: str, report: bytes) -> Heard:
            async with at_once:
                return Heard(replica, await self._ago(names[replica]), report)

        said = [(_last(each.key), each.value) for each in got.found(1)]
        return tuple(await asyncio.gather(*(one(*each) for each in said if each[0] in names)))

    async def forget(self, replica: str) -> None:
        """Remove what a replica said."""
        if _REPLICA.fullmatch(replica) is not None:
            await self._txn([], [delete(self._key("names", replica)), delete(self._key("replicas", replica))])

    async def hint(self, seconds: float) -> bool:
        """Wait for the watch to tell that the head changed."""
        now = asyncio.get_running_loop().time()
        if (self._watching is None or self._watching.done()) and now - self._watched >= _PAUSE_SECONDS:
            self._watched = now
            self._watching = asyncio.ensure_future(self._watch())
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._grown.wait()
        grown = self._grown.is_set()
        self._grown.clear()
        return grown

    async def aclose(self) -> None:
        """Let the connections go at once."""
        watching, self._watching = self._watching, None
        if watching is not None:
            watching.cancel()
            await asyncio.wait([watching])
        await self._watcher.aclose()
        await self._gateway.aclose()

    async def _watch(self) -> None:
        begin = {"key": self._key("head"), "start_revision": str(self._revision + 1)}
        with suppress(EngineError, TimeoutError):
            async with asyncio.timeout(_WATCH_SECONDS):
                async for line in self._watcher.lines("watch", {"create_request": begin}):
                    # Cancelled too: history was compacted, or nobody knows who asks; the head tells.
                    if '"canceled"' in line:
                        self._watcher.forget_token()
                        self._grown.set()
                        return
                    if '"events"' in line:
                        self._grown.set()

    async def _head(self) -> tuple[Kv, Head]:
        key = self._key("head")
        got = await self._txn([], [get(key)])
        if not got.found(0):
            first = msgspec.json.encode(HeadRecord(str(uuid4()), 0, GENESIS.hex()))
            await self._txn([absent(key)], [put(key, first)])
            got = await self._txn([], [get(key)])
        head = self._noted(got, got.found(0))
        return got.found(0)[0], head

    def _noted(self, done: Txn, found: list[Kv]) -> Head:
        if not found:
            raise EngineError("etcd answers no head")
        self._revision = done.header.revision
        return HeadRecord.read(found[0])

    async def _alive(self, incarnation: str) -> int:
        """Return a lease whose life is begun anew."""
        lease = self._leases.get(incarnation, 0)
        if lease:
            kept = await self._gateway.ask("lease/keepalive", {"ID": str(lease)}, Kept)
            if kept.result.TTL > 0:
                return lease
        granted = await self._gateway.ask("lease/grant", {"TTL": str(_LIFE_SECONDS)}, Lease)
        self._leases[incarnation] = granted.ID
        return granted.ID

    async def _ago(self, name: bytes) -> float:
        lease = name.partition(b" ")[2]
        if not lease.isdigit():
            raise EngineError("etcd answers no name of a replica")
        left = await self._gateway.ask("lease/timetolive", {"ID": lease.decode()}, Lease)
        return float(_LIFE_SECONDS - max(0, left.TTL))

    async def _txn(
        self, compare: list[dict[str, Any]], success: list[dict[str, Any]], failure: list[dict[str, Any]] | None = None
    ) -> Txn:
        question = {"compare": compare, "success": success, "failure": failure or []}
        return await self._gateway.ask("kv/txn", question, Txn)

    def _key(self, *parts: str) -> bytes:
        return (self._prefix + "/".join(parts)).encode("ascii")


def _last(key: bytes) -> str:
    return key.rpartition(b"/")[2].decode("ascii", "replace")


def _entry(kv: Kv) -> Entry:
    order, _, raw = kv.value.partition(b"\n")
    position, name = _last(kv.key), order.decode("ascii", "replace")
    if not position.isdigit() or not is_order_id(name) or not 1 <= len(raw) <= MAX_ORDER_BYTES:
        raise EngineError("etcd answers what is no order")
    return Entry(int(position), name, raw)
