"""Which role may do what: one closed table, asked by everything that a named person does (rows D2, H11).

Stopping is easy, so whoever acts on the guard at all may stop, push a rule or open an incident, which may take a model
down; whoever only looks may not. What takes two people asks for this of each of them, and for two. Weakness: whoever
has the host's root, or may write the configuration, needs no role at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class OperatorRole(StrEnum):
    """What a person is trusted with; the list is closed."""

    VIEWER = "viewer"
    RESPONDER = "responder"
    APPROVER = "approver"
    SAFEGUARDS_ENGINEER = "safeguards_engineer"
    INVESTIGATOR = "investigator"
    AUDITOR = "auditor"
    OPERATOR = "operator"
    RESPONSIBLE_SCALING_OFFICER = "responsible_scaling_officer"


class Act(StrEnum):
    """What a person does with the guard; the list is closed."""

    SEE_STATUS = "see_status"
    STOP = "stop"
    PUSH_RULE = "push_rule"
    RESUME = "resume"
    RELOAD = "reload"
    OPEN_INCIDENT = "open_incident"
    HANDLE_INCIDENT = "handle_incident"
    APPROVE = "approve"
    READ_RECORDS = "read_records"
    ASK_WHY = "ask_why"
    READ_TEXTS = "read_texts"
    HOLD_TEXTS = "hold_texts"
    RELEASE_HOLD = "release_hold"
    DELETE_TEXTS = "delete_texts"


DOES: Final[Mapping[Act, str]] = MappingProxyType(
    {
        Act.SEE_STATUS: "see what is stopped, which model is routable, which policy is in force",
        Act.STOP: "stop models, tiers, keys",
        Act.PUSH_RULE: "push a rule that blocks from now on, and read what pushed rules look for",
        Act.RESUME: "ask for a resume; what two people must approve it takes besides",
        Act.RELOAD: "have changed files taken up",
        Act.OPEN_INCIDENT: "open an incident: say that something was found in a model",
        Act.HANDLE_INCIDENT: "triage an incident, report its fixes, close it",
        Act.APPROVE: "sign orders that take two people",
        Act.READ_RECORDS: "read the request log: who asked what when, and what was decided; no texts",
        Act.ASK_WHY: "be told why a request went as it did, by its id",
        Act.READ_TEXTS: "read kept prompts and completions",
        Act.HOLD_TEXTS: "keep texts from deletion",
        Act.RELEASE_HOLD: "end such a hold",
        Act.DELETE_TEXTS: "destroy the keys of texts before their time",
    }
)

# What nobody does who is not named in operators.yaml, also where there is no such file.
NEVER_UNNAMED: Final = frozenset({Act.ASK_WHY, Act.READ_TEXTS})

_MAY: Final[Mapping[OperatorRole, frozenset[Act]]] = MappingProxyType(
    {
        OperatorRole.VIEWER: frozenset({Act.SEE_STATUS}),
        OperatorRole.RESPONDER: frozenset(
            {
                Act.SEE_STATUS,
                Act.STOP,
                Act.PUSH_RULE,
                Act.RESUME,
                Act.RELOAD,
                Act.OPEN_INCIDENT,
                Act.HANDLE_INCIDENT,
                Act.READ_RECORDS,
                Act.ASK_WHY,
            }
        ),
        OperatorRole.APPROVER: frozenset({Act.SEE_STATUS, Act.STOP, Act.PUSH_RULE, Act.OPEN_INCIDENT, Act.APPROVE}),
        OperatorRole.SAFEGUARDS_ENGINEER: frozenset(
            {
                Act.SEE_STATUS,
                Act.STOP,
                Act.PUSH_RULE,
                Act.RELOAD,
                Act.OPEN_INCIDENT,
                Act.HANDLE_INCIDENT,
                Act.READ_RECORDS,
                Act.ASK_WHY,
            }
        ),
        OperatorRole.INVESTIGATOR: frozenset(
            {
                Act.SEE_STATUS,
                Act.STOP,
                Act.PUSH_RULE,
                Act.OPEN_INCIDENT,
                Act.HANDLE_INCIDENT,
                Act.READ_RECORDS,
                Act.ASK_WHY,
                Act.READ_TEXTS,
                Act.HOLD_TEXTS,
            }
        ),
        OperatorRole.AUDITOR: frozenset({Act.SEE_STATUS, Act.READ_RECORDS, Act.ASK_WHY, Act.HOLD_TEXTS}),
        OperatorRole.OPERATOR: frozenset(
            {
                Act.SEE_STATUS,
                Act.STOP,
                Act.PUSH_RULE,
                Act.RESUME,
                Act.RELOAD,
                Act.OPEN_INCIDENT,
                Act.HANDLE_INCIDENT,
            }
        ),
        OperatorRole.RESPONSIBLE_SCALING_OFFICER: frozenset(
            {
                Act.SEE_STATUS,
                Act.STOP,
                Act.PUSH_RULE,
                Act.RESUME,
                Act.OPEN_INCIDENT,
                Act.HANDLE_INCIDENT,
                Act.APPROVE,
                Act.READ_RECORDS,
                Act.ASK_WHY,
                Act.HOLD_TEXTS,
                Act.RELEASE_HOLD,
                Act.DELETE_TEXTS,
            }
        ),
    }
)


def may(role: OperatorRole, act: Act) -> bool:
    """Whether a role alone entitles to an act."""
    return act in _MAY[role]


def may_any(roles: Iterable[OperatorRole], act: Act) -> bool:
    """Whether one of a person's roles entitles to an act."""
    return any(may(role, act) for role in roles)


def entitled(act: Act) -> frozenset[OperatorRole]:
    """Return the roles that entitle to an act."""
    return frozenset(role for role in OperatorRole if may(role, act))


def told(act: Act) -> str:
    """Name the roles that entitle to an act, in the order of the list, as words for people."""
    names = [role.value for role in OperatorRole if may(role, act)]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"
