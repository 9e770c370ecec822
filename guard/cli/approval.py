"""``guard approval new`` writes an order for people to sign, ``guard approval check`` says who approved which."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from guard.approval.folder import FOLDER, Filed, read_folder
from guard.approval.order import (
    CONFIGURATION,
    DAY_SECONDS,
    MAX_REASON,
    MOST_DAYS,
    NONCE_BYTES,
    STANDARD,
    STANDING,
    Act,
    Order,
    OrderError,
    canonical,
    instant_text,
    levels_text,
)
from guard.approval.port import PEOPLE, ROLES, used_orders
from guard.approval.sshsig import NAMESPACE
from guard.approval.verify import Heard, NotApproved, hear, may_sign, untimely
from guard.cli.diff import load_one
from guard.cli.options import add_at, add_config
from guard.policy.config import Config
from guard.policy.diff import diff, effect_of
from guard.policy.diff_rules import Effect
from guard.policy.fingerprint import of_standard
from guard.policy.load import load
from guard.policy.lowering import NONE_KNOWN, LevelsByName, lowerings
from guard.serve.remembering import last_levels
from guard.state.merge import told_people
from guard.state.snapshots import Snapshots

_CODES: Final = "Exit codes: 0 done; 1 nothing to approve, or not approved; 2 invalid or wrong usage."


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the commands."""
    group = commands.add_parser("approval", help="what takes two people: write an order, see who approved it")
    actions = group.add_subparsers(dest="action", required=True, metavar="ACTION")
    new = actions.add_parser("new", help="write an order into the folder approvals, for people to sign", epilog=_CODES)
    whats = new.add_subparsers(dest="what", required=True, metavar="WHAT")
    change = whats.add_parser("change", help="a weaker configuration in place of the one in force", epilog=_CODES)
    change.add_argument("old", type=Path, metavar="OLD", help="the configuration directory that is in force")
    change.add_argument("new", type=Path, metavar="NEW", help="the one that would be; the order is written into it")
    change.set_defaults(run=_change, longest=MOST_DAYS[Act.WEAKER_POLICY])
    profile = whats.add_parser("profile", help="a standard of your own, for ASL-4", epilog=_CODES)
    profile.add_argument("standard", metavar="NAME", help="the standard's name")
    profile.add_argument("version", metavar="VERSION", help="its version")
    profile.set_defaults(run=_profile, longest=MOST_DAYS[Act.CUSTOM_PROFILE])
    bundle = whats.add_parser("bundle", help="a configuration as a whole", epilog=_CODES)
    bundle.set_defaults(run=_bundle, longest=MOST_DAYS[Act.BUNDLE])
    for parser in (profile, bundle):
        add_config(parser)
    for parser in (change, profile, bundle):
        parser.add_argument("--reason", required=True, help="why, for those who sign and for the record")
        parser.add_argument("--days", type=int, help="how long the order holds (default and longest: 7, or 366)")
        parser.set_defaults(refuse=parser.error)
    check = actions.add_parser("check", help="say who approved what, what is missing, until when", epilog=_CODES)
    add_config(check)
    check.add_argument(
        "--in-force",
        type=Path,
        metavar="OLD",
        help="the configuration that DIR would replace: its persons judge, and it must be what a change begins at",
    )
    add_at(check)
    check.add_argument("--json", action="store_true", help="for machines")
    check.set_defaults(run=_check)


def _change(arguments: argparse.Namespace) -> int:
    """Write an order for a weaker change, and one for each model whose level it lowers."""
    old, new = load_one(arguments.old), load_one(arguments.new)
    changes = diff(old, new)
    if effect_of(changes) is not Effect.WEAKER:
        sys.stderr.write("guard: nothing is weaker, so nothing needs to be approved\n")
        return 1
    wanted = [(Act.WEAKER_POLICY, CONFIGURATION, old.digest, new.digest)]
    for each in lowerings(old, new, _gone(new)):
        before, after = (levels_text(levels.deployment, levels.security) for levels in (each.before, each.after))
        wanted.append((Act.LOWER_LEVEL, each.model, before, after))
    sides = str(arguments.old), str(arguments.new)
    looks = ("diff", *sides), ("approval", "check", "--in-force", sides[0], "--config", sides[1])
    return _write(arguments, new, old, wanted, looks)


