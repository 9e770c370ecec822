"""A wall clock that jumps, back and forward, by minutes and over days: requests go on, and all of it stays provable."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path

from guard.audit import records
from guard.audit.contents import Contents
from guard.audit.keys import KeyFolder
from guard.audit.read import Entry, iter_records
from guard.audit.verify import verify
from guard.audit.wrapping import Kek
from guard.policy.load import load
from guard.serve.sealing import log_key
from tests.parts.configuration import ModelSpec, write_configuration
from tests.parts.guard_process import GUARD, GuardProcess, wait_until
from tests.parts.raw_caller import RawCaller
from tests.parts.shifted_clock import ShiftedClock
from tests.parts.upstream import DONE, LAST_CHUNK, STREAM_HEAD, Gate, ScriptedUpstream, chunk, delta, says, sends, text

DAY = 86_400
JUMPS = (0, -90, 3600, -2 * DAY, 2 * DAY, -DAY, 30, 0)


def ask(guard: GuardProcess, key: str, content: str) -> str:
    with RawCaller(guard.data[1], key) as caller:
        caller.ask(content)
        got = caller.answer()
        assert got.status == 200
        assert DONE in got.body
        return got.headers["x-request-id"]


def test_requests_go_on_and_every_record_is_kept_sealed_and_readable_under_its_day(tmp_path: Path) -> None:
    clock = ShiftedClock(tmp_path)
    asked: dict[str, tuple[str, int]] = {}
    with ScriptedUpstream(says("a ", "few ", "words")) as upstream:
        credentials = write_configuration(tmp_path, models=[ModelSpec(asl=3, upstream=upstream.url)])
        with GuardProcess(tmp_path, environment=clock.environment) as guard:
            began = time.time()
            for at, jump in enumerate(JUMPS):
                clock.jump(jump)
                asked[ask(guard, credentials.key, f"question {at}")] = f"question {at}", jump
            wait_until(
                lambda: 'guard_audit_unsealed_records{writer="worker-0"} 0.0' in guard.get("/metrics").text,
                "all is sealed",
            )
            first = next(iter(asked))
            proved = subprocess.run(
                [GUARD, "audit", "prove", first, "--config", str(tmp_path)], capture_output=True, check=True
            )
            assert len(json.loads(proved.stdout)["logs"][0]["records"]) >= 3
            guard.signal(signal.SIGTERM)
            assert guard.wait() == 0
            assert not guard.lines("seal_failed")
            assert len(guard.worker_pids()) == 1  # nobody took a jump for a worker that has gone deaf
    report = verify(tmp_path / "var" / "audit", log_key(load(tmp_path)))
    assert report.intact, report.findings
    assert report.open == []
    assert all(log.size == log.signed for log in report.logs)
    entries = [item for item in iter_records(tmp_path / "var" / "audit") if isinstance(item, Entry)]
    kek = Kek((tmp_path / "secrets" / "content-key").read_text().strip())
    contents = Contents(tmp_path / "var" / "audit", KeyFolder(tmp_path / "var" / "content-keys"), kek)
    intents = [(one.writer, one.record) for one in entries if isinstance(one.record, records.Intent)]
    assert [record.id for _, record in intents] == list(asked)  # in the order in which they came, whatever their times
    for writer, record in intents:
        content, jump = asked[record.id]
        assert contents.texts(writer, record)[0].text == content
        assert abs(record.time - began - jump) < DAY / 48
        assert record.body.split("/")[1] == time.strftime("%Y-%m-%d", time.gmtime(record.time))
    steady = [record.monotonic for _, record in intents]
    assert steady == sorted(steady)


def test_a_running_stream_and_its_deadlines_do_not_notice(tmp_path: Path) -> None:
    clock, gate = ShiftedClock(tmp_path), Gate()
    script = sends(
        STREAM_HEAD, chunk(text("first ")), gate, chunk(text("last"), delta({}, finish="stop"), DONE) + LAST_CHUNK
    )
    with ScriptedUpstream(script) as upstream:
        credentials = write_configuration(tmp_path, models=[ModelSpec(asl=3, upstream=upstream.url)])
        with (
            GuardProcess(tmp_path, environment=clock.environment) as guard,
            RawCaller(guard.data[1], credentials.key) as caller,
        ):
            caller.ask()
            caller.until(b"first ")
            clock.jump(2 * DAY)
            wait_until(lambda: guard.get("/health/ready").status_code == 200, "it is still ready")
            clock.jump(-2 * DAY)
            gate.open()
            got = caller.answer()
            assert got.texts == "first last"
            assert DONE in got.body
    found = [item.record for item in iter_records(tmp_path / "var" / "audit") if isinstance(item, Entry)]
    (ended,) = [one for one in found if isinstance(one, records.Outcome)]
    assert ended.ending == "served"
    assert 0 <= ended.seconds < 60
    assert 0 <= (ended.first_byte_seconds or 0) < 60
