"""What a listener proves itself with and whom it lets in: an OpenSSL context from bytes already read.

Nothing comes from the environment but OpenSSL's own configuration file (OPENSSL_CONF), which loosens neither the
ciphers of TLS 1.2 nor the lowest version. Weakness: revocation is not checked, and neither does a certificate that
ends, the listener's or a caller's, end connections that stand: give both a short life.
"""

from __future__ import annotations

import ssl
from typing import Any, Final

from guard.policy.process import ClientCertificates
from guard.upstream.tls import BadTls, in_memory

PROTOCOLS: Final = ["http/1.1"]
CIPHERS: Final = "@SECLEVEL=2:ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:!aNULL"
"""For TLS 1.2; a distribution's Python may come with a list that admits ciphers without forward secrecy."""
_MODES: Final = {
    ClientCertificates.NONE: ssl.CERT_NONE,
    ClientCertificates.OPTIONAL: ssl.CERT_OPTIONAL,
    ClientCertificates.REQUIRED: ssl.CERT_REQUIRED,
}
_IDENTITY_CHARACTERS: Final = 256


def server_tls(
    certificate: bytes,
    key: bytes,
    clients: ClientCertificates = ClientCertificates.NONE,
    client_ca: bytes | None = None,
) -> ssl.SSLContext:
    """Make the context of a listener; raises BadTls that names ``certificate``, ``key`` or ``client_ca``.

    All are PEM, ``certificate`` the chain with its own first. TLS 1.2 is the lowest version and HTTP/1.1 the only
    protocol. Where callers show certificates no session is resumed by ticket, so each is verified anew (a TLS 1.2
    session may be resumed by its number for two hours, within one worker).
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF  # set by early releases of Python 3.11: a cut would seem an end
    context.set_alpn_protocols(PROTOCOLS)
    _trust(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), certificate, "certificate")  # only to see that it is one
    # OpenSSL's binding takes files only; the empty password keeps an encrypted key from asking at the terminal.
    with in_memory(certificate) as chain, in_memory(key) as private:
        try:
            context.load_cert_chain(chain, private, b"")
        except ssl.SSLError as error:
            if error.reason == "KEY_VALUES_MISMATCH":
                raise BadTls("key", "does not belong to the certificate") from None
            if error.reason in {"EE_KEY_TOO_SMALL", "CA_KEY_TOO_SMALL", "CA_MD_TOO_WEAK"}:
                raise BadTls(
                    "certificate", "is too weak for OpenSSL: its key is too short or its digest too old"
                ) from None
            raise BadTls("key", "is not an unencrypted private key in PEM") from None
    if client_ca is not None:
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # an intermediate may be all that is trusted
        _trust(context, client_ca, "client_ca")
        context.verify_mode = _MODES[clients]
        context.options |= ssl.OP_NO_TICKET
        context.num_tickets = 0
    return context


def identity(connection: ssl.SSLObject) -> str:
    r"""Say who the verified certificate of a caller is for: its first URI (a SPIFFE id), else its subject; or empty.

    At most 256 characters; the parts of a subject read ``commonName=alice, organizationName=lab``, with ``\`` before
    a comma, an equals sign or a backslash inside of a value.
    """
    found: Any = connection.getpeercert()
    if not found:
        return ""
    for kind, name in found.get("subjectAltName", ()):
        if kind == "URI":
            return str(name)[:_IDENTITY_CHARACTERS]
    parts = [f"{name}={_escaped(value)}" for group in found.get("subject", ()) for name, value in group]
    return (", ".join(parts) or "a certificate without a name")[:_IDENTITY_CHARACTERS]


def _escaped(value: str) -> str:
    for mark in ("\\", ",", "="):
        value = value.replace(mark, f"\\{mark}")
    return value


def _trust(context: ssl.SSLContext, pem: bytes, key: str) -> None:
    try:
        context.load_verify_locations(cadata=pem.decode("ascii"))
    except (ssl.SSLError, UnicodeDecodeError, ValueError):
        raise BadTls(key, "is not a file of certificates in PEM") from None
