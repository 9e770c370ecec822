"""The command `guard init`: what it prints, writes and returns, against played servers."""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path

import pytest

from guard.cli import main
from guard.policy.load import load, read_secret
from guard.policy.model import SecretRef, ServerKind
from tests.parts.inference_servers import CHAT, listing, methods, played, plays
from tests.parts.ports import free_port
from tests.parts.upstream import Script, ScriptedUpstream, answer, sends


def init(directory: Path, script: Script, *options: str, path: str = "") -> int:
    with ScriptedUpstream(script) as upstream:
        return main(["init", upstream.url + path, "--dir", str(directory), *options])


def test_one_command_writes_a_configuration_that_passes_the_check(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert init(tmp_path / "c", played(ServerKind.VLLM), path="/v1/") == 0
    printed = capsys.readouterr().out
    assert "vLLM 0.33.0" in printed
    assert re.search(r"^ +/collective_rpc|control: +/collective_rpc", printed, re.MULTILINE)
    policy = load(tmp_path / "c").models["chat-7b"]
    assert policy.upstream.kind is ServerKind.VLLM
    assert policy.upstream.model == "org/Chat-7B"
    assert not policy.upstream.url.endswith(("/v1", "/"))
    assert main(["check", "--config", str(tmp_path / "c")]) == 0


@pytest.mark.parametrize("asl", ["2", "3"])
def test_a_higher_level_is_written_and_said_to_be_not_served(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], asl: str
) -> None:
    assert init(tmp_path / "c", played(ServerKind.TGI), "--asl", asl) == 0
    assert "NOT served" in capsys.readouterr().out
    assert main(["check", "--config", str(tmp_path / "c")]) == 1


def test_of_several_models_one_has_to_be_chosen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert init(tmp_path / "c", played(ServerKind.OLLAMA)) == 2
    told = capsys.readouterr()
    assert "--model NAME" in told.err
    assert "llama3.2:latest" in told.out
    assert not (tmp_path / "c").exists()
    assert init(tmp_path / "c", played(ServerKind.OLLAMA), "--model", "nobody") == 2
    assert init(tmp_path / "c", played(ServerKind.OLLAMA), "--model", "qwen:7b") == 0
    assert list(load(tmp_path / "c").models) == ["qwen-7b"]


def test_what_is_there_is_not_overwritten_and_the_server_is_not_even_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine").write_text("mine")
    with ScriptedUpstream(played(ServerKind.VLLM)) as upstream:
        assert main(["init", upstream.url, "--dir", str(tmp_path)]) == 2
        assert upstream.requests == []
    assert "exists" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("ftp://models.example", "must begin with http"),
        ("models.example:8000", "must begin with http"),
        ("http://user:word@models.example", "must not carry a user"),
        ("http://models.example/?a=b", "must not carry a query"),
        ("http://models.example:99999", "port"),
        ("http://models.example/\x1b[2J", "printable ASCII"),
    ],
)
def test_an_address_that_cannot_be_guarded_is_wrong_usage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], url: str, words: str
) -> None:
    assert main(["init", url, "--dir", str(tmp_path / "c")]) == 2
    told = capsys.readouterr().err
    assert words in told
    assert "\x1b" not in told
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize(
    "script",
    [
        sends(answer(b"", status="302 Found", more="location: http://127.0.0.1:1/\r\n")),
        sends(answer(b"\x1b[2J{garbage", more="server: \x1b[2J\r\n".replace("\x1b", "x"))),
        sends(b"\x1b]0;owned\x07", close=True),
        sends(answer(b"x" * 3_000_000)),
        plays({}),
    ],
)
def test_a_server_that_is_not_understood_ends_with_1_and_nothing_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], script: Script
) -> None:
    assert init(tmp_path / "c", script) == 1
    told = capsys.readouterr()
    assert told.err.startswith("guard: the server ")
    assert "\x1b" not in told.out + told.err
    assert list(tmp_path.iterdir()) == []


def test_nobody_at_the_address_ends_with_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", f"http://127.0.0.1:{free_port()}", "--dir", str(tmp_path / "c")]) == 1
    assert "cannot be reached" in capsys.readouterr().err


def test_a_model_whose_name_attacks_the_terminal_is_shown_as_codes_and_not_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evil = "\x1b]0;owned\x07\x1b[2J\nfake: line"
    assert init(tmp_path / "c", plays({"/v1/models": listing(evil)}, (CHAT,))) == 2
    told = capsys.readouterr()
    assert "\x1b" not in told.out + told.err
    assert "\\x1b[2J" in told.out
    assert list(tmp_path.iterdir()) == []


def test_a_server_with_a_key_wants_it_and_the_guard_keeps_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script = played(ServerKind.VLLM, key="right", guarded=("/v1",))
    assert init(tmp_path / "c", script) == 2
    assert "--key-file" in capsys.readouterr().err
    file = tmp_path / "key"
    file.touch(0o600)
    file.write_text("wrong\n")
    assert init(tmp_path / "c", script, "--key-file", str(file)) == 2
    assert "does not take the key" in capsys.readouterr().err
    file.write_text("right\n")
    assert init(tmp_path / "c", script, "--key-file", str(file)) == 0
    told = capsys.readouterr()
    assert "right" not in told.out.split()
    assert read_secret(SecretRef(file="secrets/upstream.key"), tmp_path / "c") == "right"
    assert load(tmp_path / "c").models["chat-7b"].upstream.credential is not None


def test_a_key_file_that_others_can_read_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "key"
    file.write_text("right\n")
    file.chmod(0o644)
    assert init(tmp_path / "c", played(ServerKind.VLLM), "--key-file", str(file)) == 2
    assert "is open to every user" in capsys.readouterr().err


def test_a_default_port_gives_way_to_the_server_and_a_given_one_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with ScriptedUpstream(played(ServerKind.VLLM)) as upstream:
        monkeypatch.setattr("guard.cli.init._PORT", upstream.port)
        assert main(["init", upstream.url, "--dir", str(tmp_path / "c")]) == 0
        assert load(tmp_path / "c").guard.surfaces[0].port == upstream.port + 100
        capsys.readouterr()
        assert main(["init", upstream.url, "--dir", str(tmp_path / "d"), "--port", str(upstream.port)]) == 2
        assert "the inference server's own" in capsys.readouterr().err
        assert main(["init", upstream.url, "--dir", str(tmp_path / "d"), "--port", "9090"]) == 2
        assert "must differ" in capsys.readouterr().err


@pytest.mark.parametrize("port", ["0", "65536", "-1", "x", "٣"])
def test_a_port_that_is_none_is_wrong_usage(tmp_path: Path, port: str) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["init", "http://127.0.0.1:1", "--dir", str(tmp_path / "c"), f"--port={port}"])


def test_a_terminal_without_the_letters_still_gets_the_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", terminal)
    assert init(tmp_path / "c", plays({"/v1/models": listing("日本")}, (CHAT,))) == 0
    terminal.seek(0)
    printed = terminal.read()
    assert "export GUARD_KEY=sk-guard-" in printed
    assert "\\u65e5" in printed


def test_nothing_that_acts_is_asked_of_the_server(tmp_path: Path) -> None:
    with ScriptedUpstream(played(ServerKind.SGLANG)) as upstream:
        assert main(["init", upstream.url, "--dir", str(tmp_path / "c")]) == 0
        asked = methods(upstream.requests)
        bodies = {request.body for request in upstream.requests}
    assert bodies == {b""}
    assert {method for method, _ in asked} == {"GET", "PROPFIND"}
    assert not {"/health", "/health_generate", "/flush_cache"} & {path for method, path in asked if method == "GET"}
