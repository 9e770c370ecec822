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
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from guard.credentials import digest, new_secret
from guard.policy.schema import write_schemas
from guard.serve import supervisor
from guard.serve.server import listen

_PACKAGE: Final = Path(__file__).resolve().parents[1]
_PORTS: Final = {"data": 8080, "admin": 9090, "model": 8081}
EVIDENCE_DAYS: Final = 90
MODEL_SECONDS: Final = 30.0
MARKER: Final = ".guard-demo"
_USAGE: Final = 2
_ZEROS: Final = '"' + "0" * 64 + '"'


class NotADemoError(Exception):
    """A directory that holds what no demo has put there; setting one up would destroy it."""


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
    # Every port before the first file: a demo that runs already must keep the secrets that it printed.
    ports = {name: _free_port(getattr(arguments, f"{name}_port")) for name in _PORTS}
    directory: Path = arguments.dir
    now = datetime.now(UTC)
    try:
        prepare(directory, ports, now)
    except NotADemoError as refusal:
        sys.stderr.write(f"guard: {refusal}\n")
        return _USAGE
    # In a group of its own, so that Ctrl-C lets running streams finish first; it ends when our end of its input closes.
    model = subprocess.Popen(
        [sys.executable, "-P", "-m", "guard.cli.demo_model", str(ports["model"])],
        stdin=subprocess.PIPE,
        process_group=0,
    )
    try:
        _await_model(model, ports["model"])
        sys.stdout.write(what_to_try(directory, ports, now))
        sys.stdout.flush()
        return supervisor.main(directory)
    finally:
        model.kill()
        model.communicate()


def prepare(directory: Path, ports: dict[str, int], now: datetime) -> None:
    """Write the example into ``directory`` with fresh secrets and evidence dated around ``now``; keeps the records.

    Raises NotADemoError, and changes nothing, for a directory that holds something and that no demo was set up in.
    """
    source = example()
    _claim(directory)
    for name in ("models", "rules", "evidence"):
        shutil.rmtree(directory / name, ignore_errors=True)
        (directory / name).mkdir(parents=True)
        for file in sorted((source / name).glob("demo.yaml")):
            shutil.copyfile(file, directory / name / file.name)
    write_schemas(directory / "schemas")  # the files' first lines name them, for editors
    secrets = directory / "secrets"
    secrets.mkdir(mode=0o700, exist_ok=True)
    pepper = os.urandom(32).hex()
    _write_secret(secrets / "pepper", pepper)
    if not (secrets / "content-key").exists():  # the records of an earlier run stay readable
        _write_secret(secrets / "content-key", os.urandom(32).hex())
    key = new_secret("sk-guard", "demo-app", os.urandom)
    token = new_secret("at-guard", "demo-oncall", os.urandom)
    _write_secret(secrets / "demo-app.key", key)
    _write_secret(secrets / "demo-oncall.token", token)
    later = str((now + timedelta(days=EVIDENCE_DAYS)).date())
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
    _edit(source / "operators.yaml", directory / "operators.yaml", {"expires: 2027-01-01": f"expires: {later}"})
    _edit(directory / "models" / "demo.yaml", directory / "models" / "demo.yaml", {":8081": f":{ports['model']}"})
    _edit(
        directory / "evidence" / "demo.yaml",
        directory / "evidence" / "demo.yaml",
        {
            "issued: 2026-11-01": f"issued: {(now - timedelta(days=1)).date()}",
            "expires: 2027-05-01": f"expires: {later}",
        },
    )


def _claim(directory: Path) -> None:
    """Mark the directory as a demo's, before anything in it is replaced."""
    marker = directory / MARKER
    directory.mkdir(parents=True, exist_ok=True)
    if not marker.is_file() and any(directory.iterdir()):
        raise NotADemoError(
            f"{directory} is not empty and no demo was set up there (it has no file {MARKER}): its configuration and "
            "secrets would be overwritten; give another --dir"
        )
    marker.write_text("`guard demo` set this directory up, and replaces its configuration and secrets each time.\n")


def what_to_try(directory: Path, ports: dict[str, int], now: datetime) -> str:
    """Return the text that is printed; every command in it works when pasted into a second terminal."""
    where = shlex.quote(str(directory.resolve()))
    command = shlex.quote(str(Path(sys.executable).with_name("guard")))
    url = f"http://127.0.0.1:{ports['data']}/v1/chat/completions"
    admin = f"http://127.0.0.1:{ports['admin']}"
    lapsed = (now + timedelta(days=EVIDENCE_DAYS)).date()

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

# the same in a browser: {admin}/control, with this token
cat {where}/secrets/demo-oncall.token

# how the model stands against its standard, now and when its evidence has lapsed
{command} check --config {where}
{command} check --config {where} --at {lapsed}

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


def _await_model(model: subprocess.Popen[bytes], port: int) -> None:
    """Return once the model listens, so that the first command that is pasted works; raises OSError."""
    until = time.monotonic() + MODEL_SECONDS
    while model.poll() is None and time.monotonic() < until:
        try:
            socket.create_connection(("127.0.0.1", port), 1.0).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise OSError(0, "the scripted model did not start")


def _free_port(wanted: int) -> int:
    """Return this port, or for 0 any; raises OSError that names it when somebody listens there."""
    with listen("127.0.0.1", wanted) as sock:
        port: int = sock.getsockname()[1]
        return port
