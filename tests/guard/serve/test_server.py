"""Listening sockets: whose error names the place, how a place is written, and how a Unix socket comes and goes."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import pytest

from guard.policy.process import Listener
from guard.serve.server import address, listen, listening


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_an_address_in_use_is_named(host: str) -> None:
    with listen(host, 0) as sock:
        port = sock.getsockname()[1]
        assert not sock.getblocking()
        place = f"[::1]:{port}" if host == "::1" else f"{host}:{port}"
        assert address(sock) == place.replace("localhost", "127.0.0.1")
        with pytest.raises(OSError, match=r"cannot listen on .*: Address already in use") as raised:
            listen(host, port)
        assert place in str(raised.value)


def test_a_name_that_is_nobody_is_an_error_that_names_it() -> None:
    with pytest.raises(OSError, match=r"cannot listen on 192\.0\.2\.1:80"):
        listen("192.0.2.1", 80)


def test_a_port_is_free_again_once_its_connections_are_closed() -> None:
    with listen("127.0.0.1", 0) as sock:
        port = sock.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            sock.setblocking(True)
            sock.accept()[0].close()
    listen("127.0.0.1", port).close()


def test_a_listener_listens_where_it_says() -> None:
    with listening(Listener(host="127.0.0.1", port=0)) as sock:
        assert address(sock).startswith("127.0.0.1:")
    assert sock.fileno() == -1


def test_a_unix_socket_is_for_user_and_group_and_goes_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "api.sock"
    before = os.umask(0)
    try:
        with listening(Listener(unix=str(path))) as sock:
            assert address(sock) == f"unix:{path}"
            assert stat.S_IMODE(path.stat().st_mode) == 0o660
            assert not sock.getblocking()
            with socket.socket(socket.AF_UNIX) as caller:
                caller.connect(str(path))
    finally:
        os.umask(before)
    assert not path.exists()


def test_one_that_a_killed_guard_left_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "api.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
        dead.listen()
    for _ in range(2):
        with listening(Listener(unix=str(path))), socket.socket(socket.AF_UNIX) as caller:
            caller.connect(str(path))


def test_one_that_somebody_listens_on_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "api.sock"
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen(0)
        for _ in range(3):  # also when its queue is full
            with pytest.raises(OSError, match=f"cannot listen on unix:{path}: Address already in use"):
                listening(Listener(unix=str(path))).__enter__()
    assert path.exists()


def test_two_guards_never_share_one(tmp_path: Path) -> None:
    path = tmp_path / "api.sock"
    place = Listener(unix=str(path))
    with listening(place):
        with pytest.raises(OSError, match=r"another guard holds .*api\.sock\.lock"):
            listening(place).__enter__()
        path.unlink()  # even where the first has lost its name
        with pytest.raises(OSError, match="another guard holds"):
            listening(place).__enter__()


@pytest.mark.parametrize("kind", ["file", "folder", "link"])
def test_what_is_no_socket_is_never_removed(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "api.sock"
    match kind:
        case "file":
            path.write_text("precious")
        case "folder":
            path.mkdir()
        case _:
            path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="there is something that is no socket"):
        listening(Listener(unix=str(path))).__enter__()
    assert path.is_symlink() or path.exists()


def test_a_folder_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"cannot listen on unix:.*/absent/api.sock: No such file or directory"):
        listening(Listener(unix=str(tmp_path / "absent" / "api.sock"))).__enter__()


def test_a_place_is_written_as_it_is_given() -> None:
    places = [Listener(host="::1", port=1), Listener(host="a.example", port=2), Listener(unix="/run/a.sock")]
    assert [each.place for each in places] == ["[::1]:1", "a.example:2", "unix:/run/a.sock"]
