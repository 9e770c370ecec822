"""Who reads texts or asks why: as which person, with which key, for which reason; it is put on record before.

Who somebody is, is what he says and what the system says of his process (its uid); both are put on record. What keeps
others out is the mode of the folders and the key of the texts.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from guard.app import log_disk
from guard.audit.contents import ContentError, Contents, Text
from guard.audit.directory import InUseError
from guard.audit.keys import KeyFolder
from guard.audit.ledger import Ledger
from guard.audit.read import Entry, Item
from guard.audit.records import Outcome
from guard.audit.segments import LedgerError
from guard.audit.wrapping import Investigator, Kek, Opener
from guard.cli.in_force import operators
from guard.cli.options import words
from guard.clock import SystemClock
from guard.policy.content import read_content_key
from guard.policy.evidence import midnight
from guard.policy.load import Config, read_secret
from guard.policy.model import SecretRef
from guard.policy.roles import DOES, NEVER_UNNAMED, Act, may_any, told
from guard.policy.secret import read_secret_bytes
from safeguards.decision import Unavailable

WRITER: Final = "operator"  # the writer's name of these commands in the request log
LOCK_SECONDS: Final = 10.0
NOT_ALLOWED: Final = 4


class RefusedError(Exception):
    """Nothing is opened or told; the message says why."""


@dataclass(frozen=True, slots=True)
class Person:
    """Who acts, as he says and as the system says, and why."""

    who: str
    reason: str

    @property
    def named(self) -> str:
        """As records have it."""
        return f"{self.who} (uid {os.getuid()})"


def add_person(parser: argparse.ArgumentParser, *, required: bool) -> None:
    """Add ``--who`` and ``--reason``."""
    parser.add_argument("--who", type=words, required=required, metavar="NAME", help="who does this")
    parser.add_argument("--reason", type=words, required=required, metavar="TEXT", help="why; it is put on record")


def add_access(parser: argparse.ArgumentParser) -> None:
    """Add the options that open texts."""
    parser.add_argument(
        "--content",
        action="store_true",
        help="with the texts of prompts and completions: for an investigator of operators.yaml, with their key, --who "
        "and --reason; it is put on record",
    )
    add_person(parser, required=False)
    add_key(parser)


def add_key(parser: argparse.ArgumentParser) -> None:
    """Add ``--key-file``."""
    parser.add_argument(
        "--key-file",
        type=Path,
        metavar="FILE",
        help="what opens the texts in place of this guard's own key: an investigator's private key (X25519, PEM), or "
        "an earlier key of the guard",
    )


def person(config: Config, arguments: argparse.Namespace, act: Act) -> Person:
    """The person of ``--who`` (an id or a full name) and ``--reason``; raises RefusedError for whoever may not do this.

    Named by operators.yaml, of the policy in force, in a role that entitles to it, today. Without that file texts are
    opened for nobody and nobody is told why; for the rest any name goes. Raises ConfigError if it cannot be read.
    """
    if not arguments.who or not arguments.reason:
        raise RefusedError(f"to {DOES[act].partition(':')[0]} takes --who NAME and --reason TEXT")
    try:
        known = operators(config)
    except OSError as error:
        raise RefusedError(f"it cannot be known who may do this: {error.strerror}") from None
    if known is None:
        if act in NEVER_UNNAMED:
            raise RefusedError(f"there is no operators.yaml in force, and this takes {told(act)}")
        return Person(arguments.who, arguments.reason)
    found = next((one for one in known.persons if arguments.who in {one.id, one.name}), None)
    if found is None:
        raise RefusedError(f"--who: is nobody in operators.yaml, and this takes {told(act)}")
    if midnight(found.expires).timestamp() <= time.time():
        raise RefusedError(f"--who: the entry of {found.id} in operators.yaml has expired")
    if not may_any(found.roles, act):
        raise RefusedError(f"--who: no role of {found.id} in operators.yaml may do this; it takes {told(act)}")
    return Person(found.id, arguments.reason)


def audit_folder(config: Config) -> Path:
    """Where the request log is."""
    return config.directory / config.guard.storage.audit


def key_folder(config: Config) -> KeyFolder:
    """Where its wrapped keys are; raises RefusedError when the configuration has none."""
    if config.guard.content is None:
        raise RefusedError("guard.yaml has no section `content`: no text is kept")
    return KeyFolder(config.directory / config.guard.content.wrapped)


def opener(config: Config, file: Path | None) -> Opener:
    """What opens the keys; raises RefusedError and ConfigError, neither of which quotes a key."""
    section = config.guard.content
    if section is None:
        raise RefusedError("guard.yaml has no section `content`: no text is kept")
    if file is None:
        return Kek(read_content_key(config, section))
    ref = SecretRef(file=str(file.resolve()))
    content = read_secret_bytes(ref, Path())
    if not content.startswith(b"-----BEGIN"):
        try:
            return Kek(read_secret(ref, Path()))
        except ValueError as error:
            raise RefusedError(f"{file}: {error}") from None
    try:
        private = load_pem_private_key(content, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise RefusedError(f"{file}: is not a private key in PEM, or is encrypted") from None
    if not isinstance(private, X25519PrivateKey):
        raise RefusedError(f"{file}: is not a private key of X25519")
    return Investigator(private)


def open_contents(config: Config, arguments: argparse.Namespace, subject: str) -> Contents:
    """Put the reading on record, then open; raises RefusedError when either cannot be."""
    reader = person(config, arguments, Act.READ_TEXTS)
    contents = Contents(audit_folder(config), key_folder(config), opener(config, arguments.key_file))
    record(config, reader, "read", subject)
    return contents


def record(config: Config, acting: Person, what: str, subject: str, more: str = "") -> None:
    """Put an act on record, on the disk when this returns; raises RefusedError when it cannot be."""
    directory = audit_folder(config) / WRITER
    limit = time.monotonic() + LOCK_SECONDS
    try:
        if not directory.parent.is_dir():
            raise RefusedError(f"{directory.parent}: there is no request log")
        while True:
            try:
                ledger = Ledger.open(directory, SystemClock(), disk=log_disk(config))
                break
            except InUseError:  # another command writes its record
                if time.monotonic() > limit:
                    raise
                time.sleep(0.05)
        try:
            asyncio.run(_written(ledger, acting, what, subject, more))
        finally:
            ledger.close()
    except (LedgerError, Unavailable) as error:
        raise RefusedError(f"this could not be put on record: {error}") from None


async def _written(ledger: Ledger, acting: Person, what: str, subject: str, more: str) -> None:
    reason = f"{acting.reason} [{more}]" if more else acting.reason
    await ledger.control(who=acting.named, what=what, subject=subject, reason=reason)


def texts(contents: Contents | None, item: Item) -> tuple[tuple[Text, ...], str]:
    """The texts of a record, and why there are none where there should be; of a flagged exchange all of them."""
    if contents is None or not isinstance(item, Entry):
        return (), ""
    try:
        if isinstance(item.record, Outcome) and item.record.flagged:
            return contents.flagged(item.writer, item.record), ""
        return contents.texts(item.writer, item.record), ""
    except ContentError as error:
        return (), str(error)


def failed(error: Exception) -> int:
    """Say why a command did nothing; returns its exit code."""
    sys.stderr.write(f"guard: {error}\n")
    return NOT_ALLOWED if isinstance(error, RefusedError) else 1
