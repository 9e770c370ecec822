"""Runs named tests with things switched off: ``python -m tests.mutations.runner NAME…``, a line of JSON for each.

Everything is imported once; each mutation is a fork of this process, in which the tests themselves are read afresh. So
a mutation costs a third of a second, and none can touch another or the process that asked.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import traceback
from collections.abc import Iterator
from typing import IO, Final

import pytest

import tests.guard.policy.test_lineage
import tests.parts.compiled  # noqa: F401 - imported once, for all that follow
from tests.mutations.table import MUTATIONS, mutate

UNCHANGED: Final = "unchanged"
AT_ONCE: Final = 2
_QUIET: Final = (
    "-q",
    "--no-header",
    "--assert=plain",
    "-p",
    "no:cacheprovider",
    "-W",
    "ignore::pytest.PytestAssertRewriteWarning",
)
# Of the installed plugins only these: the others take longer to import than the named tests to run.
_PLUGINS: Final = ("-p", "pytest_timeout", "-p", "_hypothesis_pytestplugin")


def run(names: list[str]) -> Iterator[tuple[str, int, str]]:
    """Yield the name, the exit code of pytest and its output, as each is done."""
    waiting = list(names)
    running: dict[int, tuple[str, IO[bytes]]] = {}
    while waiting or running:
        while waiting and len(running) < AT_ONCE:
            name = waiting.pop(0)
            out: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed when its process has ended
            running[_fork(name, out)] = (name, out)
        pid, status = os.wait()
        name, out = running.pop(pid)
        with out:
            out.seek(0)
            yield name, os.waitstatus_to_exitcode(status), out.read().decode(errors="replace")


def _fork(name: str, out: IO[bytes]) -> int:
    pid = os.fork()
    if pid:
        return pid
    code = 99
    try:
        os.dup2(out.fileno(), 1)
        os.dup2(out.fileno(), 2)
        tests_of = sorted({mutation.test for mutation in MUTATIONS})
        if name != UNCHANGED:
            mutation = {each.name: each for each in MUTATIONS}[name]
            mutate(mutation)
            tests_of = [mutation.test]
        os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
        code = int(pytest.main([*_QUIET, *_PLUGINS, *tests_of]))
    except BaseException:  # noqa: BLE001 - said in its output, and 99 is no code of pytest's
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    for each in run(sys.argv[1:]):
        sys.stdout.write(json.dumps(each) + "\n")
        sys.stdout.flush()
