"""A stop keeps back what a slow caller has not taken: the guard's own sockets hold little, and throw it away."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from guard.cli import main
from guard.serve.untaken import UNSENT
from tests.parts.configuration import ModelSpec, write_configuration
from tests.parts.guard_process import GuardProcess, wait_until
from tests.parts.raw_caller import RawCaller
from tests.parts.upstream import STREAM_HEAD, Peer, Received, ScriptedUpstream, chunk, text

RECEIVE_BUFFER: Final = 4096
PIECE: Final = "word " * 400


class Flood:
    """An answer without an end, as fast as the guard takes it; ``sent`` events, the last ``at``."""

    def __init__(self) -> None:
        """Begin with none."""
        self.sent = 0
        self.at = 0.0

    async def __call__(self, peer: Peer, request: Received) -> None:
        """Answer."""
        await peer.send(STREAM_HEAD)
        with suppress(ConnectionError):
            while not peer.left:
                await peer.send(chunk(text(PIECE)))
                self.sent += 1
                self.at = time.monotonic()

    @property
    def stuck(self) -> bool:
        """Whether the guard has taken nothing for a while."""
        return self.sent > 0 and time.monotonic() - self.at > 0.5


def test_a_stop_keeps_back_what_a_slow_caller_has_not_taken(tmp_path: Path) -> None:
    flood = Flood()
    with ScriptedUpstream(flood) as upstream:
        key = write_configuration(tmp_path, models=[ModelSpec(upstream=upstream.url)]).key
        with (
            GuardProcess(tmp_path) as guard,
            RawCaller(guard.data[1], key, receive_buffer=RECEIVE_BUFFER) as slow,
            RawCaller(guard.data[1], key) as quick,
        ):
            slow.ask()
            slow.until(b"data: ")
            wait_until(lambda: flood.stuck, "the caller is waited for")
            quick.ask()
            quick.until(b"data: ")
            assert main(["stop", "model:demo", "--config", str(tmp_path)]) == 0
            # The one who reads is told in the answer itself.
            got = quick.answer()
            assert (got.code, got.ended, got.closed) == ("stopped", True, True)
            guard.wait_for("exchange", 2, ending="stopped")
            size, reset = 0, False
            try:
                while piece := slow.socket.recv(65_536):
                    size += len(piece)
            except ConnectionResetError:
                reset = True
    assert reset
    assert size <= 4 * RECEIVE_BUFFER < UNSENT  # what lay with him already
