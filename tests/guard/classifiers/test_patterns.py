"""The pattern classifier never lets a character of a match out, and holds nothing else for long.

It is one file because every test is about what one classifier releases, holds or refuses.
"""

from __future__ import annotations

import gc
from collections.abc import Callable

import hyperscan
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from guard.classifiers import patterns
from guard.classifiers.fold import fold_all
from guard.classifiers.patterns import MAX_PHRASE, BadRule, PatternClassifier, PatternRule
from safeguards.decision import Failure, Unavailable
from safeguards.ports import Hit
from tests.guard.classifiers.rule_sets import compiled, cuts, matching_starts, phrases, raw_offset, rule_sets, texts_for


def phrase(text: str, name: str = "r") -> PatternRule:
    return PatternRule(name, "other", phrase=text)


def pattern(text: str, name: str = "r") -> PatternRule:
    return PatternRule(name, "cyber", pattern=text)


def classifier(*rules: PatternRule) -> PatternClassifier:
    return PatternClassifier("v1", rules)


@settings(max_examples=120, deadline=None)
@given(st.data())
def test_no_character_of_a_match_is_released_and_all_else_is(data: st.DataObject) -> None:
    rules = data.draw(rule_sets())
    judge = compiled(rules)
    for _ in range(3):
        text = data.draw(texts_for(rules))
        check_release(judge, rules, text, data.draw(cuts(text)))


def check_release(judge: PatternClassifier, rules: list[PatternRule], text: str, pieces: list[str]) -> None:
    folded = fold_all(text)
    starts = matching_starts(rules, folded)
    first = min((min(found) for found in starts.values() if found), default=None)

    session = judge.session()
    released = 0
    hit: Hit | None = None
    for index, piece in enumerate([*pieces, ""]):
        found = session.feed(piece, final=index == len(pieces))
        if isinstance(found, Hit):
            hit = found
            break
        assert found >= released, "a watermark moved back"
        released = found

    if first is None:
        assert hit is None
        assert released == len(text)
    else:
        assert hit is not None
        assert starts[hit.rule], "the rule that is named does not match"
        assert released <= raw_offset(text, first)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_complete_text_is_judged_as_pythons_own_engine_judges_it(data: st.DataObject) -> None:
    rules = data.draw(rule_sets())
    judge = compiled(rules)
    for _ in range(4):
        text = data.draw(texts_for(rules))
        starts = matching_starts(rules, fold_all(text))
        hit = judge.judge([text])
        expected = next((rule.id for rule in rules if starts[rule.id]), None)
        assert (hit.rule if hit else None) == expected


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="ab(|)[]^-{}?*+.\\$,012 dwsbBDWSxnuz#&~:=!<>PNKQE", min_size=1, max_size=12), st.data())
@example("a{,2}b", None)
@example("a{1, 2}", None)
@example("[]a]b", None)
@example("[a[.b.]]", None)
@example("a\\z", None)
@example("a\\Z", None)
@example("(*UTF8)a", None)
@example("a{01}b", None)
def test_a_pattern_is_refused_or_read_as_python_reads_it(written: str, data: st.DataObject | None) -> None:
    rule = pattern(written)
    try:
        judge = classifier(rule)
    except BadRule:
        return
    alphabet = "ab(|)[]^-{}?*+.\\$,012 dwsxnuz"
    fixed = ["ab", "a", "aab", "a b", "ba 1", "{a}", written, written.lower() + "a", "a{,2}b", "a{1, 2}", "abab-_b"]
    for text in fixed if data is None else [*fixed, *data.draw(st.lists(st.text(alphabet, max_size=8), max_size=6))]:
        matched = any(matching_starts([rule], fold_all(text)).values())
        assert (judge.judge([text]) is not None) == matched, text


@settings(max_examples=100, deadline=None)
@given(st.lists(phrases, min_size=1, max_size=4), st.data())
def test_of_phrases_exactly_the_longest_end_that_begins_one_is_held(words: list[str], data: st.DataObject) -> None:
    rules = [phrase(word, f"r{index}") for index, word in enumerate(words)]
    folded = [fold_all(word).strip() for word in words]
    text = data.draw(texts_for(rules))
    session = classifier(*rules).session()
    seen = ""
    for piece in data.draw(cuts(text)):
        seen += piece
        found = session.feed(piece, final=False)
        view = fold_all(seen)
        if isinstance(found, Hit):
            assert any(word in view for word in folded)
            return
        held = max(n for n in range(len(view) + 1) if any(word.startswith(view[len(view) - n :]) for word in folded))
        assert found == (raw_offset(seen, len(view) - held) if held else len(seen))


