"""Brings notices to one receiver, in their order, with a few attempts each, and never in anybody's way."""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Callable
from enum import StrEnum
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Final

import httpx

from guard.notices.forms import Receiver, post
from guard.notices.notice import Notice

MAX_WAITING: Final = 256
PAUSES: Final = (0.5, 2.0, 8.0, 30.0)
"""Seconds before the second attempt and those after it."""
LONGEST_PAUSE: Final = 60.0
_BUSY: Final = frozenset({408, 425, 429})


class Sent(StrEnum):
    """What became of an attempt (`guard.telemetry.metric.Told` says the same)."""

    SENT = "sent"
    RETRIED = "retried"
    LOST = "lost"


Tell = Callable[[str, Sent, str], None]


class _FailedError(Exception):
    """An attempt that failed; ``again`` is whether another may help, after so many seconds at least."""

    def __init__(self, words: str, *, again: bool, after: float = 0.0) -> None:
        super().__init__(words)
        self.again = again
        self.after = after


class Courier:
    """One receiver's: `put` notices at any time, `run` it as a task."""

    def __init__(
        self,
        receiver: Receiver,
        tell: Tell,
        now: Callable[[], float],
        pauses: tuple[float, ...] = PAUSES,
    ) -> None:
        """Take where to, who is told of each attempt, and the epoch's seconds."""
        self.receiver = receiver
        self._tell = tell
        self._now = now
        self._pauses = pauses
        self._waiting: deque[Notice] = deque()
        self._more = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def put(self, notice: Notice) -> None:
        """Have it brought; one that finds too many before it is lost, and that is told."""
        if len(self._waiting) >= MAX_WAITING:
            self._tell(self.receiver.name, Sent.LOST, f"{MAX_WAITING} wait already")
            return
        self._waiting.append(notice)
        self._idle.clear()
        self._more.set()

    async def run(self) -> None:
        """Bring them for ever."""
        async with httpx.AsyncClient(
            verify=self.receiver.trusted,
            trust_env=False,
            follow_redirects=False,
            timeout=self.receiver.settings.timeout_seconds,
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            headers={"user-agent": "asl-guard", "accept-encoding": "identity"},
        ) as http:
            while True:
                while self._waiting:
                    await self._bring(http, self._waiting[0])
                    if self._waiting:  # given up meanwhile
                        self._waiting.popleft()
                self._idle.set()
                self._more.clear()
                await self._more.wait()

    async def settle(self, seconds: float) -> None:
        """Wait so long for what waits; what waits then is lost, and that is told."""
        try:
            async with asyncio.timeout(seconds):
                await self._idle.wait()
        except TimeoutError:
            self.give_up("the guard ended before it was sent")

    def give_up(self, why: str) -> None:
        """Lose what waits, and tell that."""
        for _ in self._waiting:
            self._tell(self.receiver.name, Sent.LOST, why)
        self._waiting.clear()

    async def _bring(self, http: httpx.AsyncClient, notice: Notice) -> None:
        for pause in (*self._pauses, None):
            try:
                await self._attempt(http, notice)
            except _FailedError as failed:
                if pause is None or not failed.again:
                    self._tell(self.receiver.name, Sent.LOST, str(failed))
                    return
                self._tell(self.receiver.name, Sent.RETRIED, str(failed))
                await asyncio.sleep(max(pause, min(failed.after, LONGEST_PAUSE)))
            except Exception as problem:  # noqa: BLE001 - one notice that cannot be sent must not hold up the others
                self._tell(self.receiver.name, Sent.LOST, type(problem).__name__)
                return
            else:
                self._tell(self.receiver.name, Sent.SENT, "")
                return

    async def _attempt(self, http: httpx.AsyncClient, notice: Notice) -> None:
        """Send it once; raises _FailedError whose words hold nothing of the address or the answer."""
        what, seconds = post(self.receiver, notice, self._now()), self.receiver.settings.timeout_seconds
        try:
            async with (
                asyncio.timeout(seconds),
                http.stream("POST", what.url, content=what.body, headers=dict(what.headers)) as answer,
            ):
                # What else it says is not read: it could go on for ever.
                status, after = answer.status_code, answer.headers.get("retry-after", "")
        except (TimeoutError, httpx.TimeoutException):
            raise _FailedError(f"no answer within {seconds:g} s", again=True) from None
        except (httpx.HTTPError, httpx.InvalidURL, ssl.SSLError) as problem:
            raise _FailedError(f"it cannot be reached ({type(problem).__name__})", again=True) from None
        if not 200 <= status < 300:  # noqa: PLR2004 - HTTP's successes
            # A redirect is not followed: the credential is for this address alone.
            again = status >= 500 or status in _BUSY  # noqa: PLR2004 - HTTP's failures of servers
            wait = float(after[:6]) if after.isascii() and after.isdigit() else 0.0
            raise _FailedError(f"it answered with status {status}", again=again, after=wait)
