"""What the page is made of: a region that is renewed by itself, a table, the first of a stop's two actions."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

from guard.admin.modes import known
from guard.admin.page.html import Content, Html, tag
from guard.state.scope import MAX_SUBJECT


def named(scope: str) -> str:
    """Write a scope as people say it."""
    return "everything" if scope == "all" else scope.replace(":", " ", 1)


MAX_SCOPE: Final = MAX_SUBJECT + 16  # with the word of its kind


def tone(mode: str) -> str:
    """Return the class that gives a mode of a stop its colour; one that has none looks as strong as a stop."""
    return f"mode-{mode.replace('_', '-') if known(mode) else 'stop'}"


def sentence(words: str) -> str:
    """Write words as a sentence of their own."""
    return f"{words[:1].upper()}{words[1:]}."


def region(name: str, title: str, *content: Content, note: str = "", class_: str = "") -> Html:
    """Return one part of the page, which the script replaces when it has changed."""
    heading = tag("h2", title, tag("span", f" {note}", class_="soft") if note else None, id=f"{name}-title")
    return tag(
        "section",
        heading,
        content,
        id=name,
        data_live="",
        class_=f"panel {class_}".strip(),
        aria_labelledby=f"{name}-title",
    )


def table(caption: str, heads: list[str], rows: list[list[Content]], class_: str = "") -> Html:
    """Return a table whose roles are written out: on a phone its rows are laid out as blocks, and stay a table."""
    head = tag("tr", [tag("th", each, scope="col", role="columnheader") for each in heads], role="row")
    body = [
        tag(
            "tr",
            [
                tag("th", cell, scope="row", role="rowheader")
                if index == 0
                else tag("td", cell, role="cell", data_name=heads[index])
                for index, cell in enumerate(row)
            ],
            role="row",
        )
        for row in rows
    ]
    return tag(
        "table",
        tag("caption", caption, class_="unseen"),
        tag("thead", head, role="rowgroup"),
        tag("tbody", body, role="rowgroup"),
        class_=class_,
        role="table",
    )


def button(word: str, scope: str, class_: str = "act") -> Html:
    """Return the first of the two actions: a link, so that it works wherever a page does."""
    return tag(
        "a", f"{word}…", class_=class_, id=f"stop-{scope.replace(':', '-')}", href=f"/control/stop?scope={quote(scope)}"
    )
