"""Where the private keys of the log are kept, how the first is made, and how an epoch follows another."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import BinaryIO, Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from guard.audit.checkpoint import Checkpoint, parse_checkpoint
from guard.audit.directory import prepare
from guard.audit.epochs import FILE, Epoch, append_epoch, epoch_key_name, read_chain, sign_epoch
from guard.audit.note import MAX_NOTE_BYTES, Key, Note, NoteError, Signer, parse_note, signed_by
from guard.audit.segments import LedgerError, describe
from guard.audit.tiles import write_atomically

FOLDER: Final = "audit-keys"
LOG_KEY: Final = "log.pem"
EPOCH_KEY: Final = "epoch"
FLEET_HEAD: Final = "fleet-head"
MAX_KEY_BYTES: Final = 16_384
_EPOCH_LINE: Final = re.compile(r"([0-9]{1,19}) ([0-9a-f]{64})")


class KeyRing:
    """The log's key and the epoch's; used from one thread at a time."""

    def __init__(self, folder: Path, audit: Path, log: Signer) -> None:
        """Use `open_keys`."""
        self._folder = folder
        self._audit = audit
        self.log = log
        chain = read_chain(audit)
        if chain.epochs and chain.epochs[0].origin != log.key.name:
            raise LedgerError(f"{audit / FILE}: it is the log {chain.epochs[0].origin}, not {log.key.name}")
        self.number = len(chain.epochs) - 1
        self.began = chain.epochs[-1].began if chain.epochs else 0
        self.heads = chain.epochs[-1].heads if chain.epochs else ()  # of all logs when this epoch began
        wanted = chain.epochs[-1].key if chain.epochs else None
        # The file holds two keys only while one follows the other; the chain says which of them is in force.
        stored = self._stored()
        line = next((each for each, one in stored.items() if wanted is not None and one.key == wanted), "")
        self.epoch = stored.get(line)
        if line and len(stored) > 1:
            self._keep_only(f"{line}\n")

    @property
    def origin(self) -> str:
        """The name of the log."""
        return self.log.key.name

    def sign(self, text: str) -> Note:
        """Sign a text by the log's key and the epoch's."""
        return Note(text, tuple(one.sign(text) for one in (self.log, self.epoch) if one is not None))

    @property
    def fleet_head(self) -> Path:
        """Where the newest head of the fleet log is kept apart from it: whoever cuts the log does not reach it."""
        return self._folder / FLEET_HEAD

    def keep(self, note: Note) -> None:
        """Keep it; raises OSError."""
        write_atomically(self.fleet_head, note.encode(), durable=False)

    def kept(self) -> Checkpoint | None:
        """The head that was kept, None without one; a power cut may leave an empty file. Raises OSError."""
        try:
            note = parse_note(self.fleet_head.read_bytes()[:MAX_NOTE_BYTES])
            head = parse_checkpoint(note.text) if signed_by(note, self.log.key) else None
        except (FileNotFoundError, NoteError):
            return None
        return head if head is not None and head.origin == self.origin else None

    def due(self, now: float, seconds: float) -> bool:
        """Whether a new epoch should begin: there is none, its key is lost, or it is older than ``seconds``.

        A clock set back makes none before its time: the age only counts forwards.
        """
        return self.epoch is None or now - self.began >= seconds

    def turn(self, now: float, heads: tuple[Checkpoint, ...]) -> Epoch:
        """Begin the next epoch and erase the key before it; raises OSError and LedgerError.

        Killed at any instruction, one of the keys in the file is the one that the chain names last.
        """
        number = self.number + 1
        private = Ed25519PrivateKey.generate()
        signer = Signer(epoch_key_name(self.origin, number), private)
        epoch = Epoch(self.origin, number, signer.key, int(now), heads)
        fresh = f"{number} {private.private_bytes_raw().hex()}\n"
        path = self._folder / EPOCH_KEY
        old = path.read_text() if self.epoch is not None else ""
        write_atomically(path, (old + fresh).encode(), durable=True)
        append_epoch(self._audit, sign_epoch(epoch, self.log, self.epoch))
        self.number, self.began, self.epoch = number, epoch.began, signer
        self._keep_only(fresh)
        return epoch

    def _keep_only(self, line: str) -> None:
        """Erase every other key: its bytes are overwritten once a file without them is in place."""
        path = self._folder / EPOCH_KEY
        with path.open("r+b") as held:
            write_atomically(path, line.encode(), durable=True)
            _overwrite(held)

    def _stored(self) -> dict[str, Signer]:
        path = self._folder / EPOCH_KEY
        try:
            text = read_private(path).decode("ascii", "replace")
        except FileNotFoundError:
            return {}
        found = {}
        for line in text.splitlines():
            parts = _EPOCH_LINE.fullmatch(line)
            if parts is not None:
                private = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(parts[2]))
                found[line] = Signer(epoch_key_name(self.origin, int(parts[1])), private)
        return found


def open_keys(state: Path, audit: Path, *, origin: str | None, configured: bytes | None) -> KeyRing:
    """Open the keys; the log's is ``configured`` (PEM), or kept in the folder of state and made at the first start.

    Raises LedgerError: the key is missing though the log has begun, is readable by others, is no Ed25519 key, or is not
    the one that the log has begun with. Without ``origin`` the log is named after its key.
    """
    folder = state / FOLDER
    try:
        prepare(folder)
        prepare(audit)
        private = load_key(configured, "audit.signing_key") if configured is not None else _own(folder, audit)
        return KeyRing(folder, audit, Signer(origin or default_origin(private), private))
    except OSError as error:
        raise LedgerError(f"{error.filename or folder}: {describe(error)}") from error


def public_key(state: Path, *, origin: str | None, configured: bytes | None) -> Key:
    """The log's public key, without making one; raises LedgerError when there is none."""
    path = state / FOLDER / LOG_KEY
    try:
        private = (
            load_key(configured, "audit.signing_key") if configured is not None else load_key(read_private(path), path)
        )
    except OSError as error:
        raise LedgerError(f"{path}: {describe(error)}") from error
    return Signer(origin or default_origin(private), private).key


