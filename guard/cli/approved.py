"""The files that two people sign to resume a model at ASL-3: written to be signed, and read back with signatures."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from guard.approval import sshsig
from guard.approval.order import OrderError as ApprovalError
from guard.approval.order import instant_text
from guard.approval.port import ROLES
from guard.approval.resume import MAX_BYTES, parse
from guard.approval.sshsig import NAMESPACE
from guard.approval.verify import may_sign
from guard.policy.file import UnreadableError, read_regular
from guard.policy.operators import OperatorsFile
from guard.state.orders import MAX_SIGNATURES
from guard.state.scope import OrderError

_PERSON: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


def write_unsigned(
    approval: str, to: Path | None, out: Callable[[str], None], operators: OperatorsFile | None = None
) -> None:
    """Write what is to be signed, and say how; raises OSError, and OrderError for what no guard asks to sign.

    It may come from the admin API of another host, so it is read here before anybody is asked to sign it.
    """
    try:
        named = parse(approval.encode("ascii", "replace"))
    except ApprovalError as wrong:
        raise OrderError(f"what the guard asks to sign is not an approval: {wrong}") from None
    path = to or Path(f"resume-{named.nonce[:8]}.json")
    with path.open("xb") as file:
        file.write(approval.encode("ascii"))
    out(f"two people have to approve this until {instant_text(named.expires)}: {path}")
    for lift in named.lifts:
        told = f"; {lift.mode} by {lift.who}" if lift.mode else ""
        out(f"  lifts {lift.order} ({lift.scope}{told})")
    out("each reads the file, signs it, and names the signature:")
    stem = path.with_suffix("")
    out(f"  ssh-keygen -Y sign -f KEY -n {NAMESPACE} {shlex.quote(str(path))}")
    out(f"  mv {shlex.quote(f'{path}.sig')} {shlex.quote(str(stem))}.PERSON.sig")
    people = ", ".join(may_sign(operators, named.issued, ROLES))
    out(f"KEY is the file of an SSH key, PERSON an id of operators.yaml{f': {people}' if people else ''}")
    out(f"then: guard resume --approved {shlex.quote(str(path))}")


def read_approved(path: Path) -> dict[str, Any]:
    """Read what was signed and the signatures beside it, as the admin API takes them.

    Raises UnreadableError, and OrderError where no signature is there or one is named for nobody.
    """
    text = _ascii(path, MAX_BYTES)
    stem = path.with_suffix("").name
    approvers = []
    for found in sorted(path.parent.glob(f"{_literal(stem)}.*.sig"))[: MAX_SIGNATURES + 1]:
        person = found.name[len(stem) + 1 : -len(".sig")]
        if person == "json":
            raise OrderError(f"{found} is not named for a person: rename it to {stem}.PERSON.sig")
        if not _PERSON.fullmatch(person):
            raise OrderError(f"{found} is named for nobody who could be in operators.yaml")
        approvers.append({"person": person, "signature": _ascii(found, sshsig.MAX_BYTES)})
    if not approvers:
        raise OrderError(f"no signature lies beside {path}: {stem}.PERSON.sig")
    if len(approvers) > MAX_SIGNATURES:
        raise OrderError(f"more than {MAX_SIGNATURES} signatures lie beside {path}")
    return {"approval": text, "approvers": approvers}


def _ascii(path: Path, limit: int) -> str:
    try:
        content, _ = read_regular(path, limit)
    except UnreadableError as wrong:
        raise UnreadableError(f"{path} {wrong}") from None
    if len(content) > limit or not content.isascii():
        raise UnreadableError(f"{path} is not ASCII of at most {limit} bytes")
    return content.decode("ascii")


def _literal(text: str) -> str:
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in text)
