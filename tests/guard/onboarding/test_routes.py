"""The table of dangers."""

from __future__ import annotations

from guard.onboarding.asking import Probe
from guard.onboarding.routes import TABLE
from guard.policy.model import ServerKind

# On some server a GET of these acts: it generates, flushes, sleeps, or holds the connection.
ACTS_ON_GET = {"/health", "/health_generate", "/flush_cache", "/start_profile", "/stop_profile", "/open_session"}


def test_every_server_has_a_table_with_the_routes_once_each() -> None:
    assert set(TABLE) == set(ServerKind)
    for dangers in TABLE.values():
        paths = [path for danger in dangers for path in danger.paths]
        assert paths
        assert len(paths) == len(set(paths))
        assert all(path.startswith("/") and "?" not in path for path in paths)


def test_no_get_goes_to_a_route_that_acts_on_it() -> None:
    read = {path for dangers in TABLE.values() for each in dangers if each.probe is Probe.GET for path in each.paths}
    assert "/metrics" in read
    assert not read & ACTS_ON_GET


def test_an_empty_post_goes_to_llama_cpps_tokenizing_routes_alone() -> None:
    posted = {
        (kind, path)
        for kind, dangers in TABLE.items()
        for each in dangers
        if each.probe is Probe.POST
        for path in each.paths
    }
    assert posted == {(ServerKind.LLAMACPP, path) for path in ("/tokenize", "/detokenize", "/apply-template")}


def test_the_chat_route_is_in_no_table() -> None:
    assert not any("/v1/chat/completions" in danger.paths for dangers in TABLE.values() for danger in dangers)


def test_every_danger_says_why_it_matters_in_one_line() -> None:
    for dangers in TABLE.values():
        assert all(0 < len(danger.why) < 100 for danger in dangers)
