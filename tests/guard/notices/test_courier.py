"""Over real connections: a notice arrives once, is tried again where that may help, and is lost aloud."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import replace
from pathlib import Path

import pytest

from guard.notices.courier import MAX_WAITING, Courier, Sent
from guard.notices.forms import Receiver
from tests.guard.notices.samples import NOW, STOP, TOKEN, receiver
from tests.parts.certificates import Authority
from tests.parts.notice_receiver import Answer, NoticeReceiver

Told = list[tuple[str, Sent, str]]
QUICK = (0.01, 0.01)


def bring(to: Receiver, count: int = 1) -> Told:
    """Bring so many notices, and return what was told once every one was sent or lost."""
    told: Told = []

    async def run() -> None:
        over = asyncio.Event()

        def tell(*each: str | Sent) -> None:
            told.append(each)  # type: ignore[arg-type]  # the three of them
            if sum(sent is not Sent.RETRIED for _, sent, _ in told) == count:
                over.set()

        courier = Courier(to, tell, lambda: NOW, QUICK)
        running = asyncio.ensure_future(courier.run())
        for number in range(count):
            courier.put(replace(STOP, id=f"stop-{number}"))
        async with asyncio.timeout(30):
            await over.wait()
        running.cancel()

    asyncio.run(run())
    assert not any("secret" in why or TOKEN.decode() in why for _, _, why in told)
    return told


def test_notices_arrive_once_and_in_their_order() -> None:
    with NoticeReceiver() as board:
        told = bring(receiver("generic", board.url), 5)
    assert [each.headers["webhook-id"] for each in board.taken] == [f"stop-{number}" for number in range(5)]
    assert {each[1] for each in told} == {Sent.SENT}
    assert {each.method for each in board.taken} == {"POST"}


def test_a_server_that_fails_is_tried_again_under_the_same_id() -> None:
    with NoticeReceiver(Answer(500), Answer(429, {"retry-after": "0"}), Answer(204)) as board:
        told = bring(receiver("generic", board.url))
    assert [each.headers["webhook-id"] for each in board.taken] == ["stop-0"] * 3
    assert [each[1:] for each in told] == [
        (Sent.RETRIED, "it answered with status 500"),
        (Sent.RETRIED, "it answered with status 429"),
        (Sent.SENT, ""),
    ]


def test_after_the_last_attempt_it_is_lost_and_the_next_is_brought() -> None:
    answers = [Answer(503)] * 3
    with NoticeReceiver(*answers, Answer(200)) as board:
        told = bring(receiver("slack", board.url), 2)
    assert [each[1] for each in told] == [Sent.RETRIED, Sent.RETRIED, Sent.LOST, Sent.SENT]


def test_what_will_never_be_taken_is_not_tried_again() -> None:
    with NoticeReceiver(Answer(404)) as board:
        told = bring(receiver("slack", board.url))
    assert told == [("slack", Sent.LOST, "it answered with status 404")]
    assert len(board.taken) == 1


def test_a_redirect_is_not_followed() -> None:
    with NoticeReceiver() as elsewhere, NoticeReceiver(Answer(307, {"location": elsewhere.url})) as board:
        told = bring(receiver("grafana", board.url))
    assert told == [("grafana", Sent.LOST, "it answered with status 307")]
    assert elsewhere.taken == []


def test_a_server_that_never_answers_costs_its_time_and_no_more() -> None:
    with NoticeReceiver(Answer(None)) as board:
        told = bring(receiver("generic", board.url, timeout_seconds=0.05))
    assert [each[1:] for each in told][-1] == (Sent.LOST, "no answer within 0.05 s")
    assert len(board.taken) == 3


def test_an_answer_without_an_end_is_an_answer() -> None:
    with NoticeReceiver(Answer(200, endless=True)) as board:
        told = bring(receiver("generic", board.url))
    assert told == [("generic", Sent.SENT, "")]


def test_nobody_there_is_tried_again_and_lost() -> None:
    with NoticeReceiver() as board:
        url = board.url
    told = bring(receiver("generic", url))
    assert [each[1] for each in told] == [Sent.RETRIED, Sent.RETRIED, Sent.LOST]
    assert "cannot be reached" in told[-1][2]


def test_a_certificate_that_is_not_trusted_gets_no_credential(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "ca")
    tls = authority.issue("127.0.0.1").server()
    with NoticeReceiver(tls=tls) as board:
        told = bring(receiver("grafana", board.url))
        assert told[-1][1] is Sent.LOST
        assert board.taken == []
        trusted = ssl.create_default_context(cafile=authority.pem)
        assert bring(receiver("grafana", board.url, trusted)) == [("grafana", Sent.SENT, "")]
    assert [each.headers["authorization"] for each in board.taken] == [f"Bearer {TOKEN.decode()}"]


def test_neither_a_proxy_of_the_environment_nor_a_cookie_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    with NoticeReceiver() as proxy, NoticeReceiver(Answer(200, {"set-cookie": "a=b"})) as board:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        bring(receiver("generic", board.url), 2)
    assert proxy.taken == []
    assert len(board.taken) == 2
    assert not any("cookie" in each.headers for each in board.taken)


def test_too_many_are_lost_at_once_and_counted() -> None:
    told: Told = []

    async def fill() -> None:
        to = receiver("generic", "http://127.0.0.1:9")
        courier = Courier(to, lambda *each: told.append(each), lambda: NOW)
        for _ in range(MAX_WAITING + 2):
            courier.put(STOP)
        assert [each[1] for each in told] == [Sent.LOST] * 2
        await courier.settle(0.01)

    asyncio.run(fill())
    assert len(told) == MAX_WAITING + 2


def test_what_waits_when_the_guard_ends_is_sent_if_there_is_time() -> None:
    told: Told = []

    async def end() -> None:
        courier = Courier(to, lambda *each: told.append(each), lambda: NOW)
        running = asyncio.ensure_future(courier.run())
        courier.put(STOP)
        await courier.settle(30)
        running.cancel()

    with NoticeReceiver() as board:
        to = receiver("generic", board.url)
        asyncio.run(end())
    assert told == [("generic", Sent.SENT, "")]
