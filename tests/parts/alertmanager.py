"""A real Alertmanager, Debian's, that sends to whom a test says."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from tests.parts.debian import Server, binary, command, environment, unpacked
from tests.parts.ports import free_port

# The program looks for a template of its package at this place and nowhere else. In a namespace of its own, which
# needs no right, it sees its package's files there.
_WITH_ITS_FILES = 'mount --bind "$0" /usr/share && exec "$@"'


class Alertmanager(Server):
    """Alertmanager on a free loopback port, inside a `with` block.

    ``webhook`` is a receiver's `webhook_configs` entry; every alert goes to it at once, and again four times a second
    as long as it fires. ``folder`` takes the configuration, the storage and the log. Entering raises RuntimeError if
    it does not start.
    """

    def __init__(self, folder: Path, webhook: Mapping[str, object]) -> None:
        """Fetch the package if it is not there and write the configuration; start nothing yet."""
        port = free_port()
        self.address = f"127.0.0.1:{port}"
        home = folder / f"alertmanager-{port}"
        home.mkdir()
        route = {"receiver": "guard", "group_by": ["..."], "group_wait": "0s"}
        config = {
            "route": {**route, "group_interval": "250ms", "repeat_interval": "250ms"},
            "receivers": [{"name": "guard", "webhook_configs": [dict(webhook)]}],
        }
        file = home / "alertmanager.yml"
        file.write_text(json.dumps(config))  # JSON is YAML
        package = "prometheus-alertmanager"
        program = [
            *(str(binary(package, package)), "--config.file", str(file), "--storage.path", str(home / "data")),
            *("--web.listen-address", self.address, "--cluster.listen-address="),
        ]
        within = [command("unshare", "util-linux"), "--map-root-user", "--mount", "/bin/sh", "-c", _WITH_ITS_FILES]
        super().__init__(
            [*within, str(unpacked(package) / "usr" / "share"), *program],
            url=f"http://{self.address}",
            ready="/-/ready",
            log=home / "log",
            env=environment(package),
        )

    def fire(self, *alerts: Mapping[str, object]) -> None:
        """Tell it of alerts as a client of its API does: each with `labels`, and what else the API takes."""
        self._http.post("/api/v2/alerts", json=list(alerts)).raise_for_status()
