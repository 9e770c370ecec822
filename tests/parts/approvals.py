"""Stands for people of whom nobody has approved anything."""

from __future__ import annotations

from guard.policy.acceptance import NotApprovedError, Wanted


class NobodyApproves:
    """Implements `Approvals`: refuses whatever it is asked."""

    def approve(self, wanted: Wanted) -> tuple[str, ...]:
        """Refuse."""
        before = wanted.asked.before.digest[:12] if wanted.asked.before else "nothing"
        raise NotApprovedError(
            f"it takes two people's approval of {before} -> {wanted.asked.after.digest[:12]}, and nobody is named who "
            "could give it; a restart does not change that"
        )

    def use(self, wanted: Wanted) -> None:
        """Refuse."""
        self.approve(wanted)

    def bundle(self, wanted: Wanted) -> tuple[str, ...]:
        """Refuse."""
        return self.approve(wanted)
