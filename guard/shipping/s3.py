"""Copies in S3-compatible storage, by boto3 (the extra ``s3``), which is imported when such a store is opened.

Every request has a time limit and boto3 repeats none: whoever ships repeats, with a pause that grows. An object is sent
with its SHA-256, which the server checks, and with ``If-None-Match: *``, so that of two who write one name the second
is refused; a store that knows neither is asked first and read back afterwards. The key that writes needs the rights to
put and get objects; it needs none to list or delete, and then AWS answers 403 for what is not there.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import TYPE_CHECKING, Any, Final

from guard.shipping.store import MAX_OBJECT_BYTES, ConflictError, StoreError, bounded, checked

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

CONNECT_SECONDS: Final = 5.0
ANSWER_SECONDS: Final = 20.0
CONNECTIONS: Final = 8
_ABSENT: Final = frozenset(("404", "NoSuchKey", "NotFound"))
_HIDDEN: Final = frozenset(("403", "AccessDenied", "Forbidden"))
_TAKEN: Final = frozenset(("412", "PreconditionFailed"))


@dataclass(frozen=True, slots=True)
class S3Place:
    """A bucket and the prefix of all names in it, where it is reached, and who writes.

    Without ``endpoint`` it is AWS's of the region; without keys boto3 looks for them as usual (the instance's role).
    ``lock`` is GOVERNANCE or COMPLIANCE where objects are to be locked until their day.
    """

    bucket: str
    prefix: str = ""
    endpoint: str | None = None
    region: str | None = None
    access_key: str | None = None
    secret_key: str | None = None
    lock: str | None = None


class S3Store:
    """One bucket; made once, used by every thread."""

    def __init__(self, place: S3Place, *, answer_seconds: float = ANSWER_SECONDS) -> None:
        """Make a client, without asking the server anything; raises StoreError when boto3 is missing or refuses."""
        self._place = place
        self._client = _client(place, answer_seconds)

    def put(self, name: str, data: bytes, keep: date | None = None) -> None:
        """As `Store.put`; ``keep`` becomes the object's retain-until date where the store is to lock."""
        bounded(name, data)
        existing = self._read(name, hidden=True)
        if existing is None:
            existing = self._send(name, data, keep)
        if existing != data:
            raise ConflictError(name, existing)

    def get(self, name: str) -> bytes | None:
        """As `Store.get`."""
        return self._read(name, hidden=False)

    def _send(self, name: str, data: bytes, keep: date | None) -> bytes:
        """Send it and return what is there then."""
        checksum = base64.b64encode(hashlib.sha256(data).digest()).decode()
        locked: dict[str, Any] = {}
        if self._place.lock is not None and keep is not None:
            until = datetime.combine(keep, time.min, UTC)
            locked = {"ObjectLockMode": self._place.lock, "ObjectLockRetainUntilDate": until}
        try:
            answer = self._client.put_object(
                Bucket=self._place.bucket,
                Key=self._key(name),
                Body=data,
                ChecksumAlgorithm="SHA256",
                ChecksumSHA256=checksum,
                IfNoneMatch="*",
                ContentType="application/octet-stream",
                **locked,
            )
        except Exception as error:  # noqa: BLE001 - botocore's, urllib3's and the socket's alike: it was not stored
            if _code(error) not in _TAKEN:
                raise _failed(name, error) from None
        else:
            if answer.get("ChecksumSHA256") == checksum:
                return data
        found = self._read(name, hidden=False)
        if found is None:
            raise StoreError(f"{name}: was taken by the store, and is not there")
        return found

    def _read(self, name: str, *, hidden: bool) -> bytes | None:
        """The content; with ``hidden``, 403 counts as absent: it is what a key that may not list is told."""
        try:
            answer = self._client.get_object(Bucket=self._place.bucket, Key=self._key(name))
            with answer["Body"] as body:
                data = body.read(MAX_OBJECT_BYTES + 1)
        except Exception as error:  # noqa: BLE001 - as above
            code = _code(error)
            if code in _ABSENT or (hidden and code in _HIDDEN):
                return None
            raise _failed(name, error) from None
        return bounded(name, data)

    def _key(self, name: str) -> str:
        return f"{self._place.prefix}/{checked(name)}" if self._place.prefix else checked(name)


def _client(place: S3Place, answer_seconds: float) -> S3Client:
    try:
        import boto3  # noqa: PLC0415 - an extra, and slow to import
        from botocore.config import Config  # noqa: PLC0415 - as above
        from botocore.exceptions import BotoCoreError  # noqa: PLC0415 - as above
    except ImportError:
        raise StoreError("the package boto3 is missing: install asl-guard[s3]") from None
    settings = Config(
        connect_timeout=CONNECT_SECONDS,
        read_timeout=answer_seconds,
        retries={"mode": "standard", "total_max_attempts": 1},
        max_pool_connections=CONNECTIONS,
        proxies={},  # a variable of the environment must not lead the log elsewhere
        s3={"addressing_style": "path" if place.endpoint else "auto"},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_supported",
    )
    try:
        client: S3Client = boto3.session.Session().client(
            "s3",
            endpoint_url=place.endpoint,
            region_name=place.region,
            aws_access_key_id=place.access_key,
            aws_secret_access_key=place.secret_key,
            config=settings,
        )
    except (BotoCoreError, ValueError) as error:
        raise StoreError(f"no client of S3 can be made: {type(error).__name__}") from None
    return client


def _code(error: Exception) -> str:
    response = getattr(error, "response", None)
    if not isinstance(response, dict):
        return ""
    return str(response.get("Error", {}).get("Code", ""))


def _failed(name: str, error: Exception) -> StoreError:
    """The kind of failure and the store's own code; botocore's words may hold what was sent, and are left out."""
    code = _code(error)
    return StoreError(f"{name}: {type(error).__name__}" + (f" ({code[:64]})" if code else ""))
