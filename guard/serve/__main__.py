"""How the supervisor starts a worker: ``python -m guard.serve`` with one JSON argument, inherited sockets beside it."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path

from guard.policy.source import ConfigError
from guard.serve.worker import main

if __name__ == "__main__":
    # A Ctrl-C in a terminal reaches every process of the group; the supervisor alone decides how to end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    order = json.loads(sys.argv[1])
    try:
        code = main(Path(order["config"]), order["index"], order["digest"], order["listeners"], order["control"])
    except (ConfigError, OSError, ValueError, RuntimeError) as problem:
        sys.stderr.write(f"worker {order['index']}: {problem}\n")
        code = 2
    sys.exit(code)