def test_a_pattern_holds_back_only_what_could_still_become_a_match() -> None:
    session = classifier(pattern(r"forbidden-number-\d{3,6}")).session()
    assert session.feed("an ordinary sentence", final=False) == 20
    assert session.feed(" forb", final=False) == 21
    assert session.feed("ad", final=False) == 27
    assert session.feed(" forbidden-number-12", final=False) == 28
    assert session.feed("x", final=False) == 48


def test_a_pattern_that_ends_at_a_word_border_stays_held_until_the_next_character() -> None:
    session = classifier(pattern(r"\bbad\b")).session()
    assert session.feed("a bad", final=False) == 2
    assert session.feed("ge", final=False) == 7
    assert session.feed(" bad", final=False) == 8
    assert isinstance(session.feed(".", final=False), Hit)


def test_a_pattern_at_the_end_of_the_text_matches_when_the_text_ends() -> None:
    session = classifier(pattern(r"bad$")).session()
    assert session.feed("bad", final=False) == 0
    assert isinstance(session.feed("", final=True), Hit)


def test_a_pattern_that_nearly_anything_begins_holds_its_width() -> None:
    judge = classifier(pattern(".{2}bad"), phrase("x"))
    assert judge.width == 5
    assert judge.session().feed("0123456789", final=False) == 5


def test_a_word_class_at_the_beginning_is_followed_exactly() -> None:
    judge = classifier(pattern(r"\w{1,20}@evil\.example"))
    assert judge.width == 0
    assert judge.session().feed("some words and an addre", final=False) == 18


def test_a_phrase_is_found_through_every_disguise_that_folding_removes() -> None:
    judge = classifier(phrase("Forbidden Marker"))
    for text in (
        "FORBIDDEN\t\n MARKER",
        "\uff46\uff4f\uff52\uff42\uff49\uff44\uff44\uff45\uff4e marker",
        "f\u200bo\u0301rbidden\u2028marker",
        "FORB\u0131DDEN MARKER",
    ):
        assert judge.judge([text]) == Hit("r", "other", -1)


def test_the_first_rule_of_the_file_names_a_double_hit() -> None:
    assert classifier(pattern("a[b]", "one"), phrase("ab", "two")).judge(["xab"]) == Hit(
        "one", "cyber", -1, also=("other",)
    )


def test_what_is_named_first_hides_no_other_category() -> None:
    judge = classifier(phrase("decoy"), pattern("re[ao]l", "two"))
    assert judge.judge(["a decoy", "and more", "what is real"]) == Hit("r", "other", -1, also=("cyber",))
    assert judge.judge(["a decoy", "and a decoy"]) == Hit("r", "other", -1)
    assert judge.judge(["what is real"]) == Hit("two", "cyber", -1)


def test_nothing_is_hit_in_nothing() -> None:
    judge = classifier(phrase("a"))
    assert judge.judge([]) is None
    assert judge.judge(["", "\u200b", "b"]) is None


def test_half_surrogates_are_judged_as_if_they_were_not_there() -> None:
    judge = classifier(phrase("ab"))
    assert judge.judge(["a\ud800b"]) == Hit("r", "other", -1)
    assert isinstance(judge.session().feed("a\ud800b", final=False), Hit)


@pytest.mark.parametrize(
    ("rule", "why"),
    [
        (phrase(" \u200b"), "visible"),
        (phrase("x" * (MAX_PHRASE + 1)), "visible"),
        (pattern(""), "empty"),
        (pattern("a?"), "empty"),
        (pattern("a+"), "bound"),
        (pattern("a{2,}"), "bound"),
        (pattern("a{257}"), "bound"),
        (pattern("(a"), "regular expression"),
        (pattern("(a)\\1"), "groupref"),
        (pattern("(?=a)a"), "read differently"),
        (pattern("(?i)a"), "read differently"),
        (pattern("a{,3}b"), "quantifier"),
        (pattern("[[:alpha:]]"), "read differently"),
        (pattern("a\x00b"), "control"),
        (pattern("a\ud800"), "surrogate"),
        (pattern("caf\u00e9"), "U+00E9"),
        (pattern("a\\tb"), "U+0009"),
        (pattern("[\u00e9\u00e8]x"), "U+00E9"),
        (pattern("a  b"), "two spaces"),
        (pattern("a{1,3}+b"), "possessive"),
        (pattern("(?:a|b){2}|" * 20 + "(?:" * 120 + "a" + ")" * 120), ""),
    ],
)
def test_a_rule_that_cannot_be_kept_is_refused_by_name(rule: PatternRule, why: str) -> None:
    if not why:
        classifier(rule)  # deep, and still fine
        return
    with pytest.raises(BadRule) as found:
        classifier(phrase("fine", "other"), PatternRule("culprit", "other", rule.phrase, rule.pattern))
    assert found.value.rule == "culprit"
    assert why in found.value.why


