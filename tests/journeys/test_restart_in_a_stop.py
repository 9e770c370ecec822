"""A guard that is killed between the writing of a stop and its acknowledgement: it comes back stopped, and says so."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

from tests.parts.configuration import ModelSpec, write_configuration
from tests.parts.guard_process import GUARD, PATIENCE, GuardProcess, wait_until
from tests.parts.raw_caller import RawCaller, Whole
from tests.parts.upstream import ScriptedUpstream, says


def ask(guard: GuardProcess, key: str) -> Whole:
    with RawCaller(guard.data[1], key) as caller:
        caller.ask(stream=False)
        return caller.answer()


def test_a_stop_that_nobody_has_acknowledged_yet_holds_after_the_restart(tmp_path: Path) -> None:
    """The worker is frozen, so that the order lies there and nobody has seen it, and then the power fails."""
    with ScriptedUpstream(says("hello")) as upstream:
        credentials = write_configuration(tmp_path, models=[ModelSpec("demo", 2, upstream.url)])
        orders = tmp_path / "var" / "state" / "orders"
        with GuardProcess(tmp_path) as guard:
            assert ask(guard, credentials.key).status == 200
            os.kill(guard.worker(), signal.SIGSTOP)
            command = [GUARD, "stop", "model:demo", "--reason", "in the night", "--config", str(tmp_path)]
            with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as asking:
                wait_until(lambda: any(orders.glob("*.json")), "the order lies there")
                for pid in (guard.pid, guard.worker()):
                    os.kill(pid, signal.SIGKILL)
                guard.wait()
                before = len(upstream.requests)
                with GuardProcess(tmp_path) as again:
                    assert ask(again, credentials.key).code == "stopped"
                    out, err = asking.communicate(timeout=PATIENCE)
                    (order,) = (path.stem for path in orders.glob("*.json"))
                    # Confirmed by the workers that came after, or not confirmed in time: never lost, never denied.
                    assert asking.returncode in {0, 5}, err
                    assert f"(order {order})" in out
                    status = subprocess.run(
                        [GUARD, "status", "--config", str(tmp_path)], capture_output=True, text=True, check=False
                    )
                    assert status.returncode == 3
                    assert order in status.stdout
                    assert len(upstream.requests) == before
