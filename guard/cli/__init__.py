"""The command ``guard``: one file per group of commands, thin over the parts that do the work."""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence

from guard import __version__
from guard.cli import (
    approval,
    audit,
    check,
    coverage,
    credentials,
    demo,
    diff,
    drill,
    explain,
    incident,
    init,
    ladder,
    policy,
    reload,
    resume,
    rule,
    serve,
    state,
    status,
    switch,
    why,
)
from guard.policy.source import ConfigError

GROUPS = (
    init,
    serve,
    check,
    explain,
    why,
    coverage,
    diff,
    approval,
    reload,
    switch,
    resume,
    ladder,
    rule,
    drill,
    status,
    incident,
    state,
    credentials,
    audit,
    policy,
    demo,
)


def parser() -> argparse.ArgumentParser:
    """Build the whole command line."""
    whole = argparse.ArgumentParser(
        prog="guard",
        description="A reverse proxy that enforces the safeguards an AI Safety Level requires, in front of models.",
        epilog="Exit codes: 0 done; 1 failed, or below the floor (check); 2 wrong usage or configuration; 3 something "
        "is stopped (status) or weaker (diff); 4 not allowed; 5 in force, but not confirmed by every worker.",
    )
    whole.add_argument("--version", action="version", version=f"guard {__version__}")
    commands = whole.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for group in GROUPS:
        group.add(commands)
    return whole


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a name that this terminal cannot show is no reason to fail
    parsed = parser().parse_args(arguments)
    try:
        code: int = parsed.run(parsed)
        sys.stdout.flush()
    except ConfigError as error:
        for problem in error.problems:
            sys.stderr.write(f"{problem}\n")
        return 2
    except BrokenPipeError:
        # The reader left; what is still buffered must not fail once more when the interpreter ends.
        if isinstance(sys.stdout, io.TextIOWrapper):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        sys.stderr.write(f"guard: {error.strerror or error}{f': {error.filename}' if error.filename else ''}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    return code
