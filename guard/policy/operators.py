"""Who the people behind the guard are, what each may do, and by which SSH keys each signs (requirements row D2)."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from guard.policy.fields import LAX, Day, Frozen, Line, MisplacedError, Name, unique
from guard.policy.ssh_key import read_key


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


def _key(line: str) -> str:
    read_key(line)
    return line


KeyLine = Annotated[str, Field(max_length=4096), AfterValidator(_key)]


class Person(Frozen):
    """One human being; who has two entries would count as two."""

    id: Name = Field(description="The name that records and signature files give the person.")
    name: Line = Field(description="The person's name; two of one name need something that tells them apart.")
    roles: Annotated[
        tuple[Annotated[OperatorRole, LAX], ...],
        Field(min_length=1, max_length=len(OperatorRole)),
        AfterValidator(unique("the role")),
    ] = Field(
        description="What the person may do: two with approver or responsible_scaling_officer approve together; an "
        "investigator opens texts."
    )
    keys: Annotated[tuple[KeyLine, ...], Field(min_length=1, max_length=16)] = Field(
        description="SSH public keys, each as its .pub file has it: Ed25519, ECDSA, RSA from 3072 bits, hardware keys."
    )
    expires: Day = Field(description="The first day on which the person's signatures do not count (from 00:00 UTC).")


def _keys_apart(persons: tuple[Person, ...]) -> tuple[Person, ...]:
    """Refuse a key given twice: compared is the private half behind it, so that one key is never two people."""
    seen: dict[bytes, tuple[int, int]] = {}
    for index, person in enumerate(persons):
        for number, line in enumerate(person.keys):
            first = seen.setdefault(read_key(line).pair, (index, number))
            if first != (index, number):
                words = f"the key is already used by persons[{first[0]}].keys[{first[1]}]"
                raise MisplacedError(words, index, "keys", number)
    return persons


class OperatorsFile(Frozen):
    """The file operators.yaml."""

    version: Literal[1] = Field(description="The version of this file's form.")
    persons: Annotated[
        tuple[Person, ...],
        Field(min_length=1, max_length=1000),
        AfterValidator(unique("the id", "id")),
        AfterValidator(unique("the name", "name")),
        AfterValidator(_keys_apart),
    ] = Field(description="The persons, at least one; no id, name or key twice.")
