"""The bounded scalar types of a configuration: each refuses what it cannot mean, nothing is coerced."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable
from datetime import date
from ipaddress import IPv6Address, ip_address
from typing import Annotated, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, Strict, StringConstraints

from guard.state.scope import OrderError, Scope

T = TypeVar("T")

LAX = Strict(strict=False)  # an enum's value is written as a text; strict mode would ask for the member itself

_ALIAS = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$"
_NAME = r"^[a-z0-9][a-z0-9._-]{0,63}$"
_CLAIM = r"^[a-z][a-z0-9_]{0,63}$"
_SHA256 = r"^[0-9a-f]{64}$"
_VARIABLE = r"^[A-Za-z_][A-Za-z0-9_]{0,127}$"
_HOST = r"^[A-Za-z0-9:][A-Za-z0-9.:_-]{0,252}$"
_RULES = r"^rules/[A-Za-z0-9][A-Za-z0-9._-]{0,127}\.yaml$"
_EVIDENCE = r"^evidence/[A-Za-z0-9][A-Za-z0-9._-]{0,127}\.yaml$"
_LINE = r"^[^\x00-\x1f\x7f-\x9f]*$"
_PROSE = r"^[^\x00-\x09\x0b-\x1f\x7f-\x9f]*$"

_SCOPE = r"^(all|[a-z]{1,32}:.{1,257})$"
_WORD = r"^[!-~]{1,128}$"
_HEADER = r"^[A-Za-z][A-Za-z0-9-]{0,63}$"
_JSON_PATH = r"^[A-Za-z0-9_-]{1,64}(\.[A-Za-z0-9_-]{1,64}){0,7}$"
_OID = r"^[0-2](\.(0|[1-9][0-9]{0,17})){1,20}$"
_ORIGIN = r"^[a-z0-9]([a-z0-9._-]*/)*[a-z0-9._-]*[a-z0-9]$"

PATTERN_WORDS = {
    _ALIAS: "must be letters, digits, dot, underscore or hyphen, begin with a letter or digit, and be at most 128 long",
    _NAME: "must be lower-case letters, digits, dot, underscore or hyphen, and be at most 64 long",
    _CLAIM: "must be lower-case letters, digits or underscore, begin with a letter, and be at most 64 long",
    _SHA256: "must be 64 lower-case hexadecimal digits",
    _VARIABLE: "must be the name of an environment variable",
    _HOST: "must be a host name or an address",
    _RULES: "must be a file of the folder rules, such as rules/demo.yaml",
    _EVIDENCE: "must be a file of the folder evidence, such as evidence/demo.yaml",
    _OID: "must be an object identifier, such as 1.2.840.113549",
    _ORIGIN: "must be an address without its scheme, such as guard.example.com/log",
    _SCOPE: "must be all, or a kind and a name, such as model:demo",
    _WORD: "must be printable ASCII without blanks, at most 128 characters",
    _HEADER: "must be the name of a header: letters, digits and hyphens, at most 64",
    _JSON_PATH: "must be names of letters, digits, underscores or hyphens with dots between them, such as data.scope",
    _LINE: "must be one line without control characters",
    _PROSE: "must not contain control characters",
}

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_FIRST, _LAST = date(2000, 1, 1), date(2999, 12, 31)
_URL_PATH = re.compile(r"(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*/?")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[A-Za-z0-9_-][A-Za-z0-9._-]*)*")
_SOCKET_PATH = re.compile(r"(/[A-Za-z0-9._~@+-]+)+")
MAX_SOCKET_PATH = 107
_IDENTITY_HEADER = re.compile(r"[a-z][a-z0-9-]{0,63}")
# These mean something to HTTP, to a browser or to the guard; whoever names a person by them names everybody.
_TAKEN_HEADERS = frozenset(
    {
        "authorization",
        "connection",
        "content-length",
        "content-type",
        "cookie",
        "forwarded",
        "host",
        "origin",
        "referer",
    }
    | {"te", "transfer-encoding", "upgrade", "user-agent", "x-api-key", "x-forwarded-for"}
)
_URL_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?|[0-9A-Fa-f]{0,4}:[0-9A-Fa-f:.]{1,40}")


class Frozen(BaseModel):
    """What every part of a configuration is: immutable, without unknown keys, and strict about types."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


