"""One server is one server, however its address is spelt."""

from __future__ import annotations

import pytest

from guard.policy.model import ServerKind, Upstream
from guard.policy.server_identity import server_of, weights_of


def upstream(url: str, kind: str = "llamacpp", model: str = "tiny") -> Upstream:
    return Upstream(url=url, kind=ServerKind(kind), model=model)


@pytest.mark.parametrize(
    "url",
    [
        *("http://127.0.0.1:8081", "http://127.0.0.1:8081/", "HTTP://127.0.0.1:8081/v1", "http://localhost:8081"),
        *("http://127.1:8081", "http://2130706433:8081", "http://0x7f.1:8081", "http://0.0.0.0:8081"),
        *("http://[::1]:8081", "http://[::ffff:127.0.0.1]:8081", "http://127.0.0.1:08081", "https://127.9.9.9:8081"),
    ],
)
def test_every_spelling_of_this_host_is_this_host(url: str) -> None:
    assert server_of(upstream(url)) == "this host:8081"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("http://Models.Example", "http://models.example:80/v1", True),
        ("http://models.example", "https://models.example", False),
        ("http://models.example:1", "http://models.example:2", False),
        ("http://10.0.0.1:1", "http://[::ffff:10.0.0.1]:1", True),
        ("unix:/run/model.sock", "unix:/run/model.sock", True),
        ("unix:/run/model.sock", "http://127.0.0.1:1", False),
    ],
)
def test_others_are_told_apart_by_host_and_port(one: str, other: str, same: bool) -> None:
    assert (server_of(upstream(one)) == server_of(upstream(other))) is same


def test_a_server_of_one_model_serves_it_under_every_name() -> None:
    url = "http://10.0.0.1:1"
    assert weights_of(upstream(url, "vllm", "a")) == weights_of(upstream(url, "llamacpp", "b"))
    assert weights_of(upstream(url, "openai", "a")) != weights_of(upstream(url, "openai", "b"))
