"""An OTLP/HTTP collector on the loopback that takes logs as JSON, read by the protocol's own definitions."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from google.protobuf.json_format import ParseDict  # type: ignore[import-untyped]  # comes without types
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord


class Collector(ThreadingHTTPServer):
    """Keeps what it is sent; ``status`` and ``said`` are its answer, and ``gate``, once cleared, holds it back."""

    daemon_threads = True

    def __init__(self) -> None:
        """Listen on a free port."""
        super().__init__(("127.0.0.1", 0), _Take)
        self.sent: list[ExportLogsServiceRequest] = []
        self.bodies: list[bytes] = []
        self.headers: list[dict[str, str]] = []
        self.status = 200
        self.said = b'{"partialSuccess":{}}'
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()

    @property
    def url(self) -> str:
        """The full URL of its logs endpoint."""
        return f"http://127.0.0.1:{self.server_port}/v1/logs"

    def records(self) -> list[LogRecord]:
        """All that it took."""
        return [
            each
            for request in self.sent
            for resource in request.resource_logs
            for scope in resource.scope_logs
            for each in scope.log_records
        ]

    def names(self) -> list[str]:
        """Which record of which request each was."""
        found = [
            (each.event_name.removeprefix("asl_guard."), attributes(each).get("request", "")) for each in self.records()
        ]
        return [f"{name} {request}".strip() for name, request in found]


class _Take(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        """Take one request."""
        server = self.server
        body = self.rfile.read(int(self.headers["content-length"]))
        server.entered.set()
        server.gate.wait(30.0)
        server.bodies.append(body)
        server.headers.append({name.lower(): value for name, value in self.headers.items()})
        if server.status == 200:
            server.sent.append(_parsed(body))
        self.send_response(server.status)
        self.send_header("content-length", str(len(server.said)))
        self.end_headers()
        self.wfile.write(server.said)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def _parsed(body: bytes) -> ExportLogsServiceRequest:
    """A request; OTLP writes ids in hexadecimal where JSON of protobuf has Base64."""
    content: dict[str, Any] = json.loads(body)
    for resource in content["resourceLogs"]:
        for scope in resource["scopeLogs"]:
            for each in scope["logRecords"]:
                if "traceId" in each:
                    each["traceId"] = base64.b64encode(bytes.fromhex(each["traceId"])).decode()
    request = ExportLogsServiceRequest()
    ParseDict(content, request)
    return request


def attributes(record: LogRecord) -> dict[str, str]:
    """Its attributes without their prefix."""
    return {
        each.key.removeprefix("asl_guard."): each.value.string_value or str(each.value.int_value)
        for each in record.attributes
    }


@contextmanager
def collector() -> Iterator[Collector]:
    """Start one and end it."""
    server = Collector()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.gate.set()
        server.shutdown()
        thread.join()
        server.server_close()