def test_an_empty_rule_set_is_an_error() -> None:
    with pytest.raises(BadRule):
        classifier()


def test_a_set_with_too_many_places_is_refused() -> None:
    rules = [pattern(f"x{index}[ab]{{200}}", f"r{index}") for index in range(90)]
    with pytest.raises(BadRule, match="places"):
        classifier(*rules)


def test_a_session_fed_after_its_end_fails_instead_of_touching_the_engine() -> None:
    session = classifier(phrase("ab")).session()
    session.feed("x", final=True)
    with pytest.raises(Unavailable) as found:
        session.feed("y", final=False)
    assert found.value.failure is Failure.CRASH


def test_a_session_goes_on_after_a_hit_for_mounts_in_shadow() -> None:
    session = classifier(phrase("ab")).session()
    assert isinstance(session.feed("ab", final=False), Hit)
    assert isinstance(session.feed("more", final=False), Hit)
    assert isinstance(session.feed("", final=True), Hit)


def test_an_engine_that_fails_means_not_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def scan(self, *_: object, **__: object) -> None:
            raise hyperscan.error

    judge = classifier(phrase("ab"))
    monkeypatch.setattr(judge, "_whole", Broken())
    with pytest.raises(Unavailable):
        judge.judge(["x"])


def test_sessions_outlive_the_name_of_their_classifier() -> None:
    session = classifier(phrase("ab"), pattern("c[de]f")).session()
    gc.collect()
    assert session.feed("xa", final=False) == 1
    assert isinstance(session.feed("b", final=False), Hit)


class CountedStream:
    """An engine stream that counts how often streams were opened and closed."""

    def __init__(self, stream: hyperscan.Stream, counts: list[int]) -> None:
        """Take the real one."""
        self._stream = stream
        self._counts = counts

    def __enter__(self) -> None:
        """Open."""
        self._counts[0] += 1
        self._stream.__enter__()

    def scan(self, data: bytes) -> None:
        """Scan."""
        self._stream.scan(data)

    def close(self, match_event_handler: Callable[..., None]) -> None:
        """Close."""
        self._counts[1] += 1
        self._stream.close(match_event_handler=match_event_handler)


@pytest.mark.parametrize("final", [True, False])
@pytest.mark.parametrize("text", ["hello forb", "forbidden marker", ""])
def test_a_session_gives_the_engines_memory_back_once_however_it_ends(
    monkeypatch: pytest.MonkeyPatch, text: str, final: bool
) -> None:
    # The binding frees a stream on close alone: a dropped one would leak 40 bytes and more for every blocked answer.
    judge = classifier(phrase("forbidden marker"), pattern(r"\bx\d{3,60}y[a-f]{3,40}\b"))
    counts = [0, 0]
    real = judge.open_stream
    monkeypatch.setattr(judge, "open_stream", lambda take: CountedStream(real(take), counts))
    for _ in range(10):
        judge.session().feed(text, final=final)
    gc.collect()
    assert counts == [10, 10]


def test_a_session_that_cannot_begin_means_not_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def __enter__(self) -> None:
            raise hyperscan.error

    judge = classifier(phrase("ab"))
    monkeypatch.setattr(judge, "open_stream", lambda _: Broken())
    with pytest.raises(Unavailable):
        judge.session()
    gc.collect()


def test_many_sessions_of_one_classifier_do_not_disturb_one_another() -> None:
    judge = classifier(phrase("ab"), pattern(r"x\d\b"))
    sessions = [judge.session() for _ in range(50)]
    for index, session in enumerate(sessions):
        session.feed("a" if index % 2 else "x1", final=False)
    for index, session in enumerate(sessions):
        found = session.feed("b", final=False)
        assert isinstance(found, Hit) == bool(index % 2)


def test_a_judgement_says_the_version_of_its_rules() -> None:
    assert PatternClassifier("set/3", [phrase("a")]).version == "set/3"
    assert patterns.MAX_PHRASE == MAX_PHRASE
