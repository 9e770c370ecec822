"""Debian's servers are unpacked once, run, and Prometheus answers for what it scraped."""

from __future__ import annotations

import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.parts.debian import binary, environment, unpacked
from tests.parts.prometheus import Prometheus, promtool

PROGRAMS = [
    ("prometheus", "prometheus", "--version"),
    ("prometheus", "promtool", "--version"),
    ("nginx", "nginx", "-v"),
]


@pytest.mark.parametrize(("package", "program", "flag"), PROGRAMS)
def test_a_program_runs(package: str, program: str, flag: str) -> None:
    answer = subprocess.run(
        [binary(package, program), flag], env=environment(package), capture_output=True, text=True, check=True
    )
    assert program in answer.stdout + answer.stderr
    assert "version" in answer.stdout + answer.stderr


def test_a_package_is_unpacked_once_however_many_ask() -> None:
    before = binary("prometheus", "promtool").stat().st_ctime_ns
    with ThreadPoolExecutor(4) as pool:
        roots = set(pool.map(unpacked, ["prometheus"] * 4))
    assert len(roots) == 1
    assert binary("prometheus", "promtool").stat().st_ctime_ns == before


def test_more_packages_join_the_first() -> None:
    assert (unpacked("nginx", "nginx-common") / "etc/nginx/mime.types").is_file()


def test_a_missing_program_is_named() -> None:
    with pytest.raises(RuntimeError, match="prometheus has no program grafana"):
        binary("prometheus", "grafana")


def test_prometheus_scrapes_itself_and_what_it_is_given(tmp_path: Path) -> None:
    begin = time.time()
    with Prometheus(tmp_path, targets={"nobody": ["127.0.0.1:1"]}) as prometheus:
        [alive] = prometheus.wait_for('up{job="prometheus"} == 1')
        [dead] = prometheus.wait_for('up{job="nobody"}')
        [series] = prometheus.query_range('up{job="prometheus"}', begin, time.time() + 1, 1)
        with pytest.raises(ValueError, match="parse error"):
            prometheus.query("up{")
    assert alive["metric"]["instance"] == prometheus.address
    assert dead["value"][1] == "0"
    assert series["values"][-1][1] == "1"


def test_prometheus_says_why_it_refuses_a_configuration(tmp_path: Path) -> None:
    with (
        pytest.raises(RuntimeError, match=r"(?s)prometheus exited.*no_such_key"),
        Prometheus(tmp_path, "no_such_key: 1"),
    ):
        pass


def test_promtool_judges_rules(tmp_path: Path) -> None:
    rules = tmp_path / "rules.yml"
    rules.write_text('{"groups": [{"name": "g", "rules": [{"record": "job:up:sum", "expr": "sum by (job) (up)"}]}]}')
    assert promtool("check", "rules", str(rules)).returncode == 0
    rules.write_text('{"groups": [{"name": "g", "rules": [{"record": "job:up:sum", "expr": "sum by ("}]}]}')
    assert promtool("check", "rules", str(rules)).returncode != 0
