"""Listening sockets: whose error names the address, and how an address is written."""

from __future__ import annotations

import socket

import pytest

from guard.serve.server import address, listen


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_an_address_in_use_is_named(host: str) -> None:
    with listen(host, 0) as sock:
        port = sock.getsockname()[1]
        assert not sock.getblocking()
        place = f"[::1]:{port}" if host == "::1" else f"{host}:{port}"
        assert address(sock) == place.replace("localhost", "127.0.0.1")
        with pytest.raises(OSError, match=r"cannot listen on .*: Address already in use") as raised:
            listen(host, port)
        assert place in str(raised.value)


def test_a_name_that_is_nobody_is_an_error_that_names_it() -> None:
    with pytest.raises(OSError, match=r"cannot listen on 192\.0\.2\.1:80"):
        listen("192.0.2.1", 80)


def test_a_port_is_free_again_once_its_connections_are_closed() -> None:
    with listen("127.0.0.1", 0) as sock:
        port = sock.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            sock.setblocking(True)
            sock.accept()[0].close()
    listen("127.0.0.1", port).close()
