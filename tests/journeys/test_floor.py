"""A model below its floor is not served and says so, the others are; and evidence lapses without a restart."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from guard.clock import SystemClock
from tests.parts.configuration import ModelSpec, write_configuration
from tests.parts.guard_thread import GuardThread
from tests.parts.raw_caller import RawCaller, Whole
from tests.parts.upstream import ScriptedUpstream, says


class Shifted(SystemClock):
    """The real clock, moved on by so many seconds."""

    shift = 0.0

    def now(self) -> float:
        """Seconds since the epoch, moved."""
        return time.time() + self.shift


def ask(guard: GuardThread, key: str, model: str) -> Whole:
    with RawCaller(guard.port, key) as caller:
        caller.ask(model=model)
        return caller.answer()


def test_a_model_below_its_floor_is_refused_and_the_others_are_served(tmp_path: Path) -> None:
    with ScriptedUpstream(says("hello")) as upstream:
        models = [
            ModelSpec(upstream=upstream.url),
            ModelSpec("no-evidence", upstream=upstream.url, claims=()),
            ModelSpec("fails-open", asl=3, upstream=upstream.url, safeguards={"patterns": {"on_failure": "pass"}}),
            ModelSpec("shadow", asl=3, upstream=upstream.url, safeguards={"access": {"mode": "shadow"}}),
            ModelSpec("lazy-log", asl=3, upstream=upstream.url, log={"durable": "within_a_second"}),
            ModelSpec("no-limits", upstream=upstream.url, without=("limits",)),
            ModelSpec("undefined-level", asl=4, upstream=upstream.url),
        ]
        credentials = write_configuration(tmp_path, models=models)
        with GuardThread(tmp_path) as guard:
            for spec in models[1:]:
                got = ask(guard, credentials.key, spec.name)
                assert (spec.name, got.status, got.code) == (spec.name, 503, "not_routable")
                assert got.headers["x-should-retry"] == "false"
            assert upstream.requests == []
            assert ask(guard, credentials.key, "demo").texts == "hello"
            assert guard.metric("guard_refusals_total", "not_routable") == len(models) - 1


def test_evidence_that_lapses_takes_its_model_off_without_a_restart_and_no_other(tmp_path: Path) -> None:
    clock = Shifted()
    day = 86_400.0
    with ScriptedUpstream(says("hello")) as upstream:
        models = [
            ModelSpec(upstream=upstream.url, evidence_days=20),
            ModelSpec("longer", upstream=upstream.url, evidence_days=40),
        ]
        credentials = write_configuration(tmp_path, models=models)
        with GuardThread(tmp_path, clock=clock) as guard:

            def seen() -> list[int]:
                return [ask(guard, credentials.key, spec.name).status for spec in models]

            assert seen() == [200, 200]
            midnight = datetime.combine(datetime.now(UTC).date() + timedelta(days=20), datetime.min.time(), UTC)
            clock.shift = midnight.timestamp() - time.time() - 30
            assert seen() == [200, 200]
            clock.shift += 31
            assert seen() == [503, 200]
            assert ask(guard, credentials.key, "demo").code == "not_routable"
            clock.shift = 40 * day
            assert seen() == [503, 503]
            clock.shift = 0.0
            assert seen() == [503, 503]  # a clock set back does not bring evidence back at once


def test_a_key_that_expires_is_refused_from_that_moment(tmp_path: Path) -> None:
    clock = Shifted()
    with ScriptedUpstream(says("hello")) as upstream:
        credentials = write_configuration(tmp_path, models=[ModelSpec(upstream=upstream.url, evidence_days=200)])
        with GuardThread(tmp_path, clock=clock) as guard:
            assert ask(guard, credentials.key, "demo").status == 200
            clock.shift = 90 * 86_400.0
            assert ask(guard, credentials.key, "demo").code == "key_expired"


def edit(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change one file of a written configuration."""
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def house_standard(directory: Path, *rows: dict[str, Any]) -> None:
    """Give the model of a written configuration a standard of its own, with one threshold that demands ASL-3."""
    common = {"axis": "deployment", "level": 1, "requires": "it", "source": "the tests"}
    standard = {
        "name": "house",
        "version": "1",
        "title": "A standard of the tests",
        "source": "https://example.com/",
        "thresholds": [
            {"name": "T-1", "capability": "it", "source": "the tests", "demands": {"deployment": 3, "security": 3}}
        ],
        "rows": [common | row for row in ({"id": "T", "check": "thresholds_within_levels"}, *rows)],
    }
    (directory / "standards").mkdir()
    (directory / "standards" / "house.yaml").write_text(json.dumps(standard))
    edit(directory / "models" / "demo.yaml", lambda file: file.update(framework={"name": "house", "version": "1"}))


def test_a_model_is_served_while_a_finding_rules_its_threshold_out_and_no_longer(tmp_path: Path) -> None:
    """Rows A5 and A6: what is not ruled out demands the higher level, also when the finding lapses overnight."""
    clock, today = Shifted(), datetime.now(UTC).date()
    with ScriptedUpstream(says("hello")) as upstream:
        credentials = write_configuration(tmp_path, models=[ModelSpec(upstream=upstream.url)])
        house_standard(tmp_path)
        with GuardThread(tmp_path) as guard:
            assert ask(guard, credentials.key, "demo").code == "not_routable"
        days = {"assessed": str(today - timedelta(days=1)), "expires": str(today + timedelta(days=20))}
        found = [{"threshold": "T-1", "state": "ruled_out", **days}]
        edit(tmp_path / "models" / "demo.yaml", lambda file: file.update(thresholds=found))
        with GuardThread(tmp_path, clock=clock) as guard:
            assert ask(guard, credentials.key, "demo").texts == "hello"
            clock.shift = 21 * 86_400.0
            assert ask(guard, credentials.key, "demo").code == "not_routable"


def test_a_lapse_that_stops_new_principals_spares_the_keys_of_before(tmp_path: Path) -> None:
    """Rows E4 and E7: present users keep their access, newcomers are turned away."""
    clock, today = Shifted(), datetime.now(UTC).date()
    closing = {"claim": "model_card", "on_expiry": "stop_new_principals"}
    with ScriptedUpstream(says("hello")) as upstream:
        spec = ModelSpec(upstream=upstream.url, asl=3, evidence_days=20)
        credentials = write_configuration(tmp_path, models=[spec])
        house_standard(tmp_path, {"id": "C", "check": "attested", "with": closing})

        def issue(file: dict[str, Any]) -> None:
            file["keys"][0]["issued"] = str(today)

        edit(tmp_path / "tiers.yaml", issue)
        with GuardThread(tmp_path, clock=clock) as guard:
            assert [ask(guard, key, "demo").status for key in (credentials.key, credentials.slow)] == [200, 200]
            clock.shift = 21 * 86_400.0
            assert ask(guard, credentials.key, "demo").texts == "hello"
            turned_away = ask(guard, credentials.slow, "demo")
            assert (turned_away.status, turned_away.code) == (503, "evidence_expired")
