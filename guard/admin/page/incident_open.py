"""The form that opens an incident, by itself or for a stop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from guard.admin.page.frame import Visitor, page, secret
from guard.admin.page.html import Content, tag
from guard.admin.page.incident import SEVERITIES
from guard.admin.page.incidents import OPEN, PAGE
from guard.admin.page.inputs import chosen, hidden, instant, line, many
from guard.incidents.case import Case
from guard.incidents.events import MAX_REQUESTS, MAX_WORDS

MAX_IDS: Final = 8_192
SHOWN: Final = 5
_EFFECT: Final = "Its clocks run from the discovery. The model's file may take the model down for it at once."


def ask_open(
    models: Sequence[str],
    typed: Mapping[str, str],
    visitor: Visitor,
    there: Sequence[Case] = (),
    *,
    wrong: str = "",
    other: str = "",
) -> bytes:
    """Return the form with what is ``typed`` so far; ``there`` are those that are open and may be the same.

    ``wrong`` says why nothing was opened, ``other`` which one was, meanwhile.
    """
    stop = typed.get("stop", "")
    link = tag("p", tag("a", "Look at that incident", href=f"{PAGE}/{other}")) if other else None
    severities = [("", "nobody has judged it yet: it counts as 4"), *SEVERITIES]
    return page(
        "Open an incident",
        tag(
            "section",
            tag("h1", "Open an incident", id="act-title"),
            tag("p", "For the stop ", tag("code", stop), ".", class_="lead") if stop else None,
            _open_already(there),
            tag("div", tag("p", wrong), link, role="alert", class_="refused", id="wrong") if wrong else None,
            tag(
                "form",
                secret(visitor),
                hidden("stop", stop),
                hidden("seen", typed.get("seen", "")),
                chosen("model", "Model", [(each, each) for each in models], typed.get("model", ""), none="which one?"),
                line(
                    "summary",
                    "What was found",
                    typed.get("summary", ""),
                    MAX_WORDS,
                    "kept in the clear: quote no prompt and no answer",
                ),
                chosen("severity", "Severity", severities, typed.get("severity", "")),
                instant("discovered", "Discovered", typed.get("discovered", ""), "in UTC; empty: now"),
                many(
                    "requests",
                    "Requests that show it",
                    typed.get("requests", ""),
                    MAX_IDS,
                    f"their ids, one a line, at most {MAX_REQUESTS}; may be left empty",
                ),
                tag("p", _EFFECT, class_="soft"),
                tag(
                    "div",
                    tag("button", "Open the incident", class_="go", id="open-now"),
                    tag("a", "Back", href=PAGE, class_="quiet"),
                    class_="buttons",
                ),
                method="post",
                action=OPEN,
            ),
            class_="act-on",
            aria_labelledby="act-title",
        ),
        visitor=visitor,
    )


def _open_already(there: Sequence[Case]) -> Content:
    if not there:
        return None
    rows = [
        tag(
            "li",
            tag("a", each.incident.opened.summary, href=f"{PAGE}/{each.id}"),
            tag("span", f" {each.incident.opened.model}, {each.incident.stage}", class_="soft"),
        )
        for each in there[:SHOWN]
    ]
    more = f"and {len(there) - SHOWN} more" if len(there) > SHOWN else ""
    return tag(
        "div",
        tag("p", "Open already:"),
        tag("ul", rows, class_="marked"),
        tag("p", more, class_="soft") if more else None,
        id="there",
        class_="rows",
    )
