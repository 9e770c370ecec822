"""``guard audit retain``, ``hold`` and ``shred``: deleting texts when their time is over, never, or before it.

They are one file, since what two of them delete the third keeps: all obey the same holds under the same lock.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Final

from guard.app import log_disk, storage
from guard.audit.frames import MAX_SEQUENCE
from guard.audit.holds import FIRST, LAST, Held, Hold, HoldError, Holds, held, of_request
from guard.audit.leaf_retention import delete_segment, due_segments
from guard.audit.leaf_retention import spared as spared_segment
from guard.audit.rehash import RETAINED
from guard.audit.retention import Due, delete, due, ends, shredded, spared, strays
from guard.audit.segments import LedgerError, listing
from guard.audit.wrapping import KeyUnavailableError
from guard.cli.audit_access import Person, RefusedError, add_person, audit_folder, failed, key_folder, person, record
from guard.cli.options import add_config, day, given, words
from guard.cli.progress import Progress
from guard.policy.load import Config, load
from guard.policy.retention import content_floor
from guard.policy.roles import Act
from guard.serve.shipping import cursor_of

_FAILURES: Final = (LedgerError, KeyUnavailableError, HoldError, RefusedError)


def add(group: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the commands."""
    retain = group.add_parser(
        "retain",
        help="delete texts, and records, whose time is over; run it every day",
        description="Destroys the keys and segments of texts that have been kept as long as their class says, never "
        "before the floor of a standard, never what is held; each is put on record first. Records stay until "
        "audit.record_days are over, and then the hash of each. What has no copy yet stays for storage.ship."
        "unshipped_days more, where copies are made.",
    )
    add_config(retain)
    retain.add_argument("--dry-run", action="store_true", help="only say what would be deleted")
    retain.add_argument(
        "--who", type=words, default="retain", metavar="NAME", help="on whose behalf (default: %(default)s)"
    )
    retain.set_defaults(run=_retain)
    hold = group.add_parser("hold", help="keep texts from deletion, list what is held, or release it")
    add_config(hold)
    what = hold.add_mutually_exclusive_group()
    what.add_argument("--request", type=given, metavar="ID", help="hold the texts of its owner and day")
    what.add_argument("--owner", type=given, metavar="NAME", help="hold the texts of an owner")
    what.add_argument(
        "--model", type=given, metavar="ALIAS", help="hold the texts of whoever used a model, on those days"
    )
    what.add_argument("--everything", action="store_true", help="hold all texts of the days")
    what.add_argument("--release", type=given, metavar="HOLD", help="end a hold")
    hold.add_argument("--since", type=day, metavar="DAY", help="from this day on")
    hold.add_argument("--until", type=day, metavar="DAY", help="up to this day")
    add_person(hold, required=False)
    hold.set_defaults(run=_hold)
    shred = group.add_parser(
        "shred",
        help="destroy the keys of texts before their time",
        description="Makes texts of days gone by unreadable, everywhere and for good. Held texts are refused, and so "
        "are those that a standard still asks to be kept, unless that is said.",
    )
    add_config(shred)
    whose = shred.add_mutually_exclusive_group(required=True)
    whose.add_argument("--owner", type=given, metavar="NAME", help="an owner's texts")
    whose.add_argument("--everybody", action="store_true", help="everybody's texts")
    shred.add_argument("--class", dest="retention", choices=("content", "flagged"), help="only this class")
    shred.add_argument("--since", type=day, required=True, metavar="DAY", help="from this day on")
    shred.add_argument("--until", type=day, required=True, metavar="DAY", help="up to this day, at most yesterday")
    shred.add_argument("--below-floor", action="store_true", help="also what a standard still asks to be kept")
    shred.add_argument("--dry-run", action="store_true", help="only say what would be destroyed")
    add_person(shred, required=True)
    shred.set_defaults(run=_shred)


def _retain(arguments: argparse.Namespace) -> int:
    config = load(arguments.config)
    acting = Person(arguments.who, "the time of these texts is over")
    days = config.guard.audit.record_days
    try:
        copies = _Copied(config)
        count = blocked = 0
        for path in strays(audit_folder(config)):
            blocked += 1
            sys.stderr.write(f"guard: {str(path)!a}: is no folder of a class and day, and stays\n")
        if config.guard.content is not None or days is None:
            now = _Held(config)
            found = due(
                audit_folder(config),
                now.folder,
                now.read(),
                _today(),
                content_floor(config),
                copied=copies.folder,
                patience=copies.patience,
            )
            count += _carry_out(config, now, found, acting, "retain", dry=arguments.dry_run)
        if days is not None:
            gone, stuck = _records(config, days, copies, arguments)
            count, blocked = count + gone, blocked + stuck
    except OSError as error:
        return failed(LedgerError(f"{error.filename}: {error.strerror}"))
    except _FAILURES as error:
        return failed(error)
    return 1 if blocked else _nothing(count)


