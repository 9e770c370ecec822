"""The wheel holds the two packages and the built-in data, nothing else, and serves from a clean environment."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    (found,) = out.glob("*.whl")
    return found


def test_the_wheel_holds_the_two_packages_and_their_data(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names} == {"guard", "safeguards", "asl_guard-0.1.0.dist-info"}
    assert "guard/data/standards/anthropic-rsp-2.2.yaml" in names
    assert "guard/data/standards/anthropic-rsp-3.4.yaml" in names
    assert "guard/data/standards/example-internal.yaml" in names
    assert "guard/data/standards/google-fsf-3.1.yaml" in names
    assert "guard/data/standards/openai-preparedness-2.yaml" in names
    assert "guard/data/demo/models/demo.yaml" in names
    assert {"guard/audit/dictionaries/text-1.zdict", "guard/audit/dictionaries/leaf-1.zdict"} <= set(names)
    assert "guard/py.typed" in names
    parts = [part for name in names for part in name.split("/")]
    assert not [part for part in parts if part == "tests" or part.startswith(("test_", "conftest"))]
    assert not [name for name in names if name.endswith((".pyc", ".c"))]


def test_the_wheel_serves_the_demo_in_a_clean_environment(wheel: Path, tmp_path: Path) -> None:
    """Installed where nothing of the checkout is on the path; its dependencies are this environment's."""
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
    python = venv / "bin" / "python"
    (site,) = (venv / "lib").glob("python*/site-packages")
    subprocess.run(
        [
            sys.executable,
            "-m",
            "uv",
            "pip",
            "install",
            "--quiet",
            "--offline",
            "--no-deps",
            "--python",
            str(python),
            str(wheel),
        ],
        check=True,
    )
    dependencies = Path(sys.prefix) / "lib" / site.parent.name / "site-packages"
    # Only what is installed there, not the checkout that an editable install points to.
    (site / "dependencies.pth").write_text(f"{dependencies}\n")
    where = subprocess.run(
        [
            str(python),
            "-P",
            "-c",
            "import guard, guard.policy.load as load; print(guard.__file__, load.builtin_standards())",
        ],
        check=True,
        capture_output=True,
        text=True,
        cwd=tmp_path,
    ).stdout
    assert where.count(str(site)) == 2
    script = Path(__file__).parent / "parts" / "wheel_journey.py"
    done = subprocess.run(
        [str(python), "-P", str(script), str(venv / "bin" / "guard"), str(tmp_path / "demo")],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
