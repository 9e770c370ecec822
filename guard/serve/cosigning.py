"""Asking witnesses to cosign the fleet log's head: in the background, so that no request ever waits for one."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from http.cookiejar import CookieJar, DefaultCookiePolicy
from pathlib import Path
from typing import Final

import httpx

from guard.app import storage
from guard.audit.checkpoint import Checkpoint, parse_checkpoint
from guard.audit.cosigning import add_request, cosigned, keep_cosigned
from guard.audit.heads import read_head
from guard.audit.note import MAX_NOTE_BYTES, Key, Note, NoteError, cosigned_at, parse_key, parse_signatures, signed_by
from guard.audit.read import FLEET
from guard.audit.segments import LedgerError, describe
from guard.audit.tiles import TileError, TileReader
from guard.policy.load import Config
from guard.telemetry.logs import Event, JsonLog, Level
from guard.telemetry.meter import Meter
from safeguards.ports import Clock

ASK_SECONDS: Final = 1.0
ANSWER_SECONDS: Final = 5.0
_TRIES: Final = 2


class WitnessError(Exception):
    """A witness did not cosign; the message says why in words that fit a log line."""


@dataclass(slots=True)
class Asked:
    """One witness: its address and key, what it has cosigned, and since when (steady) a newer head waits."""

    url: str
    key: Key
    seen: int = 0
    since: float | None = None
    problem: str = ""


class Cosigning:
    """Brings every new head of the fleet log to every witness, each at its own pace."""

    def __init__(
        self,
        config: Config,
        key: Key,
        meter: Meter,
        log: JsonLog,
        clock: Clock,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """Take the log's public key and, for tests, another transport."""
        self._transport = transport
        self._audit: Path = storage(config)[1]
        self._key = key
        self._meter = meter
        self._log = log
        self._clock = clock
        self.witnesses = [Asked(each.url.rstrip("/"), parse_key(each.key)) for each in config.guard.audit.witnesses]
        for each in self.witnesses:
            each.seen = self._seen(each.key)

    async def watch(self) -> None:
        """Ask for ever."""
        await asyncio.gather(*(self._keep(each) for each in self.witnesses))

    async def _keep(self, witness: Asked) -> None:
        async with httpx.AsyncClient(
            transport=self._transport,
            trust_env=False,
            follow_redirects=False,
            timeout=ANSWER_SECONDS,
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            headers={"user-agent": "asl-guard", "accept-encoding": "identity"},
        ) as http:
            while True:
                await self.turn(witness, http)
                await asyncio.sleep(ASK_SECONDS)

    async def turn(self, witness: Asked, http: httpx.AsyncClient) -> None:
        """Ask one witness once, if there is a newer head than it has seen."""
        try:
            note, head = await asyncio.to_thread(self._head)
            if head.size > witness.seen:
                witness.since = self._clock.steady() if witness.since is None else witness.since
                await self._ask(witness, http, note, head)
                witness.seen, witness.since = head.size, None
        except Exception as problem:  # noqa: BLE001 - whatever it was, it is told and tried again
            self._tell(witness, _words(problem))
        else:
            self._tell(witness, "")
        lag = 0.0 if witness.since is None else self._clock.steady() - witness.since
        self._meter.set(self._meter.bind("guard_audit_witness_lag_seconds", witness.key.name), lag)

    async def _ask(self, witness: Asked, http: httpx.AsyncClient, note: Note, head: Checkpoint) -> None:
        old = witness.seen
        for _ in range(_TRIES):
            body = await asyncio.to_thread(self._request, old, note, head)
            status, answer = await _post(http, f"{witness.url}/add-checkpoint", body)
            if status == httpx.codes.OK:
                wanted = witness.key.name, witness.key.id
                cosignatures = parse_signatures(answer.decode("utf-8", "replace"))
                signed = note.with_signatures(tuple(each for each in cosignatures if (each.name, each.id) == wanted))
                if cosigned_at(signed, witness.key) is None:
                    raise WitnessError("answered without its own cosignature")
                await asyncio.to_thread(keep_cosigned, self._audit, signed, witness.key)
                return
            if status != httpx.codes.CONFLICT:
                raise WitnessError(f"refused with status {status}")
            old = _size(answer)
            if old > head.size:
                raise WitnessError(f"has seen {old} entries of the fleet log, which has {head.size}: it was put back")
        raise WitnessError("has seen another log of this name: it does not accept the size that it names itself")

    def _request(self, old: int, note: Note, head: Checkpoint) -> bytes:
        return add_request(old, note, TileReader(self._audit / FLEET, head.size).node)

    def _head(self) -> tuple[Note, Checkpoint]:
        note = read_head(self._audit / FLEET)
        if note is None:
            return Note("", ()), Checkpoint(self._key.name, 0, b"")
        return note, parse_checkpoint(note.text)

    def _seen(self, witness: Key) -> int:
        try:
            note = cosigned(self._audit, witness)
            if note is None or cosigned_at(note, witness) is None or not signed_by(note, self._key):
                return 0
            return parse_checkpoint(note.text).size
        except (LedgerError, NoteError):
            return 0  # the witness will say what it has seen

    def _tell(self, witness: Asked, problem: str) -> None:
        if problem and problem != witness.problem:
            self._log.emit(Level.ERROR, Event.WITNESS_FAILED, witness=witness.key.name, reason=problem)
        elif witness.problem and not problem:
            self._log.emit(Level.INFO, Event.WITNESS_ANSWERS, witness=witness.key.name)
        witness.problem = problem


async def _post(http: httpx.AsyncClient, url: str, body: bytes) -> tuple[int, bytes]:
    """Post and read a bounded answer, all of it within a few seconds; raises WitnessError."""
    pieces, size = [], 0
    try:
        async with asyncio.timeout(ANSWER_SECONDS), http.stream("POST", url, content=body) as answer:
            async for piece in answer.aiter_raw():
                size += len(piece)
                if size > MAX_NOTE_BYTES:
                    raise WitnessError("answered with more than any cosignature")
                pieces.append(piece)
            return answer.status_code, b"".join(pieces)
    except (TimeoutError, httpx.TimeoutException):
        raise WitnessError(f"did not answer within {ANSWER_SECONDS:g} seconds") from None
    except (httpx.HTTPError, httpx.InvalidURL):
        raise WitnessError("cannot be reached, or does not answer in HTTP") from None


def _size(answer: bytes) -> int:
    text = answer.decode("ascii", "replace").strip()
    if not (text.isascii() and text.isdigit() and len(text) < 20):  # noqa: PLR2004 - the digits of a size
        raise WitnessError("names no size in its conflict")
    return int(text)


def _words(problem: Exception) -> str:
    if isinstance(problem, WitnessError | LedgerError | TileError | NoteError):
        return str(problem)
    return describe(problem)
