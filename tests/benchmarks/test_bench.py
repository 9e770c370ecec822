"""The harness itself, in one file: the mock and the load generator agree with each other. No speed is asserted."""

import contextlib
import http.client
import json
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from guard.wire.openai_chat import OpenAIChat
from tests.benchmarks import before, durable, indexing, plot, policy, reload, rules, sealing, stops, strict, switch
from tests.benchmarks.__main__ import ALONE, main, options
from tests.benchmarks.bystanders import LARGE, Large, bystanders
from tests.benchmarks.measure import Run
from tests.benchmarks.table import alone, compared, table
from tests.benchmarks.targets import BEFORE, Mock, Target

MEGABYTES = 2 * strict.MEGA


@pytest.fixture
def mock() -> Iterator[Mock]:
    server = Mock(life_seconds=60)
    try:
        yield server
    finally:
        server.stop()


def test_plain_answers_arrive_whole_and_without_error(mock: Mock, tmp_path: Path) -> None:
    run = Run(mock, 1, tmp_path)
    report = run.load(Target("direct", mock.port), "json", conns=4, warm=0.1)
    assert run.remarks == []
    assert report["errors"] == 0
    assert report["requests"] > 0
    assert 0 < report["p50_us"] <= report["p99_us"]


def test_every_streamed_event_is_counted_and_the_streams_close(mock: Mock, tmp_path: Path) -> None:
    run = Run(mock, 1, tmp_path)
    mock.control(rate=50, tokens=10)
    report = run.load(Target("direct", mock.port), "stream", conns=8, rate=50, warm=0.1)
    assert run.remarks == []
    assert report["errors"] == 0
    assert report["ended"] > 0
    assert report["texts"] >= 10 * (report["ended"] - 8)
    assert report["samples"] > 0
    assert mock.drained() == 0


def test_a_stream_is_what_an_sdk_expects(mock: Mock) -> None:
    mock.control(rate=1000, tokens=3)
    link = http.client.HTTPConnection("127.0.0.1", mock.port, timeout=10)
    link.request("POST", "/v1/chat/completions", '{"stream" : true}', {"Content-Type": "application/json"})
    events = link.getresponse().read().decode().split("\n\n")
    link.close()
    assert events[-2:] == ["data: [DONE]", ""]
    chunks = [json.loads(event.removeprefix("data: ")) for event in events[:-2]]
    assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    assert [len(chunk["choices"][0]["delta"]["content"]) for chunk in chunks[1:-1]] == [21, 21, 21]
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"


HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
END = b"data: [DONE]\r\n\r\n"


def event(stamp: int) -> bytes:
    """One text event, written unlike the mock writes it."""
    return b'data:{"choices":[{"delta": {"content": "t%019d "}, "index": 0}]}\r\n\r\n' % stamp


def chunked(body: bytes, size: int, end: bytes = b"0\r\nx-trailer: 1\r\n\r\n") -> bytes:
    """A body in chunks of a size that knows nothing of events."""
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"%X;ext=1\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + end


