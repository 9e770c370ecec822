"""Whether persons are named who may stop a model and who may let it run again (rows H3, H11).

One person stops and, from ASL-3 on, two resume: so one who may stop and two who may approve are the least that lets
every order be given at all.
"""

from __future__ import annotations

from datetime import datetime

from guard.policy.evidence import midnight
from guard.policy.roles import Act, may_any
from guard.policy.view import View

_APPROVERS = 2


def responders_named(view: View, at: datetime) -> str | None:
    """Return which duty nobody has at an instant, or None when each has its people."""
    if not any(end > at for end in _ends(view, Act.STOP)):
        return "operators.yaml names nobody now who may stop models"
    if sum(end > at for end in _ends(view, Act.APPROVE)) < _APPROVERS:
        return "operators.yaml names fewer than two people now who may approve resuming them"
    return None


def named_until(view: View) -> datetime:
    """Return from when on a duty is nobody's; to be asked only while `responders_named` finds nothing."""
    return min(max(_ends(view, Act.STOP)), sorted(_ends(view, Act.APPROVE))[-_APPROVERS])


def _ends(view: View, act: Act) -> list[datetime]:
    operators = view.config.operators
    people = () if operators is None else operators.persons
    return [midnight(each.expires) for each in people if may_any(each.roles, act)]
