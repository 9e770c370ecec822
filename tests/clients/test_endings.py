"""Every client at every ending, compared with the page that application developers read."""

from __future__ import annotations

import pytest

from tests.clients import page
from tests.clients.endings import FIRST, MIDWAY, Client, Ending
from tests.clients.stand import REST, Stand

RENEW = "if that is meant, renew the page with: python -m tests.clients.page --write"
PAGE = page.PAGE.read_text()
ROWS = page.rows_of(PAGE)


@pytest.mark.timeout(300)  # the first of them may have to install its libraries
@pytest.mark.parametrize("client", page.CLIENTS, ids=lambda client: client.name)
def test_a_client_sees_what_the_page_says_at_every_ending(stand: Stand, client: Client) -> None:
    seen = {ending: page.row(stand, client, ending) for ending in Ending}
    assert seen == ROWS.get(client.section), RENEW


@pytest.mark.parametrize("client", page.CLIENTS, ids=lambda client: client.name)
def test_a_client_keeps_exactly_the_text_that_was_released(stand: Stand, client: Client) -> None:
    for ending in MIDWAY:
        assert stand.observe(client, ending, streamed=True).text == FIRST
        assert stand.observe(client, ending, streamed=False).text == ""
    for streamed in (False, True):
        assert stand.observe(client, Ending.ALLOWED, streamed=streamed).text == FIRST + REST


def test_the_page_is_made_of_its_rows_and_has_every_client_and_ending() -> None:
    assert list(ROWS) == page.sections(), RENEW
    assert all(list(rows) == list(Ending) for rows in ROWS.values()), RENEW
    assert page.written(ROWS) == PAGE, RENEW
