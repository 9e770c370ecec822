"""Whether a message is from whom it should be: each sender's own scheme, over the bytes as they came.

Every secret is tried and every comparison takes the same time, whatever is wrong. A message says no more than that it
is not authentic: which part was wrong is for the log.

| sender | what is signed, HMAC-SHA256 | where it stands |
|---|---|---|
| Alertmanager | nothing; bearer, basic or a client certificate | |
| Grafana | body, or `<seconds>:<body>` with a timestamp header | hex in X-Grafana-Alerting-Signature |
| PagerDuty V3 | body | `v1=<hex>`, several with commas, in X-PagerDuty-Signature |
| Slack | `v0:<seconds>:<body>` | `v0=<hex>` in X-Slack-Signature |
| Standard Webhooks | `<id>.<seconds>.<body>` | `v1,<base64>`, several with blanks, in webhook-signature |
| generic | as Grafana | hex, perhaps after `sha256=`, in a header of your choice |
"""

from __future__ import annotations

import base64
import hmac
import re
from collections.abc import Iterable, Sequence
from typing import Final

from guard.hooks.hook import Hook
from guard.policy.model import HookAuth, HookKind

WINDOW_SECONDS: Final = 300
"""How old or how far ahead a signed time may be: what Slack and Standard Webhooks ask for."""
MAX_SIGNATURES: Final = 16
_SECONDS: Final = re.compile(rb"[0-9]{1,12}")
_HEX: Final = re.compile(rb"[0-9a-f]{64}")
_ID: Final = re.compile(rb"[!-\-/-~]{1,256}")  # visible ASCII without the full stop, which stands between the parts

Headers = Sequence[tuple[bytes, bytes]]


class NotAuthenticError(Exception):
    """A message that is not taken; the words are for the log and hold nothing of the message."""

    def __init__(self, words: str, *, stale: bool = False) -> None:
        """``stale``: it is signed well, and its time is not now."""
        super().__init__(words)
        self.stale = stale


def check_sender(hook: Hook, headers: Headers, peer: str) -> None:
    """Check what is known before the body is read; raises NotAuthenticError. ``peer`` names the client certificate."""
    if hook.settings.proof is HookAuth.CERTIFICATE:
        if not peer or not hmac.compare_digest(peer.encode(), (hook.settings.peer or "").encode()):
            raise NotAuthenticError("the client certificate is not the hook's")
    elif hook.settings.proof is HookAuth.BEARER:
        _compare(hook, _authorization(headers, b"bearer"), "the bearer token is not the hook's")
    elif hook.settings.proof is HookAuth.BASIC:
        try:
            sent = base64.b64decode(_authorization(headers, b"basic"), validate=True)
        except ValueError:
            raise NotAuthenticError("the basic credentials are not base64") from None
        _compare(hook, sent, "the user or the password is not the hook's")


def check_signature(hook: Hook, headers: Headers, body: bytes, now: float) -> str:
    """Check what is signed, ``now`` in seconds since the epoch; returns the id signed with it, or an empty text.

    Raises NotAuthenticError. Does nothing for a hook whose sender was checked before the body.
    """
    if hook.settings.proof is not HookAuth.SIGNATURE:
        return ""
    kind = hook.settings.kind
    if kind is HookKind.PAGERDUTY:
        sent = _each(_one(headers, "x-pagerduty-signature"), b",", b"v1=")
        _signed(hook, body, sent)
    elif kind is HookKind.SLACK:
        seconds = _one(headers, "x-slack-request-timestamp")
        signature = _one(headers, "x-slack-signature")
        _signed(hook, b"v0:" + seconds + b":" + body, _each(signature, None, b"v0="))
        _in_time(seconds, now)
    elif kind is HookKind.STANDARD:
        return _standard(hook, headers, body, now)
    else:
        header = hook.settings.timestamp_header
        signature = _one(headers, hook.settings.signed_in)
        if kind is HookKind.GENERIC:
            signature = signature.removeprefix(b"sha256=")
        seconds = b"" if header is None else _one(headers, header)
        _signed(hook, body if header is None else seconds + b":" + body, [signature])
        if header is not None:
            _in_time(seconds, now)
    return ""


def _standard(hook: Hook, headers: Headers, body: bytes, now: float) -> str:
    identity, seconds = _one(headers, "webhook-id"), _one(headers, "webhook-timestamp")
    if not _ID.fullmatch(identity):
        raise NotAuthenticError("webhook-id is not 1 to 256 visible characters without a full stop")
    sent: list[bytes] = []
    for encoded in _each(_one(headers, "webhook-signature"), b" ", b"v1,"):
        try:
            sent.append(base64.b64decode(encoded, validate=True).hex().encode())
        except ValueError:
            continue  # another may be right
    _signed(hook, b".".join((identity, seconds, body)), sent)
    _in_time(seconds, now)
    return identity.decode()


def _signed(hook: Hook, content: bytes, sent: Iterable[bytes]) -> None:
    """Compare every signature with that of every secret."""
    made = [hmac.digest(secret, content, "sha256").hex().encode() for secret in hook.secrets]
    found = False
    for signature in sent:
        well_formed = _HEX.fullmatch(signature) is not None
        for own in made:
            found |= well_formed and hmac.compare_digest(own, signature)
    if not found:
        raise NotAuthenticError("no signature is by a secret of the hook")


def _in_time(seconds: bytes, now: float) -> None:
    if not _SECONDS.fullmatch(seconds):
        raise NotAuthenticError("the time is not whole seconds since the epoch", stale=True)
    if abs(now - int(seconds)) > WINDOW_SECONDS:
        raise NotAuthenticError("the time is more than five minutes from the guard's clock", stale=True)


def _each(header: bytes, separator: bytes | None, version: bytes) -> list[bytes]:
    """Return the signatures of this version; others are of a scheme to come."""
    parts = [header] if separator is None else header.split(separator, MAX_SIGNATURES)[:MAX_SIGNATURES]
    return [part.strip()[len(version) :] for part in parts if part.strip().startswith(version)]


def _compare(hook: Hook, sent: bytes, words: str) -> None:
    found = False
    for secret in hook.secrets:
        found |= hmac.compare_digest(secret, sent)
    if not found:
        raise NotAuthenticError(words)


def _authorization(headers: Headers, scheme: bytes) -> bytes:
    word, _, credential = _one(headers, "authorization").partition(b" ")
    if word.lower() != scheme:
        raise NotAuthenticError(f"the authorization is not {scheme.decode()}")
    return credential.strip()


def _one(headers: Headers, name: str) -> bytes:
    """Take the one header of this name: of two, somebody before us may have judged the other."""
    wanted = name.lower().encode()
    found = [value for header, value in headers if header.lower() == wanted]
    if len(found) != 1:
        raise NotAuthenticError(f"there must be exactly one {name}")
    return found[0]
