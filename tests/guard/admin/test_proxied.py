"""The proxy's header counts from the pinned peer alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from guard.admin.proxied import OF_DRILLS, ForgedHeaderError, Proxied, peer
from guard.policy.sign_in import ProxySignIn

SPIFFE = "spiffe://example.com/proxy"


@dataclass
class Connection:
    """What the HTTP edge says of the other end."""

    peer: str = ""


def scope(address: str | None, certificate: str = "", *values: str) -> dict[str, Any]:
    """One request's ASGI scope with these values of the header."""
    headers = [(b"x-user", value.encode()) for value in values or ("ana",)]
    client = None if address is None else (address, 1)
    return {"headers": headers, "client": client, "extensions": {"guard.connection": Connection(certificate)}}


def proxied(peers: tuple[str, ...] = (), certificates: tuple[str, ...] = ()) -> Proxied:
    """A proxy pinned so."""
    return Proxied(ProxySignIn(header="x-user", peers=peers, certificates=certificates, people=()), lambda: 0.0)


@pytest.mark.parametrize(
    ("pins", "request_of"),
    [
        ((("10.0.0.7",), ()), scope("10.0.0.7")),
        ((("10.0.0.7",), ()), scope("::ffff:10.0.0.7")),
        ((("FE80:0::1",), ()), scope("fe80::1")),
        ((("unix",), ()), scope(None)),
        (((), (SPIFFE,)), scope("10.9.9.9", SPIFFE)),
        ((("10.0.0.7",), (SPIFFE,)), scope("10.0.0.7", SPIFFE)),
    ],
)
def test_the_pinned_peer_may_name_somebody(pins: tuple[tuple[str, ...], ...], request_of: dict[str, Any]) -> None:
    assert proxied(*pins).name(request_of) == "ana"


@pytest.mark.parametrize(
    ("pins", "request_of"),
    [
        ((("10.0.0.7",), ()), scope("10.0.0.70")),
        ((("10.0.0.7",), ()), scope(None)),
        (((), (SPIFFE,)), scope("10.0.0.7")),
        (((), (SPIFFE,)), scope("10.0.0.7", SPIFFE + "/x")),
        ((("10.0.0.7",), (SPIFFE,)), scope("10.0.0.7")),
        ((("10.0.0.7",), (SPIFFE,)), scope("10.0.0.8", SPIFFE)),
        ((("10.0.0.7",), ()), scope("10.0.0.7", "", "ana", "ben")),
    ],
)
def test_anybody_else_and_two_names_at_once_are_a_forgery(
    pins: tuple[tuple[str, ...], ...], request_of: dict[str, Any]
) -> None:
    with pytest.raises(ForgedHeaderError):
        proxied(*pins).name(request_of)


def test_without_the_header_nobody_is_named_whoever_asks() -> None:
    assert not proxied(("10.0.0.7",)).name({"headers": [(b"x-user-2", b"ana")], "client": ("1.1.1.1", 1)})


def test_who_is_at_the_other_end_is_told_without_an_edge_as_well() -> None:
    assert peer({"client": ("10.0.0.7", 1)}) == ("10.0.0.7", "")


def test_the_certificate_of_drills_is_no_proxys_even_from_the_pinned_address() -> None:
    for pins in ((("10.0.0.7",), ()), ((), (OF_DRILLS,))):
        with pytest.raises(ForgedHeaderError):
            proxied(*pins).name(scope("10.0.0.7", OF_DRILLS))
