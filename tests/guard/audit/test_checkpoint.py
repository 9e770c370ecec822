"""Checkpoints are read as strictly as they are written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.audit.checkpoint import Checkpoint, parse_checkpoint
from guard.audit.note import NoteError

ROOT = "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I="


def test_the_example_of_the_specification_is_read() -> None:
    text = f"example.com/behind-the-sofa\n20852163\n{ROOT}\n"
    found = parse_checkpoint(text)
    assert (found.origin, found.size) == ("example.com/behind-the-sofa", 20852163)
    assert found.text() == text


@given(st.integers(0, 2**63 - 1), st.binary(min_size=32, max_size=32))
def test_a_checkpoint_is_read_back(size: int, root: bytes) -> None:
    assert parse_checkpoint(Checkpoint("a/b", size, root).text()) == Checkpoint("a/b", size, root)


def test_extension_lines_are_left_aside() -> None:
    assert parse_checkpoint(f"a\n1\n{ROOT}\nmore\n").size == 1


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        "a\n1\n",
        f"a\n1\n{ROOT}",
        f"\n1\n{ROOT}\n",
        f"a\n01\n{ROOT}\n",
        f"a\n-1\n{ROOT}\n",
        f"a\n{2**63}\n{ROOT}\n",
        "a\n1\nQQ==\n",
        f"a\n1\n{ROOT}\n\nb\n",
        f"a\n\u0661\n{ROOT}\n",
    ],
)
def test_what_is_no_checkpoint_is_refused(text: str) -> None:
    with pytest.raises(NoteError):
        parse_checkpoint(text)
