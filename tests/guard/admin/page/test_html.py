"""Markup is only what our own words make; whatever comes from outside is text."""

from __future__ import annotations

from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from guard.admin.page.html import Html, joined, tag


class Reader(HTMLParser):
    """Reads a page back as a browser would."""

    def __init__(self) -> None:
        """Begin with nothing."""
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: dict[str, str | None] = {}
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Remember."""
        self.tags.append(tag)
        self.attributes.update(attrs)

    def handle_data(self, data: str) -> None:
        """Remember."""
        self.text += data


@given(st.text(), st.text())
def test_whatever_is_text_stays_text(words: str, value: str) -> None:
    reader = Reader()
    reader.feed(tag("p", words, data_x=value))
    reader.close()
    assert reader.tags == ["p"]
    # What a parser of HTML makes of line ends and of NUL is its own; nothing else changes.
    assert reader.text.replace("\r\n", "\n") == words.replace("\r\n", "\n")
    assert reader.attributes == {"data-x": value}


def test_attributes_that_are_false_or_none_are_none() -> None:
    assert tag("input", name="a", required=True, disabled=False, value=None, for_="b", aria_label="c") == (
        '<input name="a" required for="b" aria-label="c">'
    )


def test_parts_nest_and_markup_is_not_escaped_twice() -> None:
    assert tag("ul", [tag("li", "a & b"), None, [tag("li", 3)]]) == "<ul><li>a &amp; b</li><li>3</li></ul>"
    assert joined(Html("<br>")) == "<br>"
    assert joined("<br>") == "&lt;br&gt;"
