"""The harness itself: the mock and the load generator agree with each other. No speed is asserted."""

import contextlib
import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from guard.wire.openai_chat import OpenAIChat
from tests.benchmarks import sealing, strict
from tests.benchmarks.measure import Run
from tests.benchmarks.table import alone, table
from tests.benchmarks.targets import Mock, Target

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


def test_sealing_is_measured_on_a_log_that_verifies() -> None:
    figures = sealing.measure(600)
    assert len(figures) == 4
    assert all(value > 0 for _, values, _ in figures for value in values)
