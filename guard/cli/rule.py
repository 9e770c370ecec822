"""``guard rule``: pushes a rule by which every worker of every replica blocks at once, lists what is pushed, lifts."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from guard.admin.rule_bodies import pushed_fields, rule_fields
from guard.cli.admin_client import AdminClient, Answer, NoTokenError
from guard.cli.everywhere import await_fleet
from guard.cli.in_force import policy_in_force
from guard.cli.on_host import who_on_host
from guard.cli.options import state_of
from guard.cli.resume import add_lifting, resume
from guard.cli.switch import (
    USAGE,
    add_admin,
    await_obedience,
    board_of,
    client_or_none,
    engine_of,
    fail,
    here_of,
    out,
    say,
    tell,
)
from guard.policy.config import Config
from guard.policy.file import UnreadableError, read_regular
from guard.policy.model import RuleSet
from guard.policy.source import MAX_BYTES, parse
from guard.policy.validate import validate
from guard.state.directory import OrderDirectory
from guard.state.orders import Source, is_order_id
from guard.state.rule_text import MAX_RULES, MAX_TEXT, PushedRule
from guard.state.scope import OrderError
from guard.state.served import UnknownScopeError
from safeguards.category import Category
from safeguards.decision import Target

_STDIN: Final = "-"
_OK: Final = 200
_MOST_INPUT: Final = MAX_RULES * (4 * MAX_TEXT + 2)
_SIDES: Final = {"both": tuple(Target), "input": (Target.INPUT,), "output": (Target.OUTPUT,)}


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the commands."""
    parser = commands.add_parser(
        "rule",
        help="push a rule that blocks at once, without a restart",
        description="Rules pushed as orders: in force on every worker of every replica within a second, on prompts and "
        "completions, new requests and running streams, until they are lifted. A rule can only block.",
    )
    each = parser.add_subparsers(required=True, metavar="COMMAND")
    push = each.add_parser(
        "push",
        help="block by these rules from now on",
        description="Returns when every worker has the rules in force. Exit codes: 0 every worker has; 2 not a rule "
        "that can be used, or no such scope; 4 not allowed; 5 ordered, but not confirmed by every worker.",
        epilog="Prefer stdin or a file: other users of this host can read a command line. From stdin each line is one "
        "rule.",
    )
    push.add_argument("scope", metavar="SCOPE", help="all, level:ASL, model:ALIAS or version:ALIAS/RELEASE")
    text = push.add_mutually_exclusive_group(required=True)
    text.add_argument("--phrase", metavar="TEXT", help="a literal text, compared after folding; - reads stdin")
    text.add_argument("--pattern", metavar="TEXT", help="a regular expression of bounded length; - reads stdin")
    text.add_argument("--file", type=Path, metavar="RULES.yaml", help="rules as a file of the folder rules states them")
    push.add_argument("--category", type=Category, choices=list(Category), metavar="CATEGORY", help="what it is about")
    push.add_argument("--id", default="pushed", metavar="NAME", help="what records call the rule; not its text")
    push.add_argument("--screens", choices=list(_SIDES), default="both", help="which side is judged (default: both)")
    push.add_argument("--reason", default="", help="recorded, and shown to others: do not quote the text here")
    push.set_defaults(run=_push)
    add_admin(push)
    show = each.add_parser("list", help="which rules are pushed, by whom, and whether every worker has them in force")
    show.add_argument("--show", action="store_true", help="show what the rules look for, too")
    show.set_defaults(run=_list)
    add_admin(show)
    lift = each.add_parser(
        "lift",
        help="end a pushed rule",
        description="Lifts a rule as guard resume lifts a stop: one person below ASL-3, from there on two by signing. "
        "First carry it into the rule file if it is to stay.",
    )
    lift.add_argument("target", nargs="?", metavar="ORDER", help="the order's id")
    add_lifting(lift)
    lift.set_defaults(run=_lift)


def _push(arguments: argparse.Namespace) -> int:
    config = None if arguments.config is None else policy_in_force(arguments.config, or_files=True)[0]
    sides = _SIDES[arguments.screens]
    try:
        rules = tuple(_rules(arguments))
        client = client_or_none(arguments, None if config is None else config.guard)
    except (OrderError, UnreadableError, NoTokenError) as problem:
        return fail(str(problem), USAGE)
    if client is not None:
        body: dict[str, Any] = {
            "scope": arguments.scope,
            "screens": [side.value for side in sides],
            "reason": arguments.reason,
        }
        answered = client.call("POST", "/v1/rules", body | {"rules": [each.record() for each in rules]})
        if answered is not None:
            return tell(answered)
        if config is None or arguments.admin is not None:
            return fail("the admin API does not answer; ask guard rule list whether the rule was taken", 1)
        say("the admin API does not answer; ordering on this host")
    if config is None:
        return fail("give --config DIR, or a token and --admin URL", USAGE)
    return _push_here(arguments, config, rules, sides)


