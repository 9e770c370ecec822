"""Where a model is served, and how a connection to it is made."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from guard.upstream.connection import Connection, Owner
from guard.upstream.http1 import Limits
from guard.upstream.secured import SecuredConnection
from guard.upstream.tls import Tls

_PORTS: Final = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An address fixed when the policy is loaded; a name is resolved at each connect, by the loop.

    With ``tls`` it is spoken to over TLS. With ``unix``, the absolute path of a socket of this host, it is dialled
    there, and ``host`` and ``port`` are only what requests call it.
    """

    host: str
    port: int
    tls: Tls | None = None
    unix: str = ""

    @property
    def scheme(self) -> str:
        """The URL's scheme: http or https."""
        return "http" if self.tls is None else "https"

    @property
    def authority(self) -> str:
        """The value of the Host header; the scheme's own port is left out, as clients do."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    def prepare(
        self, owner: Owner, loop: asyncio.AbstractEventLoop, limits: Limits, clock: Callable[[], float]
    ) -> Connection:
        """Prepare a connection of the right kind, yet to be dialled."""
        if self.tls is None:
            return Connection(owner, loop, limits, clock)
        return SecuredConnection(owner, loop, limits, clock, self.tls)

    async def dial(self, loop: asyncio.AbstractEventLoop, connection: Connection) -> None:
        """Make the connection fit for its first request; raises OSError, and UpstreamError for a failed handshake."""
        if self.unix:
            await loop.create_unix_connection(lambda: connection, self.unix)
        else:
            await loop.create_connection(lambda: connection, self.host, self.port)
        if isinstance(connection, SecuredConnection):
            await connection.secured()
