"""Compression: everything comes back, nothing grows, and what was written once can be read for ever."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from guard.audit import compression
from guard.audit.compression import CompressionError, expanded, squeezed, squeezed_leaf
from tests.guard.audit.leaf_dictionary import samples

MOST = 1_000_000
PROSE = (
    b"Please explain step by step how a heat pump warms a house in winter, and what one has to consider before buying "
    b"one. I would like to know whether it is worth the money for an old building with small radiators."
)


@given(st.one_of(st.binary(max_size=2000), st.text(max_size=2000).map(lambda text: text.encode("utf-8", "replace"))))
def test_bytes_come_back_as_they_were_and_are_a_byte_longer_at_most(data: bytes) -> None:
    for one in (squeezed, squeezed_leaf):
        assert expanded(one(data), MOST) == data
        assert len(one(data)) <= len(data) + 1


@pytest.mark.parametrize("size", [compression.SHORTEST, compression.LONGEST, compression.LONGEST + 1, 100_000])
def test_a_text_of_any_length_comes_back(size: int) -> None:
    text = (PROSE * (1 + size // len(PROSE)))[:size]
    assert expanded(squeezed(text), MOST) == text


def test_a_short_text_takes_a_fifth_less_than_without_a_dictionary() -> None:
    alone = zstandard.ZstdCompressor(level=6).compress(PROSE)
    assert len(squeezed(PROSE)) < 0.8 * len(alone)


def test_a_leaf_takes_a_third_of_its_bytes() -> None:
    leaves = samples(seed=7, requests=200)
    assert sum(len(squeezed_leaf(leaf)) for leaf in leaves) < sum(map(len, leaves)) / 3


# What this version writes, byte for byte as it lies in logs: these must be read by every later version.
KEPT = {
    b"as it is": "006173206974206973",
    b"again and " * 5: "0128b52ffd203285000050616761696e20616e642001005b1624",
    b"It is important to note that there are a number of ways.": "022038450000082e0100fcc40981",
    b'{"record":"outcome","time":1.5,"ending":"served","status":200,"code":null}': (
        "03204a7d000020312e357d02fcd019fa2b72ca2c05"
    ),
}


@pytest.mark.parametrize("data", KEPT)
def test_what_is_in_logs_can_be_read(data: bytes) -> None:
    assert expanded(bytes.fromhex(KEPT[data]), MOST) == data


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\4x",
        b"\1not zstd",
        b"\1" + zstandard.ZstdCompressor().compress(b"x" * 300)[:-3],
        b"\1" + zstandard.ZstdCompressor().compress(b"x" * 300) + b"more",
        b"\1" + zstandard.ZstdCompressor(write_content_size=False).compress(b"x" * 300),
    ],
)
def test_what_was_not_squeezed_is_an_error(data: bytes) -> None:
    with pytest.raises(CompressionError):
        expanded(data, MOST)


def test_nothing_grows_beyond_the_bound() -> None:
    with pytest.raises(CompressionError, match="too great"):
        expanded(squeezed(bytes(10_000)), 9_999)


def test_a_dictionary_that_was_changed_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = (compression.FOLDER / "text-1.zdict").read_bytes()
    (tmp_path / "text-1.zdict").write_bytes(data + b" ")
    monkeypatch.setattr(compression, "FOLDER", tmp_path)
    with pytest.raises(RuntimeError, match="install the guard again"):
        compression._dictionary("text-1.zdict", hashlib.sha256(data).hexdigest())


def test_threads_do_not_disturb_one_another() -> None:
    texts = [PROSE[at:] * 20 for at in range(8)]
    wrong: list[int] = []

    def work(at: int) -> None:
        wrong.extend(at for _ in range(500) if expanded(squeezed(texts[at]), MOST) != texts[at])

    threads = [threading.Thread(target=work, args=(at,)) for at in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
