"""A process that writes a log and seals it without a pause until it is killed: ``sealing.py FOLDER RUN``."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from pathlib import Path

from guard.audit.ledger import Ledger, Limits
from guard.audit.sealer import open_sealer
from guard.audit.signing_keys import open_keys
from tests.guard.audit.fakes import exchange, outcome


class _Clock:
    def now(self) -> float:
        return time.time()

    def steady(self) -> float:
        return time.monotonic()


def _seal(base: Path, ledger: Ledger) -> None:
    ring = open_keys(base / "state", base / "audit", origin="asl-guard/test", configured=None)
    # Epochs that end at once, so that kills fall into their turns as well.
    sealer = open_sealer(base / "audit", ring, _Clock(), 0.05)
    os.write(1, b"sealing\n")
    while True:
        found = sealer.round({"worker-0": ledger.durable()})
        for each in found.writers:
            os.write(1, f"sealed {each.size} {each.problem}\n".encode())


async def _main(base: Path, run: str) -> None:
    ledger = Ledger.open(base / "audit" / "worker-0", _Clock(), limits=Limits(segment=10_000, interval=0.005))
    threading.Thread(target=_seal, args=(base, ledger), daemon=True).start()
    number = 0
    while True:
        number += 1
        asked = exchange(f"{run}-{number}", text="x" * (number % 200))
        for written in (
            ledger.intent(asked, durable=True, keep=None),
            ledger.outcome(asked, outcome(), durable=True),
        ):
            assert written is not None
            await written


if __name__ == "__main__":
    asyncio.run(_main(Path(sys.argv[1]), sys.argv[2]))
