"""Orders that another guard of the fleet tells this one by itself: stops and rules, which can only block.

No token is asked for: what counts is the signature of a host whose key is among `issuers`, as for all that comes by the
engine. An old one is refused, so that nobody can put past stops into force again; such come by the engine's history.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from guard.admin.bodies import read_body
from guard.admin.obedience import Here, Workers, obedience
from guard.admin.off_loop import off_loop
from guard.admin.switchboard import Switchboard
from guard.state.drilled import drills_stop
from guard.state.orders import MAX_ORDER_BYTES, ResumeOrder, decode, encode
from guard.state.scope import OrderError

OLD_SECONDS: Final = 900.0  # peers tell for ten minutes
AHEAD_SECONDS: Final = 300.0
WAIT_SECONDS: Final = 5.0


class PushedFleet(Workers, Protocol):
    """What this asks of the supervisor."""

    def wake(self) -> None:
        """Tell the workers that orders have changed."""

    def refused(self, reason: str) -> None:
        """An act was turned away; for the log and the metrics."""


class PushedOrders:
    """Takes them."""

    def __init__(self, board: Switchboard, fleet: PushedFleet, now: Callable[[], float]) -> None:
        """Take the orders of this host, who must obey, and the time."""
        self._board = board
        self._fleet = fleet
        self._now = now

    async def take(self, request: Request) -> Response:
        """Put one into force and say who obeys it here: 200 when all do, 202 when not yet."""
        try:
            raw = await read_body(request, MAX_ORDER_BYTES)
            order = decode(raw)
        except OrderError as wrong:
            return _no(400, str(wrong))
        except ClientDisconnect:
            return _no(400, "the body is incomplete")  # nobody hears it, and nothing was done
        if encode(order) != raw:  # the same order in other bytes would contradict the engine's history
            return _no(400, "the order is not in its canonical form")
        if isinstance(order, ResumeOrder) or drills_stop(order):
            return self._refuse("only stops and rules of models are taken from peers")
        if unknown := self._board.why_not_issued(order):
            return self._refuse(unknown)
        if not -AHEAD_SECONDS <= self._now() - order.created <= OLD_SECONDS:
            return self._refuse("it is too old, or of the future: set the clocks")
        try:
            standing = await off_loop(lambda: self._board.adopt(order))
        except FileExistsError:
            return _no(409, "another order has its id")
        except OSError as failure:
            return _no(500, f"the order could not be written: {failure.strerror}")
        self._fleet.wake()
        (found,) = await obedience(self._board, Here(self._fleet), (standing,), WAIT_SECONDS)
        return JSONResponse({"order": order.id, **found.fields()}, 200 if not found.missing else 202)

    def _refuse(self, why: str) -> Response:
        self._fleet.refused(f"a peer's order: {why}")
        return _no(403, why)


def _no(status: int, message: str) -> Response:
    return JSONResponse({"error": message}, status)
