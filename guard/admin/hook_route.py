"""The addresses of webhooks: how a message comes in, and what its sender is told: JSON, or a sentence for Slack."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Protocol

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from guard.admin.bodies import read_body
from guard.admin.obedience import Confirmed, Here, Workers, obedience
from guard.admin.switchboard import Switchboard
from guard.hooks.desk import Act, Result
from guard.hooks.hook import Hook
from guard.hooks.receiver import Answer, Delivery, Receiver, UnreadableError
from guard.policy.model import HookKind
from guard.state.scope import OrderError

WAIT_SECONDS: Final = 2.0
"""How long an answer waits for the workers; Slack gives up after three seconds."""
MAX_TOLD: Final = 100
MAX_NAMED: Final = 10
_NOT_AUTHENTIC: Final = frozenset({Result.REFUSED, Result.STALE})
_SENTENCES: Final = {
    Result.STOPPED: "Stopped {scope} (order {order})",
    Result.REPEATED: "This was done before: {scope}",
    Result.COVERED: "{scope} is stopped already, by many alerts of this hook",
    Result.FAILED: "Not stopped: {words}",
    Result.UNBOUND: "Not stopped: {words}",
    Result.MALFORMED: "Not stopped: {words}",
    Result.REFUSED: "Not stopped: {words}",
}


class HookFleet(Workers, Protocol):
    """What a webhook asks of the supervisor."""

    def wake(self) -> None:
        """Tell the workers that orders have changed."""


class HookRoute:
    """Takes the messages of every hook."""

    def __init__(self, hooks: Receiver, switchboard: Switchboard, fleet: HookFleet) -> None:
        """Take who judges them, and who is asked whether a stop was obeyed."""
        self._hooks = hooks
        self._switchboard = switchboard
        self._fleet = fleet

    async def receive(self, request: Request) -> Response:
        """Answer one message: when its stops are in force, or after a short wait."""
        hook = self._hooks.find(request.path_params["name"])
        if hook is None or request.scope["query_string"]:  # a secret in an address would stand in others' logs
            return JSONResponse({"error": "there is no such operation on the admin listener"}, 404)

        async def body(limit: int) -> bytes:
            try:
                return await read_body(request, limit)
            except OrderError as wrong:
                raise UnreadableError(str(wrong)) from None

        connection = request.scope.get("extensions", {}).get("guard.connection")
        peer = "" if connection is None else connection.peer
        try:
            answer = await self._hooks.receive(hook, Delivery(request.headers.raw, peer, body))
        except ClientDisconnect:
            return JSONResponse({"error": "the body is incomplete"}, 400)  # nobody hears it, and nothing was done
        if answer.orders:
            self._fleet.wake()
        workers: Workers = Here(self._fleet) if hook.drills else self._fleet
        return told(hook, answer, await obedience(self._switchboard, workers, answer.orders, WAIT_SECONDS))


def told(hook: Hook, answer: Answer, obeyed: Sequence[Confirmed]) -> Response:
    """Say what was done and who has obeyed; of a message that is not authentic, no more than that."""
    (first, *_) = answer.acts
    if hook.settings.kind is HookKind.SLACK and answer.proved:
        return JSONResponse(_for_slack(first, obeyed))
    if first.result in _NOT_AUTHENTIC:
        return JSONResponse({"error": "the message is not authentic"}, answer.status)
    body: dict[str, Any] = {"hook": hook.name, "results": [_fields(act) for act in answer.acts[:MAX_TOLD]]}
    if len(answer.acts) > MAX_TOLD:
        body["more"] = len(answer.acts) - MAX_TOLD
    if wrong := [act.words for act in answer.acts if act.result in {Result.MALFORMED, Result.UNBOUND, Result.FAILED}]:
        body["error"] = wrong[0]
    if obeyed:
        body["missing"] = sorted({name for each in obeyed for name in each.missing})
        body["streams_cut"] = sum(each.streams_cut for each in obeyed)
    return JSONResponse(body, answer.status)


def _fields(act: Act) -> dict[str, str]:
    fields = {"result": act.result.value, "scope": act.scope, "order": act.order}
    return {name: value for name, value in fields.items() if value}


def _for_slack(act: Act, obeyed: Sequence[Confirmed]) -> dict[str, str]:
    """Slack shows only what comes with the status 200; a stop is for everybody in the channel to see."""
    stopped = act.result is Result.STOPPED
    sentence = _SENTENCES.get(act.result, "Nothing was stopped: {words}")
    words = sentence.format(scope=act.scope, order=act.order, words=act.words)
    if stopped and obeyed:
        found = obeyed[0]
        replicas = "" if found.fleet is None else f" on {found.fleet.replicas}/{found.fleet.replicas_of} replicas"
        words += f": applied on {found.workers}/{found.workers_of} workers{replicas}, {found.streams_cut} streams cut"
        words += f"; NOT confirmed by {', '.join(found.missing[:MAX_NAMED])}" if found.missing else ""
    return {"response_type": "in_channel" if stopped else "ephemeral", "text": words}
