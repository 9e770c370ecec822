"""``guard why REQUEST-ID``: which safeguards decided what about a past request, why, and where that is on record."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final

import msgspec

from guard.audit.account import Account, State, account
from guard.audit.body_places import FOLDER, where
from guard.audit.read import Entry
from guard.audit.records import Decision, Intent, Outcome
from guard.audit.render import line, moment, printable
from guard.audit.retention import ends
from guard.audit.segments import LedgerError
from guard.audit.wrapping import KeyUnavailableError
from guard.cli.audit_access import (
    RefusedError,
    audit_folder,
    failed,
    key_folder,
    person,
    record,
)
from guard.cli.options import state_of
from guard.cli.progress import Progress
from guard.policy.config import Config
from guard.policy.load import load
from guard.policy.model import ClassifierMount
from guard.policy.retention import content_floor
from guard.policy.roles import Act
from guard.policy.source import ConfigError
from guard.state.snapshots import Snapshots

_NOT_ON_RECORD: Final = 1
_ID_SHOWN: Final = 64
_STATES: Final = {
    State.ENDED: "ended",
    State.RUNNING: "no end on record: it is still running",
    State.DIED: "no end on record, and no process on this host writes its log: the next start, or `guard audit "
    "recover`, records that it was cut off",
    State.CUT_OFF: "CUT OFF: how it ended was never recorded",
    State.PARTIAL: "neither its beginning nor its end is on record",
    State.UNKNOWN: "not on record",
}
_SIDES: Final = {"input": "prompt", "output": "answer"}


@dataclass(frozen=True, slots=True)
class Policy:
    """The configuration that decided, as far as it is still here: where, and the classifiers it gave the model."""

    digest: str
    kept: str
    classifiers: tuple[str, ...]


def run(arguments: Namespace) -> int:
    """Put the question on record and answer it; 0 told, 1 nothing to tell, 4 not entitled."""
    config = load(arguments.config)
    request: str = arguments.request
    progress = Progress("MiB of the log")
    try:
        acting = person(config, arguments, Act.ASK_WHY)
        record(config, acting, "why", f"request:{request[:_ID_SHOWN]}")
        found = account(audit_folder(config), request, progress.read)
        progress.end()
        policy = None if found.intent is None else policy_of(config, found.intent)
        texts = _texts(config, found)
    except (LedgerError, RefusedError) as error:
        return failed(error)
    if arguments.json:
        sys.stdout.write(json.dumps(for_machines(found, policy, texts)) + "\n")
    else:
        for said in for_people(found, policy, texts):
            sys.stdout.write(printable(said) + "\n")
    return 0 if found.entries else _NOT_ON_RECORD


def policy_of(config: Config, intent: Intent) -> Policy:
    """The configuration whose digest the record names, if it is the one given or one that this guard keeps."""
    kept, there = "no longer kept on this host", None
    if config.digest == intent.policy:
        kept, there = "the files as they are now", config
    else:
        try:
            place = Snapshots(state_of(config.directory, config.guard)).place(intent.policy)
            if place.is_dir():
                there = load(place)
                kept = f"kept in {place}" if there.digest == intent.policy else f"what is kept in {place} is another"
        except (ConfigError, OSError, ValueError):
            kept = "no longer readable on this host"
    model = None if there is None or there.digest != intent.policy else there.models.get(intent.model)
    if there is None or model is None:
        return Policy(intent.policy, kept, ())
    mounts = [mount for mount in model.safeguards if isinstance(mount, ClassifierMount)]
    rules = [(mount.name, there.rules[mount.settings.rules]) for mount in mounts]
    return Policy(intent.policy, kept, tuple(f"{name} was {each.name}/{each.release}" for name, each in rules))


def _texts(config: Config, found: Account) -> str:
    """Say what has become of the request's texts."""
    intent = found.intent
    if intent is None:
        return ""
    if not intent.body:
        return "none was kept"
    try:
        place = where(intent.body)
        folder = key_folder(config)
        keys = [one for one in folder.of(place.day) if one.file.retention == place.retention]
    except (ValueError, OSError, RefusedError, KeyUnavailableError) as error:
        return f"kept, but it cannot be said whether they can still be opened: {error}"
    named = f"{place.retention} of {place.day}"
    writer = next(entry.writer for entry in found.entries if entry.record is intent)
    if not (audit_folder(config) / writer / FOLDER / place.file).exists():
        return f"removed with their time, as {named}"
    if not any(one.file.owner == intent.owner for one in keys):
        return f"unreadable for good: their key, {named}, was destroyed with its time or shredded"
    until = ends(place.retention, place.day, content_floor(config))
    return f"kept sealed as {named}, until {until}; `guard audit show --content` opens them"


def for_machines(found: Account, policy: Policy | None, texts: str) -> dict[str, Any]:
    """One JSON object: the state, every record with its place, and what may hide more."""
    return {
        "request": found.request,
        "state": found.state.value,
        "policy": None if policy is None else msgspec.to_builtins(policy),
        "texts": texts,
        "records": [
            {
                **msgspec.to_builtins(entry.record),
                "writer": entry.writer,
                "segment": entry.segment,
                "sequence": entry.sequence,
                "sealed": found.sealed(entry),
            }
            for entry in found.entries
        ],
        "removed": [msgspec.to_builtins(one) for one in found.removed],
        "damage": [msgspec.to_builtins(one) for one in found.damage],
    }


