"""S3: what the protocol alone decides: time limits, rights, locks, and stores that know less than AWS's."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from guard.shipping.s3 import S3Place, S3Store
from guard.shipping.store import ConflictError, StoreError
from tests.guard.shipping.moto_server import ACCESS_KEY, REGION, SECRET_KEY, MotoServer
from tests.parts.ports import free_port


def place(url: str, bucket: str = "bucket", lock: str | None = None) -> S3Place:
    return S3Place(bucket, "", url, REGION, ACCESS_KEY, SECRET_KEY, lock)


class _Answers(BaseHTTPRequestHandler):
    """A store of few words: ``answers`` says what each method gets."""

    answers: dict[str, list[tuple[int, bytes]]]
    vouches: bool

    def do_GET(self) -> None:
        self._answer("GET")

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        assert self.headers["if-none-match"] == "*"
        assert self.headers["x-amz-checksum-sha256"]
        self._answer("PUT")

    def _answer(self, method: str) -> None:
        status, body = self.answers[method].pop(0)
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        if self.vouches and method == "PUT":
            self.send_header("x-amz-checksum-sha256", self.headers["x-amz-checksum-sha256"])
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def answering(*, vouches: bool = False, **answers: list[tuple[int, bytes]]) -> Iterator[str]:
    kind = type("Answers", (_Answers,), {"answers": answers, "vouches": vouches})
    with ThreadingHTTPServer(("127.0.0.1", 0), kind) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def test_a_store_that_takes_and_never_answers_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = "http://{}:{}".format(*silent.getsockname())
        with pytest.raises(StoreError, match="one: ReadTimeoutError"):
            S3Store(place(url), answer_seconds=0.2).put("one", b"bytes")


def test_nobody_there_is_told_without_credentials_and_content() -> None:
    with pytest.raises(StoreError) as told:
        S3Store(place(f"http://127.0.0.1:{free_port()}")).put("one", b"FORBIDDEN-MARKER")
    words = str(told.value)
    assert words == "one: EndpointConnectionError"
    assert told.value.__cause__ is None
    assert SECRET_KEY not in words


def test_what_the_store_refuses_is_told_by_its_code(moto: MotoServer) -> None:
    with pytest.raises(StoreError, match=r"one: NoSuchBucket \(NoSuchBucket\)"):
        S3Store(place(moto.url, f"b-{os.urandom(8).hex()}")).put("one", b"bytes")


def test_what_is_not_there_is_hidden_from_a_key_that_may_not_list() -> None:
    with answering(GET=[(403, b"")], PUT=[(200, b"")], vouches=True) as url:
        S3Store(place(url)).put("one", b"bytes")
    # Without the server's word for the checksum there is no way to know.
    with answering(GET=[(403, b""), (403, b"")], PUT=[(200, b"")]) as url, pytest.raises(StoreError, match="403"):
        S3Store(place(url)).put("one", b"bytes")
    taken = (412, b"<Error><Code>PreconditionFailed</Code></Error>")
    with answering(GET=[(403, b""), (403, b"")], PUT=[taken]) as url, pytest.raises(StoreError, match="403"):
        S3Store(place(url)).put("one", b"bytes")


def test_a_store_that_vouches_for_no_checksum_is_read_back() -> None:
    missing = (404, b"<Error><Code>NoSuchKey</Code></Error>")
    with answering(GET=[missing, (200, b"bytes")], PUT=[(200, b"")]) as url:
        S3Store(place(url)).put("one", b"bytes")
    with answering(GET=[missing, (200, b"byte")], PUT=[(200, b"")]) as url, pytest.raises(ConflictError):
        S3Store(place(url)).put("one", b"bytes")
    with answering(GET=[missing, missing], PUT=[(200, b"")]) as url, pytest.raises(StoreError, match="is not there"):
        S3Store(place(url)).put("one", b"bytes")


def test_a_proxy_of_the_environment_is_not_used(moto: MotoServer, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket = moto.bucket(f"b-{os.urandom(8).hex()}")
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    S3Store(place(moto.url, bucket)).put("one", b"bytes")
    monkeypatch.undo()
    assert moto.contents(bucket) == {"one": b"bytes"}


@pytest.mark.parametrize("mode", ["GOVERNANCE", "COMPLIANCE"])
def test_objects_are_locked_until_their_day(moto: MotoServer, mode: str) -> None:
    bucket = moto.bucket(f"b-{os.urandom(8).hex()}", lock=True)
    day = datetime.now(UTC).date() + timedelta(days=30)
    store = S3Store(place(moto.url, bucket, mode))
    store.put("one", b"bytes", keep=day)
    store.put("two", b"bytes")
    client = moto.client()
    locked = client.head_object(Bucket=bucket, Key="one")
    assert locked["ObjectLockMode"] == mode
    assert locked["ObjectLockRetainUntilDate"].date() == day
    with pytest.raises(client.exceptions.ClientError, match="AccessDenied"):
        client.delete_object(Bucket=bucket, Key="one", VersionId=locked["VersionId"])
    assert "ObjectLockMode" not in client.head_object(Bucket=bucket, Key="two")
