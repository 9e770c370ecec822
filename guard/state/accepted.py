"""What a resume counted for when it came into force, so that it stays in force whoever may approve by then.

One file per resume under ``accepted/`` of the state folder, written by the first process that finds it good: the
policy it was judged by, and who approved. It is asked only about orders that were there when a process began: what
comes while it runs, the process judges for itself.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from guard.state.merge import Judged
from guard.state.orders import ResumeOrder, encode
from guard.state.shown import Shown

_FOLDER: Final = "accepted"
_MAX_BYTES: Final = 65_536


class Accepted:
    """The folder of one host, as one process sees it; nothing in it raises."""

    def __init__(self, state: Path) -> None:
        """See which resumes were accepted before now."""
        self._folder = state / _FOLDER
        self._before: frozenset[str] = frozenset()
        with suppress(OSError):
            self._before = frozenset(os.listdir(self._folder))  # noqa: PTH208 - names are wanted, not paths

    def before(self, order: ResumeOrder) -> Judged | None:
        """Return what exactly this resume counted for, if it was accepted before this process began."""
        name = f"{order.id}.json"
        if name not in self._before:
            return None
        try:
            with (self._folder / name).open("rb") as file:
                note = json.loads(file.read(_MAX_BYTES))
            if note["order"] != _digest(order):
                return None
            lifts = frozenset(order.lifts)
            pairs = frozenset((stop, sha) for stop, sha in note["approved"] if stop in lifts)
            approved = frozenset(each for each in _shown(order) if (each.order, each.sha256) in pairs)
            people = tuple(str(person) for person in note["people"])
            kinds = tuple(str(kind) for kind in note.get("kinds", ()))
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return None
        return Judged(order, below=True, approved=approved, people=people, kinds=kinds)

    def keep(self, judged: Judged, policy: str, at: float) -> None:
        """Put on record what a resume counts for by the policy of this digest; the first record stays."""
        path = self._folder / f"{judged.order.id}.json"
        note = {
            "version": 1,
            "order": _digest(judged.order),
            "policy": policy,
            "at": at,
            "people": list(judged.people),
            "kinds": list(judged.kinds),
            "approved": sorted((each.order, each.sha256) for each in judged.approved),
        }
        with suppress(OSError):  # it counts all the same, and may have to be approved again after a change of people
            self._folder.mkdir(mode=0o700, exist_ok=True)
            if path.exists():
                return
            aside = self._folder / f".{judged.order.id}.{os.getpid()}.{os.urandom(4).hex()}"
            fd = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            with os.fdopen(fd, "wb") as file:
                file.write(json.dumps(note, indent=1).encode("ascii"))
                file.flush()
                os.fsync(fd)
            with suppress(FileExistsError):
                path.hardlink_to(aside)
            aside.unlink()


def _shown(order: ResumeOrder) -> Iterator[Shown]:
    """What the statement shows of each order: the note names it by its digest, so it cannot have changed since."""
    for each in json.loads(order.approval)["lifts"] if order.approval else ():
        yield Shown(*(str(each.get(key, "")) for key in ("order", "sha256", "scope", "mode", "who")))


def _digest(order: ResumeOrder) -> str:
    return hashlib.sha256(encode(order)).hexdigest()
