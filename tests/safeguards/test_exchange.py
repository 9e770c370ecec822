"""A channel grows by batches and forgets nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeguards.exchange import Channel, ChannelId, ChannelKind


@given(st.lists(st.lists(st.text(max_size=3), max_size=4), max_size=6), st.booleans())
def test_fresh_is_what_the_batch_added_and_text_is_all(batches: list[list[str]], looks: bool) -> None:
    channel = Channel(ChannelId(0, ChannelKind.CONTENT))
    whole = ""
    for batch in batches:
        for piece in batch:
            whole += piece
            assert channel.append(piece) == channel.end == len(whole)
        assert channel.fresh == "".join(batch)
        assert channel.start + len(channel.fresh) == channel.end
        if looks:
            assert channel.text == whole
        channel.settle()
        assert (channel.fresh, channel.start) == ("", len(whole))
    assert channel.text == whole


@pytest.mark.parametrize(
    ("channel_id", "name"),
    [
        (ChannelId(0, ChannelKind.CONTENT), "content[0]"),
        (ChannelId(3, ChannelKind.REASONING), "reasoning[3]"),
        (ChannelId(0, ChannelKind.TOOL_ARGUMENTS, 2), "tool_arguments[0.2]"),
    ],
)
def test_a_channel_is_named_as_records_name_it(channel_id: ChannelId, name: str) -> None:
    assert str(channel_id) == name


def test_channels_are_told_apart_by_identity_and_ids_by_value() -> None:
    one, two = (Channel(ChannelId(0, ChannelKind.CONTENT)) for _ in range(2))
    assert one.id == two.id
    assert one != two
