"""Every store keeps the same promises: whole, compared, never replaced; whatever goes wrong is one kind of error."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from guard.shipping.folder import FolderStore
from guard.shipping.s3 import S3Place, S3Store
from guard.shipping.store import MAX_OBJECT_BYTES, ConflictError, Store, StoreError, checked
from tests.guard.shipping.moto_server import ACCESS_KEY, REGION, SECRET_KEY, MotoServer

Made = Callable[[], Store]


@pytest.fixture(params=["folder", "s3"])
def made(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Made]:
    """Make a store of the same place, again and again."""
    if request.param == "folder":
        yield lambda: FolderStore(tmp_path)
        return
    moto: MotoServer = request.getfixturevalue("moto")
    bucket = moto.bucket(f"b-{os.urandom(8).hex()}")
    place = S3Place(bucket, "some/prefix", moto.url, REGION, ACCESS_KEY, SECRET_KEY)
    yield lambda: S3Store(place)


def test_what_was_put_is_got_also_by_another(made: Made) -> None:
    made().put("a/b/c.log", b"\x00\xf5bytes")
    made().put("a/b/empty", b"")
    assert made().get("a/b/c.log") == b"\x00\xf5bytes"
    assert made().get("a/b/empty") == b""
    assert made().get("a/b") is None
    assert made().get("a/b/d.log") is None


def test_the_same_again_is_as_good(made: Made) -> None:
    store = made()
    store.put("one", b"same")
    store.put("one", b"same")
    assert store.get("one") == b"same"


@pytest.mark.parametrize("other", [b"other", b"sam", b"same and more", b""])
def test_nothing_is_ever_replaced(made: Made, other: bytes) -> None:
    store = made()
    store.put("one", b"same")
    with pytest.raises(ConflictError) as refused:
        store.put("one", other)
    assert refused.value.existing == b"same"
    assert made().get("one") == b"same"


def test_of_many_who_write_one_name_at_once_one_wins_and_the_others_are_told(made: Made) -> None:
    gate = threading.Barrier(6)

    def write(number: int) -> bytes | None:
        store = made()
        gate.wait()
        try:
            store.put("one", b"%d" % number)
        except ConflictError as conflict:
            return conflict.existing
        return None

    with ThreadPoolExecutor(6) as pool:
        told = list(pool.map(write, range(6)))
    content = made().get("one")
    assert [number for number, existing in enumerate(told) if existing is None] == [int(content or b"-1")]
    assert {existing for existing in told if existing is not None} == {content}


def test_what_is_longer_than_any_object_is_not_stored(made: Made) -> None:
    store = made()
    with pytest.raises(StoreError, match="long: longer than"):
        store.put("long", bytes(MAX_OBJECT_BYTES + 1))
    assert store.get("long") is None


@pytest.mark.parametrize("name", ["", "/a", "a/", "a//b", "../a", "a/../b", ".", "a b", "ä", "a\n", "a\\b"])
def test_names_are_plain(name: str) -> None:
    with pytest.raises(ValueError, match="plain segments"):
        checked(name)
