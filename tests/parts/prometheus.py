"""A real Prometheus, Debian's, that scrapes what a test gives it."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.parts.debian import Server, binary, environment
from tests.parts.ports import free_port


class Prometheus(Server):
    """Prometheus on a free loopback port, inside a `with` block.

    Without `config` (its text, or the same as a mapping) it scrapes itself (job `prometheus`) and
    `targets` (job -> addresses as host:port) once in `every` milliseconds, which is also what a scrape
    may take; its first scrape comes 5 s after the start, which no flag changes. `folder` takes the configuration,
    the storage and the log. Entering raises RuntimeError if it does not start.
    """

    def __init__(
        self,
        folder: Path,
        config: Mapping[str, object] | str | None = None,
        *,
        targets: Mapping[str, Sequence[str]] | None = None,
        every: int = 250,
    ) -> None:
        """Fetch the package if it is not there and write the configuration; start nothing yet."""
        if config is not None and targets is not None:
            raise ValueError("a configuration names its own targets")
        port = free_port()
        self.address = f"127.0.0.1:{port}"
        if config is None:
            config = _scraping({"prometheus": [self.address], **(targets or {})}, every)
        home = folder / f"prometheus-{port}"
        home.mkdir()
        file = home / "prometheus.yml"
        # JSON is YAML.
        file.write_text(config if isinstance(config, str) else json.dumps(config))
        command = [
            *(str(binary("prometheus", "prometheus")), "--config.file", str(file)),
            *("--storage.tsdb.path", str(home / "data"), "--web.listen-address", self.address),
            *("--enable-feature", "exemplar-storage"),
        ]
        super().__init__(
            command,
            url=f"http://{self.address}",
            ready="/-/ready",
            log=home / "log",
            env=environment("prometheus"),
        )

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The samples now, each with `metric` (its labels) and `value` (seconds, text). ValueError if refused."""
        return self._ask("query", query=expression)

    def query_range(self, expression: str, start: float, end: float, step: float) -> list[dict[str, Any]]:
        """The series between two Unix times, `step` seconds apart, each with `metric` and `values`."""
        return self._ask("query_range", query=expression, start=start, end=end, step=step)

    def wait_for(self, expression: str, seconds: float = 30) -> list[dict[str, Any]]:
        """The first answer that has a sample; TimeoutError if there is none in time."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if samples := self.query(expression):
                return samples
            time.sleep(0.05)
        raise TimeoutError(f"no sample of `{expression}` within {seconds} s")

    def _ask(self, what: str, **parameters: str | float) -> list[dict[str, Any]]:
        answer = self._http.get(f"/api/v1/{what}", params=parameters).json()
        if answer["status"] != "success":
            raise ValueError(f"{parameters['query']}: {answer['error']}")
        if answer["data"]["resultType"] not in ("vector", "matrix"):
            raise ValueError(f"{parameters['query']}: a {answer['data']['resultType']}, not samples")
        samples: list[dict[str, Any]] = answer["data"]["result"]
        return samples


def promtool(*arguments: str, said: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run Prometheus's own checker, e.g. `promtool("check", "rules", path)`; judge by its returncode."""
    return subprocess.run(
        [binary("prometheus", "promtool"), *arguments],
        env=environment("prometheus"),
        input=said,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def _scraping(targets: Mapping[str, Sequence[str]], every: int) -> dict[str, object]:
    return {
        "global": {
            "scrape_interval": f"{every}ms",
            "scrape_timeout": f"{every}ms",
            "evaluation_interval": f"{every}ms",
        },
        "scrape_configs": [
            {"job_name": job, "static_configs": [{"targets": list(addresses)}]} for job, addresses in targets.items()
        ],
    }
