"""The form with which somebody approves by passkey: what is shown is what the key signs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from guard.admin.page.frame import Visitor, secret
from guard.admin.page.html import Html, tag


@dataclass(frozen=True, slots=True)
class Keys:
    """The passkeys of who looks at the page: the ids of their credentials, and the domain that they are made for.

    ``synced`` is whether keys count that an account copies between devices.
    """

    rp_id: str
    credentials: tuple[str, ...]
    synced: bool = False


def press(statement: str, visitor: Visitor, keys: Keys, action: str, more: Mapping[str, str]) -> Html:
    """Return the form that the script sends when a key was used, with ``more`` in it; the key signs what it shows."""
    fields = ("credential", "authenticator_data", "client_data", "signature")
    return tag(
        "form",
        secret(visitor),
        [tag("input", type="hidden", name=each, value=value) for each, value in more.items()],
        [tag("input", type="hidden", name=each) for each in fields],
        tag("h2", "Approve it here, with your passkey or security key"),
        tag("details", tag("summary", "The statement, to the letter"), tag("pre", statement, id="statement")),
        tag("p", "This takes JavaScript; without it sign in a terminal, as below.", class_="soft", id="no-script"),
        tag(
            "div",
            tag("button", "Approve with your key", type="button", class_="go", id="press", hidden=True),
            class_="buttons",
        ),
        tag("p", id="key-said", role="alert", class_="refused", hidden=True),
        method="post",
        action=action,
        data_approve=keys.rp_id,
        data_credentials=" ".join(keys.credentials),
    )
