"""Labelled fields of a form: a line of text, a choice, a list of ids, and what nobody sees."""

from __future__ import annotations

from collections.abc import Iterable

from guard.admin.page.html import Html, tag


def hidden(name: str, value: str) -> Html:
    """Return a field that the form carries along."""
    return tag("input", type="hidden", name=name, value=value)


def line(name: str, label: str, value: str, longest: int, hint: str = "", *, required: bool = True) -> Html:
    """Return a line of text of at most so many characters."""
    field = tag("input", name=name, id=_id(name), value=value, maxlength=longest, required=required, autocomplete="off")
    return _field(name, label, hint, field)


def instant(name: str, label: str, value: str, hint: str) -> Html:
    """Return a moment, to the minute; it may be left empty."""
    return _field(name, label, hint, tag("input", type="datetime-local", name=name, id=_id(name), value=value))


def many(name: str, label: str, value: str, longest: int, hint: str) -> Html:
    """Return a text of several lines; it may be left empty."""
    area = tag(
        "textarea", value, name=name, id=_id(name), rows=3, maxlength=longest, spellcheck="false", autocomplete="off"
    )
    return _field(name, label, hint, area)


def chosen(
    name: str, label: str, options: Iterable[tuple[str, str]], value: str, *, hint: str = "", none: str = ""
) -> Html:
    """Return one of a few; with ``none`` the first choice is none of them, and one has to be made."""
    rows = [tag("option", words, value=each, selected=each == value) for each, words in options]
    if none:
        rows.insert(0, tag("option", none, value="", selected=not value))
    return _field(name, label, hint, tag("select", rows, name=name, id=_id(name), required=bool(none)))


def _field(name: str, label: str, hint: str, field: Html) -> Html:
    words = tag("label", label, tag("span", f" {hint}", class_="soft") if hint else None, for_=_id(name))
    return tag("p", words, field, class_="field")


def _id(name: str) -> str:
    return f"field-{name}"
