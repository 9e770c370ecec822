"""Every message that reading and compiling a configuration can give, gathered from the source itself.

A message is a literal text, or one with gaps, that stands where a problem is made: in a raised ValueError or
MisplacedError, in a call that names a problem or refuses a secret, in the tables of words, or in what checks answer
with. So a new message without a case in the table of bad configurations is found by itself.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
# The modules of guard/policy whose words no single configuration can bring about, and why.
SILENT: Final = {
    "acceptance": "it compares a configuration with the one in force: tests/guard/policy/test_acceptance.py",
    "explain": "a fault in the code that calls it",
    "floor": "a fault in the code that calls it",
}
# All others may say what is wrong with a configuration.
MODULES: Final = tuple(sorted({path.stem for path in (ROOT / "guard" / "policy").glob("*.py")} - SILENT.keys()))
_MAKERS: Final = {
    "ValueError", "MisplacedError", "UnreadableError", "Problem", "problem", "_problem", "_note", "_stop", "_refused",
    "at", "unique",
}  # fmt: skip


def messages() -> Iterator[tuple[str, str]]:
    """Yield the place of each message and the regular expression of its text, gaps taking anything."""
    for module in MODULES:
        path = ROOT / "guard" / "policy" / f"{module}.py"
        tree = ast.parse(path.read_text())
        named: dict[str, list[ast.expr]] = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                named.setdefault(node.targets[0].id, []).append(node.value)
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and _name(node.func) in _MAKERS:
                for argument in node.args:
                    yield from _texts(f"{module}.py:{node.lineno}", argument, named)
            elif isinstance(node, ast.Yield) and isinstance(node.value, ast.Tuple):  # a place and what is wrong there
                yield from _texts(f"{module}.py:{node.lineno}", node.value.elts[-1], named)


def _name(function: ast.expr) -> str:
    return (
        function.attr if isinstance(function, ast.Attribute) else function.id if isinstance(function, ast.Name) else ""
    )


def _texts(place: str, node: ast.expr, named: dict[str, list[ast.expr]]) -> Iterator[tuple[str, str]]:
    if isinstance(node, ast.Name):
        for each in named.get(node.id, ()):
            yield from _texts(place, each, {})
        return
    if isinstance(node, ast.IfExp):
        yield from _texts(place, node.body, named)
        yield from _texts(place, node.orelse, named)
        return
    form = _form(node)
    if form and re.search(r"[a-z]{2,} [a-z`]{2,}", form.replace("\\ ", " ")):
        yield place, form


def _form(node: ast.expr) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return re.escape(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(_form(part) if isinstance(part, ast.Constant) else ".*" for part in node.values)
    return ""
