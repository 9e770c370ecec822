"""Notices, and receivers of every kind, made short."""

from __future__ import annotations

import base64
import ssl
from dataclasses import replace
from typing import Any, Final

from guard.notices.forms import Receiver
from guard.notices.notice import Notice
from guard.policy.notify import Occasion, ReceiverConfig

NOW: Final = 1_780_000_000.0
TOKEN: Final = b"glsa_a-token-of-a-service-account"
KEY: Final = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
HOOK_PATH: Final = "/services/T00000000/B00000000/a-path-that-is-secret"
STOP: Final = Notice(
    id="stop-01KSR492000000000000000000",
    occasion=Occasion.STOP,
    at=NOW,
    host="paris-1",
    did="stop",
    subject="model:demo",
    who="ana",
    reason="an attack",
    mode="stop",
    order="01KSR492000000000000000000",
    effect="applied on 2/2 workers, 3 answers cut",
)
RESUME: Final = replace(
    STOP, id="resume-01KSR4A2000000000000000000", occasion=Occasion.RESUME, did="resume", at=NOW + 600, since=NOW
)


def receiver(kind: str, url: str, trusted: ssl.SSLContext | None = None, **settings: Any) -> Receiver:
    """One of this kind at an address; for slack the secret path is put behind it."""
    address = None if kind == "slack" else url
    given = {"name": kind, "kind": kind, "url": address, "credential": {"file": "secrets/it"}, "on": ("stop", "resume")}
    made = ReceiverConfig.model_validate({**given, **settings})
    secret = {"grafana": TOKEN, "slack": b"", "generic": KEY}[kind]
    trusted = trusted or ssl.create_default_context()
    return Receiver(made, url + HOOK_PATH if kind == "slack" else url, secret, trusted)
