"""Whom a context trusts and what it shows: nothing of the environment, and a clear refusal of every unfit file."""

from __future__ import annotations

import contextlib
import ssl
import subprocess
from pathlib import Path

import pytest

from guard.upstream.tls import BadTls, Tls, client_tls
from tests.parts.certificates import Authority, Issued


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls") / "authority")


@pytest.fixture(scope="module")
def issued(authority: Authority) -> Issued:
    return authority.issue("localhost", "127.0.0.1")


def shake(tls: Tls, server: ssl.SSLContext) -> ssl.SSLObject:
    """Shake hands in memory and return the client's side; raises what either side raises."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = tls.context.wrap_bio(to_client, to_server, server_hostname=tls.server_name)
    other = server.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(4):
        for side in (client, other):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    with contextlib.suppress(ssl.SSLWantReadError):
        client.read()  # an alert that came after the client's own part
    return client


def test_a_pinned_authority_is_trusted_and_speaks_http_1_1_alone(authority: Authority, issued: Issued) -> None:
    server = issued.server()
    server.set_alpn_protocols(["h2", "http/1.1"])
    client = shake(client_tls("localhost", authority.pem.read_bytes()), server)
    assert client.version() == "TLSv1.3"
    assert client.selected_alpn_protocol() == "http/1.1"


def test_a_pinned_authority_is_the_only_one_trusted(authority: Authority) -> None:
    context = client_tls("localhost", authority.pem.read_bytes()).context
    assert [dict(pair[0] for pair in each["subject"]) for each in context.get_ca_certs()] == [  # type: ignore[misc]  # nested tuples
        {"commonName": "authority"}
    ]


def test_the_servers_own_certificate_can_be_pinned(issued: Issued) -> None:
    assert shake(client_tls("localhost", issued.certificate.read_bytes()), issued.server()).version()


def test_another_authority_of_the_same_name_is_not_the_pinned_one(issued: Issued, tmp_path: Path) -> None:
    other = Authority(tmp_path / "other")
    with pytest.raises(ssl.SSLCertVerificationError):
        shake(client_tls("localhost", other.pem.read_bytes()), issued.server())


def test_without_a_pin_only_the_system_is_trusted_whatever_the_environment_says(
    authority: Authority, issued: Issued, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.pem))
    monkeypatch.setenv("SSL_CERT_DIR", str(authority.pem.parent))
    followed = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    followed.load_default_certs()
    assert shake(Tls(followed, "localhost"), issued.server()).version()  # what the guard does not do
    with pytest.raises(ssl.SSLCertVerificationError):
        shake(client_tls("localhost"), issued.server())


def test_session_keys_are_not_logged_where_the_environment_asks(
    authority: Authority, issued: Issued, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys"))
    shake(client_tls("localhost", authority.pem.read_bytes()), issued.server())
    assert not (tmp_path / "keys").exists()


def test_a_system_without_certificates_needs_a_pin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = ssl.get_default_verify_paths()
    nothing = found._replace(openssl_cafile=str(tmp_path / "none.pem"), openssl_capath=str(tmp_path))
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: nothing)
    with pytest.raises(BadTls) as caught:
        client_tls("localhost")
    assert caught.value.key == "ca"
    assert str(tmp_path) in str(caught.value)


def test_a_common_name_is_no_name(authority: Authority) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        shake(client_tls("localhost", authority.pem.read_bytes()), authority.issue(common_name="localhost").server())


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
def test_names_and_addresses_are_both_checked(authority: Authority, issued: Issued, name: str) -> None:
    assert shake(client_tls(name, authority.pem.read_bytes()), issued.server()).version()
    with pytest.raises(ssl.SSLCertVerificationError):
        shake(client_tls(name, authority.pem.read_bytes()), authority.issue("::1", "elsewhere").server())


def test_tls_1_2_is_the_lowest_version(authority: Authority, issued: Issued) -> None:
    tls = client_tls("localhost", authority.pem.read_bytes())
    assert shake(tls, issued.server(version=ssl.TLSVersion.TLSv1_2)).version() == "TLSv1.2"
    old = issued.server()
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old.minimum_version = ssl.TLSVersion.TLSv1_1
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises(ssl.SSLError):
        shake(tls, old)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_the_guards_own_certificate_is_shown_where_it_is_demanded(
    authority: Authority, issued: Issued, version: ssl.TLSVersion
) -> None:
    ca, own = authority.pem.read_bytes(), authority.issue(common_name="guard")
    server = issued.server(clients=authority.pem, version=version)
    with pytest.raises(ssl.SSLError):
        shake(client_tls("localhost", ca), server)
    tls = client_tls("localhost", ca, own.certificate.read_bytes(), own.key.read_bytes())
    assert shake(tls, server).version()


CERTIFICATE = b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"


@pytest.mark.parametrize("ca", [b"", b"nothing", b"\xff\xfe", CERTIFICATE, b"-----BEGIN PRIVATE KEY-----\n"])
def test_an_authority_that_is_none_is_refused(ca: bytes) -> None:
    with pytest.raises(BadTls) as caught:
        client_tls("localhost", ca)
    assert (caught.value.key, str(caught.value)) == ("ca", "is not a file of certificates in PEM")


def test_every_unfit_certificate_or_key_of_the_guards_own_is_refused(
    authority: Authority, issued: Issued, tmp_path: Path
) -> None:
    ca, certificate, key = authority.pem.read_bytes(), issued.certificate.read_bytes(), issued.key.read_bytes()
    locked = tmp_path / "locked.pem"
    command = ["openssl", "pkcs8", "-topk8", "-in", str(issued.key), "-out", str(locked), "-passout", "pass:word"]
    subprocess.run(command, check=True, capture_output=True, timeout=30)
    other = authority.issue().key.read_bytes()
    unfit = {
        "client_certificate: is not a file of certificates in PEM": (key, key),
        "client_key: does not belong to client_certificate": (certificate, other),
        "client_key: is not an unencrypted private key in PEM": (certificate, certificate),
    }
    for words, (shown, private) in unfit.items():
        with pytest.raises(BadTls) as caught:
            client_tls("localhost", ca, shown, private)
        assert f"{caught.value.key}: {caught.value}" == words
    with pytest.raises(BadTls, match="unencrypted"):  # and nobody is asked for a password
        client_tls("localhost", ca, certificate, locked.read_bytes())


@pytest.mark.parametrize("name", ["", ".localhost", "x" * 64 + ".example"])
def test_a_name_that_no_certificate_can_have_is_refused(authority: Authority, name: str) -> None:
    with pytest.raises(BadTls) as caught:
        client_tls(name, authority.pem.read_bytes())
    assert caught.value.key == "server_name"
