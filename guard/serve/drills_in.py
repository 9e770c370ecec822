"""How drills come in over the admin listener: a token made at each start that stops the self-test model and no more.

The webhooks of drills are signed with it.
"""

from __future__ import annotations

import contextlib
import hmac
from collections.abc import Callable
from pathlib import Path

from guard.admin.api import Person
from guard.drills.bench import WHO
from guard.drills.entry import AdminPlace, Shown, remove_admin_place, write_admin_place
from guard.policy.config import Config
from guard.policy.model import Role
from guard.refusal import Refused
from guard.serve.certificates import Certificates
from guard.serve.drill_certificate import drill_certificate
from guard.telemetry.logs import Event, JsonLog
from safeguards.verdict import Code


class DrillEntrance:
    """Of one supervisor; the token lies in the state folder, whose owner may write stop orders anyway."""

    def __init__(self, state: Path, entropy: Callable[[int], bytes], tls: Certificates | None = None) -> None:
        """Make the token, and a certificate where the listener with this ``tls`` lets nobody in without one."""
        self._state = state
        self._token = f"dt-guard-{entropy(32).hex()}"
        self._shown: Shown | None = None
        if tls is not None and tls.asks:
            self._shown = drill_certificate(entropy)
            tls.admit(self._shown.certificate)

    @property
    def secret(self) -> bytes:
        """What the webhooks of drills are signed with."""
        return self._token.encode()

    def holder(self, token: bytes) -> Person:
        """Return who may drill; raises Refused."""
        if not hmac.compare_digest(token, self._token.encode()):
            raise Refused(Code.UNAUTHENTICATED, reason="unknown")
        return Person("drill", WHO, Role.RESPONDER, drills=True)

    def open(self, config: Config, address: str, log: JsonLog) -> None:
        """Write down where the admin listener is; where that cannot be done, drills by this path fail and say so."""
        admin = config.guard.admin
        host = admin.hosts[0] if admin.hosts else ""
        url = address
        certificate = "" if admin.tls is None else str(config.directory / admin.tls.certificate)
        if not address.startswith("unix:"):
            url = f"{'http' if admin.tls is None else 'https'}://{address}"
        try:
            write_admin_place(self._state, AdminPlace(url, self._token, certificate, host, self._shown))
        except OSError as problem:
            log.failure(Event.INTERNAL_ERROR, problem)

    def close(self) -> None:
        """Nobody comes in any more."""
        with contextlib.suppress(OSError):
            remove_admin_place(self._state)
