"""One browser for all tests of the control page, and one guard for those that leave it as it was."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from guard.state.orders import StopOrder
from tests.browser.stand import Stand, resumed, stand
from tests.guard.state.parts import of_a_known_host
from tests.parts.chromium import chromium


# Playwright keeps a loop running in this thread for as long as there is a browser, so no test of another module may see
# one: asyncio.run would refuse.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    with stand(tmp_path_factory.mktemp("page")) as found:
        yield found


@pytest.fixture
def host(running: Stand) -> Iterator[Stand]:
    yield running
    left = [
        stop.id for stop in running.directory.snapshot(of_a_known_host).still_held(0) if isinstance(stop, StopOrder)
    ]
    if left:
        resumed(running, left)
