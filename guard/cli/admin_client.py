"""The admin API as commands use it, for somebody with a token; what does not answer sensibly is no path."""

from __future__ import annotations

import argparse
import os
import re
from dataclasses import dataclass
from typing import Any, Final

import httpx

from guard.policy.model import GuardConfig

PROBE_SECONDS: Final = 1.0
API_SECONDS: Final = 15.0
_TOKEN: Final = re.compile(r"[\x21-\x7e]{1,512}")


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

    def __init__(self, url: str, token: str) -> None:
        """Take the base URL and a token; raises ValueError for a URL that is none."""
        try:
            self._url = httpx.URL(url)
        except httpx.InvalidURL as wrong:
            raise ValueError(f"--admin: {wrong}") from None
        self._headers = {"authorization": f"Bearer {token}"}

    def _request(self, method: str, path: str, body: dict[str, str] | None, seconds: float) -> httpx.Response:
        # Straight to that address, never through a proxy of the environment.
        with httpx.Client(base_url=self._url, headers=self._headers, timeout=seconds, trust_env=False) as client:
            return client.request(method, path, json=body)

    def responds(self) -> bool:
        """Whether somebody is there and awake: a frozen supervisor takes connections and says nothing."""
        try:
            return self._request("GET", "/health/live", None, PROBE_SECONDS).is_success
        except (httpx.HTTPError, httpx.InvalidURL):
            return False

    def call(self, method: str, path: str, body: dict[str, str] | None = None) -> Answer | None:
        """Return what it answers, or None when nobody sensible answers there."""
        try:
            answer = self._request(method, path, body, API_SECONDS)
            found = answer.json()
        except (httpx.HTTPError, httpx.InvalidURL, ValueError):
            return None
        return Answer(answer.status_code, found) if isinstance(found, dict) else None


def admin_client(arguments: argparse.Namespace, guard: GuardConfig | None) -> AdminClient | None:
    """Return the API if there is a token and an address for it; raises OSError or ValueError for a bad token or URL."""
    token = os.environ.get("GUARD_ADMIN_TOKEN", "")
    if arguments.token_file is not None:
        token = arguments.token_file.read_text().strip()
    url = arguments.admin
    if url is None and guard is not None:
        host = guard.admin.host
        url = f"http://{f'[{host}]' if ':' in host else host}:{guard.admin.port}"
    if not token or not url:
        return None
    if _TOKEN.fullmatch(token) is None:
        raise ValueError("the admin token is not one line of printable ASCII")
    return AdminClient(url, token)
