"""What can go wrong on the hop to the model, as a closed list."""

from __future__ import annotations

from enum import StrEnum


class UpstreamFailure(StrEnum):
    """Why an answer could not be had, or not to its end; fit for a metric's label."""

    CONNECT = "connect"
    TIMEOUT_CONNECT = "timeout_connect"
    TIMEOUT_FIRST_BYTE = "timeout_first_byte"
    TIMEOUT_IDLE = "timeout_idle"
    TLS = "tls"  # the handshake, a certificate of either side, or a broken record
    CLOSED = "closed"  # by the model's server, before any byte of the answer
    TRUNCATED = "truncated"  # after the first byte, before the proven end
    BAD_HTTP = "bad_http"
    TOO_LARGE = "too_large"
    UNEXPECTED_ENCODING = "unexpected_encoding"
    ABORTED = "aborted"  # by the guard itself


class UpstreamError(Exception):
    """The hop failed: ``kind`` for code and metrics, ``reason`` for logs; neither ever holds bytes of the exchange."""

    def __init__(self, kind: UpstreamFailure, reason: str) -> None:
        """Name the kind and say why in words of the guard or of its parser."""
        super().__init__(f"{kind}: {reason}")
        self.kind = kind
        self.reason = reason
