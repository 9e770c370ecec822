"""Every field has its label, keeps what was typed, and lets nothing out of its attribute."""

from __future__ import annotations

import re

import pytest

from guard.admin.page.html import Html
from guard.admin.page.inputs import chosen, hidden, instant, line, many

NASTY = '"><script>&'


@pytest.mark.parametrize(
    "field",
    [
        line("how", "By what", NASTY, 10, "a hint"),
        many("how", "By what", NASTY, 10, "a hint"),
        instant("how", "By what", NASTY, "a hint"),
        chosen("how", "By what", [(NASTY, NASTY)], NASTY, hint="a hint"),
    ],
)
def test_a_field_belongs_to_its_label_and_is_escaped(field: Html) -> None:
    labelled = re.findall(r'<label for="([^"]+)">By what<span class="soft"> a hint</span></label>', field)
    assert re.findall(r' id="([^"]+)"', field) == labelled == ["field-how"]
    assert ' name="how"' in field
    assert "<script>" not in field
    assert "&quot;&gt;&lt;script&gt;&amp;" in field


def test_a_line_is_bounded_and_wanted_unless_it_may_be_empty() -> None:
    assert ' maxlength="10" required' in line("a", "A", "", 10)
    assert " required" not in line("a", "A", "", 10, required=False)


def test_a_choice_is_the_given_one_or_has_to_be_made() -> None:
    two = [("1", "one"), ("2", "two")]
    assert '<option value="2" selected>two' in chosen("a", "A", two, "2")
    open_choice = chosen("a", "A", two, "", none="which?")
    assert '<option value="" selected>which?' in open_choice
    assert '<select name="a" id="field-a" required>' in open_choice
    assert '<option value="">which?' in chosen("a", "A", two, "1", none="which?")


def test_what_nobody_sees_needs_no_label() -> None:
    assert hidden("seen", "x") == '<input type="hidden" name="seen" value="x">'