def for_people(found: Account, policy: Policy | None, texts: str) -> Iterator[str]:
    """Yield the lines: how it ended, what decided it, what left, and where that is on record."""
    intent, outcome = found.intent, found.outcome
    yield f"request {found.request}"
    yield f"  {_verdict(found)}"
    if intent is not None and policy is not None:
        yield from _asked(intent, policy, texts)
    if outcome is not None:
        yield from _decided(outcome)
    elif found.parts:
        yield from _unended(found)
    if found.entries:
        yield ""
        yield "On record"
    for (kind, head, segment), group in groupby(found.entries, lambda entry: _stands(found, entry)):
        entries = list(group)
        first, last = entries[0].sequence, entries[-1].sequence
        several = f"record {first}" if first == last else f"{len(entries)} records, {first} to {last}"
        yield f"  {kind:<10} {moment(entries[-1].record.time)}  {segment} {several}, {head}"
    if any(found.sealed(entry) for entry in found.entries):
        yield f"  to prove it to somebody else: guard audit prove {found.request}"
    yield from _hidden(found)


def _stands(found: Account, entry: Entry) -> tuple[str, str, str]:
    """A record's kind, whether a head covers it, and its segment: the many parts of a stream are told as one line."""
    head = "under a signed head" if found.sealed(entry) else "under no signed head yet"
    return type(entry.record).__name__.lower(), head, f"{entry.writer}/{entry.segment}"


def _verdict(found: Account) -> str:
    outcome = found.outcome
    if outcome is None:
        endings = ", ".join(one.ending for one in found.recovered if one.ending)
        return _STATES[found.state] + (f"; {endings}" if endings else "")
    why = f": {outcome.code}, {outcome.reason}" if outcome.code else ""
    return f"{outcome.ending} with status {outcome.status} at {moment(outcome.ended)}{why}"


def _asked(intent: Intent, policy: Policy, texts: str) -> Iterator[str]:
    how = "streamed" if intent.streamed else "whole"
    yield f"  asked at {moment(intent.received)} by key {intent.key} of {intent.owner}, tier {intent.tier}"
    yield f"  for {intent.operation} ({how}) of {intent.model}, ASL-{intent.asl}, on {intent.surface}"
    if intent.asked:
        yield f"  in place of {intent.asked}, for which the caller asked"
    yield f"  standard {intent.framework or 'not recorded'}"
    yield f"  policy {policy.digest}: {policy.kept}"
    for each in policy.classifiers:
        yield f"  classifier {each}"
    chars = sum(passage.chars for passage in intent.passages)
    count = len(intent.passages)
    yield f"  texts: {count} passage{'' if count == 1 else 's'} of {chars} characters; {texts}"


def _decided(outcome: Outcome) -> Iterator[str]:
    yield ""
    yield "Decisions, in their order"
    for one in outcome.decisions:
        mode = "enforced" if one.enforced else "SHADOW"
        side = _SIDES.get(one.target, one.target)
        scored = "" if one.score is None else f"score {one.score:.3g}"
        scored += "" if one.threshold is None else f" (threshold {one.threshold:.3g})"
        rule = f"rule {one.rule}" if one.rule else ""
        said = ", ".join(filter(None, (one.code, one.category, rule, scored.strip(), one.reason)))
        failure = f" failed: {one.failure};" if one.failure else ""
        detail = f"{one.safeguard} ({side}, {mode}, {one.seconds * 1000:.3g} ms)"
        yield f"  {_said(one):<14}{detail}{':' if said or failure else ''}{failure}{f' {said}' if said else ''}"
    yield ""
    yield "What left"
    for each in outcome.released:
        yield f"  {each.channel}: {each.released} of the {each.received} characters that came"
    first = "never" if outcome.first_byte_seconds is None else f"after {outcome.first_byte_seconds:.3g} s"
    yield f"  {outcome.sent_bytes} bytes in {outcome.events} events; the first {first}"
    yield f"  {outcome.seconds:.3g} s in all, {outcome.upstream_seconds:.3g} s of them the model's server"
    if outcome.prompt_tokens is not None or outcome.completion_tokens is not None:
        yield f"  tokens, as the server says: {outcome.prompt_tokens} in, {outcome.completion_tokens} out"
    if outcome.dropped_fields:
        yield f"  {outcome.dropped_fields} unknown fields of the answer were dropped"


def _unended(found: Account) -> Iterator[str]:
    """Say of an answer without an end what was inspected and recorded, which is the most that can have left."""
    yield ""
    yield "What left at most: what was recorded before it could"
    for channel in dict.fromkeys(part.channel for part in found.parts):
        upto = max(part.start + part.chars for part in found.parts if part.channel == channel)
        yield f"  {channel}: {upto} characters"


def _said(one: Decision) -> str:
    if one.blocked:
        return "BLOCKED"
    if one.denied:
        return "would block"
    return "UNCHECKED" if one.failure else "passed"


def _hidden(found: Account) -> Iterator[str]:
    """Say what may hide more of it, and where there is nothing, what that can mean."""
    if found.damage:
        yield ""
        yield "The log is DAMAGED, and more of this request may lie there; `guard audit verify` judges it:"
        yield from (f"  {line(one)}" for one in found.damage)
    if found.removed:
        yield ""
        yield "The beginning of these logs was removed, as retention does; what was older is gone:"
        yield from (f"  {one.writer}: what is left begins with record {one.first}" for one in found.removed)
    if not (found.entries or found.damage or found.removed):
        yield "  the log is here from its first record on, without a gap: no request of this id is in it"
