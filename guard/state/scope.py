"""A scope as orders, commands and file names write it: read strictly, because a stop of nothing protects nobody."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, unquote

from safeguards.scope import ALL, SELF_TEST, Capability, Operation, ScopeKind, word

MAX_SUBJECT: Final = 256
SCOPE_FORMS: Final = (
    "all, level:<ASL> (of that level and above), model:<alias>, version:<alias>/<release>, tier:<name>, key:<id>, "
    "org:<owner of keys>, operation:<name>, capability:<name>, attribute:<name>=<value>"
)

_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,128}")
_VERSION: Final = re.compile(r"[A-Za-z0-9._-]{1,128}/[A-Za-z0-9._-]{1,128}")
_ATTRIBUTE: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}=[a-z0-9][a-z0-9._-]{0,63}")
_LEVEL: Final = re.compile(r"[1-9]")
_KINDS: Final = {kind.value: kind for kind in ScopeKind if kind is not ScopeKind.ALL}


class OrderError(ValueError):
    """An order, or the bytes of one, that breaks a rule; the message names the field."""


def _owner(text: str) -> bool:
    return 1 <= len(text) <= MAX_SUBJECT and text.isprintable()


def _matches(pattern: re.Pattern[str]) -> Callable[[str], bool]:
    return lambda text: pattern.fullmatch(text) is not None


_VALID: Final[Mapping[ScopeKind, Callable[[str], bool]]] = {
    ScopeKind.ALL: lambda text: not text,
    ScopeKind.LEVEL: _matches(_LEVEL),
    ScopeKind.MODEL: _matches(_NAME),
    ScopeKind.VERSION: _matches(_VERSION),
    ScopeKind.TIER: _matches(_NAME),
    ScopeKind.KEY: _matches(_NAME),
    ScopeKind.ORGANISATION: _owner,
    ScopeKind.OPERATION: lambda text: text in list(Operation),
    ScopeKind.CAPABILITY: lambda text: text in list(Capability),
    ScopeKind.ATTRIBUTE: _matches(_ATTRIBUTE),
}
_CLOSED: Final[Mapping[ScopeKind, str]] = {
    ScopeKind.OPERATION: ", ".join(Operation),
    ScopeKind.CAPABILITY: ", ".join(Capability),
}


@dataclass(frozen=True, slots=True)
class Scope:
    """What a stop covers: everything, or what answers to one subject of a kind; ``subject`` is empty for everything."""

    kind: ScopeKind
    subject: str = ""

    def __post_init__(self) -> None:
        """Refuse a subject that no form allows."""
        if not _VALID[self.kind](self.subject):
            if self.kind in _CLOSED:
                raise OrderError(f"scope: {self.kind.value} is one of {_CLOSED[self.kind]}")
            raise OrderError(f"scope: not one of {SCOPE_FORMS}")

    @classmethod
    def parse(cls, text: str) -> Scope:
        """Read ``all``, ``model:demo`` or another of `SCOPE_FORMS`; OrderError names them."""
        if text == ALL:
            return EVERYTHING
        kind, colon, subject = text.partition(":")
        if not colon or kind not in _KINDS:
            raise OrderError(f"scope: not one of {SCOPE_FORMS}")
        return cls(_KINDS[kind], subject)

    @classmethod
    def of_file(cls, name: str) -> Scope:
        """Read the name of a STOP file; raises OrderError for any other name."""
        head, dot, rest = name.partition(".")
        if head != "STOP":
            raise OrderError("file: not STOP or STOP.KIND.SUBJECT")
        if not dot:
            return EVERYTHING
        kind, _, subject = rest.partition(".")
        try:
            subject = unquote(subject, errors="strict")
        except UnicodeDecodeError:
            raise OrderError("file: its name is not UTF-8") from None
        return cls.parse(f"{kind}:{subject}")

    @property
    def of_self_test(self) -> bool:
        """Whether it can cover nothing but the self-test model: a drill's, which concerns no caller."""
        match self.kind:
            case ScopeKind.MODEL | ScopeKind.TIER | ScopeKind.KEY | ScopeKind.ORGANISATION:
                return self.subject == SELF_TEST
            case ScopeKind.VERSION:
                return self.subject.startswith(f"{SELF_TEST}/")
            case ScopeKind.ATTRIBUTE:
                return self.subject.startswith(f"{SELF_TEST}=")
            case _:
                return False

    @property
    def file(self) -> str:
        """The name of the STOP file that stands for it; what no file name can hold is written as ``%2F``."""
        return "STOP" if self.kind is ScopeKind.ALL else f"STOP.{self.kind.value}.{quote(self.subject, safe='=')}"

    def __str__(self) -> str:
        """Write the form that `parse` reads, and the word that exchanges answer to."""
        return word(self.kind, self.subject)


EVERYTHING: Final = Scope(ScopeKind.ALL)