def _gone(config: Config) -> LevelsByName:
    """The levels of models that were removed, where the state of the guard that remembers them lies here."""
    current = Snapshots(config.directory / config.guard.storage.state).current()
    return NONE_KNOWN if current is None else last_levels(current)


def _profile(arguments: argparse.Namespace) -> int:
    config = load(arguments.config)
    standard = config.standards.get((arguments.standard, arguments.version))
    if standard is None:
        there = ", ".join(f"{name} {version}" for name, version in sorted(config.standards))
        sys.stderr.write(f"guard: there is no standard {arguments.standard} {arguments.version}; there are: {there}\n")
        return 2
    if (standard.name, standard.version) not in config.own:
        sys.stderr.write(f"guard: {standard.name} {standard.version} is built in; a profile is your own\n")
        return 2
    wanted = [(Act.CUSTOM_PROFILE, STANDARD, "", of_standard(standard))]
    return _write(arguments, config, config, wanted, (("approval", "check", "--config", str(arguments.config)),))


def _bundle(arguments: argparse.Namespace) -> int:
    config = load(arguments.config)
    wanted = [(Act.BUNDLE, CONFIGURATION, "", config.digest)]
    return _write(arguments, config, config, wanted, (("approval", "check", "--config", str(arguments.config)),))


def _write(
    arguments: argparse.Namespace,
    config: Config,
    in_force: Config,
    wanted: Sequence[tuple[Act, str, str, str]],
    looks: Sequence[tuple[str, ...]],
) -> int:
    """Write the orders, and print what those who approve have to run; ``looks`` show them what they would sign."""
    days = arguments.longest if arguments.days is None else arguments.days
    if not 1 <= days <= arguments.longest:
        arguments.refuse(f"--days: 1 to {arguments.longest}")
    now = int(datetime.now(UTC).timestamp())
    nonces = [os.urandom(NONCE_BYTES).hex() for _ in wanted]
    try:
        orders = [
            Order(*each, arguments.reason, now, now + days * DAY_SECONDS, nonce)
            for each, nonce in zip(wanted, nonces, strict=True)
        ]
    except OrderError:
        arguments.refuse(f"--reason: 1 to {MAX_REASON} printable characters")
    folder = config.directory / FOLDER
    folder.mkdir(exist_ok=True)
    people = may_sign(in_force.operators, now, ROLES)
    sys.stdout.write(f"{PEOPLE} persons approve by signing. Each reads the order first, and what it is about:\n")
    for look in looks:
        sys.stdout.write(f"guard {shlex.join(look)}\n")
    for order in orders:
        path = folder / f"{order.act.value.replace('_', '-')}-{order.nonce[:8]}"
        with Path(f"{path}.json").open("xb") as file:
            file.write(canonical(order))
        sys.stdout.write(f"\n{path}.json: {order.act} of {order.subject}, until {instant_text(order.expires)}\n")
        file_name, signature = (shlex.quote(f"{path}{ending}") for ending in (".json", ".json.sig"))
        sys.stdout.write(f"  ssh-keygen -Y sign -f KEY -n {NAMESPACE} {file_name}\n")
        sys.stdout.write(f"  mv {signature} {shlex.quote(str(path))}.PERSON.sig\n")
    sys.stdout.write(f"\nKEY is the file of your SSH key, PERSON your id: {', '.join(people) or 'nobody'}\n")
    if len(people) < PEOPLE:
        sys.stderr.write(f"guard: operators.yaml names fewer than {PEOPLE} persons who may approve this\n")
    return 0


@dataclass(frozen=True, slots=True)
class _Found:
    """One order as `guard approval check` tells it; ``missing`` says what stands against it, empty if approved."""

    filed: Filed
    status: str
    concerns: str
    heard: Heard
    missing: str


