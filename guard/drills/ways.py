"""The ways in which a drill gives a stop, each as people and machines do it.

A drill's orders name the self-test model alone and say that they are a drill's.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, Final

import httpx

from guard.admin.switchboard import place
from guard.drills.bench import Bench, NoWayError
from guard.drills.entry import admin_place, calling
from guard.drills.page import by_page
from guard.drills.senders import message
from guard.policy.drills import DrillPath
from guard.policy.hooks import HookKind
from guard.policy.selftest import hook_of
from guard.state.directory import OrderDirectory
from guard.state.engine import EngineError
from guard.state.issuer import Issuer
from guard.state.orders import ENTROPY_BYTES, Source, encode, issue_stop
from guard.state.scope import Scope
from safeguards.scope import SELF_TEST, ScopeKind

_OK: Final = (200, 202)
_SAID: Final = re.compile(r"\(order ([A-Za-z0-9.:%=_-]+)\)")
_IDENTITY_BYTES: Final = 16
Way = Callable[[Bench, Scope, str], Awaitable[str]]


async def by_order(bench: Bench, scope: Scope, reason: str) -> str:
    """Write an order file, as `guard stop` does on the host; returns its id. Raises OSError."""

    def write() -> str:
        directory = OrderDirectory(bench.orders)
        now, entropy = bench.now(), bench.entropy(ENTROPY_BYTES)
        if bench.rehearsal:  # where no key is, and none is to be made
            order = issue_stop(scope, reason=reason, who=bench.who, source=Source.DRILL, now=now, entropy=entropy)
            directory.put(Issuer.open(bench.state).signed(order))
            return order.id
        return place(directory, scope, reason, bench.who, Source.DRILL, now=now, entropy=entropy).order

    return await asyncio.to_thread(write)


async def by_file(bench: Bench, scope: Scope, _: str) -> str:
    """Touch a STOP file; returns ``file:`` and its name. Raises OSError."""
    return f"file:{await asyncio.to_thread(lambda: OrderDirectory(bench.orders).trip(scope))}"


async def by_admin(bench: Bench, scope: Scope, reason: str, token: str = "") -> str:
    """Ask the admin API, with the drills' own token or this one; returns the order's id.

    Raises NoWayError, OSError or httpx.HTTPError.
    """
    there = admin_place(bench.state)
    async with calling(there) as api:
        headers = {"authorization": f"Bearer {token or there.token}"}
        answer = await api.post("/v1/stops", json={"scope": str(scope), "reason": reason}, headers=headers)
        return str(_answered(answer, "the admin API")["order"])


async def by_webhook(bench: Bench, scope: Scope, reason: str, kind: HookKind | None = None) -> str:
    """Send a signed message as this sender does, by chance one of all; returns and raises as `by_admin`."""
    kinds = tuple(HookKind)
    sender = kinds[bench.entropy(1)[0] % len(kinds)] if kind is None else kind
    there = admin_place(bench.state)
    identity = bench.entropy(_IDENTITY_BYTES).hex()
    sent = message(sender, there.token.encode(), str(scope), reason, identity, bench.now())
    async with calling(there) as api:
        answer = await api.post(f"/v1/hooks/{hook_of(sender)}", content=sent.body, headers=dict(sent.headers))
    said = _answered(answer, f"the webhook of {sender}")
    if sender is not HookKind.SLACK:
        return str(said["results"][0]["order"])
    found = _SAID.search(str(said["text"]))
    if found is None:
        raise NoWayError("the webhook of slack names no order")
    return found[1]


async def by_engine(bench: Bench, scope: Scope, reason: str) -> str:
    """Put an order into the fleet's engine and nowhere else, as another guard's; returns its id. Raises NoWayError."""
    if bench.engine is None:
        raise NoWayError("this guard is no part of a fleet: there is no engine")
    now, entropy = bench.now(), bench.entropy(ENTROPY_BYTES)
    order = issue_stop(scope, reason=reason, who=bench.who, source=Source.DRILL, now=now, entropy=entropy)
    engine = bench.engine()
    try:
        await engine.put(order.id, encode(order))
    except EngineError as problem:
        raise NoWayError(f"the fleet's engine: {problem}", order.id) from None
    finally:
        await engine.aclose()
    return order.id


def _answered(answer: httpx.Response, whose: str) -> dict[str, Any]:
    """Return what it says; raises NoWayError where it did not do it."""
    if answer.status_code not in _OK:
        raise NoWayError(f"{whose} answers {answer.status_code}")
    return dict(answer.json())


WAYS: Final[Mapping[DrillPath, Way]] = {
    DrillPath.ORDER: by_order,
    DrillPath.FILE: by_file,
    DrillPath.ADMIN: by_admin,
    DrillPath.PAGE: by_page,
    DrillPath.WEBHOOK: by_webhook,
    DrillPath.ENGINE: by_engine,
}


def scope_for(path: DrillPath, release: str) -> Scope:
    """Return what a drill by this path stops: by the engine, which all share, this host's self-test model alone."""
    version = Scope(ScopeKind.VERSION, f"{SELF_TEST}/{release}")
    return version if path is DrillPath.ENGINE else Scope(ScopeKind.MODEL, SELF_TEST)


def each_way(path: DrillPath) -> Mapping[str, Way]:
    """Return, by name, every way that this path stands for: of webhooks one for each sender."""
    if path is DrillPath.WEBHOOK:
        return {f"{path}:{kind}": partial(by_webhook, kind=kind) for kind in HookKind}
    return {path.value: WAYS[path]}
