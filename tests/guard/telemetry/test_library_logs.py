"""What libraries log becomes the same lines, with nothing of the traffic in it."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from guard.telemetry.library_logs import JsonLogHandler
from guard.telemetry.logs import JsonLog
from tests.guard.telemetry.records import FixedClock

Logged = Callable[[str, Callable[[logging.Logger], None]], dict[str, Any]]


@pytest.fixture
def logged() -> Iterator[Logged]:
    """Log through the stdlib and return the line that came out."""
    read_end, write_end = os.pipe()
    handler = JsonLogHandler(JsonLog(FixedClock(), write_end))

    def run(name: str, call: Callable[[logging.Logger], None]) -> dict[str, Any]:
        logger = logging.Logger(name)  # noqa: LOG001 - of its own, so that nothing is left behind
        logger.addHandler(handler)
        call(logger)
        line: dict[str, Any] = json.loads(os.read(read_end, 1 << 16))
        return line

    yield run
    os.close(read_end)
    os.close(write_end)


def test_a_library_line_says_which_logger_and_where(logged: Logged) -> None:
    line = logged("uvicorn.error", lambda logger: logger.info("Application startup complete."))
    assert line["event"] == "library"
    assert line["level"] == "info"
    assert line["logger"] == "uvicorn.error"
    assert line["at"].startswith("telemetry/test_library_logs.py:")
    assert line["message"] == "Application startup complete."


def test_numbers_are_filled_in_and_other_values_are_not(logged: Logged) -> None:
    assert logged("uvicorn.error", lambda log: log.info("process [%d]", 7))["message"] == "process [7]"
    assert logged("uvicorn.error", lambda log: log.info("on %s", "PLANTED"))["message"] == "on %s"
    assert logged("uvicorn.error", lambda log: log.info("%d and %d", *[7]))["message"] == "%d and %d"
    assert logged("uvicorn.error", lambda log: log.info("%(x)s", {"x": "PLANTED"}))["message"] == "%(x)s"


def test_only_the_first_line_of_a_message_is_kept(logged: Logged) -> None:
    assert logged("uvicorn.error", lambda log: log.error("Traceback:\n PLANTED"))["message"] == "Traceback:"


def test_a_library_that_quotes_what_it_was_given_is_told_by_its_place_alone(logged: Logged) -> None:
    line = logged("asyncio", lambda log: log.error("Exception in callback f('PLANTED')"))
    assert line["level"] == "error"
    assert "message" not in line
    assert "PLANTED" not in json.dumps(line)


def test_an_exception_is_told_by_type_and_frames(logged: Logged) -> None:
    def fail(logger: logging.Logger) -> None:
        try:
            int("PLANTED")
        except ValueError:
            logger.exception("Exception in ASGI application\n")

    line = logged("uvicorn.error", fail)
    assert line["error"] == ["ValueError"]
    assert line["frames"][-1].startswith("telemetry/test_library_logs.py:")
    assert "PLANTED" not in json.dumps(line)


def test_a_message_that_is_no_text_and_an_empty_exc_info_are_survived(logged: Logged) -> None:
    line = logged("uvicorn.error", lambda log: log.warning(ValueError("PLANTED"), exc_info=(None, None, None)))
    assert line["level"] == "warning"
    assert "PLANTED" not in json.dumps(line)