def default_origin(private: Ed25519PrivateKey) -> str:
    """The name of a log that was given none: it follows from the key, so no two hosts share it."""
    return f"asl-guard/{private.public_key().public_bytes_raw().hex()[:16]}"


def load_key(pem: bytes, place: object) -> Ed25519PrivateKey:
    """Read an Ed25519 key in PEM; raises LedgerError that names the place."""
    try:
        key = load_pem_private_key(pem, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise LedgerError(f"{place}: not an unencrypted private key in PEM") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise LedgerError(f"{place}: not an Ed25519 key")
    return key


def new_key() -> bytes:
    """A fresh Ed25519 key in PEM."""
    return Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _own(folder: Path, audit: Path) -> Ed25519PrivateKey:
    path = folder / LOG_KEY
    try:
        return load_key(read_private(path), path)
    except FileNotFoundError:
        if read_chain(audit).epochs:
            raise LedgerError(
                f"{path}: the log's signing key is missing, and {audit} was begun with it; put it back, or move that "
                "folder away to begin another log"
            ) from None
    pem = new_key()
    write_atomically(path, pem, durable=True)
    return load_key(pem, path)


def read_private(path: Path) -> bytes:
    """Read a file that only its owner can; raises LedgerError if others can, OSError."""
    with path.open("rb") as file:
        mode = os.fstat(file.fileno()).st_mode
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise LedgerError(f"{path}: open to other users (mode {stat.S_IMODE(mode):04o}); make it 0600")
        return file.read(MAX_KEY_BYTES)


def _overwrite(file: BinaryIO) -> None:
    file.write(b"\0" * os.fstat(file.fileno()).st_size)
    file.flush()
    os.fsync(file.fileno())
