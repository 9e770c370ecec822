"""The control page and a browser of each person at it: Rita asks for resumes, Ana, Ben and Cleo approve, Vic looks."""

from __future__ import annotations

from dataclasses import dataclass, field
from html import unescape
from pathlib import Path
from typing import Any, Final

import httpx

from guard.admin.api import Person
from guard.approval.webauthn import Assertion
from guard.credentials import Holder, Register, digest
from guard.policy.load import load
from guard.policy.model import Role
from guard.state.orders import Source
from tests.guard.admin.fakes import NOW, PEPPER, Counter
from tests.guard.admin.signers import KEYS
from tests.parts.configuration import ModelSpec, write_configuration, write_operators
from tests.parts.passkeys import WHERE, SoftPasskey, base64url, soft_passkey

PASSKEYS: Final[dict[str, SoftPasskey]] = {
    name: soft_passkey(number) for number, name in enumerate(("ana", "ben", "rita", "vic", "eve"), 20)
}
ROLES: Final = {
    "ana": Role.APPROVER,
    "ben": Role.APPROVER,
    "cleo": Role.RESPONSIBLE_SCALING_OFFICER,
    "rita": Role.RESPONDER,
    "vic": Role.VIEWER,
}
TOKENS: Final = {name: f"at-guard-{name}-0123456789ab" for name in ROLES}


@dataclass
class Desk:
    """The page, and the cookies of each browser."""

    counter: Counter
    cookies: dict[str, dict[str, str]] = field(default_factory=dict)

    def as_(self, name: str) -> Counter:
        """Sit down at somebody's browser."""
        if name not in self.cookies:
            self.counter.cookies = {}
            self.counter.post("/control/sign-in", token=TOKENS[name], onward="/control")
            self.cookies[name] = self.counter.cookies
        self.counter.cookies = self.cookies[name]
        return self.counter

    def stops(self, scope: str = "model:strict") -> str:
        """Stop it; returns the order."""
        return self.counter.board.stop(scope, "", "Ana", Source.ADMIN).order

    def asks(self, target: str = "model:strict") -> str:
        """Let Rita ask for the resume; returns the statement."""
        browser = self.as_("rita")
        answer = browser.post("/control/resume", form=browser.form(), target=target, reason="the finding is mended")
        return unescape(answer.text.partition('name="approval" value="')[2].partition('"')[0])

    def link(self) -> str:
        """Where the control page leads for what waits."""
        found = self.as_("ana").get().text.partition('href="/control/approval?of=')[2].partition('"')[0]
        assert found
        return found

    def presses(self, name: str, statement: str, key: SoftPasskey | None = None, **how: Any) -> httpx.Response:
        """Send what the script would."""
        link, browser = self.link(), self.as_(name)
        found = (key or PASSKEYS[name]).answer(statement.encode(), **how)
        return browser.post("/control/approval", form=browser.form(), of=link, **fields(found))

    def lifted(self) -> list[tuple[str, tuple[str, ...], tuple[str, ...]]]:
        """Who ordered each resume, who approved it, and by what."""
        return [(each.order.who, each.people, each.kinds) for each in self.counter.board.state().resumes]


def fields(found: Assertion) -> dict[str, str]:
    """What the script would send of an answer."""
    names = ("credential", "authenticator_data", "client_data", "signature")
    return {name: base64url(getattr(found, name)) for name in names}


def desk_of(directory: Path) -> Desk:
    """Write a configuration with a model at ASL-3 and these people, and open its page; Cleo is in no file of people."""
    write_configuration(directory, models=[ModelSpec("demo", 2), ModelSpec("strict", 3)])
    people = [
        {
            "id": name,
            "name": name.title(),
            "roles": [role.value],
            "keys": [KEYS[name].line] if name in KEYS else [],
            "passkeys": [PASSKEYS[name].entry] if name in PASSKEYS else [],
            "expires": "2099-01-01",
        }
        for name, role in ROLES.items()
        if name != "cleo"
    ]
    write_operators(directory, people, webauthn=WHERE.model_dump(mode="json"))
    counter = Counter(load(directory), directory / "var" / "state")
    holders = {
        digest(PEPPER, TOKENS[name].encode()): Holder(Person(name, name, role), NOW + 86_400_000)
        for name, role in ROLES.items()
    }
    counter.people.take(Register(PEPPER, holders, counter.clock))
    return Desk(counter)
