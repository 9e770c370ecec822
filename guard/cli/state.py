"""``guard state``: the tables of a fleet's database, a history to believe again, a replica that never comes back."""

from __future__ import annotations

import argparse
import asyncio
import sys
from functools import partial
from typing import Final

from guard.cli.options import add_config, state_of
from guard.cli.switch import USAGE, fail, out
from guard.policy.load import load
from guard.serve.engines import open_engine
from guard.state.engine import EngineError
from guard.state.postgres_schema import schema
from guard.state.seen import Seen

_NOTHING: Final = 1


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the commands."""
    parser = commands.add_parser(
        "state", help="the shared state of a fleet", description="The engine in which a fleet's guards share orders."
    )
    each = parser.add_subparsers(required=True, metavar="COMMAND")
    tables = each.add_parser(
        "schema",
        help="print the SQL that makes the tables in PostgreSQL",
        description="Prints the SQL for the database's owner to run: guard state schema --role guards | psql DATABASE.",
    )
    tables.add_argument("--role", required=True, metavar="NAME", help="the role that the guards log in as")
    tables.set_defaults(run=_schema)
    accept = each.add_parser(
        "accept",
        help="believe an engine again whose history went back",
        description="Run it on each host after somebody has found out why the history is another. Exit code 1: there "
        "was nothing to accept.",
    )
    add_config(accept)
    accept.set_defaults(run=_accept)
    forget = each.add_parser(
        "forget",
        help="wait no more for a replica that never comes back",
        description="A stop is confirmed by every guard that the engine knows. One that ended without saying so is "
        "waited for until it is forgotten; if it is alive, it is known again within a second.",
    )
    forget.add_argument("replica", metavar="REPLICA")
    add_config(forget)
    forget.set_defaults(run=_forget)


def _schema(arguments: argparse.Namespace) -> int:
    try:
        sys.stdout.write(schema(arguments.role))
    except ValueError as wrong:
        return fail(str(wrong), USAGE)
    return 0


def _accept(arguments: argparse.Namespace) -> int:
    config = load(arguments.config)
    wrong = Seen(state_of(config.directory, config.guard)).accept()
    if wrong is None:
        return fail("the history of the fleet's orders is believed here; there is nothing to accept", _NOTHING)
    out(f"accepted: {wrong.why}. The guard of this host reads the engine's history anew, resumes included.")
    return 0


def _forget(arguments: argparse.Namespace) -> int:
    config = load(arguments.config)
    if config.guard.fleet is None:
        return fail("guard.yaml names no fleet", USAGE)
    engine = open_engine(config.guard.fleet, config.directory, partial(config.problem, "guard.yaml"))

    async def forget() -> bool:
        try:
            known = any(each.replica == arguments.replica for each in await engine.heard())
            await engine.forget(arguments.replica)
        finally:
            await engine.aclose()
        return known

    try:
        known = asyncio.run(forget())
    except EngineError as problem:
        return fail(str(problem), _NOTHING)
    if not known:
        return fail(f"no replica {arguments.replica} is known", _NOTHING)
    out(f"{arguments.replica} is not waited for any more")
    return 0
