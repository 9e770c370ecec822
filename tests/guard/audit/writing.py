"""A process that writes a ledger with eight tasks until it is killed; prints what it was told is recorded.

``durable <id>`` after the await, ``buffered <id>`` after a call that needed none, ``ended <id>`` for an outcome.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path

import uvloop

from guard.audit.ledger import Ledger, Limits
from safeguards.exchange import Channel, ChannelId, ChannelKind
from tests.guard.audit.fakes import KEEP, data_keys, exchange, outcome


class _Clock:
    def now(self) -> float:
        return time.time()

    def steady(self) -> float:
        return time.monotonic()


async def _write(ledger: Ledger, name: str) -> None:
    number = 0
    while True:
        number += 1
        asked = exchange(f"{name}-{number}", text="x" * (number % 300))
        durable = number % 3 > 0
        written = ledger.intent(asked, durable=durable, keep=KEEP)
        if written is not None:
            await written
        os.write(1, f"{'durable' if durable else 'buffered'} {asked.id}\n".encode())
        channel = Channel(ChannelId(0, ChannelKind.CONTENT))
        channel.append("y" * (number % 50 + 1))
        ledger.part(asked, channel)
        await asyncio.sleep(0)
        if number % 5:
            ended = ledger.outcome(asked, outcome(), durable=durable)
            if ended is not None:
                await ended
            os.write(1, f"ended {asked.id}\n".encode())


async def _main(directory: Path, run: str) -> None:
    ledger = Ledger.open(
        directory, _Clock(), limits=Limits(segment=15_000, interval=0.01), keys=data_keys(directory.parent)
    )
    await asyncio.gather(*(_write(ledger, f"{run}-{task}") for task in range(8)))


if __name__ == "__main__":
    (uvloop.run if sys.argv[3] == "uvloop" else asyncio.run)(_main(Path(sys.argv[1]), sys.argv[2]))
