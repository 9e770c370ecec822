"""``guard audit verify``, ``prove``, ``check-proof``, ``key`` and ``witness``: that the log is what was recorded."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Final

from guard.app import storage
from guard.audit.note import MAX_NOTE_BYTES, Algorithm, Key, Note, NoteError, parse_key, parse_note
from guard.audit.proof import MAX_PROOF_BYTES, Proof, check_proof, decode_proof, encode_proof
from guard.audit.proving import NotYetError, prove
from guard.audit.records import Kind
from guard.audit.render import moment, printable
from guard.audit.segments import LedgerError
from guard.audit.timestamp_authority import Authority
from guard.audit.timestamp_form import TimestampError
from guard.audit.timestamps import sizes
from guard.audit.tree import ProofError
from guard.audit.verify import verify
from guard.cli.audit_report import as_json, as_text
from guard.cli.options import add_config
from guard.policy.load import load
from guard.policy.timestamp_ca import read_timestamp_ca
from guard.serve import witnessing
from guard.serve.sealing import log_key

Commands = argparse._SubParsersAction  # noqa: SLF001 - argparse has no public name for it
UNREADABLE: Final = 2
MAX_CA_BYTES: Final = 1_048_576
PROVABLE: Final = {kind.name.lower(): kind for kind in Kind if kind not in {Kind.OPENED, Kind.CONTROL}}
_PATIENCE_SECONDS: Final = 5.0
_POLL_SECONDS: Final = 0.2
_SIGNS: Final = {Algorithm.ED25519: "signs a log", Algorithm.COSIGNATURE: "a witness signs with"}


def add(group: Commands[argparse.ArgumentParser]) -> None:
    """Add the commands to ``guard audit``."""
    whole = group.add_parser("verify", help="hash everything anew and compare it with every signed head")
    add_config(whole, required=False)
    _add_copy(whole)
    _add_key(whole)
    whole.add_argument(
        "--from-checkpoint",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="a head that was kept elsewhere",
    )
    _add_authority(whole)
    whole.add_argument("--json", action="store_true", help="the whole report as one JSON object")
    whole.set_defaults(run=_verify)
    proof = group.add_parser("prove", help="print a proof that the records of one request stand in the log")
    add_config(proof, required=False)
    _add_copy(proof)
    _add_key(proof)
    proof.add_argument("id", help="the request's id, as in the answer's x-request-id")
    proof.add_argument(
        "--record", choices=sorted(PROVABLE), action="append", default=[], help="only records of this kind"
    )
    proof.set_defaults(run=_prove)
    check = group.add_parser("check-proof", help="check such a proof; deploy/check_proof.py does it without us")
    add_config(check, required=False)
    check.add_argument("proof", type=Path, help="the file")
    _add_key(check)
    check.add_argument(
        "--witness", type=Path, action="append", default=[], metavar="FILE", help="must have cosigned it"
    )
    _add_authority(check)
    check.set_defaults(run=_check)
    key = group.add_parser("key", help="print the log's public key, for auditors and witnesses")
    add_config(key)
    key.set_defaults(run=_key)
    witness = group.add_parser("witness", help="run a witness on another machine: it cosigns heads that go on")
    witness.add_argument("--dir", type=Path, required=True, help="its folder: its key, and what it has seen")
    witness.add_argument("--name", required=True, help="the name it signs under, such as witness.example.com/w1")
    witness.add_argument("--log", type=Path, action="append", required=True, metavar="FILE", help="a log's public key")
    witness.add_argument("--host", default="127.0.0.1", help="the address to listen on")
    witness.add_argument("--port", type=int, default=9191, help="the port to listen on")
    witness.set_defaults(run=_witness)


def _add_copy(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--audit", type=Path, metavar="DIR", help="a copy of an audit folder, with --key in its place")


def _add_key(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--key", type=Path, metavar="FILE", help="the log's public key, from somebody you trust")


def _add_authority(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--timestamp-ca",
        type=Path,
        metavar="FILE",
        help="root certificates (PEM) of the time-stamping authority: its time stamps must be there, and are checked",
    )


def _verify(arguments: argparse.Namespace) -> int:
    begun = time.monotonic()
    try:
        key = _trusted_key(arguments)
        earlier = [_note(path) for path in arguments.from_checkpoint]
        audit = _folder(arguments)
        authority = _authority(arguments) or _own_authority(arguments, audit)
        report = verify(audit, key, earlier, _progress(begun), authority)
    except (LedgerError, NoteError, TimestampError) as error:
        sys.stderr.write(f"guard: {error}\n")
        return UNREADABLE
    if arguments.json:
        sys.stdout.write(json.dumps(as_json(report)) + "\n")
    else:
        sys.stdout.write(as_text(report))
    return 0 if report.intact else 1


def _progress(begun: float) -> Callable[[int], None]:
    """Say on standard error every second how far it is, if it takes longer than that."""
    state = {"bytes": 0, "said": begun}

    def read(count: int) -> None:
        state["bytes"] += count
        now = time.monotonic()
        if now - state["said"] >= 1.0:
            state["said"] = now
            mebibytes = state["bytes"] / 1_048_576
            sys.stderr.write(f"guard: {mebibytes:.0f} MiB verified, {mebibytes / (now - begun):.0f} MiB/s\n")

    return read


def _prove(arguments: argparse.Namespace) -> int:
    kinds = [PROVABLE[name] for name in arguments.record]
    try:
        key = _trusted_key(arguments)
        proof = _proof(_folder(arguments), key.name, arguments.id, kinds)
        check_proof(proof, key)
    except (LedgerError, NoteError, ProofError) as error:
        sys.stderr.write(f"guard: {error}\n")
        return 1
    sys.stdout.write(encode_proof(proof).decode())
    return 0


def _proof(audit: Path, origin: str, request: str, kinds: Collection[Kind]) -> Proof:
    """Prove it, also when it was recorded just now and the next head is still to be signed."""
    until = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            return prove(audit, origin, request, kinds)
        except NotYetError:
            if time.monotonic() >= until:
                raise
        time.sleep(_POLL_SECONDS)


def _check(arguments: argparse.Namespace) -> int:
    try:
        key = _trusted_key(arguments)
        witnesses = [_key_in(path, Algorithm.COSIGNATURE) for path in arguments.witness]
        authority = _authority(arguments)
        data = _read(arguments.proof, MAX_PROOF_BYTES)
    except (LedgerError, NoteError, TimestampError) as error:
        sys.stderr.write(f"guard: {error}\n")
        return UNREADABLE
    try:
        checked = check_proof(decode_proof(data), key, witnesses, authority)
    except ProofError as error:
        sys.stderr.write(f"guard: NOT PROVED: {printable(str(error))}\n")
        return 1
    for record in checked.records:
        what = f"the {record.kind} of request {checked.request} is record {record.sequence} of {record.log}"
        sys.stdout.write(f"proved: {printable(what)}\n")
    for name, at in checked.witnessed:
        sys.stdout.write(f"witnessed: {printable(name)} saw the log with it at {moment(at)}\n")
    if checked.stamped is not None:
        doubt = "" if authority is not None else ", as the token says; its signature is NOT checked (--timestamp-ca)"
        sys.stdout.write(f"time-stamped: the log with it stood at {moment(checked.stamped)}{doubt}\n")
    return 0


def _key(arguments: argparse.Namespace) -> int:
    try:
        sys.stdout.write(f"{log_key(load(arguments.config))}\n")
    except LedgerError as error:
        sys.stderr.write(f"guard: {error}\n")
        return 1
    return 0


def _witness(arguments: argparse.Namespace) -> int:
    try:
        return witnessing.main(arguments.dir, arguments.name, arguments.log, arguments.host, arguments.port)
    except LedgerError as error:
        sys.stderr.write(f"guard: {error}\n")
        return 1


def _folder(arguments: argparse.Namespace) -> Path:
    """The copy that was given, or else this host's own log."""
    if arguments.audit is not None:
        return Path(arguments.audit)
    if arguments.config is None:
        raise LedgerError("give --config, or --audit and --key")
    return storage(load(arguments.config))[1]


