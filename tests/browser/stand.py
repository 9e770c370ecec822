"""A guard with a few models of different standing, running streams, and browsers that look at its control page."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from playwright.sync_api import Browser, BrowserContext, Page, Request

from guard.state.directory import OrderDirectory
from guard.state.issuer import Issuer
from guard.state.orders import Source, issue_resume, issue_stop
from guard.state.scope import Scope
from safeguards.mode import Mode
from tests.parts.configuration import CLAIMS, Credentials, ModelSpec, write_configuration
from tests.parts.fleets import engine_settings
from tests.parts.guard_process import GuardProcess, wait_until
from tests.parts.raw_caller import RawCaller
from tests.parts.ssh_keygen import make_key, ssh_keygen
from tests.parts.upstream import STREAM_HEAD, Peer, Received, ScriptedUpstream, chunk, text

WORKERS: Final = 2
APPROVERS: Final = ("carla", "dev")
PATIENCE_MS: Final = 30_000
Change = Callable[[dict[str, Any]], None]


async def goes_on(peer: Peer, _: Received) -> None:
    """Say one word and then nothing, until the caller or the guard has had enough."""
    await peer.send(STREAM_HEAD, chunk(text("one ")))
    with suppress(ConnectionError):
        await peer.reader.read(1)


@dataclass
class Stand:
    """A running guard and who may use it."""

    guard: GuardProcess
    config: Path
    credentials: Credentials
    keys: Path

    @property
    def url(self) -> str:
        """Of the admin listener."""
        return self.guard.admin_url

    @property
    def directory(self) -> OrderDirectory:
        """Its orders."""
        return OrderDirectory(self.config / "var" / "state")

    def stop(self, scope: str, reason: str = "", who: str = "the host", mode: Mode = Mode.STOP) -> str:
        """Order a stop on the host itself; returns its id."""
        now, entropy = time.time(), os.urandom(10)
        order = issue_stop(
            Scope.parse(scope), reason=reason, who=who, source=Source.CLI, now=now, entropy=entropy, mode=mode
        )
        self.directory.put(order)
        return order.id

    @contextmanager
    def streams(self, number: int, model: str = "assistant") -> Iterator[list[RawCaller]]:
        """Keep so many streams running, and wait until the page would count them."""
        with ExitStack() as stack:
            port, key = self.guard.data[1], self.credentials.key
            callers = [stack.enter_context(RawCaller(port, key)) for _ in range(number)]
            for caller in callers:
                caller.ask("go on", model=model)
                caller.until(b"one ")
            yield callers

    def signs(self, command: str, person: str) -> str:
        """Do in a real shell what the page says, with a person's key; returns what it prints."""
        found = shlex.quote(str(self.keys / person))
        there = f"{Path(ssh_keygen()).parent}:{os.environ['PATH']}"
        words = ["sh", "-c", command.replace(" KEY ", f" {found} ")]
        done = subprocess.run(words, capture_output=True, timeout=30, check=True, env={**os.environ, "PATH": there})
        return done.stdout.decode("ascii")


def resumed(host: Stand, lifts: Sequence[str], reason: str = "over", who: str = "the host") -> None:
    """Lift these stops on the host itself."""
    order = issue_resume(lifts, reason=reason, who=who, source=Source.CLI, now=time.time(), entropy=os.urandom(10))
    host.directory.put(Issuer.open(host.directory.path).signed(order))


def specs(upstream: str, *, strict: bool) -> list[ModelSpec]:
    """A model that is served, one below its floor, and with ``strict`` one at ASL-3: no one person lifts its stops."""
    return [
        ModelSpec("assistant", upstream=upstream, evidence_days=18),
        *([ModelSpec("research", upstream=upstream, asl=3, evidence_days=120)] if strict else []),
        ModelSpec("drafts", upstream=upstream, claims=CLAIMS[:1]),
    ]