@contextlib.contextmanager
def answering(answer: bytes, step: int) -> Iterator[int]:
    """A server on a loopback port that gives one answer per connection, `step` bytes per send, and hangs up."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                link = listener.accept()[0]
                with link:
                    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    with contextlib.suppress(OSError):
                        link.recv(65536)
                        for at in range(0, len(answer), step):
                            link.sendall(answer[at : at + step])

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield int(listener.getsockname()[1])
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(10)


@pytest.mark.parametrize(("chunk", "step"), [(7, 5), (1000, 1), (1000, 100_000), (1, 100_000)])
def test_a_stream_cut_anywhere_is_read_whole(chunk: int, step: int, mock: Mock, tmp_path: Path) -> None:
    body = b": a comment\n\n" + b"".join(event(time.monotonic_ns()) for _ in range(3)) + END
    run = Run(mock, 0.4, tmp_path)
    with answering(HEAD + chunked(body, chunk), step) as port:
        report = run.load(Target("cutter", port), "stream", conns=1, ramp=0, warm=0)
    assert run.remarks == []
    assert report["ended"] >= 1
    assert 3 * report["ended"] <= report["texts"] <= 3 * (report["ended"] + 1)


@pytest.mark.parametrize(
    "body",
    [
        chunked(event(1), 100),
        chunked(event(1) + END, 100, end=b""),
        chunked(event(1) + b'data: {"error":{"message":"stopped"}}\n\n' + END, 1000),
        chunked(event(1) + END, 100) + b"HTTP/1.1 200 OK\r\n",
        b"nonsense\r\n" + chunked(event(1) + END, 100),
    ],
    ids=["no-done", "no-last-chunk", "error-event", "bytes-after-the-end", "no-chunk-size"],
)
def test_a_stream_that_does_not_end_well_is_an_error(body: bytes, mock: Mock, tmp_path: Path) -> None:
    run = Run(mock, 0.3, tmp_path)
    with answering(HEAD + body, 100_000) as port:
        report = run.load(Target("liar", port), "stream", conns=1, ramp=0, warm=0)
    assert report["errors"] > 0
    assert report["ended"] == 0
    assert len(run.remarks) == 1


def test_an_error_of_the_target_is_counted_and_quoted(mock: Mock, tmp_path: Path) -> None:
    run = Run(mock, 0.3, tmp_path)
    gone = Target("gone", 1)  # nothing listens on port 1
    report = run.load(gone, "json", conns=1, warm=0)
    assert report["errors"] > 0
    assert "no answer" in run.remarks[0]


def test_the_table_holds_ratios_of_medians() -> None:
    text = table({("json_cpu", "nginx"): [10.0, 30.0, 20.0], ("json_cpu", "guard"): [40.0]})
    assert "| nginx | 10.0 / 20.0 / 30.0 |  |  |" in text
    assert "| guard | 40.0 / 40.0 / 40.0 | 2x |  |" in text


def test_before_and_after_stand_side_by_side() -> None:
    values = {("json_cpu", BEFORE): [10.0, 30.0, 20.0], ("json_cpu", "guard"): [40.0], ("ttft_p50", "guard"): [1.0]}
    lines = compared(values, "0123456789").splitlines()
    assert lines[0].startswith("| before (0123456) and after, same run |")
    assert lines[2:] == ["| CPU per JSON request, 32 connections, µs | 20.0 | 40.0 | 2x |"]


def test_a_large_request_is_answered_and_its_sender_ends_when_told(mock: Mock) -> None:
    with Large(Target("direct", mock.port)) as large:
        large.begin()
        deadline = time.monotonic() + 20
        while not large.seconds and not large.problem and time.monotonic() < deadline:
            time.sleep(0.01)
    assert large.problem == ""
    assert large.seconds
    assert mock.drained() == 0


def test_a_large_request_that_fails_is_told() -> None:
    with Large(Target("gone", 1)) as large:
        large.begin()
    assert "refused" in large.problem


def test_streams_beside_large_requests_have_their_delays_noted(mock: Mock, tmp_path: Path) -> None:
    run = Run(mock, 0.3, tmp_path)
    bystanders(run, Target("direct", mock.port))
    noted = {figure for figure, _ in run.values}
    assert noted >= {"alone_p99", "alone_max", "beside_p99", "beside_max", "large_ms", "large_rate"}
    assert run.values["beside_p99", "direct"] <= run.values["beside_max", "direct"]
    assert LARGE == MEGABYTES


def git(folder: Path, *words: str) -> str:
    program = shutil.which("git")
    assert program is not None
    command = [program, "-c", "user.name=a test", "-c", "user.email=test@example.com", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True, timeout=30).stdout.strip()


def test_an_earlier_guard_runs_from_its_own_source_tree(tmp_path: Path) -> None:
    for part in ("guard", "safeguards", "config"):
        (tmp_path / part).mkdir()
        (tmp_path / part / "__init__.py").write_text("ERA = 'before'\n")
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "-m", "before")
    (tmp_path / "guard" / "__init__.py").write_text("ERA = 'after'\n")
    commit = before.resolve("HEAD", tmp_path)
    assert commit == git(tmp_path, "rev-parse", "HEAD")
    with before.unpacked(commit, tmp_path) as source:
        said = subprocess.run(
            [sys.executable, "-P", "-c", "import guard; print(guard.ERA)"],
            env=before.environment(source),
            capture_output=True,
            text=True,
            check=True,
            timeout=30,
        )
    assert said.stdout == "before\n"
    assert not source.exists()


@pytest.mark.parametrize("name", ["no-such-commit", "--help", ""])
def test_what_is_no_commit_is_refused(name: str, tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")
    with pytest.raises(ValueError, match="is no commit"):
        before.resolve(name, tmp_path)


def test_an_earlier_guard_is_asked_for_by_its_commit(capsys: pytest.CaptureFixture[str]) -> None:
    assert options(["--quick"]).before == ""
    with pytest.raises(SystemExit):
        options(["--before", "no-such-commit"])
    assert "'no-such-commit' is no commit of this repository" in capsys.readouterr().err


def test_the_plot_is_xml_with_every_point_in_its_frame() -> None:
    sizes = [(1024 * 4**power, [0.00002 * 4**power], [0.000002 * 4**power]) for power in range(8)]
    drawn = ET.fromstring(plot.reading(sizes, 40.0))  # noqa: S314 - written a moment ago, here
    circles = [each for each in drawn.iter() if each.tag.endswith("circle")]
    assert len(circles) == 16
    assert all(80 <= float(each.attrib["cx"]) <= 730 and 50 <= float(each.attrib["cy"]) <= 420 for each in circles)
    strictly = [float(each.attrib["cy"]) for each in circles[:8]]
    steps = {round(lower - upper, 1) for upper, lower in pairwise(strictly)}
    assert len(steps) <= 2  # what grows as its size is a straight line
    assert "40 ms, the goal for 2 MB" in {each.text for each in drawn.iter()}


@pytest.mark.parametrize("shape", strict.shapes(MEGABYTES))
def test_an_adversarial_shape_is_read_or_refused_as_its_name_says(shape: str) -> None:
    body = strict.shapes(MEGABYTES)[shape]
    refused = "beyond the bound" in shape or "never end" in shape
    assert strict.read_strictly(OpenAIChat(), body) is not refused


@pytest.mark.parametrize("size", [1024, 65_536, MEGABYTES])
def test_a_chat_body_has_about_its_size_and_is_read(size: int) -> None:
    body = strict.chat_body(size)
    assert abs(len(body) - size) < size / 8
    assert strict.read_strictly(OpenAIChat(), body)


def test_every_part_alone_has_values_and_a_line_in_its_table() -> None:
    figures = strict.measure(0.0, largest=4096)
    assert all(found and min(found) > 0 for _, found, _ in figures)
    lines = alone(figures).splitlines()
    assert len(lines) == len(figures) + 2
    for name in strict.READERS:
        assert any(f"reader of {name}" in line for line in lines)


def test_a_change_of_policy_is_measured_alone_and_every_goal_is_judged() -> None:
    figures = reload.alone(1)
    titles = [title for title, _, _ in figures]
    assert len(set(titles)) == len(figures) == 4
    assert all(min(values) > 0 for _, values, _ in figures)
    assert sum("goal" in remark for _, _, remark in figures) == 3


@pytest.mark.timeout(120)
def test_reloads_under_load_are_counted_and_lose_no_request(mock: Mock, tmp_path: Path) -> None:
    run = Run(mock, 0.6, tmp_path)
    figures = {title: (values, remark) for title, values, remark in reload.under_load(run, 1)}
    assert run.remarks == []
    assert len(figures["reload of one file of 200 models, ms"][0]) >= 1
    assert "; 0 requests lost" in figures["latest stream event while every file changes, ms"][1]


def test_every_part_of_the_policy_has_values_and_a_goal_where_there_is_one() -> None:
    figures = policy.measure(0.0, models=3)
    assert all(found and min(found) > 0 for _, found, _ in figures)
    assert [title.partition(",")[0] for title, _, remark in figures if "goal" in remark] == [
        "policy: 3 models read",
        "policy: look-up of a model for one request",
    ]


def test_asking_the_switch_is_measured_with_and_without_stops_and_its_goal_is_judged() -> None:
    figures = switch.measure(0.0, checks=100, stops=20)
    assert [title for title, _, _ in figures] == [
        "switch: asked before a send while nothing is stopped, µs",
        "switch: asked before a send while nothing is stopped, with a lease, µs",
        "switch: asked before a send while 20 stops cover others, µs",
        "switch: asked before a send while 20 stops cover others, with a lease, µs",
    ]
    assert all(found and min(found) > 0 and "goal 0.2 µs" in remark for _, found, remark in figures)


def test_watching_is_measured_beside_no_rule_and_beside_many_and_the_goal_of_none_is_judged() -> None:
    figures = rules.measure(0.0, batches=50)
    assert [title for title, _, _ in figures] == [
        "rules: a batch where none can be pushed, µs",
        "rules: a batch while none is pushed, µs",
        "rules: a batch while 1 orders are in force, µs",
        "rules: a batch while 32 orders are in force, µs",
    ]
    assert all(found and min(found) > 0 for _, found, _ in figures)
    assert "goal 0.2 µs" in figures[1][2]


def test_parts_alone_need_no_target(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ALONE, "policy", lambda seconds: policy.measure(seconds, models=2))
    assert main(["--only", "policy", "--quick"]) == 0
    assert "policy: 2 models compiled, ms" in capsys.readouterr().out


def test_sealing_is_measured_on_a_log_that_verifies() -> None:
    figures = sealing.measure(600)
    assert len(figures) == 5
    assert all(value > 0 for _, values, _ in figures for value in values)


def test_the_durable_log_is_measured_in_every_figure() -> None:
    figures = durable.measure(0.02)
    assert len(figures) == 11 + len(durable.SHAPES)
    assert all(len(values) == durable.ROUNDS for _, values, _ in figures)
    assert all(value > 0 for title, values, _ in figures if "added" not in title for value in values)


def test_lookups_are_measured_on_requests_that_are_found() -> None:
    figures = indexing.measure(600, segment=100)
    assert len(figures) == 2
    assert all(value > 0 for _, values, _ in figures for value in values)


def test_the_check_before_every_send_is_measured_with_and_without_a_lease(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stops, "CHECKS", 100)
    for asl, words in ((2, "orders alone"), (3, "the lease by the clock")):
        title, values, remark = stops.checks(tmp_path, asl)
        assert f"ASL-{asl}" in title
        assert words in remark
        assert min(values) > 0
