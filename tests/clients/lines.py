"""A program that drives libraries of another language or environment, one line of JSON for each thing said."""

from __future__ import annotations

import json
import queue
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

from tests.clients.endings import Ask, Seen

PATIENCE: Final = 60.0


class Lines:
    """The program; it starts with the first question, answers one at a time, and ends with `close`."""

    def __init__(self, command: Callable[[], Sequence[str]]) -> None:
        """Take what says how to start it, and installs it where that has not been done."""
        self._command = command
        self._process: subprocess.Popen[str] | None = None
        self._said: queue.Queue[str] = queue.Queue()

    def client(self, name: str) -> Callable[[Ask], Seen]:
        """One of the libraries that it drives."""

        def look(ask: Ask) -> Seen:
            question = asdict(ask) | {"came": None, "client": name}
            return Seen(**self.ask(question, ask.came)["seen"])

        return look

    def ask(self, question: Mapping[str, Any], came: Callable[[], None] = lambda: None) -> Any:
        """Ask anything; AssertionError if the program reports a fault, TimeoutError if it says nothing."""
        process = self._running()
        assert process.stdin is not None
        process.stdin.write(json.dumps(question) + "\n")
        process.stdin.flush()
        while True:
            try:
                line = self._said.get(timeout=PATIENCE)
            except queue.Empty:
                raise TimeoutError("the program has said nothing") from None
            answer = json.loads(line) if line else {"fault": "the program has ended"}
            assert "fault" not in answer, answer["fault"]
            if "came" not in answer:
                return answer
            came()

    def close(self) -> None:
        """Let it end, which it does when nothing more can be asked, or make it; it may be asked again later."""
        if self._process is None:
            return
        process, self._process = self._process, None
        with process:
            assert process.stdin is not None
            process.stdin.close()
            try:
                process.wait(PATIENCE / 4)
            except subprocess.TimeoutExpired:
                process.kill()

    def _running(self) -> subprocess.Popen[str]:
        if self._process is None:
            self._said = queue.Queue()
            self._process = subprocess.Popen(self._command(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            threading.Thread(target=_listen, args=(self._process, self._said), daemon=True).start()
        return self._process


def _listen(process: subprocess.Popen[str], said: queue.Queue[str]) -> None:
    assert process.stdout is not None
    with process.stdout as lines:
        for line in lines:
            said.put(line)
    said.put("")