def write_people(directory: Path, keys: Path) -> tuple[str, str]:
    """Write operators.yaml and the SSH keys of those who approve; returns who holds the two tokens."""
    keys.mkdir()
    roles = {"ana": "responder", "ben": "viewer", "carla": "approver", "dev": "approver"}
    lines = {name: make_key(keys / name, "-t", "ed25519") for name in APPROVERS}
    persons = [
        {"id": name, "name": name.title(), "roles": [role], "keys": [lines[name]] if name in lines else []}
        for name, role in roles.items()
    ]
    expires = {"expires": "2099-01-01"}
    (directory / "operators.yaml").write_text(
        json.dumps({"version": 1, "persons": [{**each, **expires} for each in persons]})
    )
    return "ana", "ben"


@contextmanager
def stand(
    directory: Path,
    change: Change = lambda _: None,
    *,
    strict: bool = False,
    response: dict[str, Any] | None = None,
) -> Iterator[Stand]:
    """Run a guard of two workers whose guard.yaml was changed so; with ``strict`` there are people who approve.

    ``response`` is within what time its models' incidents are answered.
    """
    with ScriptedUpstream(goes_on) as upstream:
        credentials = write_configuration(directory, models=specs(upstream.url, strict=strict), workers=WORKERS)
        keys = directory.with_name(f"{directory.name}-keys")
        file = directory / "guard.yaml"
        settings = json.loads(file.read_text())
        people = write_people(directory, keys) if strict else ("Ana Ferreira", "Ben Okafor")
        for token, person in zip(settings["admin"]["tokens"], people, strict=True):
            token["person"] = person
        change(settings)
        file.write_text(json.dumps(settings))
        for model in (directory / "models").iterdir() if response else ():
            model.write_text(json.dumps({**json.loads(model.read_text()), "response": response}))
        with GuardProcess(directory) as guard:
            wait_until(lambda: guard.get("/health/ready").json().get("serving") == WORKERS, "all serve")
            yield Stand(guard, directory, credentials, keys)


@contextmanager
def replica(directory: Path) -> Iterator[tuple[Stand, Path]]:
    """Run a guard as the one replica of a fleet over a folder, its lease at ASL-3 three seconds; and that folder."""
    shared = directory / "shared"
    shared.mkdir(parents=True)

    def joined(settings: dict[str, Any]) -> None:
        settings["fleet"] = engine_settings("r0", folder=shared, leases={"asl_3": 3.0})

    with stand(directory / "r0", joined, strict=True) as found:
        yield found, shared


@contextmanager
def away(shared: Path) -> Iterator[None]:
    """Take the folder of a fleet away, with something in its place that is none."""
    aside = shared.with_name("aside")
    shared.rename(aside)
    shared.write_text("")
    try:
        yield
    finally:
        shared.unlink()
        aside.rename(shared)


@dataclass
class Visit:
    """One browser context, and everything that it complained about."""

    context: BrowserContext
    url: str
    complaints: list[str] = field(default_factory=list)

    def page(self, path: str = "/control") -> Page:
        """Open a page in it."""
        page = self.context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.on(
            "console", lambda each: self.complaints.append(each.text) if each.type in {"error", "warning"} else None
        )
        page.on("pageerror", lambda each: self.complaints.append(str(each)))
        page.on("requestfailed", self._failed)
        page.goto(self.url + path)
        return page

    def _failed(self, request: Request) -> None:
        if not request.url.endswith(("/control/events", "?auto=1")):  # these end with the page, as they must
            self.complaints.append(f"{request.url} {request.failure}")

    def signed_in(self, token: str, path: str = "/control") -> Page:
        """Sign in by the form, and be there."""
        page = self.page(path)
        page.get_by_label("Your token").fill(token)
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_selector("#sign-out")
        return page


@contextmanager
def visit(browser: Browser, url: str, **options: Any) -> Iterator[Visit]:
    """Look at it in a context of its own."""
    context = browser.new_context(**options)
    try:
        yield Visit(context, url)
    finally:
        context.close()