def _records(config: Config, days: int, copies: _Copied, arguments: argparse.Namespace) -> tuple[int, int]:
    """Delete the segments of records whose time is over; returns how many there were, and how many logs are stuck."""
    holds = None if config.guard.content is None else Holds(key_folder(config).directory)
    acting = Person(arguments.who, f"{days} whole days are over; the hash of each record stays")
    count = stuck = 0
    known = () if holds is None else holds.all()
    stays = set()  # logs of which an older segment stays
    found = due_segments(audit_folder(config), days, _today(), known, copied=copies.records, patience=copies.patience)
    for chosen in found:
        if chosen.path.parent in stays:
            continue
        if chosen.problem:
            stuck += 1
            sys.stderr.write(f"guard: {chosen.path}: {chosen}\n")
            continue
        count += 1
        if arguments.dry_run or chosen.held or chosen.waits:
            sys.stdout.write(f"{'would ' if arguments.dry_run else ''}retain {chosen.subject}: {chosen}\n")
            continue
        with nullcontext() if holds is None else holds.locked():
            one = spared_segment(chosen, () if holds is None else holds.all())
            sys.stdout.write(f"retain {one.subject}: {one}\n")
            if one.held:
                stays.add(one.path.parent)
            else:
                record(config, acting, RETAINED, one.subject, str(one))
                delete_segment(one, log_disk(config))
        sys.stdout.flush()
    return count, stuck


class _Copied:
    """What has a copy elsewhere; all of it, where none are made."""

    def __init__(self, config: Config) -> None:
        """Read how far copies are; raises LedgerError."""
        section = config.guard.storage.ship
        self._audit = audit_folder(config)
        self._cursor = None if section is None else cursor_of(storage(config)[0], section)
        self.patience = 0 if section is None else section.unshipped_days

    def folder(self, folder: Path) -> bool:
        """Whether every segment of a folder of texts has one."""
        cursor = self._cursor
        return cursor is None or all(
            path.stat().st_size <= cursor.at(str(path.relative_to(self._audit))).offset for path in listing(folder)
        )

    def records(self, writer: str) -> int:
        """Up to which record a log has one."""
        return MAX_SEQUENCE if self._cursor is None else self._cursor.at(writer).next - 1


def _shred(arguments: argparse.Namespace) -> int:
    config = load(arguments.config)
    today = _today()
    try:
        acting = person(config, arguments, Act.DELETE_TEXTS)
        folder = key_folder(config)
        now = _Held(config)
        if arguments.until >= today:
            raise RefusedError("only days that are over can be shredded: texts of today are still being written")
        owner: str | None = arguments.owner
        found = list(
            shredded(
                audit_folder(config),
                folder,
                now.read(),
                owner,
                arguments.retention,
                arguments.since,
                arguments.until,
            )
        )
        if names := sorted({hold.id for one in found for hold in one.held}):
            raise RefusedError(f"held by {', '.join(names)}; nothing was destroyed")
        floor = content_floor(config)
        early = [one.subject for one in found if one.keys and today < ends("none-0", one.day, floor)]
        if early and not arguments.below_floor:
            raise RefusedError(
                f"a standard asks that texts are kept for {floor} days, and {', '.join(early[:3])} are younger; "
                "--below-floor destroys them nevertheless"
            )
        what = "shred below the floor" if early else "shred"
        whose = "everybody's; " if owner is None else ""
        dry = arguments.dry_run
        return _nothing(_carry_out(config, now, found, acting, what, dry=dry, owner=owner, everybody=whose, whole=True))
    except OSError as error:
        return failed(LedgerError(f"{error.filename}: {error.strerror}"))
    except _FAILURES as error:
        return failed(error)


