"""A guard before a scripted model server that speaks every protocol: it brings each ending about and looks on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import httpx

from guard.policy.tiers import Operation
from guard.state.orders import StopOrder
from tests.clients.endings import FIRST, Ask, Client, Ending, Seen
from tests.clients.speech import speaks
from tests.parts.configuration import MARKER, Credentials, ModelSpec, write_configuration
from tests.parts.guard_thread import GuardThread
from tests.parts.upstream import Gate, Script, ScriptedUpstream

EVERYTHING: Final = tuple(operation.value for operation in Operation)
REST: Final = " It ends well."


@dataclass(frozen=True, slots=True)
class Stand:
    """The guard serves the model ``demo`` for every operation."""

    guard: GuardThread
    upstream: ScriptedUpstream
    credentials: Credentials

    def observe(self, client: Client, ending: Ending, *, streamed: bool) -> Seen:
        """Bring an ending about and return what the client saw of it."""
        gate = Gate()
        orders: list[StopOrder] = []
        midway = ending is Ending.STOPPED_MIDWAY

        def came() -> None:
            if not midway:
                gate.open()
            elif not orders:
                orders.append(self.guard.stop("model:demo"))

        def came_to_the_upstream(count: int) -> None:
            self.upstream.wait_for_requests(count)
            came()

        self.upstream.script = _script(ending, gate)
        before = self._sent()
        # Of a whole answer nothing comes that the client could wait for.
        beside = threading.Thread(target=came_to_the_upstream, args=(len(self.upstream.requests) + 1,))
        if midway and not streamed:
            beside.start()
        if ending is Ending.STOPPED_BEFORE:
            orders.append(self.guard.stop("model:demo"))
        try:
            seen = client.look(self._ask(ending, came, streamed=streamed))
        finally:
            if beside.ident is not None:
                beside.join()
            if orders:
                self.guard.resume(*orders)
        self.guard.quiet()
        return replace(seen, attempts=int(self._sent() - before))

    def _ask(self, ending: Ending, came: Callable[[], None], *, streamed: bool) -> Ask:
        keys = {Ending.RATE_LIMITED: self.credentials.slow, Ending.BAD_KEY: "sk-guard-nobody-nothing"}
        return Ask(
            url=self.guard.url,
            key=keys.get(ending, self.credentials.key),
            model="nobody" if ending is Ending.UNKNOWN_MODEL else "demo",
            prompt=f"say {MARKER}" if ending is Ending.PROMPT_BLOCKED else "hello",
            streamed=streamed,
            bad=ending is Ending.BAD_FIELD,
            came=came,
        )

    def _sent(self) -> float:
        """How many requests have reached the guard."""
        names = ("guard_requests_total", "guard_refusals_total")
        return self.guard.call(lambda: sum(self.guard.metric(name) for name in names))


def _script(ending: Ending, gate: Gate) -> Script:
    if ending is Ending.ANSWER_BLOCKED:
        return speaks(gate, FIRST, f" And then {MARKER} and more.")
    hold, die = ending is Ending.STOPPED_MIDWAY, ending is Ending.UPSTREAM_DIES
    return speaks(gate, FIRST, REST, hold=hold, die=die)


@contextmanager
def stand_in(directory: Path) -> Iterator[Stand]:
    """Serve from this directory; the key ``slow`` has used its rate up."""
    gate = Gate()
    gate.open()
    with ScriptedUpstream(speaks(gate, FIRST, REST)) as upstream:
        credentials = write_configuration(directory, models=[ModelSpec(upstream=upstream.url, operations=EVERYTHING)])
        with GuardThread(directory) as guard:
            body = {"model": "demo", "messages": [{"role": "user", "content": "hello"}]}
            headers = {"authorization": f"Bearer {credentials.slow}"}
            httpx.post(f"{guard.url}/v1/chat/completions", json=body, headers=headers, trust_env=False, timeout=30)
            guard.quiet()
            yield Stand(guard, upstream, credentials)