def _check(arguments: argparse.Namespace) -> int:
    """Print every order of the folder; 0 all approved or used, 1 something is missing, 2 invalid."""
    config = load(arguments.config)
    at = (arguments.at or datetime.now(UTC)).timestamp()
    in_force = load_one(arguments.in_force) if arguments.in_force is not None else None
    found = [_look(config, in_force, each, at) for each in read_folder(config.directory / FOLDER)]
    if arguments.json:
        text = json.dumps([_plain(each) for each in found], indent=2)
    else:
        text = "\n".join(line for each in found for line in _lines(each)) or f"there is no order in {FOLDER}/"
    sys.stdout.write(text + "\n")
    return 0 if all(each.status in {"approved", "used"} for each in found) else 1


def _look(config: Config, in_force: Config | None, filed: Filed, at: float) -> _Found:
    order, judges = filed.order, in_force or config
    concerns, here = _concerns(config, in_force, order)
    try:
        heard = hear(filed.raw, filed.signatures, judges.operators, at, ROLES)
    except NotApproved as error:
        return _Found(filed, "missing", concerns, Heard((), ()), str(error))
    if order.act not in STANDING and used_orders(judges).has(order):
        return _Found(filed, "used", concerns, heard, "")
    if why := untimely(order, at):
        return _Found(filed, "expired" if at >= order.expires else "early", concerns, heard, why)
    if not here:
        return _Found(filed, "elsewhere", concerns, heard, "the files are others than those that the order names")
    if (lacking := PEOPLE - len(heard.people)) > 0:
        others = [each for each in may_sign(judges.operators, at, ROLES) if each not in heard.people]
        return _Found(filed, "missing", concerns, heard, f"{lacking} more of: {', '.join(others) or 'nobody'}")
    return _Found(filed, "approved", concerns, heard, "")


def _concerns(config: Config, in_force: Config | None, order: Order) -> tuple[str, bool]:
    """Say what an order is about, and whether that is so of this configuration (and the one in force, if known)."""
    if order.act is Act.LOWER_LEVEL:
        now = _levels(config, order.subject)
        here = now == order.after and (in_force is None or _lowers(in_force, config, order))
        return f"model {order.subject}: {order.before} -> {order.after} (here: {now})", here
    if order.act is Act.CUSTOM_PROFILE:
        for (name, version), standard in config.standards.items():
            if of_standard(standard) == order.after:
                return f"standard {name} {version}", True
        return "a standard that is not here", False
    here = order.after == config.digest
    what = "this configuration" if here else f"another configuration, {order.after[:12]}…"
    if not order.before:
        return what, here
    if in_force is None or order.before != in_force.digest:
        return f"{what}, in place of {order.before[:12]}…", here and in_force is None
    return f"{what}, in place of the one in force", here


def _lowers(in_force: Config, config: Config, order: Order) -> bool:
    return any(
        (each.model, levels_text(each.before.deployment, each.before.security)) == (order.subject, order.before)
        for each in lowerings(in_force, config, _gone(config))
    )


def _levels(config: Config, model: str) -> str:
    policy = config.models.get(model)
    return levels_text(policy.asl.deployment, policy.asl.security) if policy is not None else "no such model"


def _lines(found: _Found) -> list[str]:
    order = found.filed.order
    head = f"{FOLDER}/{found.filed.name}.json: {found.status.upper() if found.missing else found.status}"
    by = f" by {told_people(found.heard.people, found.heard.kinds)}" if found.heard.people else ""
    lines = [f"{head}{by}, until {instant_text(order.expires)}", f"  {order.act}: {found.concerns}"]
    lines.append(f"  reason: {order.reason}")
    if found.missing:
        lines.append(f"  missing: {found.missing}")
    return [*lines, *(f"  does not count: {each}" for each in found.heard.refused)]


def _plain(found: _Found) -> Mapping[str, Any]:
    order = found.filed.order
    return {
        "order": f"{FOLDER}/{found.filed.name}.json",
        "status": found.status,
        "act": order.act,
        "subject": order.subject,
        "before": order.before,
        "after": order.after,
        "reason": order.reason,
        "issued": instant_text(order.issued),
        "expires": instant_text(order.expires),
        "people": list(found.heard.people),
        "kinds": list(found.heard.kinds),
        "missing": found.missing,
        "refused": list(found.heard.refused),
    }