def _carry_out(
    config: Config,
    now: _Held,
    found: Iterable[Due],
    acting: Person,
    what: str,
    *,
    dry: bool,
    owner: str | None = None,
    everybody: str = "",
    whole: bool = False,
) -> int:
    count = 0
    for chosen in found:
        count += 1
        if dry or not (chosen.keys or chosen.folders):
            sys.stdout.write(f"{'would ' if dry else ''}{what} {chosen.subject}: {chosen}\n")
            continue
        with now.standing() as held_now:
            one = spared(chosen, held_now)
            if whole and one.held:
                names = ", ".join(sorted({hold.id for hold in one.held}))
                raise RefusedError(f"{one.subject} is held by {names} since; it and what comes after was not destroyed")
            sys.stdout.write(f"{what} {one.subject}: {one}\n")
            if one.keys or one.folders:
                # First the record, then the deed: a deletion that nobody wrote down must not be possible.
                subject = one.subject if owner is None else f"{one.subject} of {owner}"
                record(config, acting, what, subject, f"{everybody}{one}")
                delete(one, now.folder, log_disk(config))
        sys.stdout.flush()
    return count


def _nothing(count: int) -> int:
    if not count:
        sys.stdout.write("nothing to delete\n")
    return 0


def _hold(arguments: argparse.Namespace) -> int:
    config = load(arguments.config)
    try:
        folder = key_folder(config)
        holds = Holds(folder.directory)
        if _without(arguments, "request", "owner", "model", "everything", "release"):
            if not _without(arguments, "since", "until", "who", "reason"):
                raise HoldError("nothing was held: say what, by --request, --owner, --model or --everything")
            return _list(holds)
        if not _without(arguments, "request", "release") and not _without(arguments, "since", "until"):
            raise HoldError("--since and --until go with --owner, --model and --everything")
        acting = person(config, arguments, Act.HOLD_TEXTS if arguments.release is None else Act.RELEASE_HOLD)
        if arguments.release is not None:
            known = {hold.id for hold in holds.all()}
            if arguments.release not in known:
                raise HoldError(f"there is no hold {arguments.release!a}")
            record(config, acting, "release", arguments.release)
            holds.release(arguments.release)
            return 0
        hold = _made(config, arguments, acting)
        holds.add(hold)
        record(config, acting, "hold", hold.id, _described(hold))
    except _FAILURES as error:
        return failed(error)
    sys.stdout.write(f"{hold.id}: {_described(hold)}\n")
    return 0


def _without(arguments: argparse.Namespace, *names: str) -> bool:
    return not any(getattr(arguments, name) not in {None, False} for name in names)


def _made(config: Config, arguments: argparse.Namespace, acting: Person) -> Hold:
    since = str(arguments.since or FIRST)
    until = str(arguments.until or LAST)
    owner = arguments.owner or ""
    if arguments.request is not None:
        found = of_request(audit_folder(config), arguments.request)
        if found is None:
            raise HoldError("no request of this id has kept texts")
        owner = found[0]
        first = date.fromisoformat(found[1])
        # Its flagged copy lies under the day of its end.
        since, until = str(first), str(first + timedelta(days=1))
    if since > until:
        raise HoldError("--since is after --until")
    return Hold(
        f"hold-{os.urandom(8).hex()}",
        acting.named,
        acting.reason,
        time.time(),
        since,
        until,
        owner,
        arguments.model or "",
        arguments.request or "",
    )


def _list(holds: Holds) -> int:
    found = holds.all()
    for hold in found:
        sys.stdout.write(f"{hold.id}: {_described(hold)} by {hold.who!a} because {hold.reason!a}\n")
    if not found:
        sys.stdout.write("nothing is held\n")
    return 0


def _described(hold: Hold) -> str:
    whose = f"of {hold.owner!a} " if hold.owner else f"of users of {hold.model} " if hold.model else ""
    return f"texts {whose}from {hold.since} to {hold.until}" + (f" for request {hold.request}" if hold.request else "")


class _Held:
    """What is held, as it is at each deletion: a hold that is made meanwhile is obeyed from the next one on."""

    def __init__(self, config: Config) -> None:
        """Take the folder of the keys; raises RefusedError without one."""
        self.folder = key_folder(config)
        self._audit = audit_folder(config)
        self._holds = Holds(self.folder.directory)
        self._known = Held((), None)

    def read(self) -> Held:
        """Read the holds, and the log for those of models; raises LedgerError and HoldError."""
        progress = Progress("records")
        try:
            self._known = held(self._audit, self._holds.all(), progress)
        finally:
            progress.end()
        return self._known

    @contextmanager
    def standing(self) -> Iterator[Held]:
        """What is held now, and until this ends no other hold is confirmed; raises as `read`, and OSError."""
        while True:
            with self._holds.locked():
                if self._holds.all() == self._known.holds:
                    yield self._known
                    return
            self.read()  # the log is long: not while others wait


def _today() -> date:
    return datetime.now(UTC).date()
