"""What libraries log, as the same JSON lines and as free of traffic."""

from __future__ import annotations

import logging

from guard.telemetry.errors import frames, place, types
from guard.telemetry.logs import Event, JsonLog, Level, Value


class JsonLogHandler(logging.Handler):
    """Carries what libraries log into the same lines: where, which kind of error, and the message's template.

    A message is kept only from libraries known to put no traffic into it, and only as its template (its values too
    if all are numbers): asyncio, for one, quotes the arguments of a failed callback. What is left out is found by
    its file and line.
    """

    TRUSTED = ("uvicorn", "opentelemetry", "guard")

    def __init__(self, log: JsonLog) -> None:
        """Write to this log."""
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record of a library."""
        level = Level.ERROR if record.levelno >= logging.ERROR else Level.WARNING
        if record.levelno < logging.WARNING:
            level = Level.INFO
        fields: dict[str, Value] = {"logger": record.name, "at": place(record.pathname, record.lineno)}
        if record.name.partition(".")[0] in self.TRUSTED and isinstance(record.msg, str):
            fields["message"] = _template(record).partition("\n")[0]
        if record.exc_info and record.exc_info[1]:
            fields["error"] = types(record.exc_info[1])
            fields["frames"] = frames(record.exc_info[2])
        self._log.emit(level, Event.LIBRARY, **fields)


def _template(record: logging.LogRecord) -> str:
    values = record.args if isinstance(record.args, tuple) else ()
    if values and all(isinstance(value, int | float) for value in values):
        try:
            return str(record.msg) % values
        except (TypeError, ValueError):  # the library's own mistake must not cost us its line
            return str(record.msg)
    return str(record.msg)
