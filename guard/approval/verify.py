"""Whether an order is approved: enough distinct persons, each entitled, each by a good signature, at this instant.

A signature, or the assertion of a passkey in its place, counts for the person that its file names and only by a key
that operators.yaml gives that person; whoever uses two keys counts once. One that does not count takes nothing away
from the others, and is told.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from guard.approval import webauthn
from guard.approval.order import Act, Order, OrderError, instant_text, parse
from guard.approval.sshsig import NAMESPACE, BadSignature
from guard.approval.sshsig import parse as parse_signature
from guard.approval.sshsig import verify as verify_signature
from guard.policy.evidence import midnight
from guard.policy.operators import OperatorsFile, Person
from guard.policy.roles import OperatorRole
from guard.policy.ssh_key import read_key

MAX_SIGNATURES: Final = 32


class NotApproved(Exception):  # noqa: N818 - reads as the finding it is
    """Why something is not approved, in words for the people who are to approve it."""


class Kind(StrEnum):
    """By what somebody approved; the list is closed."""

    SSH = "ssh"
    PASSKEY = "passkey"


@dataclass(frozen=True, slots=True)
class Demand:
    """What must be approved and by whom: exactly this, by this many distinct persons with one of these roles."""

    act: Act
    subject: str
    before: str
    after: str
    people: int
    roles: frozenset[OperatorRole]

    def meant_by(self, order: Order) -> bool:
        """Whether the order states exactly this."""
        return (self.act, self.subject, self.before, self.after) == (
            order.act,
            order.subject,
            order.before,
            order.after,
        )


@dataclass(frozen=True, slots=True)
class Signed:
    """The file of a signature or an assertion: its name, the id of the person it is said to be of, its content."""

    file: str
    person: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Heard:
    """What the signatures of one order say: ids of the persons who count, and in words each that does not.

    ``kinds`` says of each of ``people`` by what; of somebody who used several, the first that counts.
    """

    people: tuple[str, ...]
    refused: tuple[str, ...]
    kinds: tuple[Kind, ...] = ()


@dataclass(frozen=True, slots=True)
class Approved:
    """An order that enough people approved, who they are by id, and the signatures that did not count, in words.

    ``kinds`` says of each of ``people`` by what.
    """

    order: Order
    people: tuple[str, ...]
    refused: tuple[str, ...]
    kinds: tuple[Kind, ...] = ()


def verify(
    raw: bytes, signatures: Sequence[Signed], operators: OperatorsFile | None, at: float, demand: Demand
) -> Approved:
    """Say who approved an order, given as the bytes that were signed; raises NotApproved.

    ``at`` is seconds since the epoch. Whether the order was used before is for `guard.approval.used`.
    """
    try:
        order = parse(raw)
    except OrderError as error:
        raise NotApproved(str(error)) from None
    if not demand.meant_by(order):
        raise NotApproved("the order states something else than what is asked")
    if wrong := untimely(order, at):
        raise NotApproved(wrong)
    heard = hear(raw, signatures, operators, at, demand.roles)
    if len(heard.people) < demand.people:
        count = f"{len(heard.people)} of {demand.people} approvals"
        raise NotApproved(
            "; ".join([f"{count} ({', '.join(heard.people)})" if heard.people else count, *heard.refused])
        )
    return Approved(order, heard.people, heard.refused, heard.kinds)


def untimely(order: Order, at: float) -> str:
    """Say in words that an order does not hold yet or no longer; empty while it holds."""
    if at < order.issued:
        return f"the order holds only from {instant_text(order.issued)}"
    return "" if at < order.expires else f"the order has expired at {instant_text(order.expires)}"


def hear(
    raw: bytes,
    signatures: Sequence[Signed],
    operators: OperatorsFile | None,
    at: float,
    roles: frozenset[OperatorRole],
) -> Heard:
    """Judge every signature over these bytes; raises NotApproved when there are too many or nobody to ask."""
    if operators is None:
        raise NotApproved("operators.yaml is missing, so nobody is known who could approve")
    if len(signatures) > MAX_SIGNATURES:
        raise NotApproved(f"more than {MAX_SIGNATURES} signatures")
    people: dict[str, Kind] = {}
    refused: list[str] = []
    for signed in signatures:
        try:
            people.setdefault(signed.person, _judge(raw, signed, operators, at, roles))
        except BadSignature as error:
            refused.append(f"{signed.file} {error}")
    return Heard(tuple(people), tuple(refused), tuple(people.values()))


def may_sign(operators: OperatorsFile | None, at: float, roles: frozenset[OperatorRole]) -> tuple[str, ...]:
    """Return the ids of the persons whose signature would count at this instant."""
    persons = operators.persons if operators is not None else ()
    return tuple(each.id for each in persons if not roles.isdisjoint(each.roles) and at < _end(each))


def _end(person: Person) -> float:
    return midnight(person.expires).timestamp()


def _judge(raw: bytes, signed: Signed, operators: OperatorsFile, at: float, roles: frozenset[OperatorRole]) -> Kind:
    """Let a signature pass that counts for its person; raises BadSignature."""
    person = operators.person(signed.person)
    if person is None:
        raise BadSignature("is named for nobody in operators.yaml")
    if roles.isdisjoint(person.roles):
        raise BadSignature(f"does not count: {person.id} has no role that may approve this")
    if at >= _end(person):
        raise BadSignature(f"does not count: the entry of {person.id} in operators.yaml has expired")
    if webauthn.is_assertion(signed.content):
        _judge_assertion(raw, signed.content, person, operators)
        return Kind.PASSKEY
    signature = parse_signature(signed.content)
    key = next((key for key in map(read_key, person.keys) if key.blob == signature.key), None)
    if key is None:
        raise BadSignature(f"is not made with a key of {person.id}")
    verify_signature(signature, raw, NAMESPACE, key)
    return Kind.SSH


def _judge_assertion(raw: bytes, armoured: bytes, person: Person, operators: OperatorsFile) -> None:
    assertion = webauthn.parse(armoured)
    key = person.passkey(assertion.credential)
    if key is None or operators.webauthn is None:
        raise BadSignature(f"is not made with a passkey of {person.id}")
    webauthn.verify(assertion, raw, key, operators.webauthn)
