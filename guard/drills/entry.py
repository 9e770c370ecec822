"""How a drill comes in over the admin listener: where that is, by which token, and whom to trust there."""

from __future__ import annotations

import json
import os
import ssl
from pathlib import Path
from typing import Final

import httpx
import msgspec

from guard.drills.bench import NoWayError
from guard.drills.places import RUN
from guard.upstream.tls import in_memory

ADMIN_FILE: Final = "admin.json"
_PATIENCE: Final = 60.0  # the drill bounds it more tightly


class Shown(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The certificate that a drill shows, and its key; both are PEM."""

    certificate: str
    key: str

    def __repr__(self) -> str:
        """Tell nothing of the key."""
        return "Shown()"


class AdminPlace(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the admin listener is, and a token that stops the self-test model and nothing else.

    ``address`` is a URL or ``unix:`` and a path; ``certificate`` the one file that it must prove itself with, ``host``
    what to ask for there, ``shown`` what it is shown where it lets nobody in without a certificate.
    """

    address: str
    token: str
    certificate: str = ""
    host: str = ""
    shown: Shown | None = None


def admin_place(state: Path) -> AdminPlace:
    """Read where the supervisor lets drills in; raises NoWayError."""
    try:
        return msgspec.json.decode((state / RUN / ADMIN_FILE).read_bytes(), type=AdminPlace)
    except (OSError, msgspec.DecodeError):
        raise NoWayError("no guard runs here that says where its admin listener is") from None


def pinned(certificate: Path, shown: Shown | None = None) -> ssl.SSLContext:
    """Trust exactly this certificate, by whatever name it is reached; raises OSError or ValueError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    own, end, _ = certificate.read_text("ascii").partition(ssl.PEM_FOOTER)
    context.load_verify_locations(cadata=own + end)
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.check_hostname = False
    if shown is not None:
        with in_memory(shown.certificate.encode()) as chain, in_memory(shown.key.encode()) as private:
            context.load_cert_chain(chain, private, b"")
    return context


def calling(there: AdminPlace) -> httpx.AsyncClient:
    """Return what calls the listener in an ``async with`` block; raises OSError or ValueError."""
    unix = there.address.removeprefix("unix:") if there.address.startswith("unix:") else None
    trusted: ssl.SSLContext | bool = pinned(Path(there.certificate), there.shown) if there.certificate else False
    road = httpx.AsyncHTTPTransport(verify=trusted, uds=unix, trust_env=False)
    headers = {"host": there.host} if there.host else {}
    base = "http://guard" if unix is not None else there.address
    return httpx.AsyncClient(base_url=base, transport=road, headers=headers, timeout=_PATIENCE, trust_env=False)


def write_admin_place(state: Path, there: AdminPlace) -> None:
    """Tell drills where to come in; raises OSError."""
    folder = state / RUN
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    aside = folder / f".{ADMIN_FILE}"
    fd = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(json.dumps(msgspec.to_builtins(there)).encode())
    aside.replace(folder / ADMIN_FILE)


def remove_admin_place(state: Path) -> None:
    """Tell them no more; raises OSError."""
    (state / RUN / ADMIN_FILE).unlink(missing_ok=True)
