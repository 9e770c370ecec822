"""``guard ladder``: where a model stands between open and stopped, what each rung would do, and one step down."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

from guard.cli.in_force import policy_in_force
from guard.cli.status import standing_now
from guard.cli.switch import USAGE, add_admin, fail, order_stop, out
from guard.policy.ladder import OPEN, Ladder, step_below
from guard.policy.load import Config
from safeguards.mode import Mode


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "ladder",
        help="where a model stands between open and stopped; one step down",
        description="Tells on which rung a model is, by which orders, and what each rung does; with --down orders the "
        "next one. Up goes `guard resume`, by as many people as the level demands.",
        epilog="Exit codes of --down are those of `guard stop`.",
    )
    parser.add_argument("model", metavar="MODEL")
    parser.add_argument("--down", action="store_true", help="order the next rung that the model's file declares")
    parser.add_argument("--reason", default="", help="recorded; may be told later")
    add_admin(parser)
    parser.set_defaults(run=_ladder)


def _ladder(arguments: argparse.Namespace) -> int:
    if arguments.config is None:
        return fail("give --config DIR: what a rung does stands in the model's file", USAGE)
    config, _ = policy_in_force(arguments.config, or_files=True)
    if arguments.model not in config.models:
        return fail(f"there is no model of that name; there are: {', '.join(sorted(config.models)[:20])}", USAGE)
    body = standing_now(arguments)
    if isinstance(body, int):
        return body
    ladder = config.models[arguments.model].ladder
    model: dict[str, Any] = next((each for each in body["models"] if each["model"] == arguments.model), {})
    rung = model.get("rung", OPEN)
    following = Mode(model.get("next_rung", step_below(ladder, ())))
    if arguments.down:
        arguments.scope, arguments.mode, arguments.state = f"model:{arguments.model}", following, None
        return order_stop(arguments)
    out(f"{arguments.model}: {rung}; --down goes to {following}")
    for stop in body["stops"]:
        if _concerns(stop["scope"], arguments.model, config):
            out(f"  by order {stop['order']}: {stop['mode']} of {stop['scope']}, {stop['who']}: {_reason(stop)}")
    for name, words in _rungs(ladder):
        out(f"{'*' if name == rung else ' '} {name:18} {words}")
    return 0


def _concerns(scope: str, alias: str, config: Config) -> bool:
    policy = config.models[alias]
    levels = {f"level:{level}" for level in range(1, max(policy.asl.deployment, policy.asl.security) + 1)}
    return scope in {"all", f"model:{alias}", f"version:{alias}/{policy.release}", *levels}


def _reason(stop: dict[str, Any]) -> str:
    return str(stop["reason"] or "no reason given")


def _rungs(ladder: Ladder) -> Iterator[tuple[str, str]]:
    """What each rung does to this model, in words."""
    none = "not declared: an order for it stops the model"
    tight, other, gone = ladder.stricter, ladder.fallback, ladder.de_deployed
    yield OPEN, "served by its file"
    yield Mode.STRICTER, none if tight is None else f"enforces {', '.join(tight.enforce)}, also on running answers"
    new = "what is new" if other is None or not other.categories else f"new prompts of {', '.join(other.categories)}"
    yield Mode.FALLBACK, none if other is None else f"{other.model} answers {new}, under its own policy"
    skipped = "" if ladder.no_new_principals else "; a step down skips it"
    yield Mode.NO_NEW_PRINCIPALS, f"refuses keys issued on the day of the order or later{skipped}"
    yield Mode.STOP, "refuses what is new and cuts what runs"
    told = "" if gone is None else f", and {gone.replacement} {'answers' if gone.route else 'is named'} in its place"
    yield Mode.DE_DEPLOYED, f"a stop that takes it off the list of models{told}; only people order it"
