"""The people of these tests: each with a key of another kind, some without a right to approve."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from types import MappingProxyType
from typing import Any, Final

from guard.approval.order import Act, Order, canonical
from guard.approval.verify import Signed
from guard.policy.operators import OperatorRole, OperatorsFile, Person
from guard.policy.ssh_key import KeyKind
from tests.parts.passkeys import WHERE, SoftPasskey, soft_passkey
from tests.parts.ssh_keys import SoftKey, soft_key

NOW: Final = int(datetime(2026, 11, 23, 8, tzinfo=UTC).timestamp())
DAY: Final = 86_400
OLD, NEW = "a" * 64, "b" * 64
ANA, ANA_TOO = soft_key(KeyKind.ED25519), soft_key(KeyKind.ED25519, 1)
BEN, CARA = soft_key(KeyKind.SK_ED25519), soft_key(KeyKind.P256)
ANAS, BENS, VICS = soft_passkey(10), soft_passkey(11, ed25519=True), soft_passkey(12)
VIEWER, LAPSED, STRANGER = (soft_key(KeyKind.ED25519, number) for number in (2, 3, 4))


def person(
    name: str,
    *keys: SoftKey,
    role: OperatorRole = OperatorRole.APPROVER,
    until: int = 2027,
    passkeys: tuple[SoftPasskey, ...] = (),
) -> Person:
    return Person(
        id=name,
        name=name.title(),
        roles=(role,),
        keys=tuple(key.line for key in keys),
        passkeys=tuple(key.passkey for key in passkeys),
        expires=date(until, 1, 1),
    )


OPERATORS: Final = OperatorsFile(
    version=1,
    persons=(
        person("ana", ANA, ANA_TOO, passkeys=(ANAS,)),
        person("ben", BEN, role=OperatorRole.RESPONSIBLE_SCALING_OFFICER, passkeys=(BENS,)),
        person("cara", CARA),
        person("vic", VIEWER, role=OperatorRole.VIEWER, passkeys=(VICS,)),
        person("leo", LAPSED, until=2026),
    ),
    webauthn=WHERE,
)


PERSONS: Final[list[Mapping[str, Any]]] = OPERATORS.model_dump(mode="json")["persons"]
PAGES: Final[Mapping[str, Any]] = WHERE.model_dump(mode="json")


def order(
    act: Act = Act.WEAKER_POLICY, changes: Mapping[str, str] = MappingProxyType({}), *, nonce: int = 1, days: int = 7
) -> Order:
    """An order that holds from `NOW`: from `OLD` to `NEW`, of the levels 3 to 2, or of the content `NEW`."""
    content = {
        Act.WEAKER_POLICY: ("configuration", OLD, NEW),
        Act.LOWER_LEVEL: ("demo", "deployment 3, security 3", "deployment 2, security 3"),
        Act.CUSTOM_PROFILE: ("standard", "", NEW),
        Act.BUNDLE: ("configuration", "", NEW),
    }[act]
    fields = {**dict(zip(("subject", "before", "after"), content, strict=True)), "reason": "a reason", **changes}
    subject, before, after, reason = (fields[key] for key in ("subject", "before", "after", "reason"))
    return Order(act, subject, before, after, reason, NOW, NOW + days * DAY, f"{nonce:032x}")


def signed(what: Order | bytes, key: SoftKey | SoftPasskey, name: str, file: str = "") -> Signed:
    raw = canonical(what) if isinstance(what, Order) else what
    return Signed(file or f"approvals/x.{name}.sig", name, key.sign(raw))
