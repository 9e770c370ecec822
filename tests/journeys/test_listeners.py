"""The real guard on its other listeners: TLS with and without callers' certificates, Unix sockets, named hosts."""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from guard.cli import main
from tests.guard.serve.edge import install
from tests.parts.certificates import Authority, Issued
from tests.parts.configuration import Credentials, ModelSpec, write_configuration
from tests.parts.guard_process import GuardProcess, wait_until
from tests.parts.ports import free_port
from tests.parts.upstream import ScriptedUpstream, says

TLS = {"certificate": "tls/listener.pem", "key": {"file": "tls/listener.key"}}
MUTUAL = {**TLS, "client_certificates": "required", "client_ca": "tls/callers.pem"}


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("listeners") / "authority")


def configured(
    directory: Path, *, surface: Mapping[str, Any] | None = None, admin: Mapping[str, Any] | None = None, **more: Any
) -> Credentials:
    """A configuration whose first surface, or administration, has these keys; ``host`` and ``port`` go for `unix`."""
    credentials = write_configuration(directory, **more)
    path = directory / "guard.yaml"
    guard = json.loads(path.read_text())
    for listener, keys in ((guard["surfaces"][0], surface), (guard["admin"], admin)):
        listener.update(keys or {})
        if "unix" in listener:
            del listener["host"], listener["port"]
    path.write_text(json.dumps(guard))
    return credentials


def certified(directory: Path, issued: Issued, callers: Authority | None = None) -> None:
    folder = directory / "tls"
    folder.mkdir(parents=True, exist_ok=True)
    install(issued, folder)
    if callers is not None:
        (folder / "callers.pem").write_bytes(callers.pem.read_bytes())


def trusting(authority: Authority, shown: Issued | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=authority.pem)
    context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF  # set by early releases of Python 3.11
    if shown is not None:
        context.load_cert_chain(shown.certificate, shown.key)
    return context


def sdk(guard: GuardProcess, key: str, context: ssl.SSLContext) -> openai.OpenAI:
    url = "https://{}:{}/v1".format(*guard.data)
    client = openai.DefaultHttpxClient(verify=context, trust_env=False)
    return openai.OpenAI(base_url=url, api_key=key, http_client=client, max_retries=0)


def hello(client: openai.OpenAI) -> str:
    stream = client.chat.completions.create(model="demo", messages=[{"role": "user", "content": "hello"}], stream=True)
    return "".join(part.choices[0].delta.content or "" for part in stream if part.choices)


def fingerprint(address: tuple[str, int], context: ssl.SSLContext) -> bytes | None:
    with socket.create_connection(address, 10) as sock, context.wrap_socket(sock, server_hostname="127.0.0.1") as safe:
        return safe.getpeercert(binary_form=True)


def test_the_sdk_over_https_and_a_certificate_renewed_under_its_streams(authority: Authority, tmp_path: Path) -> None:
    with ScriptedUpstream(says("Hello", " over", " TLS")) as upstream:
        models = [ModelSpec(upstream=upstream.url)]
        key = configured(tmp_path, surface={"tls": TLS}, models=models, workers=2).key
        certified(tmp_path, authority.issue("127.0.0.1"))
        with GuardProcess(tmp_path) as guard, sdk(guard, key, trusting(authority)) as client:
            wait_until(lambda: guard.get("/health/ready").json()["serving"] == 2, "both workers have read the first")
            assert hello(client) == "Hello over TLS"
            whole = client.chat.completions.create(model="demo", messages=[{"role": "user", "content": "hello"}])
            assert whole.choices[0].message.content == "Hello over TLS"
            with pytest.raises(openai.NotFoundError):
                client.chat.completions.create(model="absent", messages=[{"role": "user", "content": "hello"}])
            second = authority.issue("127.0.0.1")
            install(second, tmp_path / "tls")
            for worker in range(2):
                guard.wait_for("certificate_renewed", listener="public", worker=worker)
            expected = ssl.PEM_cert_to_DER_cert(second.certificate.read_text())
            assert fingerprint(guard.data, trusting(authority)) == expected
            assert hello(client) == "Hello over TLS"  # on its old connection
            (tmp_path / "tls" / "listener.pem").write_text("nothing")
            line = guard.wait_for("certificate_refused", listener="public", worker=1)
            assert "listener.pem is not a file of certificates in PEM" in line["reason"]
            assert fingerprint(guard.data, trusting(authority)) == expected
            with pytest.raises(openai.APIConnectionError):
                hello(sdk(guard, key, ssl.create_default_context()))
            assert "unknown ca" in str(guard.wait_for("handshake_refused")["reasons"])
            guard.signal(signal.SIGTERM)
            assert guard.wait() == 0


