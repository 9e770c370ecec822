"""How far the approval of a resume has come: who has approved its statement, who could, and what has come between.

Nothing of it is kept here: the statement, signatures and assertions are given, and are judged anew each time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from guard.admin.page.waiting import SHOWN, Waits
from guard.admin.switchboard import ResumeRefusedError, Switchboard
from guard.approval import webauthn
from guard.approval.order import instant_text
from guard.approval.port import PEOPLE, ROLES
from guard.approval.resume import ResumeApproval, too_early
from guard.approval.sshsig import NAMESPACE, BadSignature
from guard.approval.sshsig import parse as parse_signature
from guard.approval.verify import Heard, Kind, NotApproved, Signed, hear, may_sign
from guard.policy.operators import OperatorsFile
from guard.policy.passkey import credential_bytes
from guard.policy.ssh_key import read_key
from guard.state.asked import Asked
from guard.state.merge import TWO_PERSON_ASL, told_people
from guard.state.orders import MAX_APPROVAL, MAX_SIGNATURE, MAX_SIGNATURES, Approver
from guard.state.scope import OrderError

MAX_PASTED: Final = MAX_SIGNATURES * MAX_SIGNATURE
_ENDS: Final = {
    "-----BEGIN SSH SIGNATURE-----": "-----END SSH SIGNATURE-----",
    webauthn.BEGIN: webauthn.END,
}


@dataclass(frozen=True, slots=True)
class Pasted:
    """What somebody pasted: the signatures with the persons whose keys made them, and in words what is none."""

    approvers: tuple[Approver, ...]
    refused: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Signing:
    """One statement and its signatures as they stand; ``stale`` says in words why it is not enough, whoever signs.

    ``signed`` are the persons whose approval counts and ``kinds`` by what, ``could`` who else may approve, ``refused``
    what does not count. ``counted`` are the approvals that count, one of each person, ``others`` the rest.
    """

    statement: str
    named: ResumeApproval
    pasted: str
    signed: tuple[str, ...]
    could: tuple[str, ...]
    refused: tuple[str, ...]
    stale: tuple[str, ...]
    kinds: tuple[Kind, ...] = ()
    counted: tuple[Approver, ...] = ()
    others: tuple[Approver, ...] = ()

    @property
    def lacking(self) -> int:
        """How many approvals are still wanted."""
        return max(0, PEOPLE - len(self.signed))

    @property
    def approvers(self) -> tuple[Approver, ...]:
        """What an order takes of them."""
        return (*self.counted, *self.others)[:MAX_SIGNATURES]

    @property
    def command(self) -> str:
        """What each signer pastes into a terminal: it shows the statement and writes the signature beside it."""
        return f"ssh-keygen -Y sign -n {NAMESPACE} -f KEY <<'END'\n{self.statement}END\n"


def statement_of(text: str) -> str:
    """Return a statement as it was written, whatever a form made of its line ends; raises OrderError."""
    text = text.replace("\r\n", "\n").strip() + "\n"
    if len(text) > MAX_APPROVAL:
        raise OrderError(f"the statement is more than {MAX_APPROVAL} characters")
    return text


def pasted(text: str, operators: OperatorsFile | None) -> Pasted:
    """Find the signatures in what was pasted, and whose keys made them; raises OrderError for too much."""
    if len(text) > MAX_PASTED:
        raise OrderError(f"the signatures are more than {MAX_PASTED} characters")
    blocks, refused = _blocks(text)
    if len(blocks) > MAX_SIGNATURES:
        raise OrderError(f"more than {MAX_SIGNATURES} signatures")
    persons = operators.persons if operators else ()
    owners = {read_key(line).blob: each.id for each in persons for line in each.keys}
    owners |= {credential_bytes(key.credential): each.id for each in persons for key in each.passkeys}
    found: list[Approver] = []
    for number, block in enumerate(blocks, 1):
        try:
            person = owners.get(_made_with(block.encode("ascii", "replace")))
            if person is None:
                refused.append(f"signature {number} is made with a key that operators.yaml gives to nobody")
            else:
                found.append(Approver(person, block))
        except BadSignature as wrong:
            refused.append(f"signature {number} {wrong}")
        except OrderError as wrong:
            refused.append(f"signature {number}: {wrong}")
    return Pasted(tuple(found), tuple(refused))


def signing(board: Switchboard, statement: str, text: str, at: float, kept: Sequence[Approver] = ()) -> Signing:
    """Say how far this statement has come with what was pasted and what was ``kept`` of it.

    Raises OrderError for what is no statement.
    """
    named, stale = _standing(board, statement, at)
    found = pasted(text, board.operators)
    every = tuple(dict.fromkeys((*kept, *found.approvers)))
    heard = heard_of(statement, every, board.operators, at)
    could = tuple(each for each in may_sign(board.operators, at, ROLES) if each not in heard.people)
    first: dict[str, Approver] = {}
    for each in every:
        if heard_of(statement, (each,), board.operators, at).people:
            first.setdefault(each.person, each)
    counted = tuple(first.values())
    others = tuple(each for each in every if each not in counted)
    return Signing(
        statement,
        named,
        text,
        heard.people,
        could,
        (*found.refused, *heard.refused),
        stale,
        heard.kinds,
        counted,
        others,
    )


def heard_of(statement: str, approvers: Sequence[Approver], operators: OperatorsFile | None, at: float) -> Heard:
    """Say which of these approvals of a statement count."""
    signed = [
        Signed(f"the signature of {each.person}", each.person, each.signature.encode("ascii")) for each in approvers
    ]
    try:
        return hear(statement.encode("ascii", "replace"), signed, operators, at, ROLES)
    except NotApproved as wrong:
        return Heard((), (str(wrong),))


def still_waiting(asked: Sequence[Asked], board: Switchboard, now: float) -> tuple[Waits, ...]:
    """Return the newest of what was asked that would still lift something; none where the orders cannot be read."""
    if not asked:
        return ()
    try:
        state = board.state()
    except OSError:
        return ()  # the page says so, and nothing could be resumed
    held = {each.id for each in (*state.still_held(TWO_PERSON_ASL), *state.rules_held(TWO_PERSON_ASL))}
    found: list[Waits] = []
    for each in reversed(asked):
        try:
            named = board.named(each.statement)
        except OrderError:
            continue  # no statement of this release
        if now >= named.expires or too_early(named, now) or held.isdisjoint(lift.order for lift in named.lifts):
            continue
        if len(found) == SHOWN:
            break  # each takes a few signatures to verify
        heard = heard_of(each.statement, each.approvers, board.operators, now)
        scopes = tuple(dict.fromkeys(lift.scope for lift in named.lifts))
        people = told_people(heard.people, heard.kinds)
        found.append(Waits(each.name, scopes, named.reason, each.who, people, named.expires))
    return tuple(found)


def _made_with(block: bytes) -> bytes:
    """Tell the key of a signature, or the id of an assertion's; raises BadSignature."""
    return webauthn.parse(block).credential if webauthn.is_assertion(block) else parse_signature(block).key


