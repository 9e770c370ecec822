"""Who the people behind the guard are, in which roles, and by which keys each approves (requirements row D2)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from guard.policy.fields import LAX, Day, Frozen, Line, MisplacedError, Name, unique
from guard.policy.passkey import Passkey, WebAuthn, credential_bytes, read_public
from guard.policy.roles import Act, OperatorRole, may_any
from guard.policy.ssh_key import read_key


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
        description="What the person may do, by the table of roles in the README; two who may approve do so together."
    )
    keys: Annotated[tuple[KeyLine, ...], Field(max_length=16)] = Field(
        description="SSH public keys, each as its .pub file has it: Ed25519, ECDSA, RSA from 3072 bits, hardware keys. "
        "Only who approves needs one, or a passkey."
    )
    passkeys: Annotated[tuple[Passkey, ...], Field(max_length=16)] = Field(
        default=(), description="Passkeys and security keys, with which the person approves on the control page."
    )
    expires: Day = Field(
        description="The first day on which the person's signatures and tokens do not count (from 00:00 UTC)."
    )

    @model_validator(mode="after")
    def _can_sign(self) -> Person:
        if not self.keys and not self.passkeys and may_any(self.roles, Act.APPROVE):
            words = "must not be empty: with these roles the person approves by signatures, or needs passkeys"
            raise MisplacedError(words, "keys")
        return self

    def passkey(self, credential: bytes) -> Passkey | None:
        """Return the person's passkey of this id, None if there is none."""
        return next((each for each in self.passkeys if credential_bytes(each.credential) == credential), None)


def _keys_apart(persons: tuple[Person, ...]) -> tuple[Person, ...]:
    """Refuse a key given twice: compared is the private half behind it, so that one key is never two people.

    A credential's id is compared as well: a browser asks for a key by it.
    """
    seen: dict[bytes, str] = {}
    for index, person in enumerate(persons):
        for number, line in enumerate(person.keys):
            place = f"persons[{index}].keys[{number}]"
            if (first := seen.setdefault(read_key(line).pair, place)) != place:
                raise MisplacedError(f"the key is already used by {first}", index, "keys", number)
        for number, each in enumerate(person.passkeys):
            place = f"persons[{index}].passkeys[{number}]"
            if (first := seen.setdefault(read_public(each.public_key).pair, place)) != place:
                raise MisplacedError(f"the key is already used by {first}", index, "passkeys", number, "public_key")
            if (first := seen.setdefault(b"id " + credential_bytes(each.credential), place)) != place:
                raise MisplacedError(f"the id is already used by {first}", index, "passkeys", number, "credential")
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
    webauthn: WebAuthn | None = Field(
        default=None, description="Where people approve with passkeys; null: nobody does, and no person may have one."
    )

    @model_validator(mode="after")
    def _made_for_a_page(self) -> OperatorsFile:
        for index, person in enumerate(self.persons):
            if person.passkeys and self.webauthn is None:
                raise MisplacedError("needs the section webauthn of this file", "persons", index, "passkeys")
        return self

    def person(self, identity: str) -> Person | None:
        """Return the person of this id, None if there is none."""
        return next((each for each in self.persons if each.id == identity), None)


__all__ = ["KeyLine", "OperatorRole", "OperatorsFile", "Passkey", "Person", "WebAuthn"]
