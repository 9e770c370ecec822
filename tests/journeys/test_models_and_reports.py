"""What the guard answers itself, over sockets: the models as each caller may see them, and reports of harm."""

from __future__ import annotations

import errno
import json
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest

from guard import reports
from guard.audit.disk import LocalDisk
from guard.audit.records import Control
from guard.local import REPORT_BURST
from tests.parts.configuration import Credentials, ModelSpec, write_configuration
from tests.parts.guard_thread import GuardThread
from tests.parts.raw_caller import RawCaller, Whole
from tests.parts.upstream import ScriptedUpstream, says

COMMENT = "it told me how to"


class Faulty(LocalDisk):
    """A disk whose syncs can be held up or made to fail."""

    def __init__(self) -> None:
        """Work."""
        self.held = threading.Event()
        self.held.set()
        self.failing = False

    def fdatasync(self, descriptor: int) -> None:
        """Sync, or not."""
        if self.failing:
            raise OSError(errno.EIO, "no")
        self.held.wait(30)
        super().fdatasync(descriptor)


@dataclass(frozen=True, slots=True)
class Bench:
    """A guard with a public and an internal surface, on each of which another model is served."""

    guard: GuardThread
    credentials: Credentials

    def get(self, path: str, *headers: str, key: str = "", surface: str = "public") -> Whole:
        """Get a page; without a key, the application's."""
        with RawCaller(self.guard.ports[surface], key or self.credentials.key) as caller:
            caller.post(b"", *(headers or ("accept: */*",)), path=path, method="GET")
            return caller.answer()

    def report(self, fields: Any, *, key: str = "") -> Whole:
        """File a report."""
        with RawCaller(self.guard.port, key or self.credentials.key) as caller:
            caller.post(json.dumps(fields).encode(), path="/report")
            return caller.answer()


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    directory = tmp_path_factory.mktemp("local")
    with ScriptedUpstream(says("hello")) as upstream:
        models = [
            ModelSpec("alpha", upstream=upstream.url),
            ModelSpec("beta", upstream=upstream.url, surfaces=("internal",)),
        ]
        credentials = write_configuration(directory, models=models, surfaces={"internal": 0})
        with GuardThread(directory) as guard:
            yield Bench(guard, credentials)


def listed(page: Whole) -> list[str]:
    return [each["id"] for each in page.json["data"]]


def test_each_surface_and_tier_lists_its_own_models(bench: Bench) -> None:
    assert listed(bench.get("/v1/models")) == ["alpha"]
    assert listed(bench.get("/v1/models", surface="internal")) == ["beta"]
    assert listed(bench.get("/v1/models", "anthropic-version: 2023-06-01")) == ["alpha"]
    assert listed(bench.get("/v1/models", key=bench.credentials.stranger)) == []
    assert bench.get("/v1/models", key=bench.credentials.lapsed).code == "key_expired"
    assert bench.get("/v1/models", key="sk-guard-nobody-nothing").code == "unauthenticated"


def test_a_model_of_another_surface_or_tier_is_told_as_one_that_does_not_exist(bench: Bench) -> None:
    stranger = bench.credentials.stranger
    answers = [bench.get("/v1/models/beta"), bench.get("/v1/models/gamma"), bench.get("/v1/models/alpha", key=stranger)]
    assert [each.status for each in answers] == [404] * 3
    assert len({re.sub(rb"request [0-9a-f]+", b"", each.body) for each in answers}) == 1
    assert all(set(each.headers) == set(answers[0].headers) for each in answers)


def test_the_sdks_list_and_retrieve_models(bench: Bench) -> None:
    key = bench.credentials.key
    with openai.OpenAI(base_url=f"{bench.guard.url}/v1", api_key=key) as client:
        (model,) = client.models.list().data
        assert (model.id, model.owned_by) == ("alpha", "a team")
        assert client.models.retrieve("alpha") == model
        with pytest.raises(openai.NotFoundError) as caught:
            client.models.retrieve("beta")
        assert caught.value.code == "unknown_model"
    with anthropic.Anthropic(base_url=bench.guard.url, api_key=key) as sdk:
        (info,) = sdk.models.list().data
        assert (info.id, info.type) == ("alpha", "model")
        assert sdk.models.retrieve("alpha").created_at == info.created_at
        with pytest.raises(anthropic.NotFoundError):
            sdk.models.retrieve("beta")


def test_a_report_of_an_answer_is_on_record_when_it_is_acknowledged(bench: Bench) -> None:
    before = bench.guard.call(lambda: bench.guard.metric("guard_reports_total", "cyber"))
    with RawCaller(bench.guard.port, bench.credentials.key) as caller:
        caller.ask(model="alpha")
        request = caller.answer().headers["x-request-id"]
        caller.post(
            json.dumps({"request_id": request, "category": "cyber", "comment": COMMENT}).encode(), path="/report"
        )
        got = caller.answer()
    assert (got.status, got.json) == (202, {"report": got.headers["x-request-id"], "request_id": request})
    (record,) = [each for each in bench.guard.entries() if isinstance(each, Control) and each.subject == request]
    assert (record.who, record.what, record.reason) == ("app (an application)", "report", "cyber")
    assert (record.chars, record.body != "") == (len(COMMENT), True)
    assert bench.guard.call(lambda: bench.guard.metric("guard_reports_total", "cyber")) == before + 1


def test_a_report_that_is_not_understood_names_its_field(bench: Bench) -> None:
    got = bench.report({"request_id": "abc", "category": "rude"})
    assert (got.status, got.code, got.json["error"]["param"]) == (400, "bad_request", "category")


def test_anyone_with_a_key_may_report_and_has_his_own_rate(bench: Bench) -> None:
    slow = bench.credentials.slow
    answers = [bench.report({"request_id": f"r{number}"}, key=slow) for number in range(REPORT_BURST + 1)]
    assert [each.status for each in answers] == [202] * REPORT_BURST + [429]
    assert answers[-1].code == "rate_limited"
    assert bench.report({"request_id": "abc"}, key=bench.credentials.stranger).status == 202
    assert bench.report({"request_id": "abc"}, key=bench.credentials.lapsed).code == "key_expired"


@pytest.mark.parametrize("hangs", [False, True])
def test_a_report_that_cannot_be_put_on_the_disk_is_a_503(
    tmp_path: Path, hangs: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reports, "RECORD_SECONDS", 0.2)
    disk = Faulty()
    credentials = write_configuration(tmp_path, models=[ModelSpec()])
    with GuardThread(tmp_path, disk=disk) as guard:
        bench = Bench(guard, credentials)
        disk.failing = not hangs
        if hangs:
            disk.held.clear()
        got = bench.report({"request_id": "abc", "comment": COMMENT})
        disk.held.set()
        assert (got.status, got.code) == (503, "log_unavailable")
        assert guard.call(lambda: guard.metric("guard_reports_total")) == 0.0
        assert guard.call(lambda: guard.metric("guard_refusals_total", "internal")) == 0.0


def test_no_model_s_failure_is_told_as_the_guards_own(tmp_path: Path) -> None:
    credentials = write_configuration(tmp_path, models=[ModelSpec(upstream="http://127.0.0.1:1")])
    with GuardThread(tmp_path) as guard:
        for stream in (True, False):
            with RawCaller(guard.port, credentials.key) as caller:
                caller.ask(stream=stream)
                got = caller.answer()
            assert (got.status, got.code) == (502, "upstream_failed")
        assert listed(Bench(guard, credentials).get("/v1/models")) == ["demo"]
