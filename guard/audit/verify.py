"""Verifying a whole audit folder: the chain of keys, every signed head, every log, and what they say of one another.

Nothing is written and no lock is taken, so a guard may be running: heads are read before the records they cover.
It is one file because each finding forgives or sharpens others.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Final

from guard.audit.checkpoint import Checkpoint, parse_checkpoint
from guard.audit.copies import newest
from guard.audit.cosigning import cosigned_heads
from guard.audit.epochs import FILE, Chain, epoch_key_name, judge_chain, read_chain
from guard.audit.findings import Expected, Finding, Place, Rehashed, Stamps
from guard.audit.fleet import entries
from guard.audit.heads import CHECKPOINT, read_head, trusted_head
from guard.audit.leaf_reader import SealError
from guard.audit.leaf_retention import LOGS
from guard.audit.note import Key, Note, NoteError, signed_by
from guard.audit.read import FLEET
from guard.audit.rehash import rehash
from guard.audit.sealer import logs
from guard.audit.segments import LedgerError, describe
from guard.audit.timestamp_authority import Authority
from guard.audit.timestamp_form import TimestampError
from guard.audit.timestamps import Stamped, sizes, stamped

_CLOCKS: Final = 60.0  # seconds by which an authority's own clocks may differ
ANNOUNCES: Final = "operator"  # whose log says what `guard audit retain` deleted
_DELETED: Final = re.compile(r"([^/\s]+)/seg-([0-9]{20})\.log:([0-9]{1,20})")


@dataclass(slots=True)
class Report:
    """What verification found; ``intact`` unless there are findings, which stand in the order of logs and records."""

    origin: str
    logs: list[Rehashed] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    epochs: int = 0
    stamps: Stamps | None = None

    @property
    def intact(self) -> bool:
        """Whether nothing is wrong."""
        return not self.findings

    @property
    def open(self) -> list[str]:
        """Requests that have begun and have no end on record: running now, or cut off by a kill not yet recovered."""
        return [request for log in self.logs for request in log.open]


def verify(
    audit: Path,
    key: Key,
    earlier: Sequence[Note] = (),
    progress: Callable[[int], None] = lambda _: None,
    authority: Authority | None = None,
) -> Report:
    """Verify everything below an audit folder under the log's key; raises LedgerError for what cannot be read.

    ``earlier`` are heads kept elsewhere, of a writer or of the fleet log: the only way to notice that everything was
    put back to an earlier state together. ``progress`` is told of bytes read. With an ``authority`` there must be time
    stamps, and each must be its own; without one they are only held to what they are over.
    """
    try:
        return _Verification(audit, key, earlier, progress, authority).run()
    except SealError:
        raise
    except OSError as error:
        raise LedgerError(f"{error.filename or audit}: {describe(error)}") from error


class _Verification:
    def __init__(
        self,
        audit: Path,
        key: Key,
        earlier: Sequence[Note],
        progress: Callable[[int], None],
        authority: Authority | None,
    ) -> None:
        self._audit = audit
        self._authority = authority
        self._key = key
        self._earlier = earlier
        self._progress = progress
        self._report = Report(key.name)
        self._expected: dict[str, list[Expected]] = {}
        self._listed: set[Checkpoint] = set()
        self._chain: Chain = read_chain(audit)

    def run(self) -> Report:
        report = self._report
        report.epochs = len(self._chain.epochs)
        for problem in judge_chain(self._chain, self._key):
            self._find(FILE, problem)
        if not self._chain.epochs:
            self._find(FILE, "no head of this log was ever signed")
        for epoch in self._chain.epochs:
            for head in epoch.heads:
                self._expect(head, f"epoch {epoch.number}")
        self._kept()
        self._cosigned()
        self._stamped()
        directories = {path.name: path for path in logs(self._audit)}
        # Each is synced into the fleet log before it is put into its writer's folder: read in the opposite order.
        heads = {name: self._head(name) for name in directories}
        fleet = self._head(FLEET)
        self._entries()
        self._held_to_the_fleet_log(heads)
        for origin in self._expected:
            name = self._name(origin)
            if name not in directories and name != FLEET:
                self._find(name, f"the whole log is missing, but {self._expected[origin][-1].head.size} were signed")
        for name, path in directories.items():
            self._log(path, heads[name])
        self._log(self._audit / FLEET, fleet)
        self._forgive()
        for log in report.logs:
            report.findings += log.findings
            report.notices += log.notices
        return report

    def _log(self, path: Path, head: Checkpoint | None) -> None:
        origin = self._origin(path.name)
        expected = list(self._expected.get(origin, ()))
        largest = max(expected, key=lambda each: each.head.size, default=None)
        if head is None and largest is not None:
            # Its own head is lost or worthless; the newest that is known elsewhere stands for it.
            self._report.notices.append(f"{path.name}: has no signed head of its own; that of {largest.source} counts")
            head = largest.head
        if head is not None:
            if largest is not None and largest.head.size > head.size:
                # A power cut may take the newest file; the records are held to what is known to have been signed.
                self._report.notices.append(
                    f"{path.name}/{CHECKPOINT}: has {head.size} records, but {largest.source} has {largest.head.size}"
                )
                head = largest.head
            expected.append(Expected(head, "its signed head"))
        self._report.logs.append(rehash(path, head, expected, self._progress))

    def _held_to_the_fleet_log(self, heads: Mapping[str, Checkpoint | None]) -> None:
        """Removing heads, or the fleet log itself, must not make a log intact that was cut: it takes no key."""
        if self._chain.epochs and not newest(self._audit / FLEET / CHECKPOINT).exists():
            self._find(FLEET, f"{FLEET}/{CHECKPOINT} is missing, and a log that was ever signed is never without it")
        for name, head in heads.items():
            if head is not None and head not in self._listed:
                self._find(name, f"{name}/{CHECKPOINT}: its head of {head.size} records is not in the fleet log")

    def _head(self, name: str) -> Checkpoint | None:
        place = f"{name}/{CHECKPOINT}"
        try:
            note = read_head(self._audit / name)
            if note is None:
                return None
            head = trusted_head(note, self._origin(name), self._key, place)
        except SealError as error:
            if isinstance(error.__cause__, OSError):
                raise
            self._find(name, str(error))
            return None
        self._epoch_of(note, head, place)
        return head

    def _entries(self) -> None:
        for sequence, entry in entries(self._audit):
            place = f"entry {sequence} of the fleet log"
            if isinstance(entry, str):
                self._find(FLEET, f"{place}: {entry}", sequence)
                continue
            try:
                head = parse_checkpoint(entry.text)
                if not signed_by(entry, self._key):
                    self._find(FLEET, f"{place}: not signed by the key of {self._key.name}", sequence)
                    continue
            except NoteError as error:
                self._find(FLEET, f"{place}: {error}", sequence)
                continue
            self._epoch_of(entry, head, place)
            self._expect(head, place)
            self._listed.add(head)

    def _epoch_of(self, note: Note, head: Checkpoint, place: str) -> None:
        """A head must be signed in the epoch that had its size, by a key that is erased by now: the past is closed."""
        names = [epoch_key_name(self._key.name, epoch.number) for epoch in self._chain.epochs]
        if not any(one.name in names for one in note.signatures):
            # An epoch may have begun since the chain was read.
            self._chain = read_chain(self._audit)
            names = [epoch_key_name(self._key.name, epoch.number) for epoch in self._chain.epochs]
        number = next((names.index(one.name) for one in note.signatures if one.name in names), None)
        writer = self._name(head.origin)
        try:
            if number is None or not signed_by(note, self._chain.epochs[number].key):
                self._find(writer, f"{place}: not signed by the key of any epoch")
                return
        except NoteError as error:
            self._find(writer, f"{place}: {error}")
            return
        first = self._size_in(number, head.origin)
        last = self._size_in(number + 1, head.origin)
        if head.size < (first or 0) or (last is not None and head.size > last):
            self._find(writer, f"{place}: {head.size} records were not signed in epoch {number}, whose key signed them")

    def _size_in(self, number: int, origin: str) -> int | None:
        if number >= len(self._chain.epochs):
            return None
        heads = self._chain.epochs[number].heads
        return next((head.size for head in heads if head.origin == origin), None)

    def _kept(self) -> None:
        for note in self._earlier:
            head = parse_checkpoint(note.text)
            if not signed_by(note, self._key):
                raise LedgerError(f"the checkpoint that was given is not signed by the key of {self._key.name}")
            self._expect(head, "the checkpoint that was given")

    def _cosigned(self) -> None:
        """Heads that witnesses cosigned, as this host kept them, count like those of the fleet log."""
        for note in cosigned_heads(self._audit):
            place = f"{FLEET}, a cosigned head"
            try:
                if signed_by(note, self._key):
                    self._expect(parse_checkpoint(note.text), place)
                else:
                    self._find(FLEET, f"{place}: not signed by the key of {self._key.name}")
            except NoteError as error:
                self._find(FLEET, f"{place}: {error}")

    def _stamped(self) -> None:
        """Heads that were stamped with the time count too, and the times must go on as the log did."""
        found: list[Stamped] = []
        for size in sizes(self._audit):
            place = f"the time stamp over {size} entries"
            try:
                each = stamped(self._audit, size)
                if self._authority is not None:
                    self._authority.check(each.answer, each.note.encode())
                if not signed_by(each.note, self._key):
                    self._find(FLEET, f"{place}: its head is not signed by the key of {self._key.name}")
                    continue
                head = parse_checkpoint(each.note.text)
            except (LedgerError, NoteError) as error:
                self._find(FLEET, f"{place}: {error}")
                continue
            except TimestampError as error:
                self._find(FLEET, f"{place}: the authority {error}")
                continue
            self._epoch_of(each.note, head, place)
            self._expect(head, place)
            if found and each.token.time < found[-1].token.time - _CLOCKS:
                self._find(FLEET, f"{place}: is older than the one over {found[-1].size} entries")
            found.append(each)
        if self._authority is not None and not found:
            self._find(FLEET, "no head of this log has a time stamp of the authority that was given")
        if found:
            times = [each.token.time for each in found]
            widest = max((after - before for before, after in pairwise(times)), default=0.0)
            self._report.stamps = Stamps(len(times), times[0], times[-1], widest, self._authority is not None)

    def _forgive(self) -> None:
        """What retention deleted and recorded is no loss: a notice, not a finding. Only what it can have deleted is."""
        announced = {name for log in self._report.logs if log.writer == ANNOUNCES for name in log.deleted}
        for log in self._report.logs:
            kept = []
            for finding in log.findings:
                # Retention takes whole segments of workers' logs from the beginning, and never the newest.
                prefix = log.writer.startswith(LOGS) and finding.place.sequence == 1 and finding.gone < log.size
                if finding.gone and prefix and _announced(finding, log.writer, announced):
                    words = f"records {finding.place.sequence} to {finding.gone} were deleted, as the log says itself"
                    log.notices.append(f"{log.writer}: {words}")
                else:
                    kept.append(finding)
            log.findings[:] = kept

    def _expect(self, head: Checkpoint, source: str) -> None:
        self._expected.setdefault(head.origin, []).append(Expected(head, source))

    def _find(self, writer: str, what: str, sequence: int = 0) -> None:
        self._report.findings.append(Finding(Place(writer, sequence=sequence), what))

    def _origin(self, name: str) -> str:
        return self._key.name if name == FLEET else f"{self._key.name}/{name}"

    def _name(self, origin: str) -> str:
        return origin.removeprefix(self._key.name).removeprefix("/") or FLEET


def _announced(finding: Finding, writer: str, announced: set[str]) -> bool:
    """Whether every missing record lies in a segment whose deletion is on record.

    A control record ``retain`` names what it deleted as ``<writer>/seg-<first record>.log:<last record>``.
    """
    spans = sorted(
        (int(found[2]), int(found[3]))
        for found in map(_DELETED.fullmatch, announced)
        if found is not None and found[1] == writer
    )
    covered = finding.place.sequence - 1
    for first, last in spans:
        if first <= covered + 1:
            covered = max(covered, last)
    return covered >= finding.gone
