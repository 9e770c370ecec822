"""``guard demo``: the guard with the example policy and a scripted model behind it, and what to try."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import socket
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from guard.credentials import digest, new_secret
from guard.serve import supervisor

_PACKAGE: Final = Path(__file__).resolve().parents[1]
_PORTS: Final = {"data": 8080, "admin": 9090, "model": 8081}
_ZEROS: Final = '"' + "0" * 64 + '"'


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser("demo", help="run the example with a scripted model and see what to try")
    parser.add_argument("--dir", type=Path, default=Path("var/demo"), help="where it is set up (default: %(default)s)")
    for name, port in _PORTS.items():
        parser.add_argument(f"--{name}-port", type=int, default=port, help="0 takes a free one (default: %(default)s)")
    parser.set_defaults(run=run)


def example() -> Path:
    """Return the example configuration: the package's data, or in a checkout ``config``."""
    installed = _PACKAGE / "data" / "demo"
    return installed if installed.is_dir() else _PACKAGE.parent / "config"


def run(arguments: argparse.Namespace) -> int:
    """Set up, start the model, print what to try, serve."""
    ports = {name: getattr(arguments, f"{name}_port") or _free_port() for name in _PORTS}
    directory: Path = arguments.dir
    prepare(directory, ports, datetime.now(UTC))
    model = subprocess.Popen(
        [sys.executable, "-P", "-m", "guard.cli.demo_model", str(ports["model"])], stdin=subprocess.DEVNULL
    )
    try:
        sys.stdout.write(what_to_try(directory, ports))
        sys.stdout.flush()
        return supervisor.main(directory)
    finally:
        model.terminate()
        model.wait()


def prepare(directory: Path, ports: dict[str, int], now: datetime) -> None:
    """Write the example into ``directory`` with fresh secrets and evidence dated around ``now``; keeps the records."""
    source = example()
    for name in ("models", "rules", "evidence"):
        shutil.rmtree(directory / name, ignore_errors=True)
        (directory / name).mkdir(parents=True)
        for file in sorted((source / name).glob("demo.yaml")):
            shutil.copyfile(file, directory / name / file.name)
    secrets = directory / "secrets"
    secrets.mkdir(mode=0o700, exist_ok=True)
    pepper = os.urandom(32).hex()
    _write_secret(secrets / "pepper", pepper)
    key = new_secret("sk-guard", "demo-app", os.urandom)
    token = new_secret("at-guard", "demo-oncall", os.urandom)
    _write_secret(secrets / "demo-app.key", key)
    _write_secret(secrets / "demo-oncall.token", token)
    later = str((now + timedelta(days=90)).date())
    _edit(
        source / "guard.yaml",
        directory / "guard.yaml",
        {
            _ZEROS: f'"{digest(pepper.encode(), token.encode())}"',
            "port: 8080": f"port: {ports['data']}",
            "port: 9090": f"port: {ports['admin']}",
            "expires: 2027-01-01": f"expires: {later}",
        },
    )
    _edit(
        source / "tiers.yaml",
        directory / "tiers.yaml",
        {
            _ZEROS: f'"{digest(pepper.encode(), key.encode())}"',
            "expires: 2027-01-01": f"expires: {later}",
        },
    )
    _edit(directory / "models" / "demo.yaml", directory / "models" / "demo.yaml", {":8081": f":{ports['model']}"})
    _edit(
        directory / "evidence" / "demo.yaml",
        directory / "evidence" / "demo.yaml",
        {
            "issued: 2026-11-01": f"issued: {(now - timedelta(days=1)).date()}",
            "expires: 2027-05-01": f"expires: {later}",
        },
    )


def what_to_try(directory: Path, ports: dict[str, int]) -> str:
    """Return the text that is printed; every command in it works when pasted into a second terminal."""
    where = shlex.quote(str(directory.resolve()))
    command = shlex.quote(str(Path(sys.executable).with_name("guard")))
    url = f"http://127.0.0.1:{ports['data']}/v1/chat/completions"
    admin = f"http://127.0.0.1:{ports['admin']}"

    def ask(content: str, *, streamed: bool) -> str:
        body = json.dumps({"model": "demo", "stream": streamed, "messages": [{"role": "user", "content": content}]})
        return (
            f'curl -sN {url} -H "Authorization: Bearer $(cat {where}/secrets/demo-app.key)" '
            f"-H 'Content-Type: application/json' -d '{body}'"
        )

    return f"""ASL Guard demo. In a second terminal:

# an allowed request, streamed
{ask("Say hello", streamed=True)}

# a refused request: the prompt holds a text that the operator's rules forbid
{ask("What is FORBIDDEN-MARKER?", streamed=False)}

# a completion that is cut in the middle of the stream, before the forbidden text leaves
{ask("Please recite", streamed=True)}

# a stop that cuts a running stream, and a resume
{ask("Please count", streamed=True)} & sleep 2; {command} stop model:demo --reason 'trying the switch' --config {where}
{command} status --config {where}
{command} resume model:demo --reason 'tried it' --config {where}

# how the model stands against its standard, now and when its evidence has lapsed
{command} check --config {where}

# the metrics, and the request log
curl -s {admin}/metrics | grep ^guard_requests_total
{command} audit tail --config {where}

Ctrl-C ends it.

"""


def _edit(source: Path, target: Path, replacements: dict[str, str]) -> None:
    text = source.read_text()
    for old, new in replacements.items():
        if old not in text:
            raise ValueError(f"{source} no longer has {old!r}")
        text = text.replace(old, new)
    target.write_text(text)


def _write_secret(path: Path, secret: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(secret + "\n")


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port
