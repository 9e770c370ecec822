"""What the command says."""

from __future__ import annotations

import json
import shlex
from datetime import UTC, datetime
from pathlib import Path

from guard.onboarding import tell
from guard.onboarding.asking import Probe
from guard.onboarding.exposure import Exposed, Standing
from guard.onboarding.identify import Server
from guard.onboarding.lacks import lacks
from guard.onboarding.routes import Danger
from guard.onboarding.write import Credentials
from guard.policy.model import ServerKind
from tests.guard.onboarding.test_files import loaded, setup

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
EVIL = "\x1b]0;owned\x07\x1b[2J\r\n\u202eevil"


def test_what_the_server_says_of_itself_reaches_the_terminal_as_plain_text() -> None:
    text = tell.server(Server(ServerKind.VLLM, EVIL, (EVIL, "x" * 5000), keyed=False, admitted=True), "http://h:1")
    assert all(each == "\n" or each.isprintable() for each in text)
    assert "\\x1b[2J" in text
    assert max(map(len, text.splitlines())) < 200


def test_a_long_list_of_models_is_cut_with_its_number() -> None:
    models = tuple(f"m{number}" for number in range(500))
    text = tell.server(Server(ServerKind.OLLAMA, "", models, keyed=True, admitted=True), "http://h:1")
    assert len(text.splitlines()) < 30
    assert "500 models" in text
    assert "and 480 more" in text
    assert "asks for a key" in text


def test_open_routes_are_told_with_why_they_matter_and_the_rest_by_number() -> None:
    slots = Danger("slots", "shows others' requests", Probe.GET, ("/slots", "/other"))
    raw = Danger("generate", "goes around", None, ("/completion",))
    gone = Danger("docs", "describes", Probe.GET, ("/docs", "/redoc"))
    text = tell.exposure(
        [
            Exposed(slots, (("/slots", Standing.OPEN), ("/other", Standing.REFUSED))),
            Exposed(raw, (("/completion", Standing.UNKNOWN),)),
            Exposed(gone, (("/docs", Standing.ABSENT), ("/redoc", Standing.ABSENT))),
        ]
    )
    assert "/slots" in text
    assert "shows others' requests" in text
    before, after = text.split("Could not tell")
    assert "/completion" in after
    assert "/completion" not in before
    assert "/docs" not in text
    assert "Of 5 routes looked for, 1 are open, 1 refused us, 2 are not there, 1 could not be told." in text


def test_the_levels_are_told_with_their_numbers_and_each_row_once(tmp_path: Path) -> None:
    config = loaded(tmp_path, setup(asl=2))
    text = tell.levels(lacks(config, "chat-7b", NOW), 2)
    assert text.count("L2.model_card") == 1
    assert "nobody attests model_card" in text
    assert "NOT served" in text
    row = next(line for line in text.splitlines() if line.startswith("  example-internal 1 "))
    assert row.split()[-3:] == ["0", "2", "6"]
    assert "can be served" in tell.levels(lacks(config, "chat-7b", NOW), 1)


def test_the_secrets_are_told_once_and_not_in_the_lines_to_try() -> None:
    credentials = Credentials(key="sk-guard-k", token="at-guard-t")
    text = tell.written(Path("a b"), setup(), credentials)
    assert text.count("sk-guard-k") == text.count("at-guard-t") == 1
    assert "sk-guard-k" not in tell.next_steps(Path("a b"), setup(), "guard")


def test_the_lines_to_try_are_words_a_shell_takes_as_meant() -> None:
    lines = tell.next_steps(Path("it's here"), setup(port=1234), "guard").splitlines()
    commands = [shlex.split(line) for line in lines if line.startswith("  ") and not line.startswith("  #")]
    assert ["guard", "serve", "--config", "it's here"] in commands
    curl = next(words for words in commands if words[0] == "curl")
    assert "http://127.0.0.1:1234/v1/chat/completions" in curl
    assert json.loads(curl[-1])["model"] == "chat-7b"
