"""``guard resume``: lifts stops below ASL-3 at once, and from there on what two people have approved by signing."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

from guard.admin.switchboard import ResumeRefusedError
from guard.cli.admin_client import Answer, NoTokenError
from guard.cli.approved import read_approved, write_unsigned
from guard.cli.everywhere import await_fleet
from guard.cli.in_force import policy_in_force
from guard.cli.on_host import who_on_host
from guard.cli.switch import (
    BAD_REQUEST,
    NOT_ALLOWED,
    USAGE,
    add_admin,
    await_obedience,
    board_of,
    client_or_none,
    engine_of,
    fail,
    here_of,
    out,
    tell,
)
from guard.policy.config import Config
from guard.policy.file import UnreadableError
from guard.state.directory import OrderDirectory
from guard.state.orders import Approver, Source
from guard.state.scope import OrderError


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "resume",
        help="lift a stop",
        description="Lifts stops. From ASL-3 on it takes two people: what they are to sign is written to a file, and "
        "given back by --approved. Exit codes: 0 lifted; 2 wrong usage; 4 refused, or more approvals are needed; 5 not "
        "confirmed by every worker.",
        epilog="Two people read and sign FILE.json: ssh-keygen -Y sign -f KEY -n order@asl-guard FILE.json; then "
        "mv FILE.json.sig FILE.PERSON.sig; then guard resume --approved FILE.json.",
    )
    parser.add_argument(
        "target", nargs="?", metavar="ORDER|SCOPE", help="the order's id, or the scope it was given for"
    )
    add_lifting(parser)


def add_lifting(parser: argparse.ArgumentParser) -> None:
    """Add what every command that lifts something takes besides what it is to lift."""
    parser.add_argument("--reason", default="", help="why, for the record and for those who approve")
    parser.add_argument(
        "--approved", type=Path, metavar="FILE", help="what was signed; signatures lie beside it as NAME.PERSON.sig"
    )
    parser.add_argument(
        "--to", type=Path, metavar="FILE", help="where what is to be signed goes (default: resume-NONCE.json here)"
    )
    parser.set_defaults(run=resume)
    add_admin(parser)


def resume(arguments: argparse.Namespace) -> int:
    """Lift what is named, or what was approved."""
    if (arguments.target is None) == (arguments.approved is None):
        return fail("give what to lift, or --approved FILE", USAGE)
    if arguments.approved is None and not arguments.reason.strip():
        return fail("a resume needs a reason", USAGE)
    body: dict[str, Any] = {"target": arguments.target, "reason": arguments.reason}
    if arguments.approved is not None:
        try:
            body = read_approved(arguments.approved)
        except (OrderError, UnreadableError) as problem:
            return fail(str(problem), USAGE)
    # Judged by the policy that the workers serve: what the files hold may not be in force.
    config = None if arguments.config is None else policy_in_force(arguments.config)[0]
    try:
        client = client_or_none(arguments, None if config is None else config.guard)
    except NoTokenError as problem:
        return fail(str(problem), USAGE)
    if client is not None:
        answered = client.call("POST", "/v1/resumes", body)
        if answered is None:
            return fail("the admin API does not answer", 1)
        code = tell(answered)
    elif config is None:
        return fail("give --config DIR, or a token and --admin URL", USAGE)
    else:
        code, answered = _resume_here(arguments, body, config)
    if approval := answered.body.get("approval"):
        try:
            write_unsigned(str(approval), arguments.to, out, None if config is None else config.operators)
        except OrderError as problem:
            return fail(str(problem), NOT_ALLOWED)
    return code


def _resume_here(arguments: argparse.Namespace, body: dict[str, Any], config: Config) -> tuple[int, Answer]:
    board, began = board_of(config), time.monotonic()
    try:
        if "approval" in body:
            approvers = [Approver(**each) for each in body["approvers"]]
            found = board.resume_approved(body["approval"], approvers, who_on_host(), Source.CLI)
        else:
            found = board.resume(body["target"], body["reason"], who_on_host(), Source.CLI)
    except ResumeRefusedError as refusal:
        return fail(str(refusal), NOT_ALLOWED), Answer(409, {"approval": refusal.approval})
    except OrderError as problem:
        return fail(str(problem), USAGE), Answer(BAD_REQUEST, {})
    if config.guard.fleet is not None:
        here, engine = here_of(arguments, config.guard), engine_of(arguments, config.guard.fleet)
        raw = OrderDirectory(here.state).bytes_of(found.order)
        answer = await_fleet(found.order, raw, found.fields(), here, engine)
        return tell(answer), answer
    workers = [str(index) for index in range(config.guard.workers)]
    code = await_obedience(found.order, found.fields(), lambda: board.obeyed(found.order, workers), began)
    return code, Answer(200, found.fields())
