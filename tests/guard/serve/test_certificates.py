"""Certificates while they serve: renewed without a break, and what is bad is told once and not taken."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from guard.clock import SystemClock
from guard.policy.process import ListenerTls
from guard.policy.secret_ref import SecretRef
from guard.policy.source import ConfigError
from guard.serve import certificates
from guard.serve.certificates import Certificates, watch
from guard.telemetry.logs import JsonLog
from tests.guard.serve.edge import GOOD, Edge, Tls, exactly, install, listener_tls, problem
from tests.parts.certificates import Authority, Issued

PATIENCE = 30.0
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates") / "authority")


@pytest.fixture
def tls(authority: Authority, tmp_path: Path) -> Tls:
    return listener_tls(authority, tmp_path)


def settled(tls: Tls) -> bool:
    """Look as often as it takes for a change to be taken up."""
    return any(tls.certificates.look() for _ in range(2))


def shown(edge: Edge) -> bytes:
    """The certificate that a new connection is shown."""
    with edge.connect() as sock:
        assert isinstance(sock, ssl.SSLSocket)
        found = sock.getpeercert(binary_form=True)
        assert found
        return found


def test_new_connections_get_the_new_certificate_and_standing_ones_go_on(
    authority: Authority, tls: Tls, tmp_path: Path
) -> None:
    with Edge(tls=tls) as edge, edge.connect() as standing:
        first = shown(edge)
        assert not settled(tls)
        issued = authority.issue("127.0.0.1")
        install(issued, tmp_path)
        assert settled(tls)
        assert not settled(tls)
        assert shown(edge) == ssl.PEM_cert_to_DER_cert(issued.certificate.read_text()) != first
        standing.sendall(GOOD)
        assert exactly(standing, len(OK)) == OK


def test_a_certificate_and_a_key_replaced_one_after_the_other_are_not_read_half_old(
    authority: Authority, tls: Tls, tmp_path: Path
) -> None:
    issued = authority.issue("127.0.0.1")
    shutil.copy(issued.certificate, tmp_path / "listener.pem")
    assert not tls.certificates.look()
    install(issued, tmp_path)
    assert not tls.certificates.look()
    assert tls.certificates.look()


def test_a_mounted_secret_that_is_swapped_by_its_link_is_noticed(authority: Authority, tmp_path: Path) -> None:
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        install(authority.issue("127.0.0.1"), tmp_path / name)
    (tmp_path / "data").symlink_to("old")
    tls = ListenerTls(certificate="data/listener.pem", key=SecretRef(file="data/listener.key"))
    found = Certificates("public", tls, tmp_path, problem)
    before = found.sha256
    (tmp_path / "fresh").symlink_to("new")
    (tmp_path / "fresh").rename(tmp_path / "data")
    assert [found.look() for _ in range(3)] == [False, True, False]
    assert found.sha256 != before


Spoil = Callable[[Path], None]


def remove(folder: Path) -> None:
    (folder / "listener.pem").unlink()


def empty(folder: Path) -> None:
    (folder / "listener.pem").write_bytes(b"")


def garble(folder: Path) -> None:
    (folder / "listener.key").write_bytes(b"no key")


def open_to_all(folder: Path) -> None:
    (folder / "listener.key").chmod(0o644)


def folder_in_place(folder: Path) -> None:
    (folder / "listener.pem").unlink()
    (folder / "listener.pem").mkdir()


def lengthen(folder: Path) -> None:
    with (folder / "listener.pem").open("ab") as file:
        file.write(b"\n" * certificates.MAX_BYTES)


SPOILT: dict[Spoil, str] = {
    remove: "guard.yaml:7: surfaces[0].tls.certificate: listener.pem is missing",
    empty: "guard.yaml:7: surfaces[0].tls.certificate: listener.pem is not a file of certificates in PEM",
    folder_in_place: "guard.yaml:7: surfaces[0].tls.certificate: listener.pem is not a regular file",
    lengthen: "guard.yaml:7: surfaces[0].tls.certificate: listener.pem is longer than 1048576 bytes",
    garble: "guard.yaml:7: surfaces[0].tls.key: listener.key is not an unencrypted private key in PEM",
    open_to_all: "guard.yaml:7: surfaces[0].tls.key: listener.key is open to every user (mode 0644); "
    "make it 0600 or 0640",
}


@pytest.mark.parametrize("spoil", SPOILT, ids=[spoil.__name__ for spoil in SPOILT])
def test_what_is_bad_is_told_once_and_the_one_before_stays(
    spoil: Spoil, authority: Authority, tls: Tls, tmp_path: Path
) -> None:
    with Edge(tls=tls) as edge:
        before = shown(edge)
        spoil(tmp_path)
        with pytest.raises(ConfigError) as caught:
            settled(tls)
        assert str(caught.value) == SPOILT[spoil]
        assert not settled(tls)
        assert shown(edge) == before
        shutil.rmtree(tmp_path / "listener.pem", ignore_errors=True)
        install(authority.issue("127.0.0.1"), tmp_path)
        assert settled(tls)
        assert shown(edge) != before


@pytest.mark.parametrize("spoil", SPOILT, ids=[spoil.__name__ for spoil in SPOILT])
def test_with_bad_files_nothing_begins(spoil: Spoil, authority: Authority, tmp_path: Path) -> None:
    install(authority.issue("127.0.0.1"), tmp_path)
    spoil(tmp_path)
    again = ListenerTls(certificate="listener.pem", key=SecretRef(file="listener.key"))
    with pytest.raises(ConfigError) as caught:
        Certificates("public", again, tmp_path, problem)
    assert str(caught.value) == SPOILT[spoil]


def test_a_key_may_come_from_the_environment(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    issued = authority.issue("127.0.0.1")
    monkeypatch.setenv("LISTENER_KEY", issued.key.read_text())
    tls = ListenerTls(certificate=str(issued.certificate), key=SecretRef(env="LISTENER_KEY"))
    assert len(Certificates("public", tls, tmp_path, problem).sha256) == 64


def test_reasons_of_failed_handshakes_are_counted_within_bounds(tls: Tls) -> None:
    for number in range(1000):
        tls.certificates.refuse(f"reason {number}")
    assert tls.certificates.failed.total() == 1000
    assert len(tls.certificates.failed) == 17


def test_the_log_tells_of_renewals_refusals_and_failed_handshakes(
    authority: Authority, tls: Tls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(certificates, "LOOK_SECONDS", 0.01)
    path = tmp_path / "log"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)

    def lines() -> list[dict[str, Any]]:
        return [json.loads(line) for line in path.read_text().splitlines()]

    async def until(count: int) -> None:
        async with asyncio.timeout(PATIENCE):
            while len(lines()) < count:  # noqa: ASYNC110 - the log announces nothing
                await asyncio.sleep(0.005)

    async def main() -> None:
        watching = asyncio.ensure_future(watch([tls.certificates], JsonLog(SystemClock(), descriptor), worker=3))
        await asyncio.sleep(0)
        tls.certificates.refuse("no shared cipher")
        tls.certificates.refuse("no shared cipher")
        await until(1)
        before = tls.certificates.sha256
        install(issued, tmp_path)
        await until(2)
        assert tls.certificates.sha256 != before
        (tmp_path / "listener.pem").write_text("")
        await until(3)
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)

    issued: Issued = authority.issue("127.0.0.1")
    try:
        asyncio.run(main())
    finally:
        os.close(descriptor)
    refused, renewed, bad = ({name: line[name] for name in line if name != "time"} for line in lines())
    marks = {"listener": "public", "worker": 3}
    assert refused == {
        "level": "warning", "event": "handshake_refused", **marks, "count": 2, "reasons": ["no shared cipher (2)"],
    }  # fmt: skip
    sha256 = tls.certificates.sha256
    assert renewed == {"level": "info", "event": "certificate_renewed", **marks, "sha256": sha256}
    assert bad == {
        "level": "error", "event": "certificate_refused", **marks, "sha256": sha256,
        "reason": "guard.yaml:7: surfaces[0].tls.certificate: listener.pem is not a file of certificates in PEM",
    }  # fmt: skip


def test_a_look_that_fails_otherwise_does_not_end_the_watch(
    tls: Tls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(certificates, "LOOK_SECONDS", 0.001)
    seen: list[int] = []

    def look(_: Certificates) -> bool:
        seen.append(1)
        raise RuntimeError

    monkeypatch.setattr(Certificates, "look", look)

    async def main() -> None:
        with (tmp_path / "log").open("wb") as file:
            watching = asyncio.ensure_future(watch([tls.certificates], JsonLog(SystemClock(), file.fileno())))
            async with asyncio.timeout(PATIENCE):
                while len(seen) < 3:  # noqa: ASYNC110 - a fake announces nothing
                    await asyncio.sleep(0.002)
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)

    asyncio.run(main())
    assert (tmp_path / "log").read_text().count("internal_error") >= 3


def test_no_listener_with_tls_is_nothing_to_watch(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as file:
        asyncio.run(asyncio.wait_for(watch([], JsonLog(SystemClock(), file.fileno())), PATIENCE))
