"""What some readers take for the end of a line, in any channel of any stream: no event is cut there."""

from __future__ import annotations

from typing import Final

import pytest

from guard.wire.dialect import NOTHING_GRANTED, Naming
from guard.wire.routes import ROUTES
from tests.parts.answer_places import FORMS, encode
from tests.parts.model_names import REQUESTS

ENDS: Final = "a\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029b"
PLACES: Final = [(path, name) for path, forms in FORMS.items() for name in forms]


@pytest.mark.parametrize(("path", "name"), PLACES, ids=[f"{path.decode()}-{name}" for path, name in PLACES])
def test_every_event_is_one_line_for_every_reader(path: bytes, name: str) -> None:
    form = FORMS[path][name]
    fields = {"model": "demo", "stream": True, **REQUESTS[path]}
    reader = ROUTES[path].reader(ROUTES[path].read_request(fields, NOTHING_GRANTED), Naming("r1", "demo", 0))
    written = b""
    for event in form.streamed([ENDS]):
        written += b"".join(each.data for each in reader.feed(encode(path, event)))
    seen = written.decode()
    assert seen.splitlines() == seen.split("\n")[:-1]
    assert "\\u2028" in seen
    assert any(ENDS[-4:] in channel.text for channel in reader.channels.values())


@pytest.mark.parametrize("path", FORMS)
def test_the_ending_of_a_stream_that_is_cut_is_no_exception(path: bytes) -> None:
    dialect = ROUTES[path]
    fields = {"model": "demo", "stream": True, **REQUESTS[path]}
    reader = dialect.reader(dialect.read_request(fields, NOTHING_GRANTED), naming := Naming("r1", "demo", 0))
    form = next(iter(FORMS[path].values()))
    last = None
    for event in form.streamed([ENDS])[:-2]:
        for each in reader.feed(encode(path, event)):
            last = each
    assert last is not None
    seen = dialect.end_blocked(naming, last.seen).decode()
    assert seen
    assert seen.splitlines() == seen.split("\n")[:-1]
