"""The certificate of drills opens the listener that was told of it, and nothing else can be made of it."""

from __future__ import annotations

import os
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509.oid import NameOID

from guard.admin.proxied import OF_DRILLS
from guard.drills.entry import Shown, pinned
from guard.serve.drill_certificate import drill_certificate
from tests.guard.serve.edge import GOOD, Edge, Tls, install, listener_tls
from tests.parts.certificates import Authority


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("drill_certificate") / "authority")


@pytest.fixture
def tls(authority: Authority, tmp_path: Path) -> Tls:
    return listener_tls(authority, tmp_path, "required", authority.pem)


def asked(edge: Edge, folder: Path, shown: Shown | None) -> bytes:
    """What the listener answers to who shows this, nothing to whom it does not let in."""
    try:
        with edge.connect(pinned(folder / "listener.pem", shown)) as sock:
            sock.sendall(GOOD)
            return sock.recv(1024)
    except OSError:
        return b""


def test_it_opens_the_listener_that_admits_it_before_and_after_the_files_are_renewed(
    authority: Authority, tls: Tls, tmp_path: Path
) -> None:
    shown = drill_certificate(os.urandom)
    tls.certificates.admit(shown.certificate)
    with Edge(tls=tls) as edge:
        assert asked(edge, tmp_path, shown).startswith(b"HTTP/1.1 200")
        install(authority.issue("127.0.0.1"), tmp_path)
        assert any(tls.certificates.look() for _ in range(2))
        assert asked(edge, tmp_path, shown).startswith(b"HTTP/1.1 200")
        assert edge.peers == [OF_DRILLS] * 2


def test_none_an_earlier_one_and_one_that_it_issued_do_not_open_it(tls: Tls, tmp_path: Path) -> None:
    shown, earlier = drill_certificate(os.urandom), drill_certificate(os.urandom)
    tls.certificates.admit(shown.certificate)
    with Edge(tls=tls) as edge:
        for other in (None, earlier, issued_by(shown)):
            assert asked(edge, tmp_path, other) == b""
        assert edge.seen == []


def issued_by(shown: Shown) -> Shown:
    """Another certificate, for the same key and in all else alike, signed with the key of this one."""
    own = x509.load_pem_x509_certificate(shown.certificate.encode())
    key = load_pem_private_key(shown.key.encode(), None)
    assert isinstance(key, Ed25519PrivateKey)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "forged")])
    dates = own.not_valid_before_utc, own.not_valid_after_utc
    forged = x509.CertificateBuilder(own.subject, name, own.public_key(), 7, *dates).sign(key, None)
    return Shown(forged.public_bytes(Encoding.PEM).decode() + shown.certificate, shown.key)


def test_two_are_never_the_same_and_the_key_belongs_to_its_certificate() -> None:
    first, second = drill_certificate(os.urandom), drill_certificate(os.urandom)
    assert first != second
    assert ssl.PEM_cert_to_DER_cert(first.certificate) != ssl.PEM_cert_to_DER_cert(second.certificate)
