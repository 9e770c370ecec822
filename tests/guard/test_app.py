"""The composition root builds a worker from a configuration, and nothing where a part cannot be had."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from guard.app import Worker, build_worker, new_request_id, python_version, storage
from guard.audit.segments import LedgerError
from guard.policy.load import load
from guard.policy.source import ConfigError
from tests.guard.road import Still
from tests.parts.configuration import ModelSpec, write_configuration


@pytest.fixture(autouse=True)
def _root_logger() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def end(worker: Worker) -> None:
    worker.ledger.close()
    worker.acknowledgements.withdraw()


def test_a_worker_has_an_edge_for_each_surface_and_its_own_log(tmp_path: Path) -> None:
    write_configuration(tmp_path, models=[ModelSpec(), ModelSpec("other")], surfaces={"partner": 0})
    worker = build_worker(load(tmp_path), 7)
    assert set(worker.edges) == {"public", "partner"}
    assert [serving.model for serving in worker.models.all()] == ["demo", "other"]
    assert (storage(worker.config)[1] / "worker-7").is_dir()
    end(worker)


def test_two_workers_do_not_share_a_log(tmp_path: Path) -> None:
    write_configuration(tmp_path)
    config = load(tmp_path)
    first, second = build_worker(config, 0), build_worker(config, 1)
    with pytest.raises(LedgerError):
        build_worker(config, 0)
    end(first)
    end(second)


def test_every_series_of_a_model_is_there_before_its_first_request(tmp_path: Path) -> None:
    write_configuration(tmp_path)
    worker = build_worker(load(tmp_path), 0)
    counters = worker.witness.meter.state().counters
    route = "/v1/chat/completions"
    assert counters[("guard_requests_total", "demo", route, "general", "blocked_output")] == 0
    assert counters[("guard_decisions_total", "demo", "patterns", "output", "deny", "block", "enforce")] == 0
    end(worker)


def test_the_clock_is_an_argument(tmp_path: Path) -> None:
    write_configuration(tmp_path)
    worker = build_worker(load(tmp_path), 0, clock=Still(4e9))
    found = worker.models.find("demo")
    assert found is not None
    assert found.unmet
    end(worker)


def test_a_missing_pepper_is_a_configuration_error(tmp_path: Path) -> None:
    write_configuration(tmp_path)
    (tmp_path / "secrets" / "pepper").unlink()
    with pytest.raises(ConfigError, match="pepper"):
        build_worker(load(tmp_path), 0)


def test_request_ids_sort_by_time_and_never_repeat() -> None:
    ids = [new_request_id() for _ in range(1000)]
    assert len(set(ids)) == 1000
    assert [each[:12] for each in ids] == sorted(each[:12] for each in ids)
    assert {len(each) for each in ids} == {28}


def test_the_interpreter_is_named() -> None:
    assert json.dumps(python_version()).count(".") == 2
