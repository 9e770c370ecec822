"""Whom the guard trusts as a model's server and who it says it is itself: an OpenSSL context from bytes already read.

Nothing comes from the environment: not the trusted certificates (SSL_CERT_FILE, SSL_CERT_DIR), no log of session keys.
Weakness: OpenSSL itself reads its own configuration file (OPENSSL_CONF) when the process starts; of what that could
loosen, only the lowest version is set here against it. Revocation is not checked: give a certificate a short life.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_PROTOCOLS: Final = ["http/1.1"]


class BadTls(Exception):  # noqa: N818 - named as the other refusals of a setting are
    """A certificate or key that cannot be used: ``key`` is the setting it came from; never holds what was read."""

    def __init__(self, key: str, message: str) -> None:
        """Name the setting and what is wrong, as words that follow the file's name."""
        super().__init__(message)
        self.key = key


@dataclass(frozen=True, slots=True)
class Tls:
    """How one server is spoken to: by this context, and its certificate must be of this name or address."""

    context: ssl.SSLContext
    server_name: str


def client_tls(
    server_name: str, ca: bytes | None = None, certificate: bytes | None = None, key: bytes | None = None
) -> Tls:
    """Trust the certificates of ``ca`` and nothing else, or without them the system's store; raises BadTls.

    All are PEM. ``certificate`` (the chain, own one first) and ``key`` are what the guard shows when asked; both or
    neither. TLS 1.2 is the lowest version and HTTP/1.1 the only protocol; names are those of the certificate's
    extension, never its common name. A pinned certificate need not be a root: an intermediate or the server's own will
    do.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF  # set by early releases of Python 3.11: a cut would seem an end
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.hostname_checks_common_name = False
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(_PROTOCOLS)
    if ca is None:
        _trust_system(context)
    else:
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        _trust(context, ca, "ca")
    if certificate is not None and key is not None:
        _trust(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), certificate, "client_certificate")  # only to see that it is one
        _show(context, certificate, key)
    try:
        context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname=server_name)
    except ValueError:
        raise BadTls("server_name", "cannot be a name in a certificate") from None
    return Tls(context, server_name)


def _trust(context: ssl.SSLContext, pem: bytes, key: str) -> None:
    try:
        context.load_verify_locations(cadata=pem.decode("ascii"))
    except (ssl.SSLError, UnicodeDecodeError, ValueError):
        raise BadTls(key, "is not a file of certificates in PEM") from None


def _trust_system(context: ssl.SSLContext) -> None:
    # Not `load_default_certs`, which follows the environment.
    paths = ssl.get_default_verify_paths()
    file, folder = Path(paths.openssl_cafile), Path(paths.openssl_capath)
    has_file, has_folder = file.is_file(), folder.is_dir() and any(folder.iterdir())
    if not has_file and not has_folder:
        raise BadTls("ca", f"is null, and the system has no certificates at {file} or in {folder}; name a file")
    try:
        context.load_verify_locations(str(file) if has_file else None, str(folder) if has_folder else None)
    except (ssl.SSLError, OSError):
        raise BadTls("ca", f"is null, and the system's certificates at {file} cannot be read; name a file") from None


def _show(context: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
    # OpenSSL's binding takes files only; memory that has a file's name keeps the key off the disk, and what was
    # checked is what is loaded. The empty password keeps an encrypted key from asking at the terminal.
    with in_memory(certificate) as chain, in_memory(key) as private:
        try:
            context.load_cert_chain(chain, private, b"")
        except ssl.SSLError as error:
            if error.reason == "KEY_VALUES_MISMATCH":
                raise BadTls("client_key", "does not belong to client_certificate") from None
            raise BadTls("client_key", "is not an unencrypted private key in PEM") from None


@contextmanager
def in_memory(content: bytes) -> Iterator[str]:
    """Give these bytes the name of a file, for as long as the block lasts, without one on any disk."""
    with open(os.memfd_create("certificate", os.MFD_CLOEXEC), "wb") as file:  # noqa: PTH123 - it has no path
        file.write(content)
        file.flush()
        yield f"/proc/self/fd/{file.fileno()}"
