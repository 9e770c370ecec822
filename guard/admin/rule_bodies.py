"""What the admin API takes and tells of pushed rules; the text of a rule is told only to who may push one."""

from __future__ import annotations

from typing import Any

import msgspec

from guard.state.merge import TWO_PERSON_ASL, State
from guard.state.orders import RuleOrder
from guard.state.rule_text import PushedRule
from guard.state.shown import fingerprint
from safeguards.category import Category
from safeguards.decision import Target


class _Rule(msgspec.Struct, forbid_unknown_fields=True):
    id: str
    category: Category
    phrase: str = ""
    pattern: str = ""


class RuleBody(msgspec.Struct, forbid_unknown_fields=True):
    """A rule order as it is asked for."""

    scope: str
    rules: list[_Rule]
    screens: tuple[Target, ...] = (Target.INPUT, Target.OUTPUT)
    reason: str = ""

    def pushed(self) -> tuple[PushedRule, ...]:
        """Return the rules; raises OrderError for one that is none."""
        return tuple(PushedRule(each.id, each.category, each.phrase, each.pattern) for each in self.rules)


def rule_fields(order: RuleOrder, state: State, *, texts: bool = False) -> dict[str, Any]:
    """What `guard rule list` and the admin API tell of an order; only with ``texts`` what its rules look for."""
    rules = [each.record() if texts else {"id": each.id, "category": each.category.value} for each in order.rules]
    return {
        "order": order.id,
        "scope": str(order.scope),
        "screens": [each.value for each in order.screens],
        "rules": rules,
        "reason": order.reason,
        "who": order.who,
        "since": order.created,
        "sha256": fingerprint(order),
        "lifted_below_asl_3": order not in state.rules_held(0) and order in state.rules_held(TWO_PERSON_ASL),
    }


def pushed_fields(order: RuleOrder) -> dict[str, Any]:
    """What is told of an order that has just been given."""
    return {
        "kind": "rule",
        "scope": str(order.scope),
        "rules": len(order.rules),
        "reason": order.reason,
        "who": order.who,
    }
