"""``guard init URL``: look at an open inference server, write the configuration that guards it, say how to run it."""

from __future__ import annotations

import argparse
import asyncio
import getpass
import os
import shlex
import shutil
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from pydantic import TypeAdapter, ValidationError

from guard.onboarding import tell
from guard.onboarding.asking import Asking, NoAnswerError
from guard.onboarding.exposure import Exposed, expose
from guard.onboarding.files import Setup
from guard.onboarding.identify import NotUnderstoodError, Server, identify
from guard.onboarding.lacks import LEVELS, lacks
from guard.onboarding.names import ALIAS_RULE, alias, shown, writable
from guard.onboarding.routes import TABLE
from guard.onboarding.write import OccupiedError, occupied, write
from guard.policy.fields import Url
from guard.policy.load import load, read_secret
from guard.policy.model import SecretRef

NOT_REACHED: Final = 1
USAGE: Final = 2
_PORT: Final = 8080
_ADMIN_PORT: Final = 9090
_LOCAL: Final = frozenset({"localhost", "127.0.0.1", "::1"})


class _UsageError(Exception):
    """What was asked for cannot be done; nothing was written."""


@dataclass(frozen=True, slots=True)
class _Ports:
    data: int
    admin: int


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "init",
        help="look at an inference server and write the configuration that guards it",
        description="Looks at an open inference server without changing anything on it, says what it leaves open, "
        "and writes a first configuration. Exit codes: 0 written; 1 the server cannot be reached or understood; "
        "2 wrong usage, or the directory exists.",
        epilog=f"The model's alias is made from its name: {ALIAS_RULE}.",
    )
    parser.add_argument("url", metavar="URL", help="the inference server, such as http://127.0.0.1:8000")
    parser.add_argument("--dir", type=Path, default=Path("guard-config"), help="written anew (default: %(default)s)")
    parser.add_argument("--model", metavar="NAME", help="which model, if the server has several")
    parser.add_argument("--asl", type=int, choices=LEVELS, default=1, help="the model's level (default: %(default)s)")
    parser.add_argument("--port", type=_port, help=f"where callers come (default: {_PORT})")
    parser.add_argument("--admin-port", type=_port, help=f"where administrators come (default: {_ADMIN_PORT})")
    parser.add_argument(
        "--key-file", type=Path, metavar="FILE", help="the inference server's own API key; copied to DIR/secrets"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Look, write, tell; returns the exit code."""
    try:
        return _init(arguments)
    except _UsageError as problem:
        sys.stderr.write(f"guard: {problem}\n")
        return USAGE
    except (NoAnswerError, NotUnderstoodError) as problem:
        sys.stderr.write(f"guard: the server {problem}. Nothing was written.\n")
        return NOT_REACHED


def _init(arguments: argparse.Namespace) -> int:
    directory: Path = arguments.dir
    url = _url(arguments.url)
    ports = _ports(arguments, url)
    if occupied(directory):
        raise _UsageError(_exists(directory))
    key = _key(arguments.key_file)
    server, exposed = asyncio.run(_look(url, key))
    _say(tell.server(server, url) + tell.exposure(exposed))
    name = _model(server, arguments.model, key)
    setup = Setup(
        url=url,
        kind=server.kind,
        name=name,
        alias=alias(name),
        asl=arguments.asl,
        port=ports.data,
        admin_port=ports.admin,
        person=_person(),
        credential=bool(key),
    )
    now = datetime.now(UTC)
    try:
        credentials = write(directory, setup, now, os.urandom, key)
    except OccupiedError:
        raise _UsageError(_exists(directory)) from None
    _say(tell.written(directory, setup, credentials))
    _say(tell.levels(lacks(load(directory), setup.alias, now), setup.asl))
    _say(tell.next_steps(directory, setup, _command()))
    return 0


async def _look(url: str, key: str) -> tuple[Server, tuple[Exposed, ...]]:
    async with Asking(url) as asking:
        server = await identify(asking, key)
        return server, await expose(asking, TABLE[server.kind])


def _url(given: str) -> str:
    """Return the base address, without `/v1`, which the guard adds by itself."""
    try:
        url = TypeAdapter[str](Url).validate_python(given)
    except ValidationError as error:
        words = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise _UsageError(f"URL {words}, such as http://127.0.0.1:8000") from None
    return url.rstrip("/").removesuffix("/v1").rstrip("/")


def _ports(arguments: argparse.Namespace, url: str) -> _Ports:
    """Take the ports asked for; a default gives way to the inference server on this machine, which may be there."""
    parts = urlsplit(url)
    taken = (parts.port or 80) if parts.hostname in _LOCAL else 0
    data = arguments.port or (_PORT if taken != _PORT else _PORT + 100)
    admin = arguments.admin_port or (_ADMIN_PORT if taken != _ADMIN_PORT else _ADMIN_PORT + 100)
    if data == admin:
        raise _UsageError("--port and --admin-port must differ")
    if taken in {data, admin}:
        raise _UsageError(f"port {taken} is the inference server's own")
    return _Ports(data, admin)


def _key(file: Path | None) -> str:
    if file is None:
        return ""
    key = read_secret(SecretRef(file=str(file.resolve())), Path())
    if not key.isascii() or " " in key:
        raise _UsageError("--key-file: a key is printable ASCII without blanks")
    return key


def _model(server: Server, wanted: str | None, key: str) -> str:
    if not server.admitted:
        if key:
            raise _UsageError("the server does not take the key of --key-file. Nothing was written.")
        raise _UsageError("the server asks for a key: give it with --key-file FILE. Nothing was written.")
    if wanted is None and len(server.models) > 1:
        raise _UsageError("the server has several models: choose one with --model NAME. Nothing was written.")
    name = server.models[0] if wanted is None else wanted
    if name not in server.models:
        raise _UsageError(f"the server has no model {shown(name)}. Nothing was written.")
    if not writable(name):
        raise _UsageError(f"a model file cannot hold the name {shown(name)}. Nothing was written.")
    return name


def _person() -> str:
    """Whose token it is: whoever runs this, as far as the system knows."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        return "operator"
    return name if writable(name) else "operator"


def _exists(directory: Path) -> str:
    return f"{shlex.quote(str(directory))} exists, and nothing is overwritten; give another --dir."


def _command() -> str:
    beside = Path(sys.executable).with_name("guard")
    return "guard" if shutil.which("guard") or not beside.exists() else shlex.quote(str(beside))


def _port(text: str) -> int:
    if not (text.isascii() and text.isdecimal()) or not 0 < int(text) <= 65535:  # noqa: PLR2004 - the highest port
        raise argparse.ArgumentTypeError("a port from 1 to 65535")
    return int(text)


def _say(text: str) -> None:
    """Print, also to a terminal that lacks a letter: secrets are shown once and must not be lost to it."""
    encoding = sys.stdout.encoding or "ascii"
    sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding))
    sys.stdout.flush()
