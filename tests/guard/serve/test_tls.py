"""The context of a listener: what it speaks, what it cannot be made of, and whom a certificate is said to be for."""

from __future__ import annotations

import ssl
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.policy.process import ClientCertificates
from guard.serve.tls import identity, server_tls
from guard.upstream.tls import BadTls, client_tls
from tests.parts.certificates import Authority, Issued
from tests.parts.debian import command


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls") / "authority")


@pytest.fixture(scope="module")
def issued(authority: Authority) -> Issued:
    return authority.issue("localhost")


def test_it_asks_nobody_for_a_certificate_by_itself(issued: Issued) -> None:
    context = server_tls(issued.certificate.read_bytes(), issued.key.read_bytes())
    assert context.verify_mode is ssl.CERT_NONE
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert context.options & ssl.OP_NO_RENEGOTIATION
    assert context.options & ssl.OP_NO_COMPRESSION


def test_no_cipher_is_without_forward_secrecy_and_integrity(issued: Issued) -> None:
    context = server_tls(issued.certificate.read_bytes(), issued.key.read_bytes())
    names = {cipher["name"] for cipher in context.get_ciphers()}
    assert names
    assert all(name.startswith(("TLS_", "ECDHE-", "DHE-")) for name in names)
    assert all("GCM" in name or "CHACHA20" in name for name in names)


def test_a_cut_is_no_end_on_either_side(authority: Authority, issued: Issued) -> None:
    listener = server_tls(issued.certificate.read_bytes(), issued.key.read_bytes())
    upstream = client_tls("127.0.0.1", authority.pem.read_bytes()).context
    assert not listener.options & ssl.OP_IGNORE_UNEXPECTED_EOF
    assert not upstream.options & ssl.OP_IGNORE_UNEXPECTED_EOF


@pytest.mark.parametrize("clients", [ClientCertificates.REQUIRED, ClientCertificates.OPTIONAL])
def test_where_callers_are_verified_none_resumes_by_ticket(
    clients: ClientCertificates, authority: Authority, issued: Issued
) -> None:
    ca = authority.pem.read_bytes()
    context = server_tls(issued.certificate.read_bytes(), issued.key.read_bytes(), clients, ca)
    assert context.verify_mode is (ssl.CERT_REQUIRED if clients is ClientCertificates.REQUIRED else ssl.CERT_OPTIONAL)
    assert context.num_tickets == 0
    assert context.options & ssl.OP_NO_TICKET


def test_what_it_cannot_be_made_of_is_named_and_not_quoted(
    authority: Authority, issued: Issued, tmp_path: Path
) -> None:
    certificate, key = issued.certificate.read_bytes(), issued.key.read_bytes()
    other = authority.issue("localhost").key.read_bytes()
    encrypted = tmp_path / "encrypted"
    openssl("pkcs8", "-topk8", "-in", str(issued.key), "-out", str(encrypted), "-passout", "pass:secret")
    weak_key, weak = tmp_path / "weak.key", tmp_path / "weak.pem"
    openssl(
        "req", "-x509", "-newkey", "rsa:1024", "-nodes", "-subj", "/CN=x", "-keyout", str(weak_key), "-out", str(weak)
    )  # fmt: skip
    cases: Mapping[str, tuple[bytes, bytes, bytes | None, str, str]] = {
        "swapped": (key, certificate, None, "certificate", "is not a file of certificates in PEM"),
        "no certificate": (b"", key, None, "certificate", "is not a file of certificates in PEM"),
        "bytes": (b"\xff\x00", key, None, "certificate", "is not a file of certificates in PEM"),
        "no key": (certificate, b"-", None, "key", "is not an unencrypted private key in PEM"),
        "encrypted": (certificate, encrypted.read_bytes(), None, "key", "is not an unencrypted private key in PEM"),
        "another's key": (certificate, other, None, "key", "does not belong to the certificate"),
        "weak": (weak.read_bytes(), weak_key.read_bytes(), None, "certificate", "is too weak for OpenSSL"),
        "no authority": (certificate, key, b"nobody", "client_ca", "is not a file of certificates in PEM"),
    }
    for name, (chain, private, ca, setting, words) in cases.items():
        with pytest.raises(BadTls, match=words) as caught:
            server_tls(chain, private, ClientCertificates.REQUIRED, ca)
        assert caught.value.key == setting, name
        assert caught.value.__suppress_context__, name


class Certified:
    """Stands for a connection whose peer showed a certificate with these fields."""

    def __init__(self, **fields: Any) -> None:
        """Take them as ``getpeercert`` returns them."""
        self._fields = fields

    def getpeercert(self) -> dict[str, Any]:
        """As OpenSSL's."""
        return self._fields


def said(**fields: Any) -> str:
    return identity(cast(ssl.SSLObject, Certified(**fields)))


def test_a_uri_comes_before_the_subject_and_nothing_is_said_without_a_certificate() -> None:
    subject = ((("commonName", "alice"),), (("organizationName", "a, b=c\\d"),))
    names = (("DNS", "alice.example"), ("URI", "spiffe://example/alice"), ("URI", "spiffe://example/second"))
    assert said(subject=subject, subjectAltName=names) == "spiffe://example/alice"
    assert said(subject=subject, subjectAltName=names[:1]) == "commonName=alice, organizationName=a\\, b\\=c\\\\d"
    assert said(serialNumber="1") == "a certificate without a name"
    assert said() == ""


_VALUES = st.text(max_size=12)


@given(st.lists(_VALUES, max_size=4), st.lists(_VALUES, max_size=4))
def test_two_subjects_never_read_the_same(one: list[str], other: list[str]) -> None:
    def text(values: list[str]) -> str:
        return said(subject=tuple((("commonName", value),) for value in values), serialNumber="1")

    assert (text(one) == text(other)) == (one == other)


def openssl(*arguments: str) -> None:
    subprocess.run([command("openssl", "openssl"), *arguments], check=True, capture_output=True, timeout=30)
