"""Pages on which somebody approves a file: paste it, read what it says, press, take the approval along."""

from __future__ import annotations

from dataclasses import dataclass

from guard.admin.page.frame import Visitor, page, secret
from guard.admin.page.html import Content, tag
from guard.admin.page.parts import sentence
from guard.admin.page.press import Keys, press
from guard.state.orders import MAX_APPROVAL

SHOWN = 60


@dataclass(frozen=True, slots=True)
class File:
    """What was pasted: its text to the letter, what it is, what it says as pairs of words, and how to see more."""

    text: str
    title: str
    says: tuple[tuple[str, str], ...]
    look: str = ""


def ask_file(visitor: Visitor, wrong: str = "") -> bytes:
    """Return the form for the file."""
    return page(
        "Approve a file",
        tag(
            "section",
            tag("h1", "Approve a file with your passkey"),
            tag("p", wrong, class_="refused", role="alert") if wrong else None,
            tag(
                "p",
                "The order that guard approval new wrote, or what guard resume wrote to be signed, as it is.",
                class_="soft",
            ),
            tag(
                "form",
                secret(visitor),
                tag(
                    "p",
                    tag("label", "The file", for_="file"),
                    tag(
                        "textarea",
                        "",
                        name="file",
                        id="file",
                        rows=12,
                        maxlength=MAX_APPROVAL,
                        spellcheck="false",
                        wrap="off",
                        required=True,
                    ),
                    class_="field",
                ),
                tag("div", tag("button", "Read it", class_="go", id="read-file"), class_="buttons"),
                method="post",
                action="/control/file",
            ),
            tag("p", tag("a", "Back to the control page", href="/control")),
            class_="act-on broad",
        ),
        visitor=visitor,
    )


def ask_press(file: File, visitor: Visitor, keys: Keys | None, wrong: str = "") -> bytes:
    """Return what the file says, with the button if who looks has a key."""
    says = [tag("div", tag("dt", name), tag("dd", words)) for name, words in file.says[:SHOWN]]
    way: Content = tag(
        "p",
        "You have no passkey here. ",
        tag("a", "Make one", href="/control/passkey"),
        ", or sign the file with ssh-keygen.",
        class_="refused",
    )
    able = keys is not None and bool(keys.credentials)
    if keys is not None and able:
        way = press(file.text, visitor, keys, "/control/file", {"file": file.text})
    return page(
        file.title,
        tag(
            "section",
            tag("h1", file.title),
            tag("p", sentence(wrong), class_="refused", role="alert") if wrong else None,
            tag("dl", says),
            tag("p", file.look, class_="soft") if file.look else None,
            way,
            tag("p", tag("a", "Back to the control page", href="/control")),
            class_="act-on broad",
        ),
        visitor=visitor,
        keys=able,
    )


def give(approval: str, visitor: Visitor) -> bytes:
    """Return the approval, to be put beside the file."""
    return page(
        "Approved",
        tag(
            "section",
            tag("h1", "Approved"),
            tag("p", "Save this beside the file NAME.json as ", tag("code", f"NAME.{visitor.name}.sig"), "."),
            tag(
                "div",
                tag("label", "Your approval", for_="approval"),
                tag("textarea", approval, id="approval", readonly=True, rows=16, spellcheck="false", wrap="off"),
                tag("button", "Copy", type="button", class_="copy", data_copy="approval", hidden=True),
                class_="field",
            ),
            tag("p", tag("a", "Approve another", href="/control/file")),
            class_="act-on broad",
        ),
        visitor=visitor,
        copies=True,
    )
