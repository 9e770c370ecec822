"""``guard diff``: what a change from one configuration to another does to the safeguards."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import Any, Final

from guard.policy.bundle import BUILTIN, read_snapshot
from guard.policy.compile import check_compiles
from guard.policy.config import Config
from guard.policy.diff import Change, diff, effect_of
from guard.policy.diff_rules import Effect
from guard.policy.load import load, understand
from guard.policy.source import ConfigError, Problem

WEAKER: Final = 3


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "diff",
        help="say what a change of the configuration does to the safeguards",
        description="Compares two configuration directories, key by key. Exit codes: 0 the same is in force; "
        "1 changed, nothing weaker; 2 one of them is invalid; 3 something is weaker. What no rule knows is weaker.",
    )
    parser.add_argument("old", type=Path, metavar="OLD", help="the configuration directory that is in force")
    parser.add_argument("new", type=Path, metavar="NEW", help="the one that would be")
    parser.add_argument("--json", action="store_true", help="for machines")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the changes; 0 none, 1 none weaker, 2 invalid, 3 weaker."""
    old, new = load_one(arguments.old), load_one(arguments.new)
    changes = diff(old, new)
    text = (
        json.dumps(for_machines(old, new, changes), indent=2, ensure_ascii=False)
        if arguments.json
        else (for_people(changes))
    )
    sys.stdout.write(text + "\n")
    return 0 if not changes else WEAKER if effect_of(changes) is Effect.WEAKER else 1


def load_one(directory: Path) -> Config:
    """Load one of two, or a policy that the guard has kept; its problems name the directory. No secret is read."""
    try:
        kept = (directory / BUILTIN).is_dir()
        config = understand(read_snapshot(directory), directory) if kept else load(directory)
        check_compiles(config, secrets=False)
    except ConfigError as error:
        raise ConfigError(
            Problem(f"{directory}/{each.file}", each.line, each.path, each.message) for each in error.problems
        ) from None
    return config


def _subjects(changes: Sequence[Change]) -> Mapping[str, tuple[Change, ...]]:
    return {subject: tuple(group) for subject, group in groupby(changes, lambda each: each.subject)}


def for_machines(old: Config, new: Config, changes: Sequence[Change]) -> Mapping[str, Any]:
    """Return one object: both digests, the worst effect (same if nothing changed), and each subject's changes."""
    return {
        "old": old.digest,
        "new": new.digest,
        "effect": effect_of(changes) if changes else "same",
        "subjects": [
            {"subject": subject, "effect": effect_of(group), "changes": [_plain(each) for each in group]}
            for subject, group in _subjects(changes).items()
        ],
    }


def _plain(change: Change) -> Mapping[str, Any]:
    plain = asdict(change)
    del plain["subject"]
    return plain


def for_people(changes: Sequence[Change]) -> str:
    """Return the text: each subject with its verdict, below it each key, the weaker ones first."""
    if not changes:
        return "the same is in force"
    lines = []
    first = {effect: place for place, effect in enumerate((Effect.WEAKER, Effect.STRONGER, Effect.NEUTRAL))}
    for subject, group in _subjects(changes).items():
        lines.append(f"{subject}: {_loud(effect_of(group))}")
        for each in sorted(group, key=lambda each: first[each.effect]):
            key = f"{each.key}: " if each.key else ""
            lines += [f"  {_loud(each.effect):<8}  {key}{each.old} -> {each.new}", f"            {each.why}"]
        lines.append("")
    found = [each.effect for each in changes]
    counts = ", ".join(f"{found.count(effect)} {effect}" for effect in first)
    return "\n".join([*lines, f"{_loud(effect_of(changes))}: {counts}"])


def _loud(effect: Effect) -> str:
    return effect.upper() if effect is Effect.WEAKER else effect.value