def _trusted_key(arguments: argparse.Namespace) -> Key:
    """The key that was given, or else this host's own."""
    if arguments.key is not None:
        return _key_in(arguments.key, Algorithm.ED25519)
    if arguments.config is None:
        raise LedgerError("give --key: nothing can vouch for its own key")
    return log_key(load(arguments.config))


def _authority(arguments: argparse.Namespace) -> Authority | None:
    """Whose time stamps must be there, None if nobody's."""
    if arguments.timestamp_ca is None:
        return None
    return Authority(_read(arguments.timestamp_ca, MAX_CA_BYTES))


def _own_authority(arguments: argparse.Namespace, audit: Path) -> Authority | None:
    """This host's own, for what there is: a log that was just begun has no time stamp yet."""
    if arguments.config is None or not sizes(audit):
        return None
    roots = read_timestamp_ca(load(arguments.config))
    return None if roots is None else Authority(roots)


def _key_in(path: Path, algorithm: Algorithm) -> Key:
    key = parse_key(_read(path, MAX_NOTE_BYTES).decode(errors="replace"))
    if key.algorithm is not algorithm:
        raise NoteError(f"{path}: not a key that {_SIGNS[algorithm]}")
    return key


def _note(path: Path) -> Note:
    return parse_note(_read(path, MAX_NOTE_BYTES + 1))


def _read(path: Path, limit: int) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise LedgerError(f"{path}: {error.strerror}") from error
    if len(data) > limit:
        raise LedgerError(f"{path}: longer than {limit} bytes")
    return data