def _standing(board: Switchboard, statement: str, at: float) -> tuple[ResumeApproval, tuple[str, ...]]:
    """Read the statement, and say what of it does not hold any more."""
    named = board.named(statement)
    if early := too_early(named, at):
        return named, (early,)
    if at >= named.expires:
        return named, (f"it has expired at {instant_text(named.expires)}",)
    try:
        plan = board.plan_approved(named)
    except ResumeRefusedError as refusal:
        return named, (str(refusal),)
    words = "which it does not name: it stays stopped"
    return named, tuple(f"model {each.model} is {each.why}, {words}" for each in plan.held)


def _blocks(text: str) -> tuple[list[str], list[str]]:
    """Cut out every signature, without the white space that a mail or a terminal has put around its lines."""
    blocks: list[str] = []
    refused: list[str] = []
    lines: list[str] | None = None
    end = ""
    strange = 0
    for line in (each.strip() for each in text.splitlines()):
        if line in _ENDS:
            lines, end = [line], _ENDS[line]
        elif lines is None:
            strange += bool(line)
        else:
            lines += [line] if line else []
            if line == end:
                blocks.append("\n".join(lines) + "\n")
                lines = None
    if lines is not None:
        refused.append(f"a signature is cut off: the line {end} is missing")
    if strange:
        refused.append(f"{strange} {'line is' if strange == 1 else 'lines are'} no part of a signature")
    return blocks, refused
