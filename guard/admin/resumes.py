"""Resuming from the page: one person below ASL-3; from there on two, each by an SSH signature or a passkey.

Whoever may resume asks, and the statement waits (`guard.admin.asked`). Each approver opens it in a browser of their own
and presses a key; what was signed elsewhere is pasted. The resume is ordered as soon as enough approvals count.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response

from guard.admin.answers import NotTakenError, go, html
from guard.admin.api import Fleet
from guard.admin.approving import Signing, heard_of, signing, statement_of, still_waiting
from guard.admin.asked import AskedStatements
from guard.admin.door import Door
from guard.admin.entrance import Entrance, Inside
from guard.admin.obedience import Confirmed
from guard.admin.off_loop import off_loop
from guard.admin.overview import Instruments
from guard.admin.page import acts, approval
from guard.admin.page.parts import MAX_SCOPE
from guard.admin.page.passkey import make_passkey
from guard.admin.page.waiting import Waits
from guard.admin.pressed import keys_of, pressed
from guard.admin.switchboard import ResumeRefusedError, Switchboard
from guard.admin.visiting import may_approve, may_resume, refuse, visitor
from guard.approval.resume import too_early
from guard.approval.sshsig import BadSignature
from guard.state.asked import NAME_DIGITS, Asked, AskedFolder
from guard.state.merge import told_people
from guard.state.orders import MAX_REASON, Source
from guard.state.scope import OrderError
from safeguards.ports import Clock

GONE: Final = (
    "It was used, it has expired, or it was asked for on another replica. Ask for the resume again, or take the "
    "statement back under “It is signed already”."
)
Spread = Callable[[str], Awaitable[Confirmed]]


class Resumes:
    """Everything of the page that lifts stops."""

    def __init__(
        self,
        board: Switchboard,
        fleet: Fleet,
        panel: Instruments,
        entrance: Entrance,
        door: Door,
        clock: Clock,
        spread: Spread,
    ) -> None:
        """Take what acts, who hears of refusals, what puts an act on record, who is let in and how, and the time.

        ``spread`` brings an order about.
        """
        self._board = board
        self._fleet = fleet
        self._panel = panel
        self._entrance = entrance
        self._door = door
        self._clock = clock
        self._spread = spread
        self.asked = AskedStatements(clock, AskedFolder(board.folder))

    # What is shown.

    async def ask_resume(self, request: Request) -> Response:
        """Show what a resume would lift and free."""
        target = request.query_params.get("target", "").strip()
        inside = self._entrance.find(request, used=True)
        if inside is None:
            return self._door.ask_who(request, f"/control/resume?target={quote(target[:MAX_SCOPE])}")
        if not may_resume(inside):
            return self._door.not_yours(inside)
        try:
            plan = self._board.plan(target)
            lifted = frozenset(plan.lifts or [each.id for each in plan.approvable] or [target])
            state = self._board.state()
            stops = tuple(stop for stop in state.stops if stop.id in lifted)
            rule = next((each for each in state.rules if each.id == target), None)
        except OrderError as wrong:
            return refuse(400, inside, "There is no such stop", f"{wrong}.")
        return html(acts.ask_resume(target, stops, plan, visitor(inside), rule=rule))

    async def ask_approval(self, request: Request) -> Response:
        """Show a statement that waits, who has approved it, and the ways to."""
        name = request.query_params.get("of", "")[:NAME_DIGITS]
        inside = self._entrance.find(request, used=True)
        if inside is None:
            return self._door.ask_who(request, f"/control/approval?of={quote(name)}")
        if not may_approve(inside):
            return self._door.not_yours(inside)
        asked = self.asked.find(name)
        if asked is None:
            return refuse(404, inside, "This waits no longer", GONE)
        return self._shown(asked, inside)

    async def make_passkey(self, request: Request) -> Response:
        """Show the page on which somebody makes a passkey."""
        inside = self._entrance.find(request, used=True)
        if inside is None:
            return self._door.ask_who(request, "/control/passkey")
        return html(make_passkey(visitor(inside), keys_of(self._board.operators, inside)))

    def waiting(self) -> tuple[Waits, ...]:
        """Return the newest that wait and would still lift something; none where the orders cannot be read."""
        return still_waiting(self.asked.open(), self._board, self._clock.now())

    def mark(self) -> object:
        """Return what differs when something else waits, or somebody has approved it."""
        return tuple((each.name, tuple(one.person for one in each.approvers)) for each in self.asked.open())

    # What is done.

    async def resume(self, _: Request, inside: Inside, fields: Mapping[str, str]) -> Response:
        """Resume what one person may, and write down what two must approve."""
        reason = fields.get("reason", "").strip()[:MAX_REASON]
        if not reason:
            raise NotTakenError("a resume needs a reason")
        target = fields.get("target", "")
        try:
            who, seen = inside.person.name, fields.get("seen")
            resumed = await off_loop(lambda: self._board.resume(target, reason, who, Source.ADMIN, seen))
        except ResumeRefusedError as refusal:
            if not refusal.approval:
                raise
            return self._shown(self._ask(refusal.approval, target, inside), inside)
        await self._spread(resumed.order)
        if resumed.approval:
            done = "Lifted for the models below ASL-3. For the others two people approve it."
            return self._shown(self._ask(resumed.approval, target, inside), inside, done=done)
        return go("/control")

    async def resume_approved(self, _: Request, inside: Inside, fields: Mapping[str, str]) -> Response:
        """Resume what was signed; where something is lacking show the form again, with what was pasted."""
        target = fields.get("target", "")[:MAX_SCOPE]
        try:
            statement = statement_of(fields.get("approval", ""))
            asked = self._ask(statement, target, inside)
            text = fields.get("signatures", "")
            found = signing(self._board, statement, text, self._clock.now(), asked.approvers)
        except OrderError as wrong:
            return html(approval.ask_wrong(str(wrong), target, visitor(inside)), 400)
        for each in found.counted:
            asked = self.asked.approved(asked, each)
        if not text.strip() and found.lacking:
            return self._shown(asked, inside)  # only the statement was brought, so that people can approve it here
        return await self._resumed(asked, found, inside.person.name, inside)

    async def approve(self, _: Request, inside: Inside, fields: Mapping[str, str]) -> Response:
        """Take the approval of the person who is signed in, by passkey, and resume where it was the last."""
        asked = self.asked.find(fields.get("of", ""))
        if asked is None:
            return refuse(404, inside, "This waits no longer", GONE)
        who = inside.person.name
        if early := too_early(self._board.named(asked.statement), self._clock.now()):
            return self._not_approved(asked, inside, early)  # the clock went back while it waited
        try:
            approver = pressed(fields, inside)
        except (BadSignature, OrderError) as wrong:
            return self._not_approved(asked, inside, f"what the key answered {wrong}")
        heard = heard_of(asked.statement, (approver,), self._board.operators, self._clock.now())
        if not heard.people:
            return self._not_approved(asked, inside, "; ".join(heard.refused))
        asked = self.asked.approved(asked, approver)
        lifts = " ".join(each.order for each in self._board.named(asked.statement).lifts)
        self._panel.note(who, "approve resume by passkey", f"{asked.name} {lifts}", "")
        found = signing(self._board, asked.statement, "", self._clock.now(), asked.approvers)
        if found.lacking or found.stale:
            return go(f"/control/approval?of={asked.name}")
        return await self._resumed(asked, found, asked.who, inside)

    async def _resumed(self, asked: Asked, found: Signing, who: str, inside: Inside) -> Response:
        """Order the resume in this person's name, and say what it did or what it lacks."""
        try:
            board, statement = self._board, asked.statement
            resumed = await off_loop(lambda: board.resume_approved(statement, found.approvers, who, Source.ADMIN))
        except (ResumeRefusedError, OrderError) as refusal:
            return self._shown(asked, inside, found, wrong=f"Not resumed: {refusal}")
        self.asked.over(asked)
        await self._spread(resumed.order)
        if not resumed.plan.held:
            return go("/control")
        held = [f"model {each.model} stays stopped: {each.why}" for each in resumed.plan.held]
        people = [told_people([person], [kind]) for person, kind in zip(resumed.people, resumed.kinds, strict=True)]
        return html(approval.resumed_in_part(resumed.plan.lifts, people, held, visitor(inside)))

    def _not_approved(self, asked: Asked, inside: Inside, why: str) -> Response:
        self._fleet.refused(f"approval by passkey of {inside.person.token}: {why}")
        return self._shown(asked, inside, wrong=f"Not approved: {why}")

    def _ask(self, statement: str, target: str, inside: Inside) -> Asked:
        """Let a statement wait in the name of who asks; raises OrderError for what is none, or is for another day."""
        named = self._board.named(statement)
        if early := too_early(named, self._clock.now()):
            raise OrderError(early)
        return self.asked.ask(statement, target, inside.person.name, named.expires)

    def _shown(
        self, asked: Asked, inside: Inside, found: Signing | None = None, *, done: str = "", wrong: str = ""
    ) -> Response:
        found = found or signing(self._board, asked.statement, "", self._clock.now(), asked.approvers)
        keys = keys_of(self._board.operators, inside)
        page = approval.ask_approval(found, asked.target, visitor(inside), asked.name, keys, done=done, wrong=wrong)
        return html(page, 409 if wrong else 200)
