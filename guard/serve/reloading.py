"""Changing the policy while the guard runs: one attempt after the other, each whole or not at all.

An attempt reads the files once, and what it accepts is kept as the very bytes that were read. It comes into force when
it can be served by this process and by every worker, and when it may (`guard.policy.acceptance`); whatever else
happens, the one before stays in force, and the log, a metric, the request log and `guard status` say why.

It is one file, because an attempt is read here from its files to what is told of it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from guard.policy.acceptance import (
    Accepted,
    Approvals,
    Asked,
    NotAcceptedError,
    NotApprovedError,
    Wanted,
    accept,
)
from guard.policy.bundle import Bundle, UnsettledError, read_settled, stamps
from guard.policy.config import Config
from guard.policy.fingerprint import standards_in
from guard.policy.source import ConfigError
from guard.serve.beginning import Beginning, Checked, check
from guard.serve.beside import aside
from guard.serve.kept import Kept
from guard.serve.processes import Standing
from guard.serve.remembering import MAX_TOLD, in_words, last_levels, note
from guard.serve.spreading import Spreading
from guard.state.acknowledgements import process_started
from guard.state.reloads import MAX_WORDS, Outcome, Posted, Reloaded, post
from guard.state.snapshots import Current, Snapshots
from guard.telemetry.logs import Event, JsonLog, Level, Value
from guard.telemetry.meter import Meter
from safeguards.ports import Clock

LOOK_SECONDS: Final = 1.0
AGAIN_SECONDS: Final = 30.0  # what a refused attempt lacked may have come meanwhile: a secret, an approval
MOST_WAITING: Final = 16
READINGS: Final = 20
READING_PAUSE_SECONDS: Final = 0.25


@dataclass(frozen=True, slots=True)
class Desk:
    """Where an attempt is told: numbers, lines, the request log (who, what, subject, reason), and the time."""

    meter: Meter
    log: JsonLog
    record: Callable[[str, str, str, str], Awaitable[object]]
    clock: Clock


class Reloading:
    """Owns which policy is in force; used from the supervisor's loop."""

    def __init__(
        self,
        beginning: Beginning,
        current: Current,
        snapshots: Snapshots,
        spreading: Spreading,
        approvals: Approvals,
        desk: Desk,
        take: Callable[[Checked], None],
    ) -> None:
        """Begin with what the guard began with; ``take`` gives every part of the supervisor its new configuration."""
        self._checked = beginning.checked
        self._memory = beginning.memory
        self._files = beginning.bundle.files
        self._kept = Kept(snapshots, desk.meter, desk.log, desk.record, desk.clock)
        self._seen = beginning.seen
        self._directory = beginning.checked.config.directory
        self._current = current
        self._snapshots = snapshots
        self._spreading = spreading
        self._approvals = approvals
        self._desk = desk
        self._take = take
        self._one = asyncio.Lock()
        self._waiting = False
        self._asking = 0
        self._count = 0
        self._differs = "; ".join(beginning.held)
        self._last = Reloaded(
            Outcome.REFUSED if beginning.held else Outcome.IN_FORCE,
            "start",
            "" if beginning.last is None else beginning.last.digest,
            current.digest,
            desk.clock.now(),
            problems=beginning.held[:MAX_WORDS],
        )
        self._tell_differs()

    @property
    def standing(self) -> dict[str, Any]:
        """What is in force and whether the files say the same, for `guard status`."""
        return {
            "digest": self._current.digest,
            "since": self._current.since,
            "by": self._current.who,
            "differs": self._differs,
            "damaged": self._kept.damage,
            "last": self._last.fields(),
        }

    def signalled(self) -> None:
        """Somebody sent SIGHUP: reload, once for any number of signals that come before it begins."""
        if not self._waiting:
            self._waiting = True
            asyncio.ensure_future(self.reload("signal"))  # noqa: RUF006 - the loop's own, it never raises

    async def watch(self) -> None:
        """Look at the files for ever: a change that has settled for a second is taken up."""
        before = self._seen
        due = self._desk.clock.steady() + AGAIN_SECONDS
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                found = await asyncio.to_thread(stamps, self._directory)  # a disk that hangs must not hold up a stop
                now = self._desk.clock.steady()
                settled, before = found == before, found
                if settled and (found != self._seen or (self._differs and now >= due)):
                    await self.reload("files")
                    due = self._desk.clock.steady() + AGAIN_SECONDS
                async with self._one:
                    await self._kept.look(self._current, self._files)
            except Exception as problem:  # noqa: BLE001 - the next look must come
                self._desk.log.failure(Event.INTERNAL_ERROR, problem)

    async def reload(self, by: str, reason: str = "") -> Reloaded:
        """Make one attempt; ``by`` is a person, ``signal`` or ``files``. What goes wrong is in the answer."""
        if self._asking >= MOST_WAITING:  # each holds a connection of the admin listener, which stops need too
            return self._attempt_of(by, ("others are under way; ask again",))
        self._asking += 1
        try:
            return await self._in_turn(by, reason)
        finally:
            self._asking -= 1

    def _attempt_of(self, by: str, problems: tuple[str, ...] = ()) -> Reloaded:
        now = self._desk.clock.now()
        return Reloaded(Outcome.FAILED, by, self._current.digest, "", now, problems=problems)

    async def _in_turn(self, by: str, reason: str) -> Reloaded:
        async with self._one:
            if by == "signal":
                self._waiting = False
            began = self._desk.clock.steady()
            attempt = self._attempt_of(by)
            try:
                found = await self._attempt(attempt, asked=by != "files")
            except Exception as problem:  # noqa: BLE001 - whatever it was, the policy in force stays
                self._desk.log.failure(Event.INTERNAL_ERROR, problem)
                found = replace(attempt, problems=(f"{type(problem).__name__} in the supervisor; its log says where",))
            found = replace(
                found, seconds=round(self._desk.clock.steady() - began, 3), problems=found.problems[:MAX_WORDS]
            )
            await self._tell(found, reason)
            return found

    async def _attempt(self, attempt: Reloaded, *, asked: bool) -> Reloaded:
        """One attempt; ``asked`` for by somebody, it also reads anew what the files only refer to."""
        try:
            bundle = await self._read()
        except UnsettledError:
            return replace(attempt, outcome=Outcome.INVALID, problems=("the files are being written to; ask again",))
        attempt = replace(attempt, digest=bundle.digest)
        same = bundle.digest == self._current.digest
        if same and not asked:
            return replace(attempt, outcome=Outcome.UNCHANGED)
        try:
            checked, accepted = await aside(partial(self._judge, bundle))
        except ConfigError as error:
            return replace(attempt, outcome=Outcome.INVALID, problems=tuple(map(str, error.problems)))
        except NotAcceptedError as refusal:
            return replace(attempt, outcome=Outcome.REFUSED, problems=refusal.reasons)
        try:
            put = partial(self._snapshots.put, bundle.digest, bundle.files, attempt.before)
            snapshot = await asyncio.to_thread(put)
            standing = Standing(self._directory, bundle.digest, snapshot)
            problems = await self._spreading.prepare(standing)
            if problems:
                self._spreading.abandon(standing)
                return replace(attempt, problems=problems)
            if not same:
                await self._choose(checked.config, attempt, standing, accepted.wanted)
        except NotApprovedError as lacking:
            return replace(attempt, outcome=Outcome.REFUSED, problems=(str(lacking),))
        except OSError as failure:
            return replace(attempt, problems=(f"it could not be kept: {failure.strerror or failure}",))
        self._checked, self._files = checked, bundle.files
        self._take(checked)
        missing, cut = await self._spreading.adopt(checked.config, standing, accepted.stricter)
        await asyncio.to_thread(self._snapshots.prune, {attempt.before, bundle.digest})
        return replace(
            attempt,
            outcome=Outcome.UNCHANGED if same else Outcome.IN_FORCE,
            effect="" if same else str(accepted.effect) if accepted.changes else "same",
            changes=len(accepted.changes),
            approved_by=accepted.approved_by,
            lowered=tuple(map(str, accepted.lowered)),
            standards=standards_in(checked.config),
            workers=checked.config.guard.workers - len(missing),
            missing=missing,
            streams_cut=cut,
        )

    async def _read(self) -> Bundle:
        for left in reversed(range(READINGS)):
            try:
                bundle, self._seen = await asyncio.to_thread(read_settled, self._directory)
            except UnsettledError:
                if not left:
                    raise
                await asyncio.sleep(READING_PAUSE_SECONDS)
            else:
                return bundle
        raise UnsettledError

    def _judge(self, bundle: Bundle) -> tuple[Checked, Accepted]:
        """Whether it could be served, and whether it may; in a thread."""
        now = self._desk.clock.now()
        checked = check(bundle, self._directory, self._memory, now, self._checked.made)
        current = self._current
        before, after, levels = self._checked.config, checked.config, last_levels(current)
        asked = Asked(before, after, current.remembered, now, running=True, levels=levels)
        return checked, accept(asked, self._approvals)

    async def _choose(self, config: Config, attempt: Reloaded, standing: Standing, wanted: Wanted | None) -> None:
        """Put it in force on disk; what approved it is used up just before, so that a crash between costs an order."""
        current = note(config, self._desk.clock.now(), attempt.by, self._current)
        try:
            if wanted is not None:
                await asyncio.to_thread(self._approvals.use, wanted)
            await asyncio.to_thread(self._snapshots.choose, current)
        except (OSError, NotApprovedError):
            self._spreading.abandon(standing)
            raise
        self._current = current

    async def _tell(self, found: Reloaded, reason: str) -> None:
        desk = self._desk
        words = "; ".join(found.problems)
        if found.by == "files" and not found.taken and words == self._differs:
            return  # tried again, and nothing is different: told already
        differed, self._differs = bool(self._differs), "" if found.taken else words
        self._last = found
        self._count += 1
        desk.meter.inc(desk.meter.bind("guard_policy_reloads_total", found.outcome.value))
        self._tell_differs()
        change = f"{found.before[:16]} -> {found.digest[:16] or 'unknown'}"
        told: dict[str, Value] = {"by": found.by, "before": found.before}
        fields = {**told, "policy": found.digest, "seconds": found.seconds}
        if not found.taken:
            outcome, problems = found.outcome.value, list(found.problems[:10])
            desk.log.emit(Level.ERROR, Event.POLICY_REFUSED, **fields, outcome=outcome, reasons=problems)
            await desk.record(found.by, f"policy {outcome}", change, _joined(reason, words))
        elif found.outcome is Outcome.IN_FORCE or found.by != "files" or differed:
            desk.log.emit(
                Level.WARNING if found.missing else Level.INFO,
                Event.POLICY_IN_FORCE,
                **fields,
                effect=found.effect,
                changes=found.changes,
                approved_by=list(found.approved_by),
                lowered=list(found.lowered[:MAX_TOLD]),
                workers=found.workers,
                missing=list(found.missing),
                cut=found.streams_cut,
            )
            words = in_words(
                found.changes,
                found.effect,
                approved_by=found.approved_by,
                lowered=found.lowered,
                standards=found.standards,
            )
            await desk.record(found.by, f"policy {found.outcome.value}", change, _joined(reason, words))

    def _tell_differs(self) -> None:
        meter = self._desk.meter
        meter.set(meter.bind("guard_policy_disk_differs"), 1.0 if self._differs else 0.0)
        meter.set(meter.bind("guard_policy_in_force_timestamp_seconds"), self._current.since)
        pid = os.getpid()
        posted = Posted(
            pid, process_started(pid) or 0, self._count, self._current.since, self._differs, self._last.fields()
        )
        try:
            post(self._snapshots.folder.parent, posted)
        except OSError as failure:
            self._desk.log.failure(Event.INTERNAL_ERROR, failure)


def _joined(reason: str, words: str) -> str:
    return f"{reason}: {words}" if reason else words
