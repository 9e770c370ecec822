"""Imports go one way; this is the law that the map in ARCHITECTURE.md draws."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# area -> the areas of this project it may import; an area not listed here is an error, so that a new one is placed.
ALLOWED: dict[str, set[str]] = {
    "guard.wire": set(),
    "guard.classifiers": set(),
    "guard.state": set(),
    "guard.audit": {"guard.randomness"},
    "guard.telemetry": set(),
    "guard.shipping": {"guard.audit"},
    "guard.clock": set(),
    "guard.randomness": set(),
    "guard.local": {"guard.arrival", "guard.refusal", "guard.reply", "guard.wire"},
    "guard.reports": {
        "guard.audit",
        "guard.local",
        "guard.policy",
        "guard.refusal",
        "guard.telemetry",
        "guard.witness",
    },
    "guard.refusal": set(),
    "guard.reply": set(),
    "guard.credentials": {"guard.refusal"},
    "guard.callers": {"guard.credentials", "guard.policy"},
    "guard.live": {"guard.refusal"},
    "guard.valve": {"guard.wire"},
    "guard.pipeline": {"guard.wire"},
    "guard.serving": {"guard.pipeline", "guard.wire"},
    "guard.upstream": {"guard.pipeline", "guard.wire"},
    "guard.policy": {
        "guard.classifiers",
        "guard.pipeline",
        "guard.serving",
        "guard.state",
        "guard.upstream",
        "guard.wire",
    },
    "guard.diverting": {"guard.pipeline", "guard.refusal"},
    "guard.arrival": {
        "guard.credentials",
        "guard.diverting",
        "guard.live",
        "guard.pipeline",
        "guard.refusal",
        "guard.reply",
        "guard.serving",
        "guard.wire",
    },
    "guard.ending": {"guard.refusal", "guard.serving", "guard.upstream", "guard.wire"},
    "guard.conclusion": {
        "guard.arrival",
        "guard.live",
        "guard.pipeline",
        "guard.refusal",
        "guard.reply",
        "guard.serving",
        "guard.valve",
        "guard.wire",
    },
    "guard.proxy": {
        "guard.conclusion",
        "guard.arrival",
        "guard.ending",
        "guard.live",
        "guard.local",
        "guard.pipeline",
        "guard.refusal",
        "guard.reply",
        "guard.serving",
        "guard.valve",
        "guard.wire",
    },
    "guard.hypothetical": {"guard.policy"},
    "guard.why": {
        "guard.arrival",
        "guard.callers",
        "guard.credentials",
        "guard.diverting",
        "guard.hypothetical",
        "guard.live",
        "guard.pipeline",
        "guard.policy",
        "guard.refusal",
        "guard.serving",
        "guard.wire",
    },
    "guard.witness": {"guard.arrival", "guard.audit", "guard.refusal", "guard.telemetry"},
    "guard.approval": {"guard.policy"},
    "guard.hooks": {"guard.policy", "guard.state", "guard.wire"},
    "guard.incidents": {"guard.audit", "guard.policy"},
    "guard.notices": {"guard.policy"},
    "guard.pushed_rules": {"guard.classifiers", "guard.state"},
    "guard.resuming": {"guard.approval", "guard.policy", "guard.state"},
    "guard.drills": {"guard.admin", "guard.policy", "guard.state", "guard.upstream"},
    "guard.rehearsing": {"guard.drills", "guard.state"},
    "guard.selftest": {
        "guard.arrival",
        "guard.callers",
        "guard.credentials",
        "guard.live",
        "guard.policy",
        "guard.proxy",
        "guard.wire",
        "guard.witness",
    },
    "guard.admin": {
        "guard.approval",
        "guard.credentials",
        "guard.hooks",
        "guard.incidents",
        "guard.policy",
        "guard.pushed_rules",
        "guard.refusal",
        "guard.resuming",
        "guard.state",
    },
    "guard.onboarding": {"guard.credentials", "guard.policy"},
    "guard.app": {"*"},
    "guard.serve": {"*"},
    "guard.cli": {"*"},
    "guard.__main__": {"guard.cli"},
}
# Only these files of an area may cross to the areas beside it: compile joins policy with what serves it.
JOINING = {"guard/policy/compile.py", "guard/policy/reaching.py"}
KINDRED = {"guard.classifiers", "guard.pipeline", "guard.serving", "guard.upstream", "guard.wire"}


def sources(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module or ""
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def area(module: str) -> str:
    return ".".join(module.split(".")[:2])


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


@pytest.mark.parametrize("path", sources("safeguards"), ids=str)
def test_safeguards_import_the_standard_library_and_themselves_alone(path: Path) -> None:
    for module in imports(path):
        top = module.split(".")[0]
        assert top in sys.stdlib_module_names or top == "safeguards", f"{path} imports {module}"


@pytest.mark.parametrize("path", sources("guard"), ids=str)
def test_imports_inside_guard_go_one_way(path: Path) -> None:
    own = area(module_of(path))
    if own == "guard":
        return
    assert own in ALLOWED, f"{own} has no place in the layers"
    allowed = ALLOWED[own]
    for module in imports(path):
        other = area(module)
        if not module.startswith("guard.") or other == own or "*" in allowed:
            continue
        assert other in allowed, f"{path} imports {module}"
        if own == "guard.policy" and other in KINDRED:
            assert str(path.relative_to(ROOT)) in JOINING, f"{path} imports {module}: only compile joins these"


def test_the_composition_root_is_imported_by_processes_and_commands_alone() -> None:
    for path in sources("guard"):
        if "guard.app" in set(imports(path)):
            assert area(module_of(path)) in {"guard.serve", "guard.cli"}, path


def test_files_over_300_lines_say_why_in_their_docstring() -> None:
    for package in ("guard", "safeguards", "tests"):
        for path in sources(package):
            lines = path.read_text().count("\n")
            if lines > 300:
                docstring = ast.get_docstring(ast.parse(path.read_text())) or ""
                assert "one file" in docstring.lower(), f"{path} has {lines} lines and does not say why it is one file"


def test_no_name_says_nothing() -> None:
    for package in ("guard", "safeguards"):
        for path in sources(package):
            assert path.stem not in {"utils", "helpers", "manager", "misc", "common"}, path
