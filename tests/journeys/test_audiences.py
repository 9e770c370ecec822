"""The same weights for two audiences are two policies, and the inner one has no way around anything (rows C13, C14)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from guard.audit import records
from tests.parts.configuration import MARKER, Credentials, ModelSpec, write_configuration
from tests.parts.guard_thread import GuardThread
from tests.parts.raw_caller import RawCaller, Whole
from tests.parts.upstream import ScriptedUpstream, says

SURFACES = ("public", "inside")


@dataclass(frozen=True, slots=True)
class Host:
    """A guard with a model for everybody and one for staff, of the same weights, both on both listeners."""

    guard: GuardThread
    credentials: Credentials
    staff: str
    upstream: ScriptedUpstream

    def ask(self, key: str, model: str, surface: str, content: str = "hello", *headers: str) -> Whole:
        """Ask in plain form, with any further headers."""
        with RawCaller(self.guard.ports[surface], key) as caller:
            body = {"model": model, "messages": [{"role": "user", "content": content}]}
            caller.post(json.dumps(body).encode(), "content-type: application/json", *headers)
            return caller.answer()


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    with ScriptedUpstream(says("hello")) as upstream:
        models = [
            ModelSpec("outer", asl=3, upstream=upstream.url, surfaces=SURFACES),
            ModelSpec("inner", asl=3, upstream=upstream.url, surfaces=SURFACES, audience="internal"),
        ]
        credentials = write_configuration(tmp_path, models=models, surfaces={"inside": 0})
        staff = (tmp_path / "secrets" / "internal.key").read_text().strip()
        for alias, other in (("outer", "inner"), ("inner", "outer")):
            file = tmp_path / "models" / f"{alias}.yaml"
            file.write_text(json.dumps({**json.loads(file.read_text()), "same_weights_as": [other]}))
        with GuardThread(tmp_path) as guard:
            yield Host(guard, credentials, staff, upstream)


@pytest.mark.parametrize("surface", SURFACES)
def test_internal_traffic_has_no_way_around(surface: str, host: Host) -> None:
    served = host.ask(host.staff, "inner", surface)
    assert served.status == 200
    blocked = host.ask(host.staff, "inner", surface, f"say {MARKER}")
    assert (blocked.status, blocked.code) == (403, "content_blocked")
    order = host.guard.stop("model:inner")
    host.guard.wait_until(lambda: order.id in host.guard.worker.switches.state.ids, "the stop was known")
    stopped = host.ask(host.staff, "inner", surface)
    assert (stopped.status, stopped.code) == (503, "stopped")
    assert len(host.upstream.requests) == 1
    for answer, ending in ((served, "served"), (blocked, "blocked_input"), (stopped, "stopped")):
        request = answer.headers["x-request-id"]
        found = [each for each in host.guard.entries() if getattr(each, "id", "") == request]
        intent = next(each for each in found if isinstance(each, records.Intent))
        assert (intent.surface, intent.audience, intent.model, intent.key) == (surface, "internal", "inner", "internal")
        host.guard.quiet()
        outcome = next(
            each for each in host.guard.entries() if isinstance(each, records.Outcome) and each.id == request
        )
        assert outcome.ending == ending
        assert outcome.framework == intent.framework != ""
        assert host.guard.texts(request, records.Intent)


@pytest.mark.parametrize("surface", SURFACES)
@pytest.mark.parametrize("header", ["x-audience: internal", "x-guard-audience: internal", "x-forwarded-for: 10.0.0.1"])
def test_neither_a_listener_nor_a_header_makes_a_caller_internal(surface: str, header: str, host: Host) -> None:
    refused = host.ask(host.credentials.key, "inner", surface, "hello", header)
    assert (refused.status, refused.code) == (403, "audience_denied")
    assert host.upstream.requests == []


@pytest.mark.parametrize("surface", SURFACES)
def test_staff_ask_the_model_for_everybody_with_a_key_for_everybody(surface: str, host: Host) -> None:
    refused = host.ask(host.staff, "outer", surface)
    assert (refused.status, refused.code) == (403, "audience_denied")
    assert host.guard.metric("guard_refusals_total", "audience_denied") == 1
    assert host.ask(host.credentials.key, "outer", surface).status == 200


def test_each_audience_is_shown_its_own_models_alone(host: Host) -> None:
    for key, model in ((host.credentials.key, "outer"), (host.staff, "inner")):
        with RawCaller(host.guard.port, key) as caller:
            caller.post(b"", path="/v1/models", method="GET")
            assert [each["id"] for each in caller.answer().json["data"]] == [model]
