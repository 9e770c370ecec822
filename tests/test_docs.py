"""What the documents say is so: generated pages are current, everything is named, and the README's examples run."""

from __future__ import annotations

import argparse
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from guard.cli import parser
from guard.policy.model import SafeguardKind
from guard.policy.roles import Act, OperatorRole, may
from safeguards.verdict import Code
from tests.docs.reference import pages

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
GUARD = str(Path(sys.executable).with_name("guard"))


@pytest.mark.parametrize("path", sorted(pages()), ids=lambda path: str(path.relative_to(ROOT)))
def test_generated_reference_pages_are_current(path: Path) -> None:
    assert path.read_text() == pages()[path], "renew them with: python -m tests.docs.reference"


def test_every_safeguard_is_in_the_readme() -> None:
    for kind in SafeguardKind:
        assert f"| `{kind.value}` |" in README


def test_every_code_is_in_the_table_that_answers_are_made_from() -> None:
    page = (ROOT / "guard" / "wire" / "CODES.md").read_text()
    for code in Code:
        assert f"| `{code.value}` |" in page


def test_the_table_of_roles_is_the_one_that_decides() -> None:
    rows = re.findall(r"^\| `(\w+)` \|((?: (?:yes )?\|)+)$", README, re.MULTILINE)
    told = {role: [cell == " yes " for cell in cells.split("|")[:-1]] for role, cells in rows}
    assert told == {role.value: [may(role, act) for act in Act] for role in OperatorRole}


def commands(of: argparse.ArgumentParser, prefix: str = "guard") -> Iterator[str]:
    for action in of._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, sub in action.choices.items():
                nested = list(commands(sub, f"{prefix} {name}"))
                yield from nested or [f"{prefix} {name}"]


def test_every_command_is_in_the_documents() -> None:
    documents = README + (ROOT / "deploy" / "README.md").read_text()
    # `make run` is how the README says `guard demo`.
    missing = [command for command in commands(parser()) if command not in documents and command != "guard demo"]
    assert not missing


def test_every_alert_is_in_the_documents() -> None:
    rules = "\n".join(path.read_text() for path in sorted((ROOT / "deploy" / "prometheus" / "rules").glob("*.yaml")))
    alerts = re.findall(r"^\s*- alert: (\w+)$", rules, re.MULTILINE)
    assert alerts
    page = (ROOT / "deploy" / "README.md").read_text()
    for alert in alerts:
        assert alert in page
        assert (ROOT / "deploy" / "runbooks" / f"{alert}.md").exists()


def test_links_of_the_documents_lead_somewhere() -> None:
    for document in [ROOT / "README.md", ROOT / "ARCHITECTURE.md", *(ROOT / "deploy").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)\)", document.read_text()):
            assert (document.parent / target).exists(), f"{document.name}: {target}"


def test_the_architecture_is_one_page() -> None:
    assert (ROOT / "ARCHITECTURE.md").read_text().count("\n") <= 140


def test_the_map_names_every_area() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text()
    for path in (ROOT / "guard").iterdir():
        if path.is_dir() and (path / "__init__.py").exists():
            assert f"  {path.name}/" in text, f"{path.name} is not on the map"


@dataclass(frozen=True)
class Demo:
    """A running demo: where it is set up, where it serves, its model, its key."""

    directory: Path
    data: str
    model: str
    key: str


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    directory = tmp_path_factory.mktemp("demo")
    command = [GUARD, "demo", "--dir", str(directory), "--data-port", "0", "--admin-port", "0", "--model-port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    try:
        printed = ""
        for line in process.stdout:
            printed += line
            if line.startswith("Ctrl-C"):
                break
        draining = threading.Thread(target=process.stdout.read, daemon=True)
        draining.start()
        found = re.search(r"http://127.0.0.1:\d+/v1", printed)
        assert found
        model = re.search(r"http://127.0.0.1:\d+", (directory / "models" / "demo.yaml").read_text())
        assert model
        key = (directory / "secrets" / "demo-app.key").read_text().strip()
        demo = Demo(directory, found[0], model[0], key)
        await_serving(demo)
        yield demo
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
        process.stdout.close()


def ask(demo: Demo, content: str) -> httpx.Response:
    body = {"model": "demo", "messages": [{"role": "user", "content": content}]}
    headers = {"authorization": f"Bearer {demo.key}"}
    return httpx.post(f"{demo.data}/chat/completions", json=body, headers=headers, timeout=30, trust_env=False)


def await_serving(demo: Demo) -> None:
    for _ in range(300):
        try:
            if ask(demo, "Say hello").status_code == 200:
                return
        except httpx.HTTPError:
            pass
        threading.Event().wait(0.1)
    raise AssertionError("the demo does not serve")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


EXAMPLES = [
    line.split("  #")[0].strip() for block in blocks("sh") for line in block.splitlines() if line.startswith("guard ")
]
# What each of them may end with: 3 is "something is stopped", 1 "below the floor" on that later day.
# There OLD and NEW are one, so that nothing is weaker, and nobody has signed.
ENDS = {
    "guard status": {0, 3},
    "guard check --config DIR --at": {0, 1},
    "guard approval new change": {1},
    "guard approval new profile": {2},  # the demo has no standard of its own
    "guard approval check": {0, 1},
    "guard audit ship": {1},  # the demo makes no copies
    "guard resume model:large": {4},  # the demo has no model at ASL-3
    "guard resume --approved": {2},  # and nobody has signed
    "guard rule lift": {2},  # no order has that id
}


def incident_of(demo: Demo) -> str:
    """The incident that an example before opened."""
    state = demo.directory / "var" / "state" / "incidents"
    return next((path.name for path in state.glob("0*")), "")


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_commands_of_the_readme_run(example: str, demo: Demo, tmp_path: Path) -> None:
    if example.startswith("guard serve"):
        pytest.fail("an example of its own") if "--config DIR" not in example else None
        return  # the demo is this command with its directory prepared, and it is running
    request = ask(demo, "Say hello").headers["x-request-id"]
    line = example.replace("--config DIR", f"--config {demo.directory}").replace(" ID ", f" {request} ")
    if example.startswith("guard incident"):
        line = line.replace(f" {request} ", f" {incident_of(demo)} ")
    line = line.replace(" OLD NEW", f" {demo.directory} {demo.directory}")
    line = line.replace("http://127.0.0.1:8000", f"{demo.model} --dir {tmp_path / 'new'}")
    done = subprocess.run(
        ["/bin/sh", "-c", line],
        cwd=demo.directory,  # what one example writes, the next one reads
        env={**os.environ, "PATH": f"{Path(GUARD).parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    allowed = next((codes for start, codes in ENDS.items() if example.startswith(start)), {0})
    assert done.returncode in allowed, done.stdout + done.stderr


def test_the_python_example_of_the_readme_runs(demo: Demo) -> None:
    (example,) = blocks("python")
    script = example.replace("http://127.0.0.1:8080/v1", demo.data).replace("sk-guard-…", demo.key)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
