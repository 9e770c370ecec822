"""The files that two people sign: written once, read back with every signature that is named for a person."""

from __future__ import annotations

from pathlib import Path

import pytest

from guard.approval.resume import Lift, ResumeApproval, canonical
from guard.cli.approved import read_approved, write_unsigned
from guard.policy.file import UnreadableError
from guard.state.scope import OrderError

TEXT = canonical(
    ResumeApproval((Lift("0" * 26, "all", "a" * 64, "drain", "Ana"),), "mended", 1_800_000_000, 1_800_003_600, "0" * 32)
)


def written(tmp_path: Path) -> Path:
    path = tmp_path / "resume-[1].json"  # a name that a pattern would read otherwise
    write_unsigned(TEXT.decode(), path, lambda _: None)
    return path


def test_what_is_to_be_signed_is_written_as_it_is_and_never_over_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    said: list[str] = []
    write_unsigned(TEXT.decode(), None, said.append)
    assert (tmp_path / "resume-00000000.json").read_bytes() == TEXT
    assert "  lifts 00000000000000000000000000 (all; drain by Ana)" in said
    assert "then: guard resume --approved resume-00000000.json" in said
    with pytest.raises(FileExistsError):
        write_unsigned(TEXT.decode(), None, said.append)


@pytest.mark.parametrize("text", ["", "{}", TEXT.decode() + " ", "\u00e9"])
def test_nobody_is_asked_to_sign_what_is_no_approval(text: str, tmp_path: Path) -> None:
    with pytest.raises(OrderError, match="is not an approval"):
        write_unsigned(text, tmp_path / "x.json", lambda _: None)
    assert not (tmp_path / "x.json").exists()


def test_signatures_are_read_by_the_persons_that_their_files_name(tmp_path: Path) -> None:
    path = written(tmp_path)
    for person in ("ben.2", "ana"):
        (tmp_path / f"resume-[1].{person}.sig").write_text(f"by {person}")
    (tmp_path / "resume-1.zoe.sig").write_text("of another file")
    assert read_approved(path) == {
        "approval": TEXT.decode(),
        "approvers": [{"person": "ana", "signature": "by ana"}, {"person": "ben.2", "signature": "by ben.2"}],
    }


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ([], "no signature lies beside"),
        (["resume-[1].json.sig"], "rename it to"),
        (["resume-[1].Ana Smith.sig"], "nobody who could be in"),
        ([f"resume-[1].p{number}.sig" for number in range(9)], "more than 8 signatures"),
    ],
)
def test_what_lies_beside_and_is_no_signature_is_told(names: list[str], said: str, tmp_path: Path) -> None:
    path = written(tmp_path)
    for name in names:
        (tmp_path / name).write_text("x")
    with pytest.raises(OrderError, match=said):
        read_approved(path)


def test_a_file_that_is_not_there_or_no_text_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnreadableError, match=r"none\.json is missing"):
        read_approved(tmp_path / "none.json")
    (tmp_path / "x.json").write_bytes(b"\xff")
    with pytest.raises(UnreadableError, match="is not ASCII"):
        read_approved(tmp_path / "x.json")
    (tmp_path / "x.json").write_bytes(b"x" * 20_000)
    with pytest.raises(UnreadableError, match="at most 16384 bytes"):
        read_approved(tmp_path / "x.json")
