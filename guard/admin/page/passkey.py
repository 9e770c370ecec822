"""Making a passkey: the browser makes it, and the page shows the lines that people put into operators.yaml.

Nothing of it is sent to the guard, and nobody is trusted by having made one: the file says which keys count.
"""

from __future__ import annotations

from guard.admin.page.frame import Visitor, page
from guard.admin.page.html import Content, tag
from guard.admin.page.press import Keys


def make_passkey(visitor: Visitor, keys: Keys | None) -> bytes:
    """Return the page; ``keys`` are those that the person has, None where passkeys are not taken from who looks."""
    content: Content = tag(
        "p",
        "Passkeys are taken from persons of operators.yaml, where that file has a section webauthn with the domain "
        "and the addresses of this page.",
        class_="refused",
        role="alert",
    )
    if keys is not None:
        content = [
            tag("p", f"It is made for {keys.rp_id}, and works on no page of another name.", class_="soft"),
            tag("p", "This takes JavaScript.", class_="refused", id="no-script"),
            tag(
                "form",
                tag("div", tag("button", "Make a passkey", type="button", class_="go", hidden=True), class_="buttons"),
                data_make=keys.rp_id,
                data_person=visitor.name,
                data_synced=keys.synced,
                data_credentials=" ".join(keys.credentials),
            ),
            tag("p", id="key-said", role="alert", class_="refused", hidden=True),
            tag(
                "div",
                tag(
                    "p",
                    f"Put these lines into the entry of {visitor.name} in operators.yaml. The key counts for nothing "
                    "until the file with them is in force, which people approve as any change of it.",
                ),
                tag("label", "The lines", for_="lines"),
                tag("textarea", "", id="lines", readonly=True, rows=4, spellcheck="false", wrap="off"),
                tag("button", "Copy", type="button", class_="copy", data_copy="lines", hidden=True),
                class_="field",
                id="made",
                hidden=True,
            ),
        ]
    return page(
        "Make a passkey",
        tag(
            "section",
            tag("h1", "Make a passkey or take a security key"),
            tag("p", "With it you approve on this page what takes two people."),
            content,
            tag("p", tag("a", "Back to the control page", href="/control")),
            class_="act-on broad",
        ),
        visitor=visitor,
        copies=keys is not None,
        keys=keys is not None,
    )
