"""How the guard is started for the benchmarks: one worker, in front of one OpenAI-compatible upstream.

`start` is called once per round, and once more for the memory figure, while the calling thread is confined to the
core of the proxies; what it starts inherits that, so it must not move itself. It has to:
- write a configuration below `workdir` whose one model is served by `upstream_url` (`http://127.0.0.1:PORT`, to which
  `/v1/chat/completions` is appended), with every feature on that a deployment would have on: prompt and every chunk
  inspected, durable audit before forward and before release, metrics, 1 % of requests traced;
- make an API key that may use the model for streams and for plain answers, with limits far above 3,000 streams
  open at once and 100,000 requests a second, and answers of 4,000 text events;
- start `guard serve --config DIR` with all its output in `log`, listening on 127.0.0.1;
- return at once: the caller waits until a request to the model is answered with 200.
The caller stops `processes` with SIGTERM, reads their CPU time and memory, children included.
"""

from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.process import Process


class GuardUnavailableError(RuntimeError):
    """The guard cannot be measured, and why."""


@dataclass(frozen=True, slots=True)
class GuardTarget:
    """A started guard, and what a caller must know to use it."""

    processes: tuple[Process, ...]
    port: int
    api_key: str
    model: str
    features: str  # for the line of conditions: what is switched on

    @property
    def pids(self) -> tuple[int, ...]:
        """The ids of the started processes; their children are found by the caller."""
        return tuple(process.pid for process in self.processes)


def start(upstream_url: str, workdir: Path, log: Path) -> GuardTarget:
    """Start the guard in front of `upstream_url`, with its configuration and state below `workdir`."""
    raise GuardUnavailableError(
        f"guard_target.start is not written yet (upstream {upstream_url}, workdir {workdir}, log {log})"
    )
