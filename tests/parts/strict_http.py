"""What a strict reading of HTTP/1.1 finds in the bytes of a connection: requests and answers, and nothing doubtful.

A reference for both edges, written from RFC 9112 without any parser that the guard uses. Where the RFC lets a
recipient be lenient this is not: what it does not find, nobody may act on.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_STATUS: Final = re.compile(rb"HTTP/1\.([01]) ([0-9]{3}) [\t -~\x80-\xff]*\Z")
_LINE: Final = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+) ([!-~]+) HTTP/1\.[01]\Z")
_HEADER: Final = re.compile(
    rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*((?:[!-~\x80-\xff](?:[ \t!-~\x80-\xff]*[!-~\x80-\xff])?)?)[ \t]*\Z"
)
_LENGTH: Final = re.compile(rb"[0-9]{1,18}\Z")
_CHUNK: Final = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[\t -~\x80-\xff]*)?\Z")


@dataclass(frozen=True, slots=True)
class WholeRequest:
    """One request as it stands there."""

    method: bytes
    target: bytes
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes


def whole_requests(data: bytes) -> list[WholeRequest]:
    """The whole requests at the beginning of these bytes, up to the first that is doubtful or cut short."""
    found: list[WholeRequest] = []
    while True:
        request, data = _next(data)
        if request is None:
            return found
        found.append(request)


def answered(data: bytes) -> tuple[int, bytes, bool] | None:
    """Of the answer at the beginning of these bytes: its status, what of its body is beyond doubt, whether that is all.

    None if its head is doubtful or cut short. Interim answers in front of it are passed over.
    """
    while True:
        head, end, rest = data.partition(b"\r\n\r\n")
        first, *lines = head.split(b"\r\n")
        status = _STATUS.match(first)
        fields = [_HEADER.match(each) for each in lines]
        if not end or status is None or not all(fields):
            return None
        if not status[2].startswith(b"1"):
            break
        data = rest
    headers = [(field[1].lower(), field[2]) for field in fields if field is not None]
    lengths = [value for name, value in headers if name == b"content-length"]
    codings = [value.lower() for name, value in headers if name == b"transfer-encoding"]
    if len(lengths) + len(codings) > 1 or codings not in ([], [b"chunked"]) or (codings and status[1] == b"0"):
        return None
    if not lengths and not codings:
        return int(status[2]), rest, False  # only the end of the connection would end it, which proves nothing
    if codings:
        return int(status[2]), *_partial_chunks(rest)
    if not _LENGTH.match(lengths[0]):
        return None
    return int(status[2]), rest[: int(lengths[0])], len(rest) >= int(lengths[0])


def _partial_chunks(data: bytes) -> tuple[bytes, bool]:
    body = b""
    while True:
        line, end, rest = data.partition(b"\r\n")
        size = _CHUNK.match(line)
        if not end or size is None:
            return body, False
        length = int(size[1], 16)
        body += rest[:length]
        if length == 0:  # trailers may follow: they carry nothing on
            return body, rest.startswith(b"\r\n") or b"\r\n\r\n" in rest
        if rest[length : length + 2] != b"\r\n":
            return body, False
        data = rest[length + 2 :]


def _next(data: bytes) -> tuple[WholeRequest | None, bytes]:
    while data.startswith(b"\r\n"):  # RFC 9112, section 2.2: an empty line before a request is passed over
        data = data[2:]
    head, end, rest = data.partition(b"\r\n\r\n")
    if not end:
        return None, b""
    first, *lines = head.split(b"\r\n")
    line = _LINE.match(first)
    fields = [_HEADER.match(each) for each in lines]
    if line is None or not all(fields):
        return None, b""
    headers = tuple((field[1].lower(), field[2]) for field in fields if field is not None)
    lengths = [value for name, value in headers if name == b"content-length"]
    codings = [value for name, value in headers if name == b"transfer-encoding"]
    if len(lengths) + len(codings) > 1:
        return None, b""
    if codings:
        if codings[0].lower() != b"chunked":
            return None, b""
        body, rest = _chunks(rest)
        if body is None:
            return None, b""
    else:
        if lengths and not _LENGTH.match(lengths[0]):
            return None, b""
        size = int(lengths[0]) if lengths else 0
        if len(rest) < size:
            return None, b""
        body, rest = rest[:size], rest[size:]
    return WholeRequest(line[1], line[2], headers, body), rest


def _chunks(data: bytes) -> tuple[bytes | None, bytes]:
    body = b""
    while True:
        line, end, rest = data.partition(b"\r\n")
        size = _CHUNK.match(line)
        if not end or size is None:
            return None, b""
        length = int(size[1], 16)
        if rest[length : length + 2] != b"\r\n":  # after the last chunk: trailers are doubtful too
            return None, b""
        body, data = body + rest[:length], rest[length + 2 :]
        if length == 0:
            return body, data