def test_callers_certificates_are_demanded_and_named_in_the_log(authority: Authority, tmp_path: Path) -> None:
    callers = Authority(tmp_path / "callers", "callers")
    with ScriptedUpstream(says("Hello")) as upstream:
        key = configured(tmp_path / "config", surface={"tls": MUTUAL}, models=[ModelSpec(upstream=upstream.url)]).key
        certified(tmp_path / "config", authority.issue("127.0.0.1"), callers)
        with GuardProcess(tmp_path / "config") as guard:
            shown = callers.issue("spiffe://example/chat")
            with sdk(guard, key, trusting(authority, shown)) as client:
                assert hello(client) == "Hello"
            assert guard.wait_for("exchange")["peer"] == "spiffe://example/chat"
            with sdk(guard, key, trusting(authority)) as client, pytest.raises(openai.APIConnectionError):
                hello(client)
            assert guard.wait_for("handshake_refused")["reasons"] == ["peer did not return a certificate (1)"]
            assert len(upstream.requests) == 1


def test_a_unix_socket_serves_outlives_its_workers_and_is_gone_at_the_end(tmp_path: Path) -> None:
    place = tmp_path / "api.sock"
    with ScriptedUpstream(says("Hello")) as upstream:
        key = configured(
            tmp_path / "config", surface={"unix": str(place)}, models=[ModelSpec(upstream=upstream.url)]
        ).key

        def served() -> bool:
            with httpx.Client(transport=httpx.HTTPTransport(uds=str(place))) as client:
                body = {"model": "demo", "messages": [{"role": "user", "content": "hello"}]}
                headers = {"authorization": f"Bearer {key}"}
                answer = client.post("http://guard/v1/chat/completions", json=body, headers=headers)
            return bool(answer.json()["choices"][0]["message"]["content"] == "Hello")

        with GuardProcess(tmp_path / "config") as guard:
            assert guard.wait_for("started")["surfaces"] == [f"public=unix:{place}"]
            assert stat.S_IMODE(place.stat().st_mode) == 0o660
            assert served()
            socket_file = place.stat().st_ino
            os.kill(guard.worker(), signal.SIGKILL)
            guard.wait_for("worker_started", count=2)
            wait_until(lambda: guard.get("/health/ready").status_code == 200, "its successor serves")
            assert served()
            assert place.stat().st_ino == socket_file
            guard.signal(signal.SIGKILL)
            guard.wait()
            assert place.exists()  # nobody could take it away
        with GuardProcess(tmp_path / "config") as guard:
            assert served()
            guard.signal(signal.SIGTERM)
            assert guard.wait() == 0
        assert not place.exists()


def test_a_host_that_is_not_listed_is_refused_on_both_listeners(tmp_path: Path) -> None:
    configured(tmp_path, surface={"hosts": ["api.example"]}, admin={"hosts": ["127.0.0.1"]})
    with GuardProcess(tmp_path) as guard, httpx.Client(trust_env=False) as client:
        for base in (guard.url, guard.admin_url):
            assert client.get(f"{base}/", headers={"host": "evil.example"}).status_code == 421
        assert client.get(f"{guard.url}/", headers={"host": "api.example:8443"}).status_code == 404


