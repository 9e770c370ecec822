"""Every operation can be drilled, in its own form, and how an answer ended is read from its last words alone."""

from __future__ import annotations

import json

import pytest

from guard.drills.forms import EVERY_FORM, FORMS, HOLD, TICK, code_of
from guard.wire.dialect import NOTHING_GRANTED, Naming
from guard.wire.routes import ROUTES
from guard.wire.strict_json import parse_object
from safeguards.scope import SELF_TEST, Operation
from safeguards.verdict import Code

NAMING = Naming("r" * 28, SELF_TEST, 1)


def test_there_is_a_form_for_every_operation_and_every_route() -> None:
    assert set(FORMS) == set(Operation)
    assert {form.path.encode() for form in FORMS.values()} == set(ROUTES)


def test_what_can_be_asked_in_pieces_and_in_one_is_drilled_both_ways() -> None:
    assert len({form.name for form in EVERY_FORM}) == len(EVERY_FORM) == len(FORMS) + 4
    whole = [form for form in EVERY_FORM if form.name.endswith(", not streamed")]
    assert {form.operation for form in whole} == {form.operation for form in FORMS.values() if form.streams}
    assert not any(form.streams for form in whole)


@pytest.mark.parametrize("operation", Operation)
def test_the_guard_understands_what_is_asked_and_what_the_synthetic_model_answers(operation: Operation) -> None:
    form = FORMS[operation]
    dialect = ROUTES[form.path.encode()]
    assert dialect.operation == operation
    asked = dialect.read_request(parse_object(form.ask(HOLD, streamed=form.streams)), NOTHING_GRANTED)
    assert (asked.model, asked.streamed) == (SELF_TEST, form.streams)
    assert any(HOLD in passage.text for passage in asked.passages)
    plain = dialect.read_request(parse_object(form.ask(HOLD, streamed=False)), NOTHING_GRANTED)
    reader = dialect.reader(plain, NAMING)
    reader.feed(json.dumps(form.whole).encode())
    assert reader.finish()
    if form.streams:
        reader = dialect.reader(asked, NAMING)
        released = b"".join(event.data for event in reader.feed(form.begin + form.tick * 3))
        assert released.count(TICK.encode()) == 3
        assert reader.dropped == 0
        assert not reader.done


@pytest.mark.parametrize("operation", Operation)
def test_the_code_is_read_from_an_error_and_from_the_last_event_of_a_stream(operation: Operation) -> None:
    dialect = ROUTES[FORMS[operation].path.encode()]
    assert code_of(dialect.error(Code.STOPPED, "r" * 28, "Order 1.")) == "stopped"
    if FORMS[operation].streams:
        tick = FORMS[operation].tick
        assert code_of(tick + dialect.end_failed(NAMING, None, Code.STOPPED)) == "stopped"
        assert code_of(dialect.end_failed(NAMING, None, Code.STOPPED) + tick) == ""
        assert code_of(tick + dialect.end_blocked(NAMING, None)) == ""


@pytest.mark.parametrize(
    "body", [b"", b"data: [DONE]\n\n", b"{}", b'{"error": 1}', b'{"error": {}}', b"\xff", b"[" * 9999]
)
def test_what_is_no_error_has_no_code(body: bytes) -> None:
    assert code_of(body) == ""
