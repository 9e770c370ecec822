"""Files are written whole, once, and read without trust."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from guard.incidents import folder as folder_module
from guard.incidents.events import EventError, encode
from guard.incidents.folder import IncidentFolder, TooManyError
from tests.guard.incidents.stories import Story


def test_what_is_added_is_read(tmp_path: Path) -> None:
    folder, story = IncidentFolder(tmp_path), Story()
    assert folder.ids() == ()
    events = (story.opened(), story.triaged(), story.mitigated())
    for event in events:
        folder.add(event)
    assert folder.ids() == (story.id,)
    assert folder.read(story.id).events == events
    assert [read.id for read in folder.all()] == [story.id]
    assert sorted(path.name for path in (tmp_path / "incidents" / story.id).iterdir()) == sorted(
        f"{event.id}.json" for event in events
    )


def test_an_event_is_never_written_over(tmp_path: Path) -> None:
    folder, story = IncidentFolder(tmp_path), Story()
    opened = story.opened()
    folder.add(opened)
    with pytest.raises(FileExistsError):
        folder.add(opened)
    assert folder.read(story.id).events == (opened,)


def test_what_is_no_event_is_named_and_hides_nothing(tmp_path: Path) -> None:
    folder, story, other = IncidentFolder(tmp_path), Story(), Story()
    opened, foreign = story.opened(), other.opened(summary="another")
    folder.add(opened)
    place = tmp_path / "incidents" / story.id
    (place / f"{story.triaged().id}.json").write_bytes(b"{")
    (place / "note.txt").write_text("x")
    (place / f"{story.triaged().id}.json").write_bytes(encode(foreign))
    os.mkfifo(place / f"{story.triaged().id}.json")
    read = folder.read(story.id)
    assert read.events == (opened,)
    assert len(read.damaged) == 4
    assert read.incident is not None
    assert "damaged" in read.incident.why_not_closed([])


def test_a_name_that_is_no_id_is_no_incident(tmp_path: Path) -> None:
    (tmp_path / "incidents" / "..evil").mkdir(parents=True)
    assert IncidentFolder(tmp_path).ids() == ()


def test_more_than_is_ever_read_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, story = IncidentFolder(tmp_path), Story()
    monkeypatch.setattr(folder_module, "MAX_EVENTS", 2)
    monkeypatch.setattr(folder_module, "RESERVE", 0)
    folder.add(story.opened())
    folder.add(story.triaged())
    with pytest.raises(TooManyError):
        folder.add(story.mitigated())


def test_of_too_many_the_newest_are_read_and_the_rest_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, old, new = IncidentFolder(tmp_path), Story(), Story(began=Story().now + 1)
    monkeypatch.setattr(folder_module, "MAX_INCIDENTS", 1)
    folder.add(old.opened())
    folder.note_recorded(old.id)  # a file of the guard's own is no incident
    assert folder.newest() == ((old.id,), 0)
    folder.add(new.opened())
    assert folder.newest() == ((new.id,), 1)
    assert folder.ids() == (old.id, new.id)
    assert [read.id for read in folder.all()] == [new.id]
    assert folder.has(old.id)
    assert not folder.has("0" * 26)
    assert not folder.has(".recorded")


def test_what_breaks_a_rule_leaves_no_file(tmp_path: Path) -> None:
    folder = IncidentFolder(tmp_path)
    with pytest.raises(EventError):
        folder.add(Story().opened(summary=""))
    assert folder.ids() == ()


def test_what_was_recorded_is_remembered(tmp_path: Path) -> None:
    folder, story = IncidentFolder(tmp_path), Story()
    assert folder.recorded() == frozenset()
    opened, triaged = story.opened(), story.triaged()
    folder.add(opened)
    for event in (opened, triaged):
        folder.note_recorded(event.id)
    assert folder.recorded() == {opened.id, triaged.id}
    with (tmp_path / "incidents" / ".recorded").open("ab") as file:
        file.write(b"\xff torn")
    assert folder.recorded() == {opened.id, triaged.id}


def test_what_cannot_be_written_leaves_nothing_that_looks_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, story = IncidentFolder(tmp_path), Story()
    opened = story.opened()

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    for name in ("link", "open", "fsync"):
        with monkeypatch.context() as patched:
            patched.setattr(f"guard.incidents.folder.os.{name}", full)
            with pytest.raises(OSError, match="No space left"):
                folder.add(opened)
        assert folder.ids() == ()
    folder.add(opened)
    with monkeypatch.context() as patched:
        patched.setattr("guard.incidents.folder.os.link", full)
        with pytest.raises(OSError, match="No space left"):
            folder.add(story.triaged())
    assert folder.read(opened.id).events == (opened,)


def test_what_is_written_halfway_takes_nobodys_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, story = IncidentFolder(tmp_path), Story()
    monkeypatch.setattr(folder_module, "MAX_EVENTS", 2)
    monkeypatch.setattr(folder_module, "RESERVE", 0)
    opened = story.opened()
    folder.add(opened)
    for number in range(5):
        (tmp_path / "incidents" / story.id / f".{opened.id}.{number}").write_text("{")
    triaged = story.triaged()
    folder.add(triaged)
    assert folder.read(story.id).events == (opened, triaged)
