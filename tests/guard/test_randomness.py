"""Random bytes in stock: none is given twice, and the source is asked seldom."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from guard.randomness import Randomness


@given(st.lists(st.integers(1, 4096), max_size=40))
def test_every_byte_of_the_source_is_given_once_at_most(counts: list[int]) -> None:
    fetched: list[bytes] = []

    def source(count: int) -> bytes:
        fetched.append(len(fetched).to_bytes(2, "big") * (count // 2))
        return fetched[-1]

    randomness = Randomness(source)
    taken = [randomness.take(count) for count in counts]
    assert [len(one) for one in taken] == counts
    rest = iter(fetched)
    current, at = b"", 0
    for one in taken:
        if at + len(one) > len(current):
            current, at = next(rest), 0
        assert one == current[at : at + len(one)]
        at += len(one)
    assert next(rest, None) is None


def test_the_systems_bytes_differ_each_time() -> None:
    randomness = Randomness()
    assert len({randomness.take(16) for _ in range(1000)}) == 1000
