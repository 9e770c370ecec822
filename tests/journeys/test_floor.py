"""A model below its floor is not served and says so, the others are; and evidence lapses without a restart."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

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
