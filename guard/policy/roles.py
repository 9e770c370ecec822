"""Which role may do what: one closed table, asked by everything that a named person does (rows D2, H11).

Stopping is easy, so whoever acts on the guard at all may stop; whoever only looks may not. What takes two people asks
for this of each of them, and for two. Weakness: whoever has the host's root, or may write the configuration, needs no
role at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from guard.policy.operators import OperatorRole as Role


class Act(StrEnum):
    """What a person does with the guard; the list is closed."""

    SEE_STATUS = "see_status"
    STOP = "stop"
    RESUME = "resume"
    RELOAD = "reload"
    APPROVE = "approve"
    READ_RECORDS = "read_records"
    READ_TEXTS = "read_texts"
    HOLD_TEXTS = "hold_texts"
    RELEASE_HOLD = "release_hold"
    DELETE_TEXTS = "delete_texts"


DOES: Final[Mapping[Act, str]] = MappingProxyType(
    {
        Act.SEE_STATUS: "see what is stopped, which model is routable, which policy is in force",
        Act.STOP: "stop models, tiers, keys",
        Act.RESUME: "ask for a resume; what two people must approve it takes besides",
        Act.RELOAD: "have changed files taken up",
        Act.APPROVE: "sign orders that take two people",
        Act.READ_RECORDS: "read the request log: who asked what when, and what was decided; no texts",
        Act.READ_TEXTS: "read kept prompts and completions",
        Act.HOLD_TEXTS: "keep texts from deletion",
        Act.RELEASE_HOLD: "end such a hold",
        Act.DELETE_TEXTS: "destroy the keys of texts before their time",
    }
)

_MAY: Final[Mapping[Role, frozenset[Act]]] = MappingProxyType(
    {
        Role.VIEWER: frozenset({Act.SEE_STATUS}),
        Role.RESPONDER: frozenset({Act.SEE_STATUS, Act.STOP, Act.RESUME, Act.RELOAD, Act.READ_RECORDS}),
        Role.APPROVER: frozenset({Act.SEE_STATUS, Act.STOP, Act.APPROVE}),
        Role.SAFEGUARDS_ENGINEER: frozenset({Act.SEE_STATUS, Act.STOP, Act.RELOAD, Act.READ_RECORDS}),
        Role.INVESTIGATOR: frozenset({Act.SEE_STATUS, Act.STOP, Act.READ_RECORDS, Act.READ_TEXTS, Act.HOLD_TEXTS}),
        Role.AUDITOR: frozenset({Act.SEE_STATUS, Act.READ_RECORDS, Act.HOLD_TEXTS}),
        Role.OPERATOR: frozenset({Act.SEE_STATUS, Act.STOP, Act.RESUME, Act.RELOAD}),
        Role.RESPONSIBLE_SCALING_OFFICER: frozenset(
            {
                Act.SEE_STATUS,
                Act.STOP,
                Act.RESUME,
                Act.APPROVE,
                Act.READ_RECORDS,
                Act.HOLD_TEXTS,
                Act.RELEASE_HOLD,
                Act.DELETE_TEXTS,
            }
        ),
    }
)


def may(role: Role, act: Act) -> bool:
    """Whether a role alone entitles to an act."""
    return act in _MAY[role]


def may_any(roles: Iterable[Role], act: Act) -> bool:
    """Whether one of a person's roles entitles to an act."""
    return any(may(role, act) for role in roles)


def entitled(act: Act) -> frozenset[Role]:
    """Return the roles that entitle to an act."""
    return frozenset(role for role in Role if may(role, act))
