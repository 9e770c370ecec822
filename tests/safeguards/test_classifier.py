"""Classification blocks what its classifier hits, on either side, also where a phrase is split."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

import pytest

from safeguards.classifier import SLICE, Classification, judge_in_turns
from safeguards.decision import Failure, Unavailable
from safeguards.exchange import Channel, ChannelId, ChannelKind, Passage
from safeguards.ports import Hit
from safeguards.verdict import PASS, Block, Cleared, Code
from tests.safeguards.exchanges import content, exchange, said


class Finding:
    """A classifier that looks for one word; its sessions hold back the last two characters."""

    version = "finding/1"

    def __init__(self, word: str) -> None:
        """Take the word."""
        self.word = word
        self.sessions = 0

    def judge(self, texts: list[str]) -> Hit | None:
        """Look for the word."""
        return Hit("rule-1", "cyber", -1, 0.9, 0.8) if any(self.word in text for text in texts) else None

    def session(self) -> FindingSession:
        """Count and begin."""
        self.sessions += 1
        return FindingSession(self)


class FindingSession:
    """One text."""

    def __init__(self, classifier: Finding) -> None:
        """Begin."""
        self.classifier = classifier
        self.text = ""

    def feed(self, text: str, *, final: bool) -> Hit | int:
        """Judge all so far."""
        self.text += text
        hit = self.classifier.judge([self.text])
        return hit or (len(self.text) if final else max(0, len(self.text) - 2))


class Broken:
    """A classifier that cannot judge."""

    version = "broken/1"

    def judge(self, texts: list[str]) -> Hit | None:
        """Fail."""
        raise Unavailable(Failure.CRASH, "broken")

    def session(self) -> FindingSession:
        """Fail."""
        raise Unavailable(Failure.CRASH, "broken")


def classification(word: str = "bad", *, inputs: bool = True, outputs: bool = True) -> Classification:
    return Classification("words", Finding(word), screens_input=inputs, screens_output=outputs)


BLOCK = Block(Code.CONTENT_BLOCKED, "classifier finding/1", category="cyber", rule="rule-1", score=0.9, threshold=0.8)


@pytest.mark.parametrize(
    "passages",
    [
        said("a bad text"),
        said("fine", "bad", "fine"),
        said("b", "ad"),
        said("ba", "d", "x"),
        (*said("b"), *said("ad", role="assistant")),
        (*said("ba"), *said("something else", role="assistant"), *said("d")),
        (*said("ba"), *said("a name", role="control"), *said("d")),
        (*said("x", role="system"), *said("ba"), *said("y", role="tool"), *said("d")),
    ],
)
def test_a_prompt_that_holds_the_word_is_blocked_however_it_is_split(passages: tuple[Passage, ...]) -> None:
    assert classification().admit(exchange(*passages)) == BLOCK


def test_a_phrase_whose_space_is_the_border_of_two_messages_is_blocked() -> None:
    assert classification("very bad").admit(exchange(*said("very", "bad"))) == BLOCK
    between = (*said("very"), *said("x", role="assistant"), *said("bad"))
    assert classification("very bad").admit(exchange(*between)) == BLOCK


@pytest.mark.parametrize("passages", [(), said("good"), said("ba", "x", "d"), said("d", "ba")])
def test_a_prompt_without_the_word_passes(passages: tuple[Passage, ...]) -> None:
    assert classification().admit(exchange(*passages)) is PASS


def test_a_side_that_is_not_screened_is_cleared_unseen() -> None:
    blind = classification(inputs=False, outputs=False)
    assert blind.admit(exchange(*said("bad"))) is PASS
    assert blind.watch(exchange(), content("bad")) == Cleared(3)


def test_an_answer_is_cleared_as_far_as_the_classifier_says() -> None:
    safeguard, channel = classification(), content("a bo")
    assert safeguard.watch(exchange(), channel) == Cleared(2)
    channel.settle()
    channel.append("ok")
    assert safeguard.watch(exchange(), channel) == Cleared(4)
    channel.settle()
    channel.complete = True
    assert safeguard.watch(exchange(), channel) == Cleared(6)


def test_an_answer_is_blocked_when_the_word_is_complete() -> None:
    safeguard, channel = classification(), content("a b")
    assert safeguard.watch(exchange(), channel) == Cleared(1)
    channel.settle()
    channel.append("ad")
    assert safeguard.watch(exchange(), channel) == BLOCK


def test_channels_are_judged_apart() -> None:
    finding = Finding("bad")
    safeguard = Classification("words", finding, screens_input=True, screens_output=True)
    first, second = content("b"), Channel(ChannelId(1, ChannelKind.CONTENT))
    second.append("ad")
    assert safeguard.watch(exchange(), first) == Cleared(0)
    assert safeguard.watch(exchange(), second) == Cleared(0)
    assert finding.sessions == 2


@pytest.mark.parametrize(
    ("kind", "found"),
    [
        (ChannelKind.TOOL_ARGUMENTS, BLOCK),
        (ChannelKind.CONTENT, BLOCK),
        (ChannelKind.REASONING, Cleared(9)),
        (ChannelKind.REFUSAL, Cleared(9)),
        (ChannelKind.TOOL_NAME, Cleared(9)),
    ],
)
def test_an_escaped_word_is_seen_where_callers_may_parse_json(kind: ChannelKind, found: Block | Cleared) -> None:
    channel = Channel(ChannelId(0, kind))
    channel.append("x\\u0062ad")
    channel.complete = True
    assert classification().watch(exchange(), channel) == found


def test_two_mounts_on_one_channel_keep_their_own_sessions() -> None:
    channel = content("x")
    for name in ("one", "two"):
        Classification(name, Finding("x"), screens_input=True, screens_output=True).watch(exchange(), channel)
    assert set(channel.memory) == {"one", "two"}


def test_a_classifier_that_cannot_judge_is_not_taken_for_a_pass() -> None:
    safeguard = Classification("words", Broken(), screens_input=True, screens_output=True)
    with pytest.raises(Unavailable):
        safeguard.admit(exchange(*said("x")))
    with pytest.raises(Unavailable):
        safeguard.watch(exchange(), content("x"))


def test_a_long_prompt_is_judged_in_slices_between_which_others_go_on() -> None:
    passages = tuple(Passage(f"messages[{n}].content", "user", "x" * (SLICE // 3)) for n in range(9))
    sizes: list[int] = []

    class Counting(Finding):
        def judge(self, texts: list[str]) -> Hit | None:
            sizes.append(sum(map(len, texts)))
            turns.append("judge")
            return super().judge(texts)

    turns: list[str] = []

    async def main() -> None:
        verdict = Classification("c", Counting("BAD"), screens_input=True, screens_output=True).admit(
            exchange(*passages)
        )
        assert isinstance(verdict, Awaitable)

        async def other() -> None:
            while len(turns) < 8:
                turns.append("other")
                await asyncio.sleep(0)

        going = asyncio.ensure_future(other())
        assert await verdict is PASS
        await going

    asyncio.run(main())
    assert "judge,other,judge" in ",".join(turns)
    joined = 9 * (SLICE // 3)
    assert sizes[:3] == [3 * (SLICE // 3)] * 3
    assert sizes[3:] == [joined, joined + 8]


@pytest.mark.parametrize("split", [False, True])
def test_what_is_in_a_long_prompt_is_found_also_where_it_is_split(split: bool) -> None:
    texts = ["x" * SLICE, "BA" if split else "BAD", "D" if split else "y", "z" * SLICE]
    passages = tuple(Passage(f"messages[{n}].content", "user", text) for n, text in enumerate(texts))

    async def main() -> object:
        verdict = Classification("c", Finding("BAD"), screens_input=True, screens_output=True).admit(
            exchange(*passages)
        )
        return await verdict if isinstance(verdict, Awaitable) else None

    blocked = asyncio.run(main())
    assert isinstance(blocked, Block)
    assert blocked.code is Code.CONTENT_BLOCKED


def test_a_hit_in_one_slice_hides_no_category_of_another() -> None:
    class Several(Finding):
        def judge(self, texts: list[str]) -> Hit | None:
            found = [name for name in ("fraud", "cbrn", "cyber") if any(name in text for text in texts)]
            return Hit("r", found[0], -1, also=tuple(found[1:])) if found else None

    texts = ["fraud" + "." * SLICE, "." * SLICE, "cyber, cbrn" + "." * SLICE, "fraud"]
    assert asyncio.run(judge_in_turns(Several(""), texts)) == Hit("r", "fraud", -1, also=("cbrn", "cyber"))
