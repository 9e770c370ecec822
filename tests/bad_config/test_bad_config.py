"""Every defect of the table is refused with exactly these words, and with no others."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from guard.policy.compile import check_compiles
from guard.policy.load import load
from guard.policy.source import ConfigError
from tests.bad_config.cases import CASES, Case

HERE = Path(__file__).parent
BUILTIN = HERE / "builtin"


# A public key that signs and does not open.
ED25519 = b"MCowBQYDK2VwAyEA1Vpvxk9XN6cPnhE8NgYeav23KbXzUbiw17DnGkTElbk="

# What the references to secrets in the cases lead to: the content, and who may read it.
SECRETS: dict[str, tuple[bytes, int]] = {
    "pepper": (b"a pepper\n", 0o600),
    "content-key": (b"0123456789abcdef" * 4, 0o600),
    "repeated": (b"a" * 64, 0o600),
    "ed25519.pem": (b"-----BEGIN PUBLIC KEY-----\n%s\n-----END PUBLIC KEY-----\n" % ED25519, 0o644),
    "empty": (b"", 0o600),
    "lines": (b"one\ntwo\n", 0o600),
    "binary": (b"\xff\n", 0o600),
    "open": (b"a pepper\n", 0o644),
    "long": (b"x" * 65_537, 0o600),
    "umlaut": ("schl\u00fcssel\n".encode(), 0o600),
}


def change(directory: Path, case: Case) -> None:
    """Copy the base and put the defect into it."""
    shutil.copytree(HERE / "base", directory)
    (directory / "secrets").mkdir()
    for name, (content, mode) in SECRETS.items():
        (directory / "secrets" / name).write_bytes(content)
        (directory / "secrets" / name).chmod(mode)
    path = directory / case.file
    path.parent.mkdir(exist_ok=True)
    if case.new is None:
        path.unlink()
        return
    text = path.read_text() if path.exists() else ""
    assert case.old in text
    text = text.replace(case.old, case.new, 1) if case.old else case.new
    path.write_bytes(text.encode("utf-8", "surrogateescape"))


def test_the_base_itself_loads() -> None:
    assert list(load(HERE / "base", BUILTIN).models) == ["demo"]


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_a_defect_is_named_with_its_file_line_and_key(case: Case, tmp_path: Path) -> None:
    change(tmp_path / "config", case)
    with pytest.raises(ConfigError) as caught:
        check_compiles(load(tmp_path / "config", BUILTIN))
    assert str(caught.value) == case.expected


def test_the_names_of_cases_are_unique() -> None:
    names = [case.name for case in CASES]
    assert len(names) == len(set(names))
