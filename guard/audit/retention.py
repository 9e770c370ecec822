"""Deleting kept texts when their time is over, and before it for those who ask: never what is held, never a leaf.

The time of a class is in its name: ``content-30`` of a day is kept for thirty whole days after it, and deleted then.
What is deleted is the wrapped keys, which makes the texts unreadable wherever they were copied, and then, when no key
of a class and day is left, the segments. While one owner's texts are held, the others' keys of that day go in time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path

from guard.audit.body_places import FOLDER, folders
from guard.audit.disk import Disk, LocalDisk
from guard.audit.holds import Held, Hold
from guard.audit.keys import KeyFolder, Stored
from guard.audit.read import writers
from guard.audit.segments import listing

_HERE = LocalDisk()


@dataclass(frozen=True, slots=True)
class Due:
    """What of one class and day is to go: keys, and the folders of segments if none is left; and what is held.

    Folders that ``wait`` for a copy stay, and the keys go nevertheless: a store that is away prolongs nobody's texts.
    """

    retention: str
    day: str
    keys: tuple[Stored, ...]
    folders: tuple[Path, ...]
    bytes: int
    held: tuple[Hold, ...]
    wait: tuple[Path, ...] = ()

    @property
    def subject(self) -> str:
        """As records have it."""
        return f"{self.retention}/{self.day}"

    def __str__(self) -> str:
        """For people and for the record."""
        words = f"{len(self.keys)} keys, {self.bytes} bytes in {len(self.folders)} folders"
        if self.wait:
            words += f"; {len(self.wait)} folders wait for their copies"
        return words + (f"; kept by {', '.join(sorted({hold.id for hold in self.held}))}" if self.held else "")


def ends(retention: str, day: str, floor: int = 0) -> date:
    """The first day on which texts of this class and day are kept no longer, never before ``floor`` whole days."""
    return later(date.fromisoformat(day), 1 + max(int(retention.rsplit("-", 1)[1]), floor))


def later(day: date, days: int) -> date:
    """So many days after it, or the last day of the calendar."""
    try:
        return day + timedelta(days=days)
    except OverflowError:
        return date.max


def classes(audit: Path, folder: KeyFolder) -> Iterator[tuple[str, str]]:
    """Every class and day of which there are keys or segments; raises OSError, LedgerError and KeyUnavailableError."""
    found = {(stored.file.retention, day) for day in folder.days() for stored in folder.of(day)}
    for writer in writers(audit):
        found |= {(path.parent.name, path.name) for path, known in folders(writer) if known}
    yield from sorted(found, key=lambda each: (each[1], each[0]))


def strays(audit: Path) -> list[Path]:
    """What lies among the folders of class and day and is none: it stays. Raises OSError and LedgerError."""
    return [path for writer in writers(audit) for path, known in folders(writer) if not known]


def due(
    audit: Path,
    folder: KeyFolder,
    held: Held,
    today: date,
    floor: int,
    *,
    copied: Callable[[Path], bool] = lambda _: True,
    patience: int = 0,
) -> Iterator[Due]:
    """What `retain` deletes on this day (UTC), oldest first; raises LedgerError and KeyUnavailableError.

    ``floor`` is the most days that any standard asks for: what was promised less before is kept as long. Segments of
    a folder that is not ``copied`` stay for ``patience`` days more.
    """
    for retention, day in classes(audit, folder):
        last = ends(retention, day, floor)
        if last <= today:
            one = _chosen(audit, folder, held, retention, day, None)
            if today < later(last, patience):
                one = _waiting(one, copied)
            if one.keys or one.folders or one.held or one.wait:
                yield one


def shredded(
    audit: Path, folder: KeyFolder, held: Held, owner: str | None, retention: str | None, since: date, until: date
) -> Iterator[Due]:
    """What `shred` destroys: an owner's keys, or with None everybody's, of a class, or with None any, of these days."""
    for found, day in classes(audit, folder):
        if since <= date.fromisoformat(day) <= until and retention in {None, found, found.rsplit("-", 1)[0]}:
            one = _chosen(audit, folder, held, found, day, owner)
            if one.keys or one.held:
                yield one


def spared(one: Due, held: Held) -> Due:
    """What of it still goes when holds were made since it was chosen."""
    found = [(stored, held.by(stored.file.owner, one.day)) for stored in one.keys]
    kept = tuple(hold for _, hold in found if hold is not None)
    if not kept:
        return one
    keys = tuple(stored for stored, hold in found if hold is None)
    return replace(one, keys=keys, folders=(), bytes=0, held=(*one.held, *kept))


def delete(one: Due, folder: KeyFolder, disk: Disk = _HERE) -> None:
    """Delete it: keys first, so that dying on the way leaves less that can be read and never more. Raises OSError."""
    for stored in one.keys:
        folder.destroy(stored)
    for path in one.folders:
        disk.remove_folder(path)


def _waiting(one: Due, copied: Callable[[Path], bool]) -> Due:
    wait = tuple(path for path in one.folders if not copied(path))
    folders = tuple(path for path in one.folders if path not in wait)
    size = sum(path.stat().st_size for place in folders for path in listing(place))
    return replace(one, folders=folders, bytes=size, wait=wait)


def _chosen(audit: Path, folder: KeyFolder, held: Held, retention: str, day: str, owner: str | None) -> Due:
    keys, kept, stays = [], [], False
    for stored in folder.of(day):
        if stored.file.retention != retention:
            continue
        hold = held.by(stored.file.owner, day)
        if owner not in {None, stored.file.owner}:
            stays = True
        elif hold is not None:
            kept.append(hold)
        else:
            keys.append(stored)
    folders = [writer / FOLDER / retention / day for writer in writers(audit)]
    gone = () if stays or kept else tuple(path for path in folders if path.is_dir())
    size = sum(path.stat().st_size for place in gone for path in listing(place))
    return Due(retention, day, tuple(keys), gone, size, tuple(kept))
