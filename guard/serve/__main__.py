"""How the supervisor starts a worker: ``python -m guard.serve`` with one JSON argument, inherited sockets beside it."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path

from guard.audit.segments import LedgerError
from guard.clock import SystemClock
from guard.policy.source import ConfigError
from guard.serve.processes import CANNOT_START, Standing
from guard.serve.worker import main
from guard.telemetry.logs import Event, JsonLog, Level

if __name__ == "__main__":
    # A service manager signals every process of the service; the supervisor alone decides how to end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    order = json.loads(sys.argv[1])
    try:
        standing = Standing(Path(order["config"]), order["digest"], Path(order["snapshot"]))
        code = main(standing, order["index"], order["listeners"], order["control"])
    except (ConfigError, LedgerError, OSError, ValueError, RuntimeError) as problem:
        # What cannot be opened or compiled; none of these quotes what a caller sent.
        JsonLog(SystemClock()).emit(
            Level.ERROR, Event.CONFIG_REFUSED, worker=order["index"], error=type(problem).__name__, reason=str(problem)
        )
        code = CANNOT_START
    sys.exit(code)
