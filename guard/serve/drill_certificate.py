"""The certificate that drills show where the admin listener lets nobody in without one.

It is made at each start with a key of its own and signed by itself; the listener trusts this one certificate beside
``client_ca``, and it can issue no other. It lies with its key beside the drills' token, where only the guard's user
comes, and is worth a connection and nothing more: what may be done over it is the token's to say.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from guard.admin.proxied import OF_DRILLS
from guard.drills.entry import Shown

_KEY_BYTES: Final = 32
_SERIAL_BYTES: Final = 16
# It ends with the process that made its key; a clock that jumps must not end it before (RFC 5280, 4.1.2.5).
_BEGIN: Final = datetime(2000, 1, 1, tzinfo=UTC)
_NO_END: Final = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)


def drill_certificate(entropy: Callable[[int], bytes]) -> Shown:
    """Make one; ``entropy`` gives so many random bytes."""
    key = Ed25519PrivateKey.from_private_bytes(entropy(_KEY_BYTES))
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "guard drill")])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), _serial(entropy), _BEGIN, _NO_END)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(OF_DRILLS)]), critical=False)
        .sign(key, None)
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return Shown(certificate.public_bytes(Encoding.PEM).decode("ascii"), private.decode("ascii"))


def _serial(entropy: Callable[[int], bytes]) -> int:
    return 1 + int.from_bytes(entropy(_SERIAL_BYTES), "big")
