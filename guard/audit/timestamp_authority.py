"""Whose time stamps count: the token's signature, its chain to certificates that were given, and what it is over.

Needs the extra ``timestamp``: the cryptography is OpenSSL's, by way of rfc3161-client. A chain is judged at the token's
own time, so that a token outlives its certificates. Weaknesses: revocation is not asked about, so a key that was stolen
stamps any time within its certificate's; and nothing renews a token whose algorithms have grown weak.
"""

from __future__ import annotations

import hashlib
from typing import Final

from cryptography import x509

from guard.audit.timestamp_form import TimestampError, Token, certificate_of, in_order, read_token

EXTRA: Final = "time stamps need the extra timestamp: pip install 'asl-guard[timestamp]'"
_WORDS: Final = "answered with a token that is not signed by the authority whose certificates were given"


class ExtraMissingError(TimestampError):
    """What verifies signatures of tokens is not installed."""


class Authority:
    """Checks tokens under the given certificates, the roots of a time-stamping authority."""

    def __init__(self, roots: bytes, policy: str | None = None) -> None:
        """Take PEM, and the policy that a token must carry, if any; raises TimestampError and ExtraMissingError."""
        try:
            import rfc3161_client  # noqa: F401, PLC0415 - an extra, which may be missing
        except ImportError:
            raise ExtraMissingError(EXTRA) from None
        try:
            self._roots = x509.load_pem_x509_certificates(roots)
        except ValueError:
            raise TimestampError("the authority's certificates are not PEM") from None
        self._policy = policy

    def check(self, answer: bytes, data: bytes, nonce: int | None = None) -> Token:
        """The token, if it is this authority's, over this data, and answers this nonce; raises TimestampError."""
        token = read_token(answer)
        if token.imprint != hashlib.sha256(data).digest():
            raise TimestampError("answered for something else than was asked")
        if nonce is not None and token.nonce != nonce:
            raise TimestampError("answered an earlier question: the nonce is another")
        if self._policy is not None and token.policy != self._policy:
            raise TimestampError("answered under another policy than audit.timestamp.policy")
        self._signed(answer, token, hashlib.sha256(data).digest())
        if certificate_of(answer, token) is None:
            # Another certificate of the same key could pass for it.
            raise TimestampError("answered with a token that names another certificate than the one that signed it")
        return token

    def _signed(self, answer: bytes, token: Token, imprint: bytes) -> None:
        from rfc3161_client import VerificationError, VerifierBuilder, decode_timestamp_response  # noqa: PLC0415

        try:
            decoded = decode_timestamp_response(in_order(answer))
            VerifierBuilder(roots=list(self._roots)).build().verify(decoded, imprint)
            # Two readers of one answer: what counts here is what was verified there.
            same = decoded.tst_info.gen_time.timestamp() == int(token.time) and decoded.tst_info.nonce == token.nonce
        except (VerificationError, ValueError):
            raise TimestampError(_WORDS) from None
        except BaseException as error:
            if type(error).__name__ != "PanicException":  # the library's own, of no other class
                raise
            raise TimestampError("answered with something that is no time stamp") from None
        if not same:
            raise TimestampError("answered with something that is no time stamp")
