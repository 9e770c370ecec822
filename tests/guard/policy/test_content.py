"""What texts are sealed with: read whole, refused by name, never quoted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from guard.policy.compile import check_compiles
from guard.policy.content import check_content, read_content_key, read_investigator
from guard.policy.load import load
from guard.policy.source import ConfigError
from tests.parts.configuration import write_configuration


def written(tmp_path: Path, **content: object) -> None:
    write_configuration(tmp_path)
    guard = json.loads((tmp_path / "guard.yaml").read_text())
    guard["content"].update(content)
    (tmp_path / "guard.yaml").write_text(json.dumps(guard, indent=1))


def pem(key: X25519PrivateKey | Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def test_the_key_is_read_as_it_is(tmp_path: Path) -> None:
    written(tmp_path)
    config = load(tmp_path)
    assert config.guard.content is not None
    assert read_content_key(config, config.guard.content) == (tmp_path / "secrets" / "content-key").read_text().strip()
    assert read_investigator(config, config.guard.content) is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("SECRET", "must be 32 random bytes as 64 lower-case hexadecimal digits"),
        ("AB" * 32, "must be 32 random bytes as 64 lower-case hexadecimal digits"),
        ("00" * 32, "is one digit repeated, which is no random key"),
    ],
)
def test_a_key_that_is_none_is_refused_at_the_start_and_not_quoted(tmp_path: Path, text: str, words: str) -> None:
    written(tmp_path)
    (tmp_path / "secrets" / "content-key").write_text(text)
    with pytest.raises(ConfigError, match=rf"^guard\.yaml:[1-9][0-9]*: content\.key: {words}$") as refused:
        check_compiles(load(tmp_path))
    assert text not in str(refused.value)
    check_compiles(load(tmp_path), secrets=False)


def test_an_investigators_public_key_is_read(tmp_path: Path) -> None:
    written(tmp_path, investigator="investigator.pem")
    private = X25519PrivateKey.generate()
    (tmp_path / "investigator.pem").write_bytes(pem(private))
    config = load(tmp_path)
    assert config.guard.content is not None
    assert read_investigator(config, config.guard.content) == private.public_key()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "investigator.pem is missing"),
        (b"nothing", "investigator.pem is not a public key in PEM"),
        (pem(Ed25519PrivateKey.generate()), "investigator.pem is not a public key of X25519"),
    ],
)
def test_an_investigators_key_that_is_none_is_refused_with_or_without_secrets(
    tmp_path: Path, content: bytes | None, words: str
) -> None:
    written(tmp_path, investigator="investigator.pem")
    if content is not None:
        (tmp_path / "investigator.pem").write_bytes(content)
    for secrets in (True, False):
        with pytest.raises(ConfigError, match=rf"content\.investigator: {words}$"):
            check_content(load(tmp_path), secrets=secrets)


def test_everything_wrong_is_told_together(tmp_path: Path) -> None:
    written(tmp_path, investigator="investigator.pem")
    (tmp_path / "secrets" / "content-key").unlink()
    with pytest.raises(ConfigError) as refused:
        check_content(load(tmp_path))
    assert len(refused.value.problems) == 2