def _push_here(
    arguments: argparse.Namespace, config: Config, rules: Sequence[PushedRule], sides: Sequence[Target]
) -> int:
    board, began = board_of(config), time.monotonic()
    try:
        order = board.push(arguments.scope, rules, sides, arguments.reason, who_on_host(), Source.CLI)
    except (UnknownScopeError, OrderError) as problem:
        return fail(str(problem), USAGE)
    fields = pushed_fields(order)
    if config.guard.fleet is not None:
        here, engine = here_of(arguments, config.guard), engine_of(arguments, config.guard.fleet)
        return tell(await_fleet(order.id, OrderDirectory(here.state).bytes_of(order.id), fields, here, engine))
    workers = [str(index) for index in range(config.guard.workers)]
    return await_obedience(order.id, fields, lambda: board.obeyed(order.id, workers), began)


def _rules(arguments: argparse.Namespace) -> Iterator[PushedRule]:
    """Read what was given; raises OrderError or UnreadableError, and ConfigError for a bad file."""
    if arguments.file is not None:
        if arguments.category is not None:
            raise OrderError("--category: each rule of a file says its own")
        content, _ = read_regular(arguments.file, MAX_BYTES)
        for rule in validate(parse(str(arguments.file), content), RuleSet).rules:
            yield PushedRule(rule.id, rule.category, rule.phrase or "", rule.pattern or "")
        return
    if arguments.category is None:
        raise OrderError("--category: say what the rule is about")
    phrase = arguments.phrase is not None
    given = arguments.phrase if phrase else arguments.pattern
    texts = _lines() if given == _STDIN else [given]
    for number, text in enumerate(texts, 1):
        name = arguments.id if len(texts) == 1 else f"{arguments.id}-{number}"
        yield PushedRule(name, arguments.category, text if phrase else "", "" if phrase else text)


def _lines() -> list[str]:
    raw = sys.stdin.buffer.read(_MOST_INPUT + 1)
    try:
        lines = [line for line in raw.decode("utf-8").splitlines() if line.strip()]
    except UnicodeDecodeError:
        raise OrderError("stdin: not UTF-8") from None
    if len(raw) > _MOST_INPUT or not 1 <= len(lines) <= MAX_RULES:
        raise OrderError(f"stdin: 1 to {MAX_RULES} lines, each a rule of at most {MAX_TEXT} characters")
    return lines


def _list(arguments: argparse.Namespace) -> int:
    found = _found(arguments, texts=arguments.show)
    if isinstance(found, int):
        return found
    for each in found:
        _print(each)
    if not found:
        out("no rule is pushed")
    return 0


def _found(arguments: argparse.Namespace, *, texts: bool) -> list[dict[str, Any]] | int:
    """Return what is pushed, from the admin API or else from this host; or the exit code of what went wrong."""
    config = None if arguments.config is None else policy_in_force(arguments.config, or_files=True)[0]
    try:
        client = client_or_none(arguments, None if config is None else config.guard)
    except NoTokenError as problem:
        return fail(str(problem), USAGE)
    answered = None if client is None else _asked(client, texts=texts)
    if answered is not None:
        return list(answered.body["rules"]) if answered.status == _OK else tell(answered)
    if config is None:
        if client is not None:
            return fail("the admin API does not answer", 1)
        return fail("give --config DIR, or a token and --admin URL", USAGE)
    if client is not None:
        say("the admin API does not answer; this is what lies on this host")
    if not state_of(config.directory, config.guard).exists():
        return []
    board = board_of(config, create=False)
    state = board.state()
    workers = [str(index) for index in range(config.guard.workers)]
    return [
        rule_fields(each, state, texts=texts) | {"missing": list(board.obeyed(each.id, workers).missing)}
        for each in board.rules(state)
    ]


def _asked(client: AdminClient, *, texts: bool) -> Answer | None:
    return client.call("GET", "/v1/rules/texts" if texts else "/v1/rules")


def _print(rule: dict[str, Any]) -> None:
    names = ", ".join(f"{each['id']} ({each['category']})" for each in rule["rules"])
    lifted = ", lifted below ASL-3" if rule["lifted_below_asl_3"] else ""
    reason = rule["reason"] or "no reason given"
    out(f"{rule['order']} {rule['scope']} {'+'.join(rule['screens'])}: {names}, by {rule['who']}: {reason}{lifted}")
    for each in rule["rules"]:
        for kind in ("phrase", "pattern"):
            if kind in each:
                out(f"  {each['id']}: {kind} {each[kind]}")
    if rule["missing"]:
        out(f"  NOT IN FORCE on {', '.join(rule['missing'])}: not running, or it refuses all that the rule covers")


def _lift(arguments: argparse.Namespace) -> int:
    if arguments.target is not None and arguments.approved is None:
        if not is_order_id(arguments.target):
            return fail("a rule is lifted by the id of its order: see guard rule list", USAGE)
        found = _found(arguments, texts=False)
        if isinstance(found, int):
            return found
        if all(each["order"] != arguments.target for each in found):
            return fail(f"{arguments.target}: no rule of this id is in force here", USAGE)
    return resume(arguments)
