"""Approving on the page what lies in files: an order of `guard approval new`, or a resume that was written elsewhere.

Whoever approves pastes the file, reads what it says, and presses their key; the page gives back the text that stands
beside the file in place of an SSH signature. Nothing of it is kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from guard.admin.answers import html
from guard.admin.api import Fleet
from guard.admin.approving import heard_of, statement_of
from guard.admin.door import Door
from guard.admin.entrance import Entrance, Inside
from guard.admin.page.file_approval import File, ask_file, ask_press, give
from guard.admin.pressed import keys_of, pressed
from guard.admin.switchboard import Switchboard
from guard.admin.visiting import may_approve, visitor
from guard.approval import order, resume
from guard.approval.order import instant_text
from guard.approval.sshsig import BadSignature
from guard.state.scope import OrderError
from safeguards.ports import Clock

_LOOK: Final = (
    "Digests say nothing to people: on the files themselves, guard diff OLD NEW shows what becomes weaker, and guard "
    "approval check whether the order means these very files."
)


class FileApprovals:
    """The page of one switchboard, whose persons judge."""

    def __init__(self, board: Switchboard, fleet: Fleet, entrance: Entrance, door: Door, clock: Clock) -> None:
        """Take who knows the persons, who hears of refusals, who is let in and how, and the time."""
        self._board = board
        self._fleet = fleet
        self._entrance = entrance
        self._door = door
        self._clock = clock

    async def ask(self, request: Request) -> Response:
        """Ask for the file."""
        inside = self._entrance.find(request, used=True)
        if inside is None:
            return self._door.ask_who(request, "/control/file")
        if not may_approve(inside):
            return self._door.not_yours(inside)
        return html(ask_file(visitor(inside)))

    async def approve(self, _: Request, inside: Inside, fields: Mapping[str, str]) -> Response:
        """Say what the file is about; with what a key answered, give back the approval, if it counts."""
        try:
            file = read_file(fields.get("file", ""), self._clock.now())
        except (OrderError, order.OrderError) as wrong:
            return html(ask_file(visitor(inside), f"This is no file that is approved: {wrong}."), 400)
        keys = keys_of(self._board.operators, inside)
        if not fields.get("credential"):
            return html(ask_press(file, visitor(inside), keys))
        try:
            approver = pressed(fields, inside)
            heard = heard_of(file.text, (approver,), self._board.operators, self._clock.now())
            why = "; ".join(heard.refused)
        except (BadSignature, OrderError) as problem:
            why = f"what the key answered {problem}"
        if why:
            self._fleet.refused(f"approval by passkey of {inside.person.token}: {why}")
            return html(ask_press(file, visitor(inside), keys, f"Not approved: {why}"), 409)
        return html(give(approver.signature, visitor(inside)))


def read_file(text: str, now: float) -> File:
    """Read what was pasted, in words for who approves it; raises OrderError, of orders or of approvals.

    A resume for a later hour is refused; an order may begin later, and the page says when.
    """
    text = statement_of(text)
    raw = text.encode("ascii", "replace")
    try:
        found = order.parse(raw)
    except order.OrderError as wrong:
        try:
            named = resume.parse(raw)
        except order.OrderError:
            raise wrong from None
        if early := resume.too_early(named, now):
            raise OrderError(early) from None
        lifts = tuple((f"lifts {each.scope}", f"{each.order}{_given(each)}") for each in named.lifts)
        return File(text, "Resume", (*lifts, ("why", named.reason), ("until", instant_text(named.expires))))
    what = (("subject", found.subject), ("before", found.before or "anything"), ("after", found.after))
    title = found.act.value.replace("_", " ").capitalize()
    return File(
        text,
        title,
        (*what, ("why", found.reason), ("from", instant_text(found.issued)), ("until", instant_text(found.expires))),
        _LOOK,
    )


def _given(lift: resume.Lift) -> str:
    return f", {lift.mode} by {lift.who}" if lift.mode else ""
