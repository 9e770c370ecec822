"""Reading texts: each is the one its leaf committed to, or there is an error that says where and why."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from guard.audit import records
from guard.audit.contents import ContentError, Contents, Text
from guard.audit.keys import KeyFolder
from guard.audit.ledger import Ledger, Limits
from guard.audit.read import Entry, iter_records
from guard.audit.wrapping import Kek
from tests.guard.audit.fakes import KEEP, KEK, Clock, data_keys, exchange, sealed_files

LONG = "a long text of many words, " * 10


def opened(tmp_path: Path) -> Ledger:
    keys = data_keys(tmp_path / "audit")
    return Ledger.open(tmp_path / "audit" / "w1", Clock(), limits=Limits(interval=30.0), keys=keys)


@pytest.fixture
def leaf(tmp_path: Path) -> records.Intent:
    """The leaf of a request with a short and two equal long passages, on record."""
    log = opened(tmp_path)
    asked = exchange("r1", LONG, passages=2)
    log.intent(asked, durable=False, keep=KEEP)
    log.close()
    found = [one.record for one in iter_records(tmp_path / "audit") if isinstance(one, Entry)]
    return next(one for one in found if isinstance(one, records.Intent))


def reader(tmp_path: Path, kek: Kek = KEK) -> Contents:
    return Contents(tmp_path / "audit", KeyFolder(tmp_path / "content-keys"), kek)


def content_segment(tmp_path: Path) -> Path:
    return next(path for path in sealed_files(tmp_path / "audit") if "content-30" in path.parts)


def test_texts_come_with_their_places(tmp_path: Path, leaf: records.Intent) -> None:
    assert reader(tmp_path).texts("w1", leaf) == (
        Text("messages[0].content", LONG),
        Text("messages[1].content", LONG),
    )
    assert LONG not in repr(leaf)


def test_a_leaf_without_a_body_has_no_texts(tmp_path: Path, leaf: records.Intent) -> None:
    assert reader(tmp_path).texts("w1", msgspec.structs.replace(leaf, body="")) == ()
    assert reader(tmp_path).texts("w1", records.Opened(0.0, 0.0, "w1", 1, "", ())) == ()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"id": "r2"}, "does not open"),
        ({"body": "nowhere"}, "names no place"),
        ({"body": "content-30/2023-11-14/2:99999"}, "ends before byte"),
        ({"body": "content-30/2023-11-14/9:0"}, "is gone"),
        ({"body": "content-31/2023-11-14/1:0"}, "is gone"),
        ({"body": "content-30/2023-11-14/3:1"}, "is gone"),
        ({"passages": ()}, "another number of texts"),
    ],
)
def test_a_leaf_that_names_another_body_is_an_error(
    tmp_path: Path, leaf: records.Intent, change: dict[str, object], words: str
) -> None:
    with pytest.raises(ContentError, match=words):
        reader(tmp_path).texts("w1", msgspec.structs.replace(leaf, **change))


def test_a_text_that_is_not_the_one_committed_to_is_an_error(tmp_path: Path, leaf: records.Intent) -> None:
    forged = msgspec.structs.replace(leaf.passages[1], commitment=leaf.passages[0].commitment)
    with pytest.raises(ContentError, match="text 1 is not the one that its leaf committed to"):
        reader(tmp_path).texts("w1", msgspec.structs.replace(leaf, passages=(leaf.passages[0], forged)))


def test_another_frame_than_a_body_is_an_error(tmp_path: Path, leaf: records.Intent) -> None:
    with pytest.raises(ContentError, match="another kind of frame"):
        reader(tmp_path).texts("w1", msgspec.structs.replace(leaf, body=leaf.body.split(":")[0] + ":0"))


def test_every_changed_byte_of_a_segment_is_noticed(tmp_path: Path, leaf: records.Intent) -> None:
    path = content_segment(tmp_path)
    whole = path.read_bytes()
    for at in range(0, len(whole), 3):
        raw = bytearray(whole)
        raw[at] ^= 0x10
        path.write_bytes(raw)
        with pytest.raises(ContentError):
            reader(tmp_path).texts("w1", leaf)
    path.write_bytes(whole)
    assert reader(tmp_path).texts("w1", leaf)[0].text == LONG


def test_a_segment_that_was_moved_to_another_writer_class_or_day_does_not_open(
    tmp_path: Path, leaf: records.Intent
) -> None:
    path = content_segment(tmp_path)
    for place, body in (
        (tmp_path / "audit" / "w2" / "bodies" / "content-30" / "2023-11-14", leaf.body),
        (tmp_path / "audit" / "w1" / "bodies" / "content-99" / "2023-11-14", leaf.body.replace("30", "99", 1)),
        (tmp_path / "audit" / "w1" / "bodies" / "content-30" / "2023-11-15", leaf.body.replace("-14", "-15")),
    ):
        place.mkdir(parents=True, exist_ok=True)
        (place / path.name).write_bytes(path.read_bytes())
        with pytest.raises(ContentError, match="written for another place"):
            reader(tmp_path).texts(place.parts[-4], msgspec.structs.replace(leaf, body=body))


def test_a_segment_under_another_number_is_noticed(tmp_path: Path, leaf: records.Intent) -> None:
    path = content_segment(tmp_path)
    number = int(leaf.body.split("/")[2].split(":")[0])
    path.rename(path.with_name(path.name.replace(f"{number:020d}", f"{number + 70:020d}")))
    moved = leaf.body.replace(f"/{number}:", f"/{number + 70}:")
    with pytest.raises(ContentError, match="does not begin as"):
        reader(tmp_path).texts("w1", msgspec.structs.replace(leaf, body=moved))


def test_with_another_key_it_is_said_which_one_is_needed(tmp_path: Path, leaf: records.Intent) -> None:
    with pytest.raises(ContentError, match=f"2023-11-14: it is wrapped by the key {KEK.name}"):
        reader(tmp_path, Kek("99" * 32)).texts("w1", leaf)


def test_a_destroyed_key_takes_its_texts_with_it(tmp_path: Path, leaf: records.Intent) -> None:
    folder = KeyFolder(tmp_path / "content-keys")
    for stored in list(folder.of("2023-11-14")):
        if stored.file.retention == "content-30":
            folder.destroy(stored)
    with pytest.raises(ContentError, match="is gone: destroyed with its time, or shredded"):
        reader(tmp_path).texts("w1", leaf)


@pytest.mark.usefixtures("leaf")
def test_a_key_that_was_made_after_the_first_look_is_found(tmp_path: Path) -> None:
    one = reader(tmp_path)
    assert len(one.keys("content-30", "2023-11-14")) == 1
    log = opened(tmp_path)
    asked = exchange("r9", "later")
    log.intent(replace(asked, caller=replace(asked.caller, owner="another team")), durable=False, keep=KEEP)
    log.close()
    later = [item.record for item in iter_records(tmp_path / "audit") if isinstance(item, Entry)][-1]
    assert one.texts("w1", later)[0].text == "later"
