"""What a request needs of its model is frozen and bounded."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest

from guard.audit.frames import MAX_PAYLOAD
from tests.guard.road import Road


def test_a_serving_cannot_be_changed_under_a_running_request() -> None:
    with pytest.raises(FrozenInstanceError):
        Road().serving.unmet = ("L1.x",)  # type: ignore[misc]  # the point


def test_the_longest_answer_fits_into_one_record_of_the_log() -> None:
    # A character is at most six bytes of JSON (an escape); half a megabyte is room for everything else.
    assert Road().serving.answer_characters * 6 + 524_288 < MAX_PAYLOAD
