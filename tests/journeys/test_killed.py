"""A guard killed at any moment under load: every request that reached the model is on record afterwards."""

from __future__ import annotations

import os
import random
import signal
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from guard.audit import records
from guard.audit.read import Damage, Entry, iter_records
from tests.parts.configuration import ModelSpec, write_configuration
from tests.parts.guard_process import GuardProcess, wait_until
from tests.parts.raw_caller import RawCaller
from tests.parts.upstream import ScriptedUpstream, says

CALLERS = 4


class Load:
    """Callers that ask again and again until told to end, whatever becomes of their requests."""

    def __init__(self, port: int, key: str) -> None:
        """Begin."""
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(port, key)) for _ in range(CALLERS)]
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        """Have them leave."""
        self._ended.set()
        for thread in self._threads:
            thread.join(30)

    def _ask(self, port: int, key: str) -> None:
        while not self._ended.is_set():
            with suppress(OSError, EOFError), RawCaller(port, key) as caller:
                caller.ask()
                caller.answer()


@pytest.mark.parametrize("victim", ["worker", "supervisor"])
@pytest.mark.parametrize("seed", range(4))
def test_what_reached_the_model_is_on_record_after_the_guard_was_killed(tmp_path: Path, victim: str, seed: int) -> None:
    at = 20 + random.Random(seed).randrange(200)
    with ScriptedUpstream(says("a ", "few ", "words")) as upstream:
        credentials = write_configuration(tmp_path, models=[ModelSpec(asl=3, upstream=upstream.url)])
        with GuardProcess(tmp_path) as guard:
            load = Load(guard.data[1], credentials.key)
            try:
                upstream.wait_for_requests(at)
                for pid in (guard.worker(),) if victim == "worker" else (guard.pid, guard.worker()):
                    os.kill(pid, signal.SIGKILL)
                if victim == "worker":
                    guard.wait_for("worker_started", 2)
                    upstream.wait_for_requests(len(upstream.requests) + 20)
            finally:
                load.end()
        with GuardProcess(tmp_path) as guard, RawCaller(guard.data[1], credentials.key) as caller:
            caller.ask()
            assert caller.answer().texts == "a few words"
            reached = [request.identity for request in upstream.requests]

            def known() -> tuple[set[str], set[str]]:
                found = [item.record for item in iter_records(tmp_path / "var" / "audit") if isinstance(item, Entry)]
                intents = {each.id for each in found if isinstance(each, records.Intent)}
                ends = {each.id for each in found if isinstance(each, records.Outcome)}
                return intents, ends | {each.id for each in found if isinstance(each, records.Recovered)}

            wait_until(lambda: reached[-1] in known()[1], "the last exchange has its end on record")
            intents, ends = known()
            assert set(reached) <= intents
            assert intents <= ends  # nothing is left open: what was running then is on record as ended by the kill
            damage = [item for item in iter_records(tmp_path / "var" / "audit") if isinstance(item, Damage)]
            assert len(reached) == len(set(reached))  # nothing was sent twice
            assert len(damage) <= 1
