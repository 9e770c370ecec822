"""Streams beside large requests: how late their events come while requests of 2 MB are read, judged and forwarded."""

import http.client
import os
import threading
import time
from statistics import median
from types import TracebackType
from typing import Final, Self

from tests.benchmarks.measure import LONG, STREAM_RATE, Run
from tests.benchmarks.process import LOAD_CORE, can_pin
from tests.benchmarks.strict import MEGA, chat_body
from tests.benchmarks.targets import Target

STREAMS: Final = 50
LARGE: Final = 2 * MEGA
PAUSE_SECONDS: Final = 0.1


class Large:
    """One caller who posts a large request, waits for its answer and a tenth of a second, and posts the next."""

    def __init__(self, target: Target) -> None:
        """Prepare the request."""
        self._target = target
        self._body = chat_body(LARGE)
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._post, name="large requests", daemon=True)
        self.seconds: list[float] = []
        self.problem = ""

    def __enter__(self) -> Self:
        """Be ready to begin."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Post no more."""
        self._end.set()
        if self._thread.ident is not None:
            self._thread.join(30)

    def begin(self) -> None:
        """Post from now on."""
        self._thread.start()

    def _post(self) -> None:
        if can_pin():
            os.sched_setaffinity(0, {LOAD_CORE})  # of this thread alone
        link = http.client.HTTPConnection("127.0.0.1", self._target.port, timeout=30)
        headers = {"Authorization": f"Bearer {self._target.key}", "Content-Type": "application/json"}
        try:
            while not self._end.is_set():
                started = time.perf_counter()
                link.request("POST", "/v1/chat/completions", self._body, headers)
                answer = link.getresponse()
                said = answer.read()
                if answer.status != http.HTTPStatus.OK:
                    self.problem = f"{answer.status} {said[:200]!r}"
                    return
                self.seconds.append(time.perf_counter() - started)
                self._end.wait(PAUSE_SECONDS)
        except (OSError, http.client.HTTPException) as error:
            self.problem = repr(error)
        finally:
            link.close()


def bystanders(run: Run, target: Target) -> None:
    """Delay of the events of 50 streams, alone and beside requests of 2 MB; LiteLLM does not carry so many."""
    if target.name == "litellm":
        return
    run.mock.control(STREAM_RATE, LONG)
    for kind in ("alone", "beside"):
        with Large(target) as large:
            during = large.begin if kind == "beside" else lambda: None
            seconds = run.seconds * 2
            report = run.load(
                target, "stream", seconds=seconds, during=during, conns=STREAMS, rate=STREAM_RATE, ramp=1, warm=0.7
            )
        if large.problem:
            raise RuntimeError(f"a large request failed: {large.problem}")
        for part in ("p50", "p99", "max"):
            run.note(f"{kind}_{part}", target, report[f"delay_{part}_us"] / 1000)
        if large.seconds:
            run.note("large_ms", target, median(large.seconds) * 1000)
            run.note("large_rate", target, len(large.seconds) / seconds)