def _day(value: object) -> object:
    if isinstance(value, str):
        if not _DAY.fullmatch(value):
            raise ValueError("must be a day written as 2027-01-31")
        try:
            value = date.fromisoformat(value)
        except ValueError:
            raise ValueError("is not a day of the calendar") from None
    if isinstance(value, date) and not _FIRST <= value <= _LAST:
        raise ValueError("must be a day of the years 2000 to 2999")
    return value


def _url(value: str) -> str:
    if not value.isascii() or not value.isprintable() or " " in value:
        raise ValueError("must be a URL of printable ASCII without blanks")
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        raise ValueError("must be a URL with a host and a port of 1 to 65535") from None
    if parts.scheme not in {"http", "https"}:
        raise ValueError("must begin with http:// or https://")
    if "@" in parts.netloc:
        raise ValueError("must not carry a user or a password; use a credential by reference")
    if "?" in value or "#" in value:
        raise ValueError("must not carry a query or a fragment")
    if not _URL_HOST.fullmatch(parts.hostname or "") or port == 0:
        raise ValueError("must be a URL with a host and a port of 1 to 65535")
    if not _URL_PATH.fullmatch(parts.path):
        raise ValueError("must have a path of plain segments, none empty, none beginning with a dot")
    return value


def _witness_key(value: str) -> str:
    """As C2SP writes a key: the name, the id that follows from name and key, and kind 4 with the Ed25519 key."""
    name, _, rest = value.partition("+")
    identifier, _, encoded = rest.partition("+")
    try:
        material = base64.b64decode(encoded, validate=True)
    except ValueError:
        material = b""
    hashed = hashlib.sha256(name.encode() + b"\n" + material).hexdigest()
    if not name.isprintable() or " " in name or len(material) != 33 or material[0] != 4 or identifier != hashed[:8]:  # noqa: PLR2004
        raise ValueError("must be the key that `guard audit witness` prints when it begins: name+id+base64")
    return value


def _oid(value: str) -> str:
    first, _, rest = value.partition(".")
    if first in {"0", "1"} and int(rest.partition(".")[0]) > 39:  # noqa: PLR2004 - X.660: the two share a number
        raise ValueError("must be an object identifier, such as 1.2.840.113549: the second number is above 39")
    return value


def _ship_target(value: str) -> str:
    scheme, _, rest = value.partition("://")
    if scheme == "file":
        if not _plain_path(rest):
            raise ValueError("must be written as file:///path/of/the/share, a path of plain names")
    elif scheme != "s3" or not _BUCKET.fullmatch(rest):
        raise ValueError("must be s3://bucket, s3://bucket/prefix or file:///path")
    return value


def _upstream_url(value: str) -> str:
    if not value.startswith("unix:"):
        if not value.lower().startswith(("http://", "https://")):
            raise ValueError("must begin with http://, https:// or unix:/")
        return _url(value)
    path = value.removeprefix("unix:")
    if not _plain_path(path):
        raise ValueError("must be written as unix:/path/of/the.socket, with one slash after the colon and plain names")
    _short(path)
    return value


def _socket_path(value: str) -> str:
    if not _plain_path(value):
        raise ValueError("must be an absolute path of plain names, such as /run/guard/api.sock")
    return _short(value)


def _plain_path(path: str) -> bool:
    return _SOCKET_PATH.fullmatch(path) is not None and not {".", ".."} & set(path.split("/"))


def _short(path: str) -> str:
    if len(path) > MAX_SOCKET_PATH:
        raise ValueError(f"must name a socket by at most {MAX_SOCKET_PATH} bytes, the system's limit")
    return path


def _scope(value: str) -> str:
    try:
        Scope.parse(value)
    except OrderError as wrong:
        raise ValueError(f"is no scope: {str(wrong).removeprefix('scope: ')}") from None
    return value


def _portless(value: str) -> str:
    if ":" in value:
        try:
            IPv6Address(value)
        except ValueError:
            raise ValueError("must be a name or an address without a port or brackets") from None
    return value


def _base_path(value: str) -> str:
    if not _URL_PATH.fullmatch(value) or not value.startswith("/"):
        raise ValueError("must be a path of plain segments after a slash, none empty, none beginning with a dot")
    return value


