"""The rules that an order carries: what each looks for and what it is about, and their bounds.

Whether a pattern can be matched at all is the engine's to say: it is asked where a rule is given, and by every process
that obeys it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, TypeVar

from guard.state.scope import OrderError
from safeguards.category import Category
from safeguards.decision import Target

MAX_RULES: Final = 10
MAX_TEXT: Final = 1_000
_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,128}")
_FORMS: Final = ({"id", "category", "phrase"}, {"id", "category", "pattern"})
_SCALAR: Final = re.compile(r"[^\ud800-\udfff]*")
_E = TypeVar("_E", bound=StrEnum)


@dataclass(frozen=True, slots=True)
class PushedRule:
    """One rule: either a ``phrase`` or a ``pattern``; the other is empty. Its text is shown to nobody unasked."""

    id: str
    category: Category
    phrase: str = ""
    pattern: str = ""

    def __post_init__(self) -> None:
        """Refuse what could not be read back; no message quotes the text."""
        if not _NAME.fullmatch(self.id):
            raise OrderError("rules: an id is 1 to 128 of A-Z a-z 0-9 . _ -")
        if bool(self.phrase) == bool(self.pattern):
            raise OrderError(f"rules: {self.id} must have either a phrase or a pattern")
        text = self.phrase or self.pattern
        if len(text) > MAX_TEXT or not _SCALAR.fullmatch(text):
            raise OrderError(f"rules: {self.id} must be a text of at most {MAX_TEXT} characters")

    def __repr__(self) -> str:
        """Show everything but the text, which must not get into a log by way of an exception."""
        return f"PushedRule({self.id!r}, {self.category.value!r})"

    def record(self) -> dict[str, str]:
        """Return what is written of it."""
        kind, text = ("phrase", self.phrase) if self.phrase else ("pattern", self.pattern)
        return {"id": self.id, "category": self.category.value, kind: text}


def check_rules(rules: tuple[PushedRule, ...], screens: tuple[Target, ...]) -> None:
    """Raise OrderError for what no order may carry."""
    if not 1 <= len(rules) <= MAX_RULES:
        raise OrderError(f"rules: 1 to {MAX_RULES} in one order")
    if len({rule.id for rule in rules}) != len(rules):
        raise OrderError("rules: each id once")
    if not screens or tuple(side for side in Target if side in screens) != screens:
        raise OrderError("screens: input, output, or both in this order")


def read_rules(value: object) -> tuple[PushedRule, ...]:
    """Read the list strictly; raises OrderError."""
    wrong = OrderError("rules: a list of an id, a category, and a phrase or a pattern each")
    if not isinstance(value, list):
        raise wrong
    return tuple(_rule(each, wrong) for each in value)


def _rule(value: Any, wrong: OrderError) -> PushedRule:
    if not isinstance(value, dict) or value.keys() not in _FORMS:
        raise wrong
    if not all(isinstance(each, str) for each in value.values()):
        raise wrong
    category = _member(Category, value["category"], "rules: a category")
    return PushedRule(value["id"], category, value.get("phrase", ""), value.get("pattern", ""))


def read_screens(value: object) -> tuple[Target, ...]:
    """Read which sides are screened; raises OrderError."""
    if not isinstance(value, list):
        raise OrderError("screens: a list of input and output")
    return tuple(_member(Target, each, "screens: each") for each in value)


def _member(kind: type[_E], value: Any, what: str) -> _E:
    try:
        return kind(value)
    except ValueError:
        raise OrderError(f"{what} is one of {', '.join(each.value for each in kind)}") from None
