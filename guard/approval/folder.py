"""The folder ``approvals`` beside a configuration: orders as ``<name>.json``, signatures as ``<name>.<person>.sig``.

The layout is closed: any other file, and a signature without its order, is an error. Names that begin with a dot are
skipped, because mounted volumes put theirs there. The folder does not count for the configuration's digest: an
approval names that digest, so it cannot be part of it. Who may write here can withhold an approval and not make one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from guard.approval import order as orders
from guard.approval import sshsig
from guard.approval.order import Order, OrderError
from guard.approval.verify import Signed
from guard.policy.file import UnreadableError, read_regular
from guard.policy.source import ConfigError, Problem

FOLDER: Final = "approvals"
MAX_FILES: Final = 1000
NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_ORDER_FILE: Final = re.compile(rf"({NAME.pattern})\.json")
_AS_WRITTEN: Final = re.compile(rf"({NAME.pattern})\.json\.sig")  # as ssh-keygen names it
_SIGNATURE_FILE: Final = re.compile(rf"({NAME.pattern})\.([a-z0-9][a-z0-9._-]{{0,63}})\.sig")


@dataclass(frozen=True, slots=True)
class Filed:
    """One order of the folder: its name, the bytes that are signed, what they say, and the signatures beside it."""

    name: str
    raw: bytes
    order: Order
    signatures: tuple[Signed, ...]


def read_folder(folder: Path) -> tuple[Filed, ...]:
    """Read every order with its signatures, by name; a missing folder is an empty one.

    Raises ConfigError with everything that is wrong with the files. What a signature says is not judged here.
    """
    problems: list[Problem] = []
    found: dict[str, tuple[bytes, Order]] = {}
    signatures: dict[str, list[Signed]] = {}
    for file in _names(folder):
        try:
            if match := _ORDER_FILE.fullmatch(file):
                raw = _content(folder / file, orders.MAX_BYTES)
                found[match[1]] = raw, orders.parse(raw)
            elif match := _AS_WRITTEN.fullmatch(file):
                problems.append(_problem(file, f"is not named for a person: rename it to {match[1]}.PERSON.sig"))
            elif match := _SIGNATURE_FILE.fullmatch(file):
                content = _content(folder / file, sshsig.MAX_BYTES)
                signatures.setdefault(match[1], []).append(Signed(f"{FOLDER}/{file}", match[2], content))
            else:
                problems.append(_problem(file, "is neither NAME.json nor NAME.PERSON.sig"))
        except (OrderError, UnreadableError) as error:
            problems.append(_problem(file, str(error)))
    broken = {problem.file for problem in problems}
    problems += [
        _problem(f"{name}.{each.person}.sig", f"signs nothing: there is no {name}.json")
        for name, signed in signatures.items()
        for each in signed
        if name not in found and f"{FOLDER}/{name}.json" not in broken
    ]
    if problems:
        raise ConfigError(problems)
    return tuple(
        Filed(name, raw, order, tuple(signatures.get(name, ()))) for name, (raw, order) in sorted(found.items())
    )


def _names(folder: Path) -> list[str]:
    try:
        names = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise ConfigError([Problem(FOLDER, 0, "", f"cannot be read ({error.strerror})")]) from None
    if len(names) > MAX_FILES:
        raise ConfigError([Problem(FOLDER, 0, "", f"has more than {MAX_FILES} files")])
    return names


def _content(path: Path, limit: int) -> bytes:
    content, _ = read_regular(path, limit)
    if len(content) > limit:
        raise UnreadableError(f"is longer than {limit} bytes")
    return content


def _problem(file: str, words: str) -> Problem:
    shown = file if file.isprintable() else ascii(file)
    return Problem(f"{FOLDER}/{shown}", 0, "", words)
