"""Markup that cannot be forgotten to be escaped: whatever is not `Html` already is text, and becomes it here."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import Final

_VOID: Final = frozenset({"input", "link", "meta"})


class Html(str):
    """Text that is markup; only `tag` and `page` make it."""

    __slots__ = ()


Content = str | int | None | Iterable["Content"]
"""What stands within an element: text, markup, a number, nothing, or several of these."""


def tag(name: str, /, *content: Content, **attributes: str | int | bool | None) -> Html:
    """Return one element; the name and the attributes' names are the caller's own words, everything else is escaped.

    ``class_`` stands for class, ``aria_label`` for aria-label. True is an attribute without a value; False and None
    are none.
    """
    words = "".join(_attribute(key, value) for key, value in attributes.items())
    return Html(f"<{name}{words}>" if name in _VOID else f"<{name}{words}>{joined(content)}</{name}>")


def joined(content: Content) -> Html:
    """Return these one after the other."""
    if content is None:
        return Html()
    if isinstance(content, Html):
        return content
    if isinstance(content, str | int):
        return Html(escape(str(content)))
    return Html("".join(joined(each) for each in content))


def _attribute(key: str, value: str | int | bool | None) -> str:
    name = key.rstrip("_").replace("_", "-")
    if value is None or value is False:
        return ""
    return f" {name}" if value is True else f' {name}="{escape(str(value))}"'
