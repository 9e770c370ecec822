"""What a resume counts for: the host that issued it must be known, and from ASL-3 on two people must have approved it.

Every process that obeys orders judges each resume by itself, by the policy it serves, when it first sees it: neither
the admin API, nor the supervisor, nor whoever carried the order from elsewhere is believed. Persons and expiry are
judged as of the time at which the order says that it was issued, which its issuer signs. What was shown to them of a
stop is held against the stop itself (`guard.state.merge.Shown`). What counted once goes on counting
(`guard.state.accepted`), also when an approver has left since.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from guard.approval.resume import SKEW_SECONDS, approvers
from guard.approval.verify import NotApproved, Signed
from guard.policy.config import Config
from guard.policy.ssh_key import read_key
from guard.state.accepted import Accepted
from guard.state.issuer import genuine, issuer_id, own_issuer
from guard.state.merge import Judged
from guard.state.orders import Order, ResumeOrder
from guard.state.shown import Shown


class ResumeJudge:
    """Implements `guard.state.merge.Judge` by one policy; never raises."""

    def __init__(
        self,
        config: Config,
        state: Path,
        now: Callable[[], float],
        *,
        keep: bool = True,
        accepted: Accepted | None = None,
    ) -> None:
        """Take the policy, the state folder, the time; with ``keep`` what counts is put on record there.

        ``accepted`` is what counted before this process began; by default the record is looked at now.
        """
        self._state = state
        self._now = now
        self._keep = keep
        self._accepted = accepted or Accepted(state)
        self._operators = config.operators
        self._digest = config.digest
        keys = [read_key(line).public for line in config.guard.issuers]
        self._others = {issuer_id(key): key for key in keys if isinstance(key, Ed25519PublicKey)}

    def under(self, config: Config) -> ResumeJudge:
        """Return a judge by another policy that knows of the same acceptances; one that keeps none looks anew."""
        accepted = self._accepted if self._keep else None
        return ResumeJudge(config, self._state, self._now, keep=self._keep, accepted=accepted)

    def __call__(self, order: ResumeOrder) -> Judged:
        """Judge one."""
        if order.version == 1:  # of a guard that knew no signatures: its file's permission is its control
            return Judged(order, below=True)
        try:
            found = self.verify(order)
        except Exception as problem:  # noqa: BLE001 - whatever was put there must not end the worker that reads it
            found = Judged(order, below=False, why=f"it could not be judged ({type(problem).__name__})")
        if found.why:
            return self._accepted.before(order) or found
        if self._keep:
            self._accepted.keep(found, self._digest, self._now())
        return found

    def why_not_issued(self, order: Order) -> str:
        """Say why this is no order of a host that is known here; empty where it is one."""
        try:
            issuers = {**self._others, **own_issuer(self._state)}
        except OSError as error:
            issuers, unread = self._others, f" ({error.strerror})"
        else:
            unread = ""
        if not order.signature:
            return "it is not signed by the host that issued it"
        if order.issuer not in issuers:
            return f"its issuer {order.issuer} is not known here{unread}"
        if not genuine(order, issuers):
            return "its issuer's signature does not fit: it was changed, or forged"
        return ""

    def verify(self, order: ResumeOrder) -> Judged:
        """Judge one by its signatures alone."""
        if unknown := self.why_not_issued(order):
            return Judged(order, below=False, why=unknown)
        if order.created > self._now() + SKEW_SECONDS:
            return Judged(order, below=False, why="it says that it was issued in the future; set the clocks")
        below = Judged(order, below=True)
        if not order.approval:
            return below
        signed = [
            Signed(f"the signature of {each.person}", each.person, each.signature.encode("ascii"))
            for each in order.approvers
        ]
        try:
            approval, heard = approvers(order.approval.encode("ascii"), signed, self._operators, order.created)
        except NotApproved as missing:
            return replace(below, why=str(missing))
        if {each.order for each in approval.lifts} != set(order.lifts):
            return replace(below, why="what was approved is to lift other stops")
        shown = frozenset(Shown(each.order, each.sha256, each.scope, each.mode, each.who) for each in approval.lifts)
        return replace(below, approved=shown, people=heard.people, kinds=heard.kinds)
