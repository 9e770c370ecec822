"""What a process cannot begin without is told with its place."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from guard.policy.load import load
from guard.policy.necessary import lacking
from tests.parts.configuration import write_configuration


def test_copies_in_object_storage_need_the_package_that_reaches_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_configuration(tmp_path)
    guard = json.loads((tmp_path / "guard.yaml").read_text())
    guard["storage"]["ship"] = {"to": "s3://bucket/log"}
    (tmp_path / "guard.yaml").write_text(json.dumps(guard))
    config = load(tmp_path)
    assert list(lacking(config)) == []
    monkeypatch.setitem(sys.modules, "boto3", None)
    (problem,) = lacking(config)
    words = "needs the package boto3: pip install 'asl-guard[s3]'"
    assert (problem.file, problem.path, problem.message) == ("guard.yaml", "storage.ship.to", words)
