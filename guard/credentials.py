"""API keys and administrators' tokens: made once, shown once, stored as a keyed digest.

A secret has 256 random bits, so a fast keyed hash is right for it; the pepper keeps a stolen configuration from being
tried against guesses of the format. A look-up by digest tells nothing through its timing.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from guard.refusal import Refused
from safeguards.exchange import Caller
from safeguards.ports import Clock
from safeguards.verdict import Code

MAX_CREDENTIAL: Final = 256
_BLOCK: Final = 64  # bytes of SHA-256's block
_NAMES: Final = frozenset({b"authorization", b"x-api-key"})
_FORM: Final = re.compile(rb"[A-Za-z0-9._-]{16,%d}" % MAX_CREDENTIAL)
T = TypeVar("T")
Headers = Iterable[tuple[bytes, bytes]]


def new_secret(prefix: str, identity: str, randomness: Callable[[int], bytes]) -> str:
    """Make a credential that names its owner's entry: ``sk-guard-<id>-<secret>``."""
    secret = base64.urlsafe_b64encode(randomness(32)).decode().rstrip("=")
    return f"{prefix}-{identity}-{secret}"


def digest(pepper: bytes, credential: bytes) -> str:
    """Compute what is stored of a credential: HMAC-SHA256 with the pepper, hex."""
    return hmac.digest(pepper, credential, "sha256").hex()


@dataclass(frozen=True, slots=True)
class Holder(Generic[T]):
    """Whose credential it is, and when it stops holding (seconds since the epoch)."""

    who: T
    expires: float


def bearer(headers: Headers) -> bytes:
    """Take the one credential of a request, a bearer or an ``x-api-key``; raises Refused when it is not exactly one."""
    found = [header for header in headers if header[0] in _NAMES]
    if not found:
        raise Refused(Code.UNAUTHENTICATED, reason="missing")
    name, credential = found[0]
    if name == b"authorization":
        scheme, _, credential = credential.partition(b" ")
        if scheme.lower() != b"bearer":
            raise Refused(Code.UNAUTHENTICATED, reason="malformed")
    if len(found) > 1 or not _FORM.fullmatch(credential):
        raise Refused(Code.UNAUTHENTICATED, reason="malformed")
    return credential


class Register(Generic[T]):
    """Finds the holder of a credential."""

    def __init__(self, pepper: bytes, holders: Mapping[str, Holder[T]], clock: Clock) -> None:
        """Take digest -> holder."""
        # Keyed once: the two hashes of HMAC (RFC 2104) after their pads, copied for each credential.
        block = (hashlib.sha256(pepper).digest() if len(pepper) > _BLOCK else pepper).ljust(_BLOCK, b"\0")
        self._inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in block))
        self._outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in block))
        self._holders = dict(holders)
        self._clock = clock

    def take(self, other: Register[T]) -> None:
        """Know what another knows, and no more, from now on."""
        self._inner, self._outer, self._holders = other._inner, other._outer, other._holders

    def authenticate(self, headers: Headers) -> T:
        """Return who is calling; raises Refused. Expiry is judged now, not at load (rows I7, D9)."""
        return self.current(self.digest(bearer(headers)))

    def current(self, digest: str) -> T:
        """Return who holds the credential of this digest now; raises Refused."""
        holder = self._holders.get(digest)
        if holder is None:
            raise Refused(Code.UNAUTHENTICATED, reason="unknown")
        if holder.expires <= self._clock.now():
            raise Refused(Code.KEY_EXPIRED, reason="expired")
        return holder.who

    def digest(self, credential: bytes) -> str:
        """Compute what `digest` does, in a third of its time."""
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(credential)
        outer.update(inner.digest())
        return outer.hexdigest()


Callers = Register[Caller]
