"""The first configuration as texts."""

from __future__ import annotations

import re
import tempfile
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.onboarding.files import TRIGGER, Digests, Setup, texts
from guard.onboarding.names import alias, writable
from guard.policy.load import Config, load
from guard.policy.model import RequestLogMount, ServerKind

DIGESTS = Digests(key="a" * 64, token="b" * 64, expires=date(2027, 2, 21))


def setup(**changes: object) -> Setup:
    values = {
        "url": "http://10.0.0.5:8000",
        "kind": ServerKind.VLLM,
        "name": "org/Chat-7B",
        "alias": "chat-7b",
        "asl": 1,
        "port": 8080,
        "admin_port": 9090,
        "person": "ada",
        "credential": False,
    }
    return Setup(**{**values, **changes})  # type: ignore[arg-type]  # a test's shorthand


def loaded(directory: Path, asked: Setup) -> Config:
    for name, text in texts(asked, DIGESTS).items():
        path = directory / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return load(directory)


@pytest.mark.parametrize("kind", ServerKind)
@pytest.mark.parametrize("asl", [1, 2, 3])
def test_the_files_load_and_say_what_was_asked(tmp_path: Path, kind: ServerKind, asl: int) -> None:
    config = loaded(tmp_path, setup(kind=kind, asl=asl, port=1234, admin_port=4321))
    policy = config.models["chat-7b"]
    assert (policy.upstream.kind, policy.upstream.url, policy.upstream.model) == (
        kind,
        "http://10.0.0.5:8000",
        "org/Chat-7B",
    )
    assert (policy.asl.deployment, policy.asl.security) == (asl, asl)
    assert (config.guard.surfaces[0].port, config.guard.admin.port) == (1234, 4321)
    assert config.guard.admin.tokens[0].person == config.tiers.keys[0].owner == "ada"
    assert policy.upstream.credential is None


def test_nobody_is_made_to_vouch_for_anything(tmp_path: Path) -> None:
    assert loaded(tmp_path, setup(asl=3)).evidence["chat-7b"] == ()


def test_the_shape_in_the_evidence_comment_loads_once_it_is_filled_in(tmp_path: Path) -> None:
    loaded(tmp_path, setup(asl=2))
    path = tmp_path / "evidence" / "chat-7b.yaml"
    text = path.read_text()
    shape = "\n".join(line[2:] for line in text.splitlines() if line.startswith("#   "))
    words = {"claim": "model_card", "sha256": '"' + "0" * 64 + '"', "issued": "2026-11-01", "expires": "2027-11-01"}
    filled = re.sub(r"(\w+): .*", lambda found: f"{found[1]}: {words.get(found[1], 'x')}", shape)
    path.write_text(text.replace("attestations: []", f"attestations:\n{filled}\n"))
    (attestation,) = load(tmp_path).evidence["chat-7b"]
    assert attestation.claim == "model_card"


@pytest.mark.parametrize(("asl", "durable", "parts"), [(1, "within_a_second", True), (3, "before_forward", True)])
def test_level_3_waits_for_the_disk(tmp_path: Path, asl: int, durable: str, *, parts: bool) -> None:
    mounts = loaded(tmp_path, setup(asl=asl)).models["chat-7b"].safeguards
    (log,) = [mount for mount in mounts if isinstance(mount, RequestLogMount)]
    assert (log.settings.durable, log.settings.parts, log.settings.content) == (durable, parts, True)


def test_every_safeguard_is_mounted_once_enforced_and_fails_closed(tmp_path: Path) -> None:
    mounts = loaded(tmp_path, setup()).models["chat-7b"].safeguards
    assert [mount.use for mount in mounts] == [
        *("request_log", "kill_switch", "evidence", "access", "limits", "classifier")
    ]
    assert {(mount.mode.value, mount.on_failure.value) for mount in mounts} == {("enforce", "block")}


def test_the_one_rule_is_the_example(tmp_path: Path) -> None:
    (rule,) = loaded(tmp_path, setup()).rules["rules/starter.yaml"].rules
    assert rule.phrase == TRIGGER


def test_a_key_of_the_server_is_referred_to_and_not_written_here(tmp_path: Path) -> None:
    credential = loaded(tmp_path, setup(credential=True)).models["chat-7b"].upstream.credential
    assert credential is not None
    assert credential.file == "secrets/upstream.key"


@pytest.mark.parametrize("name", texts(setup(), DIGESTS))
def test_every_file_begins_with_a_comment_for_a_newcomer(name: str) -> None:
    assert texts(setup(), DIGESTS)[name].startswith("# ")


@settings(max_examples=60, deadline=None)
@given(st.text(st.characters(), max_size=40), st.text(st.characters(), max_size=40))
def test_any_writable_name_comes_back_from_the_files_as_it_was(name: str, person: str) -> None:
    name, person = (each if writable(each) else "7" for each in (name, person))
    with tempfile.TemporaryDirectory() as folder:
        config = loaded(Path(folder), setup(name=name, alias=alias(name), person=person))
    (policy,) = config.models.values()
    assert policy.upstream.model == name
    assert policy.model == alias(name)
    assert config.guard.admin.tokens[0].person == config.tiers.keys[0].owner == person


@pytest.mark.parametrize("name", ["true", "null", "1.5", "0", "1e3", "7b", "no"])
def test_an_alias_that_looks_like_another_type_stays_a_text(tmp_path: Path, name: str) -> None:
    assert loaded(tmp_path, setup(name=name, alias=name)).models[name].upstream.model == name
