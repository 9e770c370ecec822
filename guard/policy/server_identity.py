"""Which inference server a model is behind, however its address is spelt (rows C12, C13).

Two spellings of one address are one server: letter case, a slash at the end, the path, decimal and short forms of IPv4,
IPv4 within IPv6, a default port; every loopback and unspecified address is this host. Weakness: a name that resolves to
the same address is not seen through, nor is a proxy in front of the server.
"""

from __future__ import annotations

import ipaddress
import posixpath
import socket
from typing import Final
from urllib.parse import urlsplit

from guard.policy.model import ServerKind, Upstream

# Servers that serve the weights they were started with, whatever name is asked of them.
_ONE_MODEL: Final = frozenset({ServerKind.VLLM, ServerKind.SGLANG, ServerKind.LLAMACPP, ServerKind.TGI})
_PORTS: Final = {"http": 80, "https": 443}
_THIS_HOST: Final = "this host"


def server_of(upstream: Upstream) -> str:
    """Return the one name of a model's server: ``host:port``, or the path of its socket."""
    if upstream.url.startswith("unix:"):
        return f"unix:{posixpath.normpath(upstream.url.removeprefix('unix:'))}"
    parts = urlsplit(upstream.url)
    return f"{_host(parts.hostname or '')}:{parts.port or _PORTS.get(parts.scheme, 0)}"


def weights_of(upstream: Upstream) -> str:
    """Return what tells a model's weights apart: its server, and the name there if that server has several models."""
    server = server_of(upstream)
    return server if upstream.kind in _ONE_MODEL else f"{server} {upstream.model}"


def _host(name: str) -> str:
    name = name.rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return _THIS_HOST
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        try:
            address = ipaddress.ip_address(socket.inet_aton(name))  # what the system makes of 127.1, 0x7f.1, 2130706433
        except OSError:
            return name
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return _THIS_HOST if address.is_loopback or address.is_unspecified else str(address)
