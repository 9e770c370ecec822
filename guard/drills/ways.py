"""The ways in which a drill gives a stop, each as people and machines do it, and the one in which it lifts all it gave.

A drill's orders name the self-test model alone and say that they are a drill's. They are lifted by this host's own
signature, which is enough below ASL-3.
"""

from __future__ import annotations

import asyncio
import json
import os
import ssl
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx
import msgspec

from guard.admin.switchboard import place
from guard.drills.places import REHEARSAL, RUN
from guard.policy.drills import DrillPath
from guard.state.directory import OrderDirectory
from guard.state.drilled import drilled
from guard.state.issuer import Issuer
from guard.state.merge import Judge, State
from guard.state.orders import ENTROPY_BYTES, Order, Source, StopOrder, issue_resume, issue_stop
from guard.state.scope import Scope

WHO: Final = "guard drill"
KEPT_PAIRS: Final = 50
ADMIN_FILE: Final = "admin.json"
_OK: Final = (200, 202)
_PATIENCE: Final = 60.0  # the drill bounds it more tightly


class NoWayError(Exception):
    """A way that cannot be gone here; the words say why."""


class AdminPlace(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the admin listener is, and a token that stops the self-test model and nothing else.

    ``address`` is a URL or ``unix:`` and a path; ``certificate`` the one file that it must prove itself with, ``host``
    what to ask for there; ``missing`` says why a drill cannot come in.
    """

    address: str
    token: str
    certificate: str = ""
    host: str = ""
    missing: str = ""


@dataclass(frozen=True, slots=True)
class Bench:
    """What a drill acts with: the state folder, what judges resumes, the time, randomness.

    With ``rehearsal`` the orders lie beside the real ones, and the self-test model alone is judged by them.
    """

    state: Path
    judge: Judge
    now: Callable[[], float]
    entropy: Callable[[int], bytes] = os.urandom
    rehearsal: bool = False

    @property
    def orders(self) -> Path:
        """The folder in which the orders' directory is."""
        return self.state / RUN / REHEARSAL if self.rehearsal else self.state

    def concerns(self, scope: Scope) -> bool:
        """Whether a stop of this scope is a drill's to lift: every one in a rehearsal, else of the model alone."""
        return self.rehearsal or scope.of_self_test


Way = Callable[[Bench, Scope, str], Awaitable[str]]


async def by_order(bench: Bench, scope: Scope, reason: str) -> str:
    """Write an order file, as `guard stop` does on the host; returns its id. Raises OSError."""

    def write() -> str:
        directory = OrderDirectory(bench.orders)
        now, entropy = bench.now(), bench.entropy(ENTROPY_BYTES)
        if bench.rehearsal:  # where no key is, and none is to be made
            order = issue_stop(scope, reason=reason, who=WHO, source=Source.DRILL, now=now, entropy=entropy)
            directory.put(Issuer.open(bench.state).signed(order))
            return order.id
        return place(directory, scope, reason, WHO, Source.DRILL, now=now, entropy=entropy).order

    return await asyncio.to_thread(write)


async def by_file(bench: Bench, scope: Scope, _: str) -> str:
    """Touch a STOP file; returns ``file:`` and its name. Raises OSError."""
    return f"file:{await asyncio.to_thread(lambda: OrderDirectory(bench.orders).trip(scope))}"


async def by_admin(bench: Bench, scope: Scope, reason: str) -> str:
    """Ask the admin API; returns the order's id. Raises NoWayError, OSError or httpx.HTTPError."""
    there = admin_place(bench.state)
    if there.missing:
        raise NoWayError(there.missing)
    unix = there.address.removeprefix("unix:") if there.address.startswith("unix:") else None
    trusted: ssl.SSLContext | bool = pinned(Path(there.certificate)) if there.certificate else False
    road = httpx.AsyncHTTPTransport(verify=trusted, uds=unix, trust_env=False)
    headers = {"authorization": f"Bearer {there.token}", **({"host": there.host} if there.host else {})}
    base = "http://guard" if unix is not None else there.address
    async with httpx.AsyncClient(
        base_url=base, transport=road, headers=headers, timeout=_PATIENCE, trust_env=False
    ) as api:
        answer = await api.post("/v1/stops", json={"scope": str(scope), "reason": reason})
        if answer.status_code not in _OK:
            raise httpx.HTTPError(f"the admin API answers {answer.status_code}")
        return str(answer.json()["order"])


WAYS: Final[Mapping[DrillPath, Way]] = {
    DrillPath.ORDER: by_order,
    DrillPath.ADMIN: by_admin,
    DrillPath.FILE: by_file,
}


def admin_place(state: Path) -> AdminPlace:
    """Read where the supervisor lets drills in; raises NoWayError."""
    try:
        return msgspec.json.decode((state / RUN / ADMIN_FILE).read_bytes(), type=AdminPlace)
    except (OSError, msgspec.DecodeError):
        raise NoWayError("no guard runs here that says where its admin listener is") from None


def pinned(certificate: Path) -> ssl.SSLContext:
    """Trust exactly this certificate, by whatever name it is reached; raises OSError or ValueError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    own, end, _ = certificate.read_text("ascii").partition(ssl.PEM_FOOTER)
    context.load_verify_locations(cadata=own + end)
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.check_hostname = False
    return context


def lift(bench: Bench, reason: str) -> tuple[str, ...]:
    """Lift every stop that covers nothing but the self-test model, and remove its STOP files; returns what it lifted.

    Raises OSError.
    """
    directory = OrderDirectory(bench.orders)
    found = directory.snapshot(bench.judge)
    held = found.still_held(0)
    lifts = [each.id for each in held if isinstance(each, StopOrder) and bench.concerns(each.scope)]
    if lifts:
        now, entropy = bench.now(), bench.entropy(ENTROPY_BYTES)
        order = issue_resume(lifts, reason=reason, who=WHO, source=Source.DRILL, now=now, entropy=entropy)
        directory.put(Issuer.open(bench.state).signed(order))
    files = [each.id for each in found.standing if bench.concerns(each.scope)]
    for each in files:
        (directory.orders / each.removeprefix("file:")).unlink(missing_ok=True)
    return (*lifts, *files)


def standing(bench: Bench, words: frozenset[str], asl: int) -> tuple[str, bool]:
    """Say which stop covers the self-test model already, empty where none does, and whether it is a drill's own.

    Raises OSError.
    """
    state: State = OrderDirectory(bench.state).snapshot(bench.judge)
    stop = state.holding(asl, words)
    if stop is None:
        return "", False
    return f"{stop.scope} is stopped (order {stop.order})", Scope.parse(stop.scope).of_self_test


def tidy(bench: Bench) -> None:
    """Remove the orders of drills that are over, but for the newest; a stop before the resume that lifted it.

    What is removed holds nothing: each stop was lifted, and nobody but drills is covered by it. Raises OSError.
    """
    directory = OrderDirectory(bench.state)
    reading = directory.read()
    orders: dict[str, Order] = {each.id: each for each in reading.fresh}
    own = drilled(orders)
    held = {each.id for each in State.of(reading.fresh, bench.judge).still_held(0)}
    over = sorted(own - held)[: -2 * KEPT_PAIRS]
    stops = [each for each in over if isinstance(orders[each], StopOrder)]
    for each in (*stops, *(each for each in over if each not in stops)):
        (directory.orders / f"{each}.json").unlink(missing_ok=True)
        with suppress(OSError):
            (bench.state / "accepted" / f"{each}.json").unlink(missing_ok=True)


def clear(bench: Bench) -> None:
    """Remove every order of a rehearsal, where nothing is held any more; raises OSError."""
    # By id, so by time: a stop goes before the resume that lifted it.
    for path in sorted((bench.orders / "orders").glob("*")) if bench.rehearsal else ():
        path.unlink(missing_ok=True)


def write_admin_place(state: Path, there: AdminPlace) -> None:
    """Tell drills where to come in; raises OSError."""
    folder = state / RUN
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    aside = folder / f".{ADMIN_FILE}"
    fd = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(json.dumps(msgspec.to_builtins(there)).encode())
    aside.replace(folder / ADMIN_FILE)


def remove_admin_place(state: Path) -> None:
    """Tell them no more; raises OSError."""
    (state / RUN / ADMIN_FILE).unlink(missing_ok=True)