def _pathname(value: str) -> str:
    if ".." in value.split("/") or value.endswith("/"):
        raise ValueError("must name a file or folder without `..` and without a slash at its end")
    return value


def _header(value: str) -> str:
    if not _IDENTITY_HEADER.fullmatch(value) or value in _TAKEN_HEADERS:
        raise ValueError("must be a header's name in lower case that has no other meaning, such as x-forwarded-email")
    return value


def _peer_address(value: str) -> str:
    try:
        return value if value == "unix" else str(ip_address(value))
    except ValueError:
        raise ValueError("must be an address without a port, or unix") from None


class MisplacedError(ValueError):
    """A refusal by a validator that knows where below its own value the defect is."""

    def __init__(self, message: str, *place: str | int) -> None:
        """Take what is wrong and the steps from the validated value down to it."""
        super().__init__(message)
        self.place = place


def unique(name: str, *keys: str) -> Callable[[tuple[T, ...]], tuple[T, ...]]:
    """Return a validator that refuses a tuple with two items alike in ``keys`` (or alike at all, without keys).

    ``name`` is what the error calls the repeated thing; the error points at the later of the two.
    """

    def check(items: tuple[T, ...]) -> tuple[T, ...]:
        seen: dict[object, int] = {}
        for index, item in enumerate(items):
            key = tuple(getattr(item, each) for each in keys) if keys else item
            first = seen.setdefault(key, index)
            if first != index:
                raise MisplacedError(f"{name} is already used by item {first}", index, *keys[:1])
        return items

    return check


Alias = Annotated[str, StringConstraints(pattern=_ALIAS)]
Name = Annotated[str, StringConstraints(pattern=_NAME)]
Claim = Annotated[str, StringConstraints(pattern=_CLAIM)]
Sha256 = Annotated[str, StringConstraints(pattern=_SHA256)]
Variable = Annotated[str, StringConstraints(pattern=_VARIABLE)]
Host = Annotated[str, StringConstraints(pattern=_HOST)]
PortlessHost = Annotated[Host, AfterValidator(_portless)]
RulesFile = Annotated[str, StringConstraints(pattern=_RULES)]
EvidenceFileName = Annotated[str, StringConstraints(pattern=_EVIDENCE)]
Origin = Annotated[str, StringConstraints(pattern=_ORIGIN, max_length=128)]
Oid = Annotated[str, StringConstraints(pattern=_OID), AfterValidator(_oid)]
ScopeText = Annotated[str, StringConstraints(pattern=_SCOPE, max_length=300), AfterValidator(_scope)]
Word = Annotated[str, StringConstraints(pattern=_WORD, max_length=128)]
HeaderName = Annotated[str, StringConstraints(pattern=_HEADER)]
JsonPath = Annotated[str, StringConstraints(pattern=_JSON_PATH, max_length=519)]
Line = Annotated[str, StringConstraints(pattern=_LINE, min_length=1, max_length=256)]
Prose = Annotated[str, StringConstraints(pattern=_PROSE, min_length=1, max_length=2000)]
Uri = Annotated[str, StringConstraints(pattern=_LINE, min_length=1, max_length=2048)]
Url = Annotated[str, Field(max_length=2048), AfterValidator(_url)]
ShipTarget = Annotated[str, Field(max_length=512), AfterValidator(_ship_target)]
WitnessKey = Annotated[str, Field(max_length=512), AfterValidator(_witness_key)]
UpstreamUrl = Annotated[str, Field(max_length=2048), AfterValidator(_upstream_url)]
SocketPath = Annotated[str, Field(max_length=256), AfterValidator(_socket_path)]
IdentityHeader = Annotated[str, Field(max_length=64), AfterValidator(_header)]
PeerAddress = Annotated[str, Field(max_length=64), AfterValidator(_peer_address)]
BasePath = Annotated[str, Field(max_length=256), AfterValidator(_base_path)]
Pathname = Annotated[str, StringConstraints(pattern=_LINE, min_length=1, max_length=1024), AfterValidator(_pathname)]
Port = Annotated[int, Field(ge=0, le=65535)]
Day = Annotated[date, BeforeValidator(_day)]
Seconds = Annotated[float, Field(gt=0, le=86400)]
