"""A worker changes its policy while it serves: made ready beside it, whole, and only when it is told to."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from guard.policy.bundle import read_bundle
from guard.policy.load import Memory
from guard.serve.changeover import Changeover
from guard.serve.control import Adopt, Adopted, FromWorker, Prepare, Prepared
from guard.serve.http import GuardProtocol, protocol_class
from guard.state.directory import OrderDirectory
from guard.state.orders import ENTROPY_BYTES, Source, issue_rule
from guard.state.rule_text import PushedRule
from guard.state.scope import Scope
from guard.state.snapshots import Snapshots
from safeguards.category import Category
from safeguards.decision import Target
from tests.parts.configuration import Credentials, ModelSpec, write_configuration
from tests.parts.guard_thread import GuardThread
from tests.parts.raw_caller import RawCaller
from tests.parts.upstream import ScriptedUpstream, says


class Serving:
    """A guard in a thread, and what its changeover says."""

    def __init__(self, directory: Path, guard: GuardThread, credentials: Credentials) -> None:
        """Change its policy by hand."""
        self.directory, self.guard, self.credentials = directory, guard, credentials
        self.said: list[FromWorker] = []
        self.http: type[GuardProtocol] = protocol_class(32_768, 10.0, 64)
        self.changeover = Changeover(guard.worker, {"public": self.http}, Memory(), self.said.append)
        self.adopt(guard.worker.config.digest)
        assert self.said == [Adopted(guard.worker.config.digest, 0)]  # told to begin
        self.said.clear()

    def keep(self) -> Prepare:
        """Put what the files hold now where the supervisor puts it."""
        bundle = read_bundle(self.directory)
        return Prepare(bundle.digest, str(Snapshots(self.directory / "kept").put(bundle.digest, bundle.files)))

    def prepare(self, order: Prepare) -> Prepared:
        """Have it made ready."""
        before = len(self.said)
        self.guard.call(lambda: self.changeover.prepare(order))
        self.guard.wait_until(lambda: len(self.said) > before, "it answered")
        found = self.said[-1]
        assert isinstance(found, Prepared)
        return found

    def adopt(self, digest: str, *stricter: str) -> None:
        """Bring it into force."""
        self.guard.call(lambda: self.changeover.adopt(Adopt(digest, stricter)))

    def ask(self, content: str = "hello") -> int:
        """The status of one request."""
        with RawCaller(self.guard.port, self.credentials.key) as caller:
            caller.ask(content, stream=False)
            return caller.answer().status


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Serving]:
    with ScriptedUpstream(says("hello")) as upstream:
        credentials = write_configuration(tmp_path, models=[ModelSpec(upstream=upstream.url)])
        with GuardThread(tmp_path) as guard:
            yield Serving(tmp_path, guard, credentials)


def edit(directory: Path, name: str, change: Callable[[Any], Any]) -> None:
    content = json.loads((directory / name).read_text())
    change(content)
    (directory / name).write_text(json.dumps(content))


def more(directory: Path) -> None:
    rule = {"id": "more", "category": "other", "phrase": "FURTHER-MARKER"}
    edit(directory, "rules/test.yaml", lambda rules: rules["rules"].append(rule))


def test_what_is_ready_changes_nothing_before_it_is_adopted(serving: Serving) -> None:
    more(serving.directory)
    order = serving.keep()
    assert serving.prepare(order) == Prepared(order.digest)
    assert serving.ask("FURTHER-MARKER") == 200
    serving.adopt("another")
    assert serving.ask("FURTHER-MARKER") == 200
    assert serving.prepare(order) == Prepared(order.digest)
    serving.adopt(order.digest)
    assert serving.said[-1] == Adopted(order.digest, 0)
    assert serving.ask("FURTHER-MARKER") == 403
    assert serving.guard.worker.config.digest == order.digest


def test_what_was_abandoned_is_not_adopted(serving: Serving) -> None:
    more(serving.directory)
    order = serving.keep()
    serving.prepare(order)
    serving.guard.call(serving.changeover.abandon)
    serving.adopt(order.digest)
    assert not [each for each in serving.said if isinstance(each, Adopted)]
    assert serving.ask("FURTHER-MARKER") == 200


def test_a_snapshot_that_is_not_what_was_put_there_is_not_taken(serving: Serving) -> None:
    order = serving.keep()
    (Path(order.snapshot) / "tiers.yaml").write_text("version: 1")
    assert serving.prepare(order).problems == ("the snapshot is not what was put there",)


def test_a_secret_that_is_missing_is_named_with_its_place(serving: Serving) -> None:
    credential = {"file": "secrets/absent"}
    edit(serving.directory, "models/demo.yaml", lambda model: model["upstream"].update(credential=credential))
    (problem,) = serving.prepare(serving.keep()).problems
    assert problem.startswith("models/demo.yaml:")
    assert "secrets/absent is missing" in problem
    assert serving.ask() == 200


def test_a_failure_that_nobody_expected_is_told_and_the_policy_stays(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("not to be repeated")

    monkeypatch.setattr("guard.serve.changeover.build_policy", fail)
    assert serving.prepare(serving.keep()).problems == ("RuntimeError in the worker; its log says where",)
    assert serving.ask() == 200


def test_bounds_of_requests_and_names_of_hosts_change_too(serving: Serving) -> None:
    def tighten(guard: Any) -> None:
        guard["limits"] = {"header_bytes": 2048, "header_seconds": 3, "body_bytes": 1024}
        guard["surfaces"][0]["hosts"] = ["api.example.com"]

    edit(serving.directory, "guard.yaml", tighten)
    order = serving.keep()
    serving.prepare(order)
    serving.adopt(order.digest)
    assert (serving.http.header_bytes, serving.http.header_seconds) == (2048, 3.0)
    assert serving.http.hosts == {b"api.example.com"}
    assert serving.ask("x" * 2000) == 413


def test_the_list_of_models_is_that_of_the_policy_in_force(serving: Serving) -> None:
    spec = json.loads((serving.directory / "models" / "demo.yaml").read_text())
    (serving.directory / "models" / "fresh.yaml").write_text(json.dumps({**spec, "model": "fresh"}))
    edit(
        serving.directory,
        "tiers.yaml",
        lambda tiers: tiers["tiers"]["general"]["models"].update(fresh=["chat"]),
    )
    order = serving.keep()
    serving.prepare(order)
    serving.adopt(order.digest)
    with RawCaller(serving.guard.port, serving.credentials.key) as caller:
        caller.post(b"", "accept: */*", path="/v1/models", method="GET")
        assert [each["id"] for each in caller.answer().json["data"]] == ["demo", "fresh"]
    assert serving.guard.metric("guard_requests_total", "fresh") == 0.0
    route = "/v1/chat/completions"
    counters = serving.guard.worker.witness.meter.state().counters
    assert ("guard_requests_total", "fresh", route, "general", "served") in counters


def test_preparations_follow_one_another_and_the_last_one_counts(serving: Serving) -> None:
    more(serving.directory)
    first = serving.keep()
    edit(serving.directory, "rules/test.yaml", lambda rules: rules.update(release="9"))
    second = serving.keep()
    serving.guard.call(lambda: serving.changeover.prepare(first))
    assert serving.prepare(second) in {Prepared(first.digest), Prepared(second.digest)}
    serving.guard.wait_until(lambda: Prepared(second.digest) in serving.said, "both were made ready")
    serving.adopt(second.digest)
    assert serving.guard.worker.config.digest == second.digest


def test_a_worker_that_has_not_begun_begins_only_when_told(tmp_path: Path) -> None:
    write_configuration(tmp_path)
    with GuardThread(tmp_path) as guard:

        async def main() -> None:
            changeover = Changeover(guard.worker, {}, Memory(), lambda _: None)
            changeover.adopt(Adopt("another"))
            assert not changeover.begun.is_set()
            changeover.adopt(Adopt(guard.worker.config.digest))
            assert changeover.begun.is_set()

        asyncio.run(main())


def test_a_rule_that_was_pushed_for_a_model_before_it_was_served_blocks_from_its_first_request(
    serving: Serving, tmp_path: Path
) -> None:
    worker = serving.guard.worker
    found = PushedRule("later", Category.OTHER, phrase="LATER-MARKER")
    scope, sides = Scope.parse("model:other"), tuple(Target)
    order = issue_rule(
        scope, [found], sides, reason="", who="ana", source=Source.CLI, now=1e9, entropy=bytes(ENTROPY_BYTES)
    )
    OrderDirectory(tmp_path / "var" / "state").put(order)
    serving.guard.call(worker.switches.poll)
    serving.guard.call(lambda: worker.pushed.follow(worker.switches.state))
    assert worker.pushed.lacking == ()
    upstream = worker.config.models["demo"].upstream.url
    models = [ModelSpec(name, upstream=upstream) for name in ("demo", "other")]
    serving.credentials = write_configuration(tmp_path, models=models)
    kept = serving.keep()
    assert serving.prepare(kept) == Prepared(kept.digest)
    serving.adopt(kept.digest)
    assert serving.ask("a later-marker") == 200
    with RawCaller(serving.guard.port, serving.credentials.key) as caller:
        caller.ask("a later-marker", stream=False, model="other")
        assert caller.answer().code == "content_blocked"