def test_one_exchange_more_than_the_bound_is_refused_over_tls_too(authority: Authority, tmp_path: Path) -> None:
    with ScriptedUpstream(says("Hello")) as upstream:
        models = [ModelSpec(upstream=upstream.url)]
        key = configured(tmp_path, surface={"tls": TLS}, models=models, limits={"concurrent": 1}).key
        certified(tmp_path, authority.issue("127.0.0.1"))
        head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: guard\r\nauthorization: Bearer {key}\r\n".encode()
        head += b"content-type: application/json\r\ncontent-length: 1000\r\n\r\n"
        context = trusting(authority)
        with GuardProcess(tmp_path) as guard, sdk(guard, key, context) as client:
            assert hello(client) == "Hello"

            def full() -> bool:
                try:
                    hello(client)
                except openai.InternalServerError as refusal:
                    return refusal.status_code == 503 and refusal.code == "overloaded"
                return False

            sock = socket.create_connection(guard.data, 10)
            with context.wrap_socket(sock, server_hostname="127.0.0.1") as first:
                first.sendall(head)
                wait_until(full, "the one that is coming takes the room")
            wait_until(lambda: not full(), "its leaving makes room again")
            assert hello(client) == "Hello"


def status(directory: Path, *more: str) -> int:
    token = directory / "secrets" / "viewer.token"
    return main(["status", "--json", "--config", str(directory), "--token-file", str(token), *more])


def test_the_administration_over_tls_is_found_by_the_configuration_alone(
    authority: Authority, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = {"tls": TLS, "hosts": ["guard.example"], "port": free_port()}
    configured(tmp_path, admin=keys)
    certified(tmp_path, authority.issue("guard.example"))
    with GuardProcess(tmp_path, ready=False) as guard:
        guard.wait_for("worker_started")
        assert status(tmp_path) == 0
        assert capsys.readouterr().err == ""  # the API answered
        url = f"https://127.0.0.1:{keys['port']}"
        assert status(tmp_path, "--admin", url, "--ca", str(authority.pem)) == 0
        assert "does not answer" in capsys.readouterr().err  # its certificate is for another name
        guard.wait_for("handshake_refused", listener="admin")
        install(authority.issue("guard.example"), tmp_path / "tls")
        guard.wait_for("certificate_renewed", listener="admin")
        assert status(tmp_path) == 0
        assert capsys.readouterr().err == ""


def test_the_administration_with_callers_certificates_takes_one_from_the_command(
    authority: Authority, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = tmp_path / "config"
    callers = Authority(tmp_path / "callers", "callers")
    configured(directory, admin={"tls": MUTUAL, "port": free_port()})
    certified(directory, authority.issue("127.0.0.1"), callers)
    shown = callers.issue(common_name="on-call")
    both = tmp_path / "both.pem"
    both.write_bytes(shown.certificate.read_bytes() + shown.key.read_bytes())
    with GuardProcess(directory, ready=False) as guard:
        guard.wait_for("worker_started")
        assert status(directory, "--certificate", str(both)) == 0
        assert capsys.readouterr().err == ""
        assert status(directory) == 0
        assert "does not answer" in capsys.readouterr().err


def test_the_administration_on_a_unix_socket(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory, place = tmp_path / "config", tmp_path / "admin.sock"
    configured(directory, admin={"unix": str(place)})
    with GuardProcess(directory, ready=False) as guard:
        guard.wait_for("worker_started")
        for more in ((), ("--admin", f"unix:{place}")):
            assert status(directory, *more) == 0
            assert capsys.readouterr().err == ""


def test_what_a_listener_cannot_be_made_of_is_told_by_the_check_and_at_the_start(
    authority: Authority, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    configured(tmp_path, surface={"tls": TLS}, admin={"tls": TLS})
    certified(tmp_path, authority.issue("127.0.0.1"))
    assert main(["check", "--config", str(tmp_path)]) == 0
    (tmp_path / "tls" / "listener.pem").unlink()
    for command in ("check", "serve"):
        assert main([command, "--config", str(tmp_path)]) == 2
        assert "surfaces[0].tls.certificate: tls/listener.pem is missing" in capsys.readouterr().err
