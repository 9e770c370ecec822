"""The folder of orders and signatures: a closed layout, bounded, read whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from guard.approval import folder as folder_module
from guard.approval.folder import Filed, read_folder
from guard.approval.order import canonical
from guard.policy.source import ConfigError
from tests.guard.approval.persons import ANA, BEN, order, signed

ORDER = order()
RAW = canonical(ORDER)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "approvals"
    folder.mkdir()
    (folder / "x.json").write_bytes(RAW)
    return folder


def problems(folder: Path) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read_folder(folder)
    return str(caught.value).split("\n")


def test_a_missing_folder_and_an_empty_one_hold_nothing(tmp_path: Path) -> None:
    assert read_folder(tmp_path / "approvals") == ()
    (tmp_path / "approvals").mkdir()
    assert read_folder(tmp_path / "approvals") == ()


def test_each_order_comes_with_its_own_signatures(folder: Path) -> None:
    other = order(nonce=2)
    (folder / "a-second.json").write_bytes(canonical(other))
    first, second = signed(ORDER, ANA, "ana"), signed(ORDER, BEN, "ben.b")
    for each in (first, second):
        (folder.parent / each.file).write_bytes(each.content)
    (folder / ".hidden").write_text("a mounted volume's own")
    assert read_folder(folder) == (
        Filed("a-second", canonical(other), other, ()),
        Filed("x", RAW, ORDER, (first, second)),
    )


@pytest.mark.parametrize("name", ["README", "x.json~", "X.json", "x.y.json", "x.Ana.sig", "x.sig", "x.ana.sig.bak"])
def test_a_file_of_another_name_is_named(name: str, folder: Path) -> None:
    (folder / name).write_text("anything")
    assert problems(folder) == [f"approvals/{name}: is neither NAME.json nor NAME.PERSON.sig"]


def test_a_signature_as_ssh_keygen_names_it_is_told_its_right_name(folder: Path) -> None:
    (folder / "x.json.sig").write_bytes(ANA.sign(RAW))
    assert problems(folder) == ["approvals/x.json.sig: is not named for a person: rename it to x.PERSON.sig"]


def test_a_name_that_would_mislead_is_escaped(folder: Path) -> None:
    (folder / "x\n.json").write_text("")
    assert problems(folder) == ["approvals/'x\\n.json': is neither NAME.json nor NAME.PERSON.sig"]


def test_a_signature_without_its_order_is_named(folder: Path) -> None:
    (folder / "y.ana.sig").write_bytes(ANA.sign(RAW))
    assert problems(folder) == ["approvals/y.ana.sig: signs nothing: there is no y.json"]


def test_everything_that_is_wrong_is_named_together(folder: Path) -> None:
    (folder / "x.json").write_bytes(RAW.replace(b": ", b":"))
    (folder / "x.ana.sig").write_bytes(ANA.sign(RAW))
    (folder / "long.json").write_bytes(b" " * 8193)
    (folder / "x.ben.sig").write_bytes(b"x" * 16385)
    (folder / "stray").mkdir()
    assert problems(folder) == [
        "approvals/long.json: is longer than 8192 bytes",
        "approvals/stray: is neither NAME.json nor NAME.PERSON.sig",
        "approvals/x.ben.sig: is longer than 16384 bytes",
        "approvals/x.json: order: not in the form that `guard approval new` writes; sign that file as it is",
    ]


def test_what_is_no_regular_file_does_not_hang_the_reader(folder: Path) -> None:
    os.mkfifo(folder / "x.ana.sig")
    (folder / "y.json").mkdir()
    assert problems(folder) == [
        "approvals/x.ana.sig: is not a regular file",
        "approvals/y.json: is not a regular file",
    ]


def test_too_many_files_and_a_folder_that_is_a_file_are_refused(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder_module, "MAX_FILES", 0)
    assert problems(folder) == ["approvals: has more than 0 files"]
    (tmp_path / "file").write_text("")
    assert problems(tmp_path / "file") == ["approvals: cannot be read (Not a directory)"]


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["x.json", "y.json", "x.ana.sig", "y.ben.sig", "x.json.sig", "zz", "é.json"]),
            st.binary(max_size=64) | st.just(RAW) | st.just(ANA.sign(RAW)),
        ),
        max_size=5,
    )
)
def test_any_files_are_read_or_refused_with_our_own_error(tmp_path: Path, files: list[tuple[str, bytes]]) -> None:
    folder = tmp_path / "any"
    folder.mkdir(exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    for name, content in files:
        (folder / name).write_bytes(content)
    try:
        read = read_folder(folder)
    except ConfigError:
        return
    assert [each.raw for each in read] == [RAW] * len(read)
