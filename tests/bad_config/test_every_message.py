"""Every message that reading and compiling a configuration can give has a case in the table."""

from __future__ import annotations

import re

import pytest

from guard.policy.fields import PATTERN_WORDS
from guard.policy.validate import _WORDS
from tests.bad_config.cases import CASES
from tests.bad_config.messages import ROOT, SILENT, messages

SAID = "\n".join(case.expected for case in CASES)
# What no file of the table can bring about, and why.
ELSEWHERE = {
    "has more than .* files": "five thousand files: tests/guard/policy/test_load.py",
    "cannot be read (.*)": "a fault of the system: tests/guard/policy/test_load.py",
    ".* .* has thresholds: only a framework can have them": "two files: tests/journeys/test_further_standards.py",
    "needs the package boto3: pip install 'asl-guard[s3]'": "what is not there: tests/guard/policy/test_necessary.py",
    "needs the extra timestamp: pip install 'asl-guard[timestamp]'": "tests/guard/policy/test_timestamp_ca.py",
    "must be less than {lt}": "no field has such a bound",
    "must be a finite number": "the words of YAML that are taken know no other number",
}


def plain(form: str) -> str:
    """The words of a regular expression made of a text with gaps."""
    return form.replace("\\", "")


@pytest.mark.parametrize(("place", "form"), sorted(set(messages())), ids=lambda each: plain(str(each))[:60])
def test_a_message_of_the_source_has_a_case(place: str, form: str) -> None:
    if plain(form) not in ELSEWHERE:
        assert re.search(form, SAID), f"{place}: no case is told that it {plain(form)}"


@pytest.mark.parametrize("words", sorted({*_WORDS.values(), *PATTERN_WORDS.values()}))
def test_the_words_of_a_type_have_a_case(words: str) -> None:
    form = ".*".join(re.escape(part) for part in re.split(r"\{\w+\}", words))
    assert words in ELSEWHERE or re.search(form, SAID), f"no case is told: {words}"


def test_the_messages_are_found_in_the_source() -> None:
    found = [plain(form) for _, form in messages()]
    assert len(found) > 100
    for known in (
        "must be later than `issued`",
        "there is no file .*",
        "must be enforce: a stop must stop",
        "must be request_log: nothing is decided before it is recorded",
    ):
        assert known in found


def test_a_module_that_is_left_out_is_there() -> None:
    for module in SILENT:
        assert (ROOT / "guard" / "policy" / f"{module}.py").is_file()


def test_what_is_left_out_is_still_said_somewhere() -> None:
    known = {*(plain(form) for _, form in messages()), *_WORDS.values()}
    assert set(ELSEWHERE) <= known
