"""The admin API as commands use it, for somebody with a token; what does not answer sensibly is no path."""

from __future__ import annotations

import argparse
import json
import os
import re
import ssl
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx

from guard.cli.beside import Beside
from guard.policy.model import GuardConfig

PROBE_SECONDS: Final = 1.0
API_SECONDS: Final = 15.0
MAX_ANSWER: Final = 64 * 1024 * 1024  # the texts of every rule in force
_TOKEN: Final = re.compile(r"[\x21-\x7e]{1,512}")


class NoTokenError(ValueError):
    """An address was given by hand and no token: whoever gave it means that guard, not the one of this host."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the API said: a status of HTTP and an object."""

    status: int
    body: dict[str, Any]

    @property
    def error(self) -> str:
        """Why it did not do it, or empty."""
        return str(self.body.get("error", ""))


class AdminClient:
    """The admin listener at one address."""

    def __init__(self, url: str, token: str, *, tls: ssl.SSLContext | None = None, host: str | None = None) -> None:
        """Take the base URL (or ``unix:`` and a socket's path) and a token; raises ValueError for a URL that is none.

        ``tls`` says whom to trust and what to show there (default: the system's certificates, and none); ``host`` is
        what to ask for there, where it is not the URL's own.
        """
        self._unix = url.removeprefix("unix:") if url.startswith("unix:") else None
        try:
            self._url = httpx.URL("http://guard" if self._unix is not None else url)
        except httpx.InvalidURL as wrong:
            raise ValueError(f"--admin: {wrong}") from None
        self._tls = tls
        self._headers = {"authorization": f"Bearer {token}", **({"host": host} if host else {})}

    def _request(self, method: str, path: str, body: dict[str, str] | None, seconds: float) -> tuple[int, bytes]:
        # Straight to that address, never through a proxy of the environment.
        verify = self._tls if self._tls is not None else self._url.scheme == "https"
        road = httpx.HTTPTransport(verify=verify, trust_env=False, uds=self._unix)
        read = bytearray()
        with (
            httpx.Client(base_url=self._url, headers=self._headers, timeout=seconds, transport=road) as client,
            client.stream(method, path, json=body) as answer,
        ):
            for piece in answer.iter_bytes():
                read += piece
                if len(read) > MAX_ANSWER:
                    raise httpx.DecodingError("the answer is too long")
            return answer.status_code, bytes(read)

    def responds(self) -> bool:
        """Whether somebody is there and awake: a frozen supervisor takes connections and says nothing."""
        found = self._within("GET", "/health/live", None, PROBE_SECONDS)
        return found is not None and httpx.codes.is_success(found[0])

    def call(
        self, method: str, path: str, body: dict[str, str] | None = None, seconds: float = API_SECONDS
    ) -> Answer | None:
        """Return what it answers within so many seconds in all, or None when nobody sensible answers there."""
        answer = self._within(method, path, body, seconds)
        if answer is None:
            return None
        try:
            found = json.loads(answer[1])
        except (ValueError, RecursionError):
            return None
        return Answer(answer[0], found) if isinstance(found, dict) else None

    def _within(self, method: str, path: str, body: dict[str, str] | None, seconds: float) -> tuple[int, bytes] | None:
        """Ask in a thread: the library bounds each read, and not what drips."""

        def ask() -> tuple[int, bytes] | None:
            with suppress(httpx.HTTPError, httpx.InvalidURL):
                return self._request(method, path, body, seconds)
            return None

        return Beside(ask).within(seconds)


def admin_client(arguments: argparse.Namespace, guard: GuardConfig | None) -> AdminClient | None:
    """Return the API if there is a token and an address for it; raises OSError or ValueError for what cannot be used.

    An address given by hand without a token is a NoTokenError: acting elsewhere instead must not pass for success.
    Where the address comes from the configuration, a listener with TLS is known by the very certificate that the
    configuration names; an address given by hand is trusted by ``--ca`` or as the system does.
    """
    token = os.environ.get("GUARD_ADMIN_TOKEN", "")
    if arguments.token_file is not None:
        token = arguments.token_file.read_text().strip()
    url, pinned, host = arguments.admin, None, None
    if url is None and guard is not None:
        admin = guard.admin
        url = admin.place if admin.unix is not None else f"{'http' if admin.tls is None else 'https'}://{admin.place}"
        host = None if admin.hosts is None else admin.hosts[0]
        pinned = None if admin.tls is None else arguments.config / admin.tls.certificate
    if not token and arguments.admin is not None:
        raise NoTokenError("--admin is given and no token: set GUARD_ADMIN_TOKEN, or give --token-file FILE")
    if not token or not url:
        return None
    if _TOKEN.fullmatch(token) is None:
        raise ValueError("the admin token is not one line of printable ASCII")
    tls = _trusting(arguments.ca, pinned, arguments.certificate) if url.lower().startswith("https:") else None
    return AdminClient(url, token, tls=tls, host=host)


def _trusting(ca: Path | None, pinned: Path | None, shown: Path | None) -> ssl.SSLContext:
    """Trust ``ca``, else the one certificate ``pinned`` by whatever name it is reached, else as the system does."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF  # set by early releases of Python 3.11: a cut would seem an end
    if ca is not None:
        context.load_verify_locations(ca)
    elif pinned is not None:
        own, end, _ = pinned.read_text("ascii").partition(ssl.PEM_FOOTER)
        context.load_verify_locations(cadata=own + end)
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        context.check_hostname = False  # the name is often an address of this host; the certificate is exactly that one
    else:
        context.load_default_certs()
    if shown is not None:
        context.load_cert_chain(shown, None, b"")
    return context
