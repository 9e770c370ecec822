"""Having the fleet log's head stamped with the time: in the background, so that no request ever waits for it."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from http.cookiejar import CookieJar, DefaultCookiePolicy
from pathlib import Path
from typing import Final

import httpx

from guard.app import storage
from guard.audit.checkpoint import parse_checkpoint
from guard.audit.heads import read_head
from guard.audit.note import Note, NoteError
from guard.audit.read import FLEET
from guard.audit.segments import LedgerError, describe
from guard.audit.timestamp_authority import Authority
from guard.audit.timestamp_form import MAX_ANSWER_BYTES, NONCE_BYTES, TimestampError, Token, asked, request
from guard.audit.timestamps import keep, sizes, stamped
from guard.policy.load import Config
from guard.policy.source import ConfigError
from guard.policy.timestamp_ca import read_timestamp_ca
from guard.telemetry.logs import Event, JsonLog, Level
from guard.telemetry.meter import Meter
from safeguards.ports import Clock

LOOK_SECONDS: Final = 1.0
ANSWER_SECONDS: Final = 15.0
RETRY_SECONDS: Final = 60.0
_QUERY: Final = "application/timestamp-query"
_REPLY: Final = "application/timestamp-reply"


class Timestamping:
    """Asks the configured authority every so often for a token over the newest head, checks it and keeps it."""

    def __init__(
        self,
        config: Config,
        meter: Meter,
        log: JsonLog,
        clock: Clock,
        random: Callable[[int], bytes],
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """Take where figures and lines go, where nonces come from and, for tests, another transport."""
        self._config = config
        self._settings = config.guard.audit.timestamp
        self._audit: Path = storage(config)[1]
        self._meter = meter
        self._log = log
        self._clock = clock
        self._random = random
        self._transport = transport
        self._authority: Authority | None = None
        self._known = False  # whether it was looked up what is stamped already
        self._size = 0  # of the newest head that is stamped
        self._since: float | None = None  # since when (steady) a newer one waits
        self._next = float("-inf")  # when (steady) to ask again
        self.problem = ""

    async def watch(self) -> None:
        """Ask for ever, if anybody is named to be asked."""
        if self._settings is None:
            return
        async with httpx.AsyncClient(
            transport=self._transport,
            trust_env=False,
            follow_redirects=False,
            timeout=ANSWER_SECONDS,
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            headers={"user-agent": "asl-guard", "accept": _REPLY, "accept-encoding": "identity"},
        ) as http:
            while True:
                await self.turn(http)
                await asyncio.sleep(LOOK_SECONDS)

    async def turn(self, http: httpx.AsyncClient) -> None:
        """Ask once, if it is time and there is a newer head than the last that was stamped."""
        settings = self._settings
        if settings is None:
            return
        try:
            if not self._known:
                await asyncio.to_thread(self._recall, settings.every_seconds)
            note = await asyncio.to_thread(read_head, self._audit / FLEET)
            size = 0 if note is None else parse_checkpoint(note.text).size
            if note is None or size <= self._size:
                self._since = None
            else:
                self._since = self._clock.steady() if self._since is None else self._since
                if self._clock.steady() >= self._next:
                    self._next = self._clock.steady() + min(RETRY_SECONDS, settings.every_seconds)
                    await self._ask(http, settings.url, note)
                    self._size, self._since = size, None
                    self._next = self._clock.steady() + settings.every_seconds
                    self._tell("")
        except Exception as problem:  # noqa: BLE001 - whatever it was, it is told and tried again
            self._tell(_words(problem))
        lag = 0.0 if self._since is None else self._clock.steady() - self._since
        self._meter.set(self._meter.bind("guard_audit_timestamp_lag_seconds"), lag)
        self._meter.set(self._meter.bind("guard_audit_timestamp_late"), 1.0 if lag > settings.late_seconds else 0.0)

    async def _ask(self, http: httpx.AsyncClient, url: str, note: Note) -> None:
        data, nonce = note.encode(), self._random(NONCE_BYTES)
        policy = None if self._settings is None else self._settings.policy
        answer = await _post(http, url, request(hashlib.sha256(data).digest(), nonce, policy))
        token = await asyncio.to_thread(self._check, answer, data, asked(nonce))
        await asyncio.to_thread(keep, self._audit, note, answer)
        ahead = self._clock.now() - token.time
        self._meter.set(self._meter.bind("guard_audit_timestamp_clock_difference_seconds"), ahead)

    def _check(self, answer: bytes, data: bytes, nonce: int) -> Token:
        if self._authority is None:
            roots = read_timestamp_ca(self._config)
            policy = None if self._settings is None else self._settings.policy
            self._authority = Authority(roots or b"", policy)
        return self._authority.check(answer, data, nonce)

    def _recall(self, every: float) -> None:
        """Go on where the process before this one stood: neither ask at each start, nor forget what waits."""
        for size in reversed(sizes(self._audit)):
            try:
                token = stamped(self._audit, size).token
            except LedgerError:
                continue  # verification names it; for the next head it does not matter
            self._size = size
            # A clock that was put back, or an authority ahead of it, must not put off the next for longer.
            ago = max(0.0, self._clock.now() - token.time)
            self._next = self._clock.steady() + max(0.0, every - ago)
            self._since = self._clock.steady() - ago
            break
        self._known = True

    def _tell(self, problem: str) -> None:
        if problem and problem != self.problem:
            self._log.emit(Level.ERROR, Event.TIMESTAMP_FAILED, reason=problem)
        elif self.problem and not problem:
            self._log.emit(Level.INFO, Event.TIMESTAMPED_AGAIN)
        self.problem = problem


async def _post(http: httpx.AsyncClient, url: str, body: bytes) -> bytes:
    """Post and read a bounded answer, all of it within some seconds; raises TimestampError."""
    pieces, size = [], 0
    try:
        async with (
            asyncio.timeout(ANSWER_SECONDS),
            http.stream("POST", url, content=body, headers={"content-type": _QUERY}) as answer,
        ):
            if answer.status_code != httpx.codes.OK:
                raise TimestampError(f"answered with status {answer.status_code}")
            async for piece in answer.aiter_raw():
                size += len(piece)
                if size > MAX_ANSWER_BYTES:
                    raise TimestampError(f"answered with more than {MAX_ANSWER_BYTES} bytes")
                pieces.append(piece)
            return b"".join(pieces)
    except (TimeoutError, httpx.TimeoutException):
        raise TimestampError(f"did not answer within {ANSWER_SECONDS:g} seconds") from None
    except (httpx.HTTPError, httpx.InvalidURL):
        raise TimestampError("cannot be reached, or does not answer in HTTP") from None


def _words(problem: Exception) -> str:
    if isinstance(problem, TimestampError | LedgerError | NoteError):
        return str(problem)
    if isinstance(problem, ConfigError):
        return "; ".join(str(each) for each in problem.problems)
    return describe(problem)
