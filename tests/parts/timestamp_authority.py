"""A real time-stamping authority: `openssl ts` behind a small HTTP server on loopback, and how it can misbehave."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final, Self

from tests.parts.debian import command

PATIENCE: Final = 30.0
POLICY: Final = "1.2.3.4.1"
OTHER_POLICY: Final = "1.2.3.4.5"
_CONFIG: Final = """
[tsa]
default_tsa = own
[own]
serial = {folder}/serial
signer_cert = {folder}/tsa.crt
signer_key = {folder}/tsa.key
signer_digest = sha256
default_policy = {policy}
other_policies = {other}
digests = sha256
clock_precision_digits = 3
tsa_name = yes
ess_cert_id_alg = {hash}
{chain}
"""


@dataclass(frozen=True, slots=True)
class Reply:
    """What is answered in place of the time stamp: a status, headers, a body; ``hangs`` answers nothing."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    hangs: bool = False


class TimestampAuthority:
    """An authority in a new folder; ``pem`` is its root. It serves inside a ``with`` block, where ``url`` says."""

    def __init__(self, folder: Path, *, hash_name: str = "sha256", chain: bool = True, days: int = 1) -> None:
        """Make its keys; ``chain`` sends the root along, ``days`` is for how long its certificate is valid."""
        folder.mkdir()
        self.pem = folder / "ca.pem"
        self.fault: Callable[[bytes, bytes], Reply] | None = None
        self.asked: list[bytes] = []
        self._folder = folder
        self._lock = threading.Lock()
        self._closing = threading.Event()
        (folder / "serial").write_text("01\n")
        (folder / "tsa.ext").write_text(
            "extendedKeyUsage = critical,timeStamping\nkeyUsage = critical,digitalSignature\n"
        )
        sent = f"certs = {self.pem}" if chain else ""
        text = _CONFIG.format(folder=folder, policy=POLICY, other=OTHER_POLICY, hash=hash_name, chain=sent)
        (folder / "tsa.cnf").write_text(text)
        curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
        root = ("-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign")
        self._openssl(
            "req", "-x509", *curve, "-subj", "/CN=root", "-days", "2", *root, "-keyout", "ca.key", "-out", "ca.pem"
        )
        self._openssl("req", *curve, "-subj", "/CN=tsa", "-keyout", "tsa.key", "-out", "tsa.csr")
        self._openssl(
            "x509", "-req", "-in", "tsa.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
            "-days", str(days), "-extfile", "tsa.ext", "-out", "tsa.crt",
        )  # fmt: skip

    def answer(self, query: bytes) -> bytes:
        """What `openssl ts -reply` answers."""
        with self._lock:
            (self._folder / "query").write_bytes(query)
            self._openssl("ts", "-reply", "-config", "tsa.cnf", "-queryfile", "query", "-out", "answer")
            return (self._folder / "answer").read_bytes()

    def verified(self, data: bytes, answer: bytes) -> bool:
        """Whether `openssl ts -verify` agrees."""
        (self._folder / "data").write_bytes(data)
        (self._folder / "given").write_bytes(answer)
        words = ["ts", "-verify", "-data", "data", "-in", "given", "-CAfile", "ca.pem"]
        return _run(words, self._folder).returncode == 0

    def __enter__(self) -> Self:
        """Serve."""
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self._reply, self._closing))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/tsr"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """End, and let go whoever waits."""
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()

    def _reply(self, kind: str, query: bytes) -> Reply:
        self.asked.append(query)
        if kind != "application/timestamp-query":
            return Reply(415)
        answer = self.answer(query)
        if self.fault is not None:
            return self.fault(query, answer)
        return Reply(200, answer, {"content-type": "application/timestamp-reply"})

    def _openssl(self, *arguments: str) -> None:
        done = _run(list(arguments), self._folder)
        if done.returncode:
            raise RuntimeError(done.stderr)


def _run(arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    program = command("openssl", "openssl")
    return subprocess.run([program, *arguments], cwd=folder, capture_output=True, text=True, check=False, timeout=30)


def _handler(reply: Callable[[str, bytes], Reply], closing: threading.Event) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            given = reply(self.headers.get("content-type", ""), body)
            if given.hangs:
                closing.wait(PATIENCE)
                self.close_connection = True
                return
            self.send_response(given.status)
            for name, value in given.headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(given.body)))
            self.end_headers()
            self.wfile.write(given.body)

        def log_message(self, *_: object) -> None:
            """Silent."""

    return Handler
