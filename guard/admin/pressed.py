"""What somebody's key answered on the page: which keys to ask, and what the script sends of the answer."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Final

from guard.admin.entrance import Inside
from guard.admin.page.press import Keys
from guard.approval.sshsig import BadSignature
from guard.approval.webauthn import Assertion, armour
from guard.policy.operators import OperatorsFile
from guard.state.orders import Approver

MAX_FIELD: Final = 4_096


def keys_of(operators: OperatorsFile | None, inside: Inside) -> Keys | None:
    """Return the passkeys of who looks at the page; None where none are taken, or nobody of operators.yaml looks."""
    person = None if operators is None else operators.person(inside.person.name)
    if person is None or operators is None or operators.webauthn is None:
        return None
    where = operators.webauthn
    return Keys(where.rp_id, tuple(each.credential for each in person.passkeys), where.synced)


def pressed(fields: Mapping[str, str], inside: Inside) -> Approver:
    """Read what the script sent, as of the person who is signed in; raises BadSignature or OrderError.

    Whether it counts is not judged.
    """
    names = ("credential", "authenticator_data", "client_data", "signature")
    assertion = Assertion(*(_bytes(fields.get(name, "")) for name in names))
    return Approver(inside.person.name, armour(assertion).decode("ascii"))


def _bytes(text: str) -> bytes:
    try:
        raw = text[:MAX_FIELD].encode("ascii")
        return base64.b64decode(raw + b"=" * (-len(raw) % 4), altchars=b"-_", validate=True)
    except ValueError:  # a text that is not ASCII too
        raise BadSignature("is not what the page's script sends") from None
