"""Who approved a change of policy, by the orders and signatures beside the new configuration; implements `Approvals`.

The people are those of the policy in force, because a new one must not name who approves it; only where none was in
force are they the new one's own.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from guard.approval import port
from guard.approval.folder import FOLDER
from guard.approval.verify import Approved, NotApproved
from guard.policy.acceptance import NotApprovedError, Wanted
from guard.policy.lowering import lowerings
from guard.state.merge import told_people

_TAKES: Final = "it takes the approval of two people (guard approval), also over a restart"


class SignedApprovals:
    """Asks the folder of approvals anew at each question."""

    def approve(self, wanted: Wanted) -> tuple[str, ...]:
        """Return who approved it, and by what each; raises NotApprovedError."""
        return _told(self._orders(wanted))

    def use(self, wanted: Wanted) -> None:
        """Use the orders up; raises NotApprovedError."""
        try:
            _port(wanted).use(self._orders(wanted), wanted.asked.at)
        except NotApproved as missing:
            raise NotApprovedError(f"{_TAKES}: {missing}") from None

    def bundle(self, wanted: Wanted) -> tuple[str, ...]:
        """Return who signed the whole, and by what each; raises NotApprovedError."""
        try:
            return _told([_port(wanted).bundle(wanted.asked.after.digest, wanted.asked.at)])
        except NotApproved as missing:
            raise NotApprovedError(f"{_TAKES}: {missing}") from None

    def _orders(self, wanted: Wanted) -> tuple[Approved, ...]:
        asked = wanted.asked
        if asked.before is None:
            raise NotApprovedError("nothing was in force that could have been changed")
        lowered = lowerings(asked.before, asked.after, asked.levels)
        try:
            return _port(wanted).orders(
                asked.before.digest, asked.after.digest, asked.at, lowered, weaker=wanted.weaker
            )
        except NotApproved as missing:
            raise NotApprovedError(f"{_TAKES}: {missing}") from None


def _told(found: Iterable[Approved]) -> tuple[str, ...]:
    pairs = [pair for each in found for pair in zip(each.people, each.kinds, strict=True)]
    return tuple(dict.fromkeys(told_people([person], [kind]) for person, kind in pairs))


def _port(wanted: Wanted) -> port.Approvals:
    before, after = wanted.asked.before or wanted.asked.after, wanted.asked.after
    return port.Approvals(before.operators, after.directory / FOLDER, port.used_orders(before))
