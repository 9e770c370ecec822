"""An open page hears of every act at once, of numbers now and then, and of nothing at least every few seconds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from guard.admin.overview import Place
from guard.admin.pulse import MAX_FOLLOWED, NUMBERS_SECONDS, SPEAK_SECONDS, Pulse
from guard.admin.running import Running
from guard.policy.load import load
from guard.state.orders import Source
from tests.guard.admin.fakes import HALF, WHOLE, Counter, InFleet, replica
from tests.parts.configuration import ModelSpec, write_configuration


class Page:
    """One open page, and the events that it has heard; looks follow one another as the test lets the clock go."""

    def __init__(self, counter: Counter) -> None:
        """Open it."""
        self.counter = counter
        self.signed_in = True
        self.heard: list[str] = []
        self.pulse = Pulse(counter.board, counter.behind, counter.behind, counter.clock)
        self.over = False

    async def listen(self) -> None:
        """Hear until the end."""
        events: AsyncIterator[bytes] = self.pulse.events(lambda: self.signed_in)
        async for event in events:
            self.heard += [line.removeprefix("event: ") for line in event.decode().splitlines() if line[:6] == "event:"]
        self.over = True

    async def after(self, seconds: float) -> list[str]:
        """Let so much time pass, in steps of a look, and return what was heard in it."""
        before = len(self.heard)
        for _ in range(round(seconds * 10)):
            self.counter.clock.go(0.1)
            for _ in range(20):
                await asyncio.sleep(0)
            await asyncio.sleep(0.0015)
        return self.heard[before:]


@pytest.fixture
def counter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Counter:
    write_configuration(tmp_path, models=[ModelSpec("demo", 2)])
    monkeypatch.setattr(asyncio, "sleep", soon(asyncio.sleep))
    return Counter(load(tmp_path), tmp_path / "var" / "state")


def soon(sleep: Callable[[float], Awaitable[None]]) -> Callable[[float], Awaitable[None]]:
    """A sleep that is over soon: what time it is says the test's clock."""
    return lambda seconds: sleep(min(seconds, 0.001))


def heard(counter: Counter, story: Callable[[Page], Awaitable[None]]) -> Page:
    """Run a story beside a listening page."""

    async def run() -> Page:
        page = Page(counter)
        listening = asyncio.ensure_future(page.listen())
        await page.after(0.3)
        assert page.heard == ["changed"]  # once at the beginning: what the page shows may be old already
        await story(page)
        listening.cancel()
        await asyncio.wait({listening})
        assert page.pulse.listeners == 0
        return page

    return asyncio.run(run())


def test_an_act_is_heard_at_the_next_look(counter: Counter) -> None:
    async def story(page: Page) -> None:
        order = counter.board.stop("model:demo", "", "Ana", Source.ADMIN).order
        assert "changed" in await page.after(0.3)
        assert "changed" not in await page.after(2.0)
        counter.board.resume(order, "over", "Ana", Source.ADMIN)
        assert "changed" in await page.after(0.3)
        counter.behind.all_places = (Place("0", False, 0, "it fell silent"),)
        assert "changed" in await page.after(0.3)

    heard(counter, story)


def test_who_obeys_is_heard_until_all_have(counter: Counter) -> None:
    counter.behind.names = ("0", "1")

    async def story(page: Page) -> None:
        counter.board.stop("model:demo", "", "Ana", Source.ADMIN)
        await page.after(0.3)
        for worker in "01":
            counter.obey(worker, cut=1)
            assert "changed" in await page.after(0.3)
        assert page.pulse._unconfirmed == ()

    heard(counter, story)


def test_what_changes_in_the_fleet_is_heard(counter: Counter) -> None:
    member = counter.behind.member = InFleet()

    async def story(page: Page) -> None:
        assert "changed" not in await page.after(1.0)
        member.others = (replica("r1", silent=True, heard_seconds_ago=6.0),)
        assert "changed" in await page.after(0.3)
        member.others = (replica("r1", silent=True, heard_seconds_ago=6.9),)
        assert "changed" not in await page.after(0.3)
        member.lapsed = (4,)
        assert "changed" in await page.after(0.3)
        member.problem = "the database cannot be reached"
        assert "changed" in await page.after(0.3)
        counter.board.stop("model:demo", "", "Ana", Source.ADMIN)
        member.words = [HALF, WHOLE]
        assert "changed" in await page.after(0.4)

    heard(counter, story)


def test_no_number_of_stops_has_every_acknowledgement_read_at_every_look(counter: Counter) -> None:
    counter.behind.names = ("0",)

    async def story(page: Page) -> None:
        for _ in range(MAX_FOLLOWED + 5):
            counter.board.stop("model:demo", "", "Ana", Source.ADMIN)
        await page.after(0.3)
        assert len(page.pulse._unconfirmed) == MAX_FOLLOWED

    heard(counter, story)


def test_numbers_are_heard_now_and_then(counter: Counter) -> None:
    async def story(page: Page) -> None:
        await page.after(NUMBERS_SECONDS)
        changes = []
        for number in range(40):
            counter.behind.runs = (Running("demo", "general", "app", number + 1),)
            changes += await page.after(0.1)
        assert 1 <= changes.count("changed") <= 3

    heard(counter, story)


def test_where_nothing_happens_the_time_is_told(counter: Counter) -> None:
    async def story(page: Page) -> None:
        found = await page.after(2 * SPEAK_SECONDS + 1)
        assert found.count("time") >= 1
        assert set(found) <= {"time", "changed"}  # a new minute changes what is shown

    heard(counter, story)


def test_who_is_signed_out_hears_that_it_is_over_and_nothing_more(counter: Counter) -> None:
    async def story(page: Page) -> None:
        page.signed_in = False
        assert (await page.after(2 * SPEAK_SECONDS))[-1] == "over"
        assert page.over

    heard(counter, story)


def test_a_process_that_ends_lets_its_pages_go(counter: Counter) -> None:
    async def story(page: Page) -> None:
        counter.behind.ended = True
        await page.after(0.3)
        assert page.over

    heard(counter, story)


def test_orders_that_cannot_be_read_end_no_page(counter: Counter) -> None:
    async def story(page: Page) -> None:
        (counter.state / "orders").rename(counter.state / "elsewhere")
        assert "changed" in await page.after(0.3)
        (counter.state / "elsewhere").rename(counter.state / "orders")
        assert "changed" in await page.after(0.3)

    heard(counter, story)
