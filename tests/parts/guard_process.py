"""``guard serve`` as a real process: started on the ports of its configuration, waited for, heard, and ended by pid."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Self

import httpx

PATIENCE: Final = 30.0
GUARD: Final = str(Path(sys.executable).with_name("guard"))

Line = Mapping[str, Any]


def wait_until(true: Callable[[], bool], what: str, seconds: float = PATIENCE) -> None:
    """Return once it is true; TimeoutError that names ``what`` after ``seconds``."""
    until = time.monotonic() + seconds
    pause = threading.Event()
    while not true():
        if time.monotonic() > until:
            raise TimeoutError(f"not within {seconds} s: {what}")
        pause.wait(0.005)


def alive(pid: int) -> bool:
    """Whether a process of this pid runs; a zombie does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0]
    except OSError:
        return False
    return state not in {b"Z", b"X"}


class GuardProcess:
    """One guard inside a ``with`` block; leaving it ends the process and every worker it ever logged.

    ``log`` holds its JSON lines so far (a line that is none stands under the key ``text``). Ports may be 0: the
    addresses are those of its ``started`` line.
    """

    def __init__(self, config: Path, *, ready: bool = True, environment: Mapping[str, str] | None = None) -> None:
        """Serve this configuration directory; unless ``ready`` is False, entering waits until requests are served."""
        self.config = config
        self.log: list[Line] = []
        self._ready = ready
        self._environment = {**os.environ, **(environment or {})}
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        """Start it."""
        self._process = subprocess.Popen(
            [GUARD, "serve", "--config", str(self.config)],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        self._reader.start()
        try:
            self.wait_for("started")
            if self._ready:
                wait_until(lambda: self.get("/health/ready").status_code == 200, "the guard is ready")
        except BaseException as problem:
            self.__exit__()
            problem.add_note(f"its log: {self.log[-20:]}")
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """End everything at once; a stopped process is let go on first, so that nothing is left behind."""
        for pid in (self.pid, *self.worker_pids()):
            if alive(pid):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        if self._process is not None:
            self._process.wait(PATIENCE)
        for pid in self.worker_pids():
            wait_until(lambda pid=pid: not alive(pid), f"worker process {pid} is gone")  # type: ignore[misc]  # bound at once
        self._reader.join(PATIENCE)
        if self._process is not None and self._process.stderr is not None:
            self._process.stderr.close()

    @property
    def pid(self) -> int:
        """The supervisor's."""
        assert self._process is not None
        return self._process.pid

    @property
    def data(self) -> tuple[str, int]:
        """Where the first surface listens."""
        return self.surface()

    @property
    def url(self) -> str:
        """Of the first surface."""
        return "http://{}:{}".format(*self.surface())

    @property
    def admin_url(self) -> str:
        """Of the admin listener."""
        return f"http://{self.wait_for('started')['admin']}"

    def surface(self, name: str = "") -> tuple[str, int]:
        """Where a surface listens; the first, if no name is given."""
        for each in self.wait_for("started")["surfaces"]:
            found, _, address = each.partition("=")
            if name in {"", found}:
                host, _, port = address.rpartition(":")
                return host, int(port)
        raise KeyError(name)

    def get(self, path: str) -> httpx.Response:
        """Ask the admin listener; status 599 while it does not answer."""
        try:
            return httpx.get(self.admin_url + path, trust_env=False, timeout=5.0)
        except httpx.HTTPError:
            return httpx.Response(599)

    def wait_for(self, event: str, count: int = 1, **fields: object) -> Line:
        """Return the ``count``-th line of this event with these fields, waiting for it."""
        wait_until(lambda: len(self.lines(event, **fields)) >= count or self._over(), f"{count} lines {event} {fields}")
        found = self.lines(event, **fields)
        if len(found) < count:
            raise AssertionError(f"the guard ended without a line {event} {fields}: {self.log}")
        return found[count - 1]

    def lines(self, event: str, **fields: object) -> list[Line]:
        """Return the lines of this event with these fields."""
        wanted = {"event": event, **fields}
        return [line for line in tuple(self.log) if all(line.get(name) == value for name, value in wanted.items())]

    def worker_pids(self) -> list[int]:
        """Every worker process that was started, in the order of their starts."""
        return [int(line["pid"]) for line in self.lines("worker_started")]

    def worker(self, index: int = 0) -> int:
        """The pid of the latest worker in this place."""
        return int(self.lines("worker_started", worker=index)[-1]["pid"])

    def signal(self, number: signal.Signals) -> None:
        """Send the supervisor a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def wait(self, seconds: float = PATIENCE) -> int:
        """Wait for the supervisor's end; returns its exit code."""
        assert self._process is not None
        return self._process.wait(seconds)

    def _over(self) -> bool:
        return self._process is not None and self._process.poll() is not None and not self._reader.is_alive()

    def _read(self) -> None:
        assert self._process is not None
        assert self._process.stderr is not None
        for raw in self._process.stderr:
            try:
                line = json.loads(raw)
            except ValueError:
                line = {"text": raw.decode("utf-8", "replace")}
            self.log.append(line)
