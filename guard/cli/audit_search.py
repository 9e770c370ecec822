"""``guard audit search``: exchanges by what is on record of them, or by a text that somebody knows already."""

from __future__ import annotations

import argparse
import io
import sys
from pathlib import Path
from typing import Final

from guard.audit.contents import ContentError, Contents
from guard.audit.read import Damage, Entry
from guard.audit.render import json_line, line
from guard.audit.search import Exchanged, KnownText, Wanted, found
from guard.audit.segments import LedgerError
from guard.cli.audit_access import RefusedError, add_access, audit_folder, failed, open_contents, texts
from guard.cli.options import add_config, instant, score
from guard.cli.progress import Progress
from guard.policy.load import load

MAX_TEXT: Final = 16 * 1024 * 1024
_WORDS: Final = {
    "id": "the request's id",
    "model": "the model's alias",
    "key": "the caller's key id",
    "owner": "the owner of the caller's key",
    "tier": "the caller's tier",
    "ending": "how it ended: served, blocked_input, blocked_output, stopped, denied, error or caller_gone",
    "code": "why it ended early, such as content_blocked",
    "safeguard": "a safeguard that denied or failed, also in shadow",
    "category": "the category of a denial",
    "rule": "the rule of a denial",
}


def add_wanted(parser: argparse.ArgumentParser) -> None:
    """Add the options that say which exchanges are meant."""
    parser.add_argument("--since", type=instant, default=float("-inf"), metavar="TIME", help="RFC 3339, or a day")
    parser.add_argument("--until", type=instant, default=float("inf"), metavar="TIME", help="before it")
    for name, words in _WORDS.items():
        parser.add_argument(f"--{name}", default="", help=words)
    parser.add_argument(
        "--score", type=score, metavar="X", help="a decision whose classifier scored X or more, from 0 to 1"
    )
    parser.add_argument(
        "--text-file",
        type=Path,
        metavar="FILE",
        help="a text (- reads it from standard input) that is a whole passage of the prompt or a whole answer, as it "
        "is but for one line break at the end; needs what --content needs",
    )


def add(group: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = group.add_parser("search", help="find exchanges by what is on record of them, or by a known text")
    add_config(parser)
    add_wanted(parser)
    add_access(parser)
    parser.add_argument("--json", action="store_true", help="a JSON object a line")
    parser.set_defaults(run=_search)


def wanted(arguments: argparse.Namespace) -> Wanted:
    """What the options ask for."""
    words = {name: getattr(arguments, name) for name in _WORDS}
    return Wanted(since=arguments.since, until=arguments.until, score=arguments.score, **words)


def described(arguments: argparse.Namespace) -> str:
    """What the options ask for, in words for the record; a known text is not quoted."""
    asked = [f"{name}={getattr(arguments, name)}" for name in _WORDS if getattr(arguments, name)]
    asked += [f"{name}={value:.0f}" for name in ("since", "until") if abs(value := getattr(arguments, name)) < 1e12]  # noqa: PLR2004 - not infinite
    if arguments.score is not None:
        asked.append(f"score>={arguments.score:g}")
    if arguments.text_file is not None:
        asked.append("a known text")
    return "exchanges: " + (" ".join(asked)[:800] or "all")


def known_text(arguments: argparse.Namespace, contents: Contents | None) -> KnownText | None:
    """The text that is looked for, None for none; raises RefusedError when it cannot be read."""
    if arguments.text_file is None or contents is None:
        return None
    file: Path = arguments.text_file
    try:
        if str(file) == "-":
            raw = sys.stdin.buffer if isinstance(sys.stdin, io.TextIOWrapper) else io.BytesIO(sys.stdin.read().encode())
            content = raw.read(MAX_TEXT + 1)
        else:
            with file.open("rb") as handle:
                content = handle.read(MAX_TEXT + 1)
        if len(content) > MAX_TEXT:
            raise RefusedError(f"{file}: is longer than {MAX_TEXT} bytes")
        return KnownText(content.decode("utf-8").removesuffix("\n"), contents)
    except UnicodeDecodeError:
        raise RefusedError(f"{file}: is not UTF-8") from None


def _search(arguments: argparse.Namespace) -> int:
    config = load(arguments.config)
    render = json_line if arguments.json else line
    progress = Progress("records")
    count = 0
    try:
        contents = None
        if arguments.content or arguments.text_file is not None:
            contents = open_contents(config, arguments, described(arguments))
        text = known_text(arguments, contents)
        shown = contents if arguments.content else None
        audit, asked = audit_folder(config), wanted(arguments)
        for hit in found(audit, asked, text, whole=arguments.content, passed=progress):
            progress.end()
            if isinstance(hit, Damage):
                sys.stderr.write(line(hit) + "\n")
                continue
            count += 1
            for item in entries(hit):
                sys.stdout.write(render(item, *texts(shown, item)) + "\n")
    except (LedgerError, RefusedError, ContentError, MemoryError) as error:
        return failed(error)
    finally:
        progress.end()
    if not count:
        sys.stderr.write("guard: no such exchange is on record\n")
    return 0 if count else 1


def entries(hit: Exchanged) -> list[Entry]:
    """The records of an exchange in the order in which they were written."""
    return [hit.intent, *hit.rest, *([hit.outcome] if hit.outcome else [])]
