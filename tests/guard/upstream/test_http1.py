"""The reader of answers: every framing, every cut, every refusal."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.upstream.failure import UpstreamError, UpstreamFailure
from guard.upstream.http1 import MAX_HEADERS, MAX_INTERIM, Limits, ResponseReader

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
LENGTH = OK + b"Content-Length: 3\r\n\r\n"

# name -> wire, status, body, clean when fed at once
GOOD: dict[str, tuple[bytes, int, bytes, bool]] = {
    "length": (LENGTH + b"abc", 200, b"abc", True),
    "length with line ends in the body": (OK + b"Content-Length: 8\r\n\r\n\r\n\r\n\r\n\r\n", 200, b"\r\n" * 4, True),
    "no body": (OK + b"Content-Length: 0\r\n\r\n", 200, b"", True),
    "204": (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b"", True),
    "chunked": (CHUNKED + b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", 200, b"abcde", True),
    "chunked, nothing": (CHUNKED + b"0\r\n\r\n", 200, b"", True),
    "chunk extension": (CHUNKED + b"3;a=b\r\nabc\r\n0;c\r\n\r\n", 200, b"abc", True),
    "trailers": (CHUNKED + b"3\r\nabc\r\n0\r\nX-Late: 1\r\nEmpty:\r\n\r\n", 200, b"abc", True),
    "capitals": (OK + b"TRANSFER-ENCODING: Chunked \r\n\r\n0\r\n\r\n", 200, b"", True),
    "identity": (OK + b"content-encoding: Identity\r\ncontent-length: 1\r\n\r\nx", 200, b"x", True),
    "error": (b"HTTP/1.1 503 Busy\r\nContent-Length: 2\r\n\r\n{}", 503, b"{}", True),
    "empty header": (OK + b"X-Empty:\r\nContent-Length: 1\r\n\r\nx", 200, b"x", True),
    "interim": (b"HTTP/1.1 103 Early\r\nLink: x\r\n\r\n" + CHUNKED + b"1\r\nx\r\n0\r\n\r\n", 200, b"x", True),
    "interim before length": (b"HTTP/1.1 100 Continue\r\n\r\n" + LENGTH + b"abc", 200, b"abc", True),
    "line ends between": (b"HTTP/1.1 100 C\r\n\r\n\r\n\r\n" + LENGTH + b"abc\r\n\r\n", 200, b"abc", False),
    "most interims": (b"HTTP/1.1 102 P\r\n\r\n" * MAX_INTERIM + CHUNKED + b"0\r\n\r\n", 200, b"", True),
    "close": (OK + b"Connection: close\r\nContent-Length: 1\r\n\r\nx", 200, b"x", False),
    "1.0": (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx", 200, b"x", False),
    "a line end after it": (LENGTH + b"abc\r\n", 200, b"abc", False),
    "line ends after a body of them": (OK + b"Content-Length: 2\r\n\r\n\r\n\r\n", 200, b"\r\n", False),
    "a line end after the last chunk": (CHUNKED + b"0\r\n\r\n\r\n", 200, b"", False),
    "a second answer": (LENGTH + b"abc" + LENGTH + b"xyz", 200, b"abc", False),
    "a second answer after chunks": (CHUNKED + b"1\r\nx\r\n0\r\n\r\n" + CHUNKED + b"0\r\n\r\n", 200, b"x", False),
    "rubbish after it": (LENGTH + b"abc\x00", 200, b"abc", False),
    "rubbish after close": (OK + b"Connection: close\r\nContent-Length: 1\r\n\r\nxy", 200, b"x", False),
}

BAD: dict[str, tuple[bytes, UpstreamFailure]] = {
    "length and chunked": (OK + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", UpstreamFailure.BAD_HTTP),
    "chunked and length": (OK + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n", UpstreamFailure.BAD_HTTP),
    "length twice": (OK + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", UpstreamFailure.BAD_HTTP),
    "length list": (OK + b"Content-Length: 3, 3\r\n\r\nabc", UpstreamFailure.BAD_HTTP),
    "length signed": (OK + b"Content-Length: +3\r\n\r\nabc", UpstreamFailure.BAD_HTTP),
    "length huge": (OK + b"Content-Length: 99999999999999999999999\r\n\r\n", UpstreamFailure.BAD_HTTP),
    "length empty": (OK + b"Content-Length:\r\n\r\n", UpstreamFailure.BAD_HTTP),
    "gzip, chunked": (OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", UpstreamFailure.BAD_HTTP),
    "chunked twice": (OK + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", UpstreamFailure.BAD_HTTP),
    "chunked in two lines": (
        OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        UpstreamFailure.BAD_HTTP,
    ),
    "transfer identity": (OK + b"Transfer-Encoding: identity\r\n\r\n", UpstreamFailure.BAD_HTTP),
    "chunked in 1.0": (b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", UpstreamFailure.BAD_HTTP),
    "content type twice": (OK + b"Content-Type: a/b\r\nContent-Type: c/d\r\n\r\n", UpstreamFailure.BAD_HTTP),
    "gzip": (OK + b"Content-Encoding: gzip\r\nContent-Length: 1\r\n\r\nx", UpstreamFailure.UNEXPECTED_ENCODING),
    "identity, br": (OK + b"Content-Encoding: identity, br\r\n\r\n", UpstreamFailure.UNEXPECTED_ENCODING),
    "101": (b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nabc", UpstreamFailure.BAD_HTTP),
    "bare 101": (b"HTTP/1.1 101 Switching\r\n\r\n", UpstreamFailure.BAD_HTTP),
    "interim with a body": (b"HTTP/1.1 110 X\r\nContent-Length: 3\r\n\r\nabc", UpstreamFailure.BAD_HTTP),
    "too many interims": (b"HTTP/1.1 102 P\r\n\r\n" * (MAX_INTERIM + 1), UpstreamFailure.BAD_HTTP),
    "204 with a body": (b"HTTP/1.1 204 No\r\nContent-Length: 3\r\n\r\nabc", UpstreamFailure.BAD_HTTP),
    "status 099": (b"HTTP/1.1 099 X\r\nContent-Length: 0\r\n\r\n", UpstreamFailure.BAD_HTTP),
    "status 600": (b"HTTP/1.1 600 X\r\nContent-Length: 0\r\n\r\n", UpstreamFailure.BAD_HTTP),
    "2.0": (b"HTTP/2.0 200 X\r\nContent-Length: 0\r\n\r\n", UpstreamFailure.BAD_HTTP),
    "0.9": (b"HTTP/0.9 200 X\r\nContent-Length: 0\r\n\r\n", UpstreamFailure.BAD_HTTP),
    "RTSP": (b"RTSP/1.0 200 X\r\nContent-Length: 0\r\n\r\n", UpstreamFailure.BAD_HTTP),
    "line end in front": (b"\r\n" + LENGTH + b"abc", UpstreamFailure.BAD_HTTP),
    "no HTTP": (b"SSH-2.0-x\r\n", UpstreamFailure.BAD_HTTP),
    "bare line feeds": (b"HTTP/1.1 200 OK\nContent-Length: 0\n\n", UpstreamFailure.BAD_HTTP),
    "folded header": (OK + b"A: b\r\n c\r\nContent-Length: 0\r\n\r\n", UpstreamFailure.BAD_HTTP),
    "space before colon": (OK + b"Content-Length : 0\r\n\r\n", UpstreamFailure.BAD_HTTP),
    "NUL in a header": (OK + b"A: b\x00c\r\nContent-Length: 0\r\n\r\n", UpstreamFailure.BAD_HTTP),
    "chunk longer than said": (CHUNKED + b"3\r\nabcd\r\n0\r\n\r\n", UpstreamFailure.BAD_HTTP),
    "chunk size with a space": (CHUNKED + b"3 \r\nabc\r\n0\r\n\r\n", UpstreamFailure.BAD_HTTP),
    "chunk size in words": (CHUNKED + b"0x3\r\nabc\r\n0\r\n\r\n", UpstreamFailure.BAD_HTTP),
    "chunk size huge": (CHUNKED + b"fffffffffffffffff\r\nabc", UpstreamFailure.BAD_HTTP),
    "chunks with bare line feeds": (CHUNKED + b"3\nabc\n0\n\n", UpstreamFailure.BAD_HTTP),
    "too many headers": (OK + b"A: b\r\n" * (MAX_HEADERS + 1) + b"\r\n", UpstreamFailure.TOO_LARGE),
    "head too long": (OK + b"A: " + b"b" * 40000 + b"\r\n\r\n", UpstreamFailure.TOO_LARGE),
}


def read(*feeds: bytes, limits: Limits | None = None) -> ResponseReader:
    reader = ResponseReader(limits or Limits())
    for data in feeds:
        reader.feed(data)
    return reader


def refusal(*feeds: bytes, limits: Limits | None = None) -> UpstreamFailure:
    with pytest.raises(UpstreamError) as caught:
        read(*feeds, limits=limits)
    return caught.value.kind


@pytest.mark.parametrize("name", GOOD)
def test_an_answer_fed_at_once_is_read_whole(name: str) -> None:
    wire, status, body, clean = GOOD[name]
    reader = read(wire)
    assert (reader.status, reader.take(), reader.complete, reader.clean) == (status, body, True, clean)


@pytest.mark.parametrize("name", GOOD)
def test_an_answer_cut_at_any_byte_is_the_same_and_never_cleaner(name: str) -> None:
    wire, status, body, clean = GOOD[name]
    for cut in range(1, len(wire)):
        reader = ResponseReader(Limits())
        reader.feed(wire[:cut])
        if reader.complete:  # what follows comes to a connection that has no answer under way
            with pytest.raises(UpstreamError):
                reader.feed(wire[cut:])
            assert not clean
        else:
            reader.feed(wire[cut:])
            assert clean or not reader.clean
        assert (reader.status, reader.take(), reader.complete) == (status, body, True)


@pytest.mark.parametrize("name", [name for name, good in GOOD.items() if good[3]])
def test_an_answer_fed_byte_by_byte_is_the_same(name: str) -> None:
    wire, status, body, _ = GOOD[name]
    reader = read(*(wire[i : i + 1] for i in range(len(wire))))
    assert (reader.status, reader.take(), reader.complete) == (status, body, True)


def test_a_stream_whose_last_chunk_comes_alone_is_clean() -> None:
    assert read(CHUNKED, b"3\r\nabc\r\n", b"0\r\n\r\n").clean
    assert read(LENGTH, b"a", b"bc").clean


@pytest.mark.parametrize("name", BAD)
def test_a_bad_answer_is_refused_by_its_kind(name: str) -> None:
    wire, kind = BAD[name]
    assert refusal(wire) is kind


@pytest.mark.parametrize("name", BAD)
def test_a_bad_answer_is_refused_wherever_it_is_cut(name: str) -> None:
    wire, kind = BAD[name]
    for cut in range(1, len(wire), 1 + len(wire) // 200):
        assert refusal(wire[:cut], wire[cut:]) is kind


def test_headers_have_lower_case_names_and_no_trailers() -> None:
    reader = read(OK + b"X-A:  b  \r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-Evil: 1\r\n\r\n")
    assert reader.headers == [(b"x-a", b"b"), (b"transfer-encoding", b"chunked")]


@pytest.mark.parametrize(
    ("start", "more"),
    [
        (OK + b"A: ", b"b" * 500),
        (CHUNKED + b"1;", b"x" * 500),
        (CHUNKED + b"0\r\nA: ", b"b" * 500),
        (OK[:-2], b"K" * 500),
    ],
)
def test_bytes_without_end_that_bring_no_body_are_refused(start: bytes, more: bytes) -> None:
    reader = read(start, limits=Limits(header_bytes=4096))
    for _ in range(8):
        reader.feed(more)
    with pytest.raises(UpstreamError) as caught:
        reader.feed(more)
    assert caught.value.kind is UpstreamFailure.TOO_LARGE


def test_long_streams_of_small_chunks_are_not_taken_for_bytes_without_body() -> None:
    reader = read(CHUNKED, *([b"1\r\n", b"x\r\n"] * 5000), b"0\r\n\r\n", limits=Limits(header_bytes=4096))
    assert reader.take() == b"x" * 5000


@pytest.mark.parametrize(
    ("wire", "reset", "kind"),
    [
        (b"", False, UpstreamFailure.CLOSED),
        (b"", True, UpstreamFailure.CLOSED),
        (b"HTTP/1.1 2", False, UpstreamFailure.TRUNCATED),
        (b"HTTP/1.1 100 Continue\r\n\r\n", False, UpstreamFailure.TRUNCATED),
        (LENGTH + b"ab", False, UpstreamFailure.TRUNCATED),
        (CHUNKED + b"3\r\nabc\r\n", False, UpstreamFailure.TRUNCATED),
        (CHUNKED + b"3\r\nabc\r\n0\r\n", False, UpstreamFailure.TRUNCATED),
        (OK + b"\r\nabc", False, UpstreamFailure.TRUNCATED),
        (OK + b"\r\nabc", True, UpstreamFailure.TRUNCATED),
    ],
)
def test_an_end_before_the_proven_end_is_an_error(wire: bytes, reset: bool, kind: UpstreamFailure) -> None:
    reader = read(*([wire] if wire else []))
    with pytest.raises(UpstreamError) as caught:
        reader.eof(reset=reset)
    assert caught.value.kind is kind


def test_an_unframed_body_may_be_allowed_to_end_with_the_connection_but_is_not_proven() -> None:
    allowed = Limits(allow_unframed=True)
    reader = read(OK + b"\r\nabc", limits=allowed)
    reader.eof()
    assert (reader.complete, reader.proven, reader.clean, reader.take()) == (True, False, False, b"abc")
    for wire, reset in ((OK + b"\r\nabc", True), (LENGTH + b"ab", False), (CHUNKED + b"1\r\nx\r\n", False)):
        with pytest.raises(UpstreamError):
            read(wire, limits=allowed).eof(reset=reset)


def test_an_end_after_the_proven_end_is_none_of_its_business() -> None:
    reader = read(LENGTH + b"abc")
    reader.eof(reset=True)
    assert reader.proven


def test_reasons_hold_no_bytes_of_the_answer() -> None:
    with pytest.raises(UpstreamError) as caught:
        read(OK + b"A: SECRET\x00\r\n\r\n")
    assert "SECRET" not in str(caught.value)
    assert caught.value.__suppress_context__


def cut(wire: bytes, at: list[int]) -> list[bytes]:
    edges = [0, *sorted({place % (len(wire) + 1) for place in at}), len(wire)]
    return [wire[a:b] for a, b in pairwise(edges) if a < b]


@given(st.lists(st.binary(min_size=1, max_size=300), max_size=20), st.lists(st.integers(min_value=0), max_size=20))
def test_any_chunks_in_any_segments_give_the_body_back(chunks: list[bytes], at: list[int]) -> None:
    wire = CHUNKED + b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    reader = ResponseReader(Limits())
    body = b""
    for data in cut(wire, at):
        reader.feed(data)
        body += reader.take()
    assert reader.complete
    assert body == b"".join(chunks)
    assert read(wire).clean


@given(st.sampled_from([b"\r\n", b"\r", b"\n", b"a", b"\r\n\r\n"]).flatmap(lambda x: st.lists(st.just(x), max_size=6)),
       st.integers(0, 3), st.booleans(), st.lists(st.integers(min_value=0), max_size=4))  # fmt: skip
def test_a_reader_is_never_clean_when_something_follows(
    parts: list[bytes], extra: int, chunked: bool, at: list[int]
) -> None:
    body, after = b"".join(parts), b"\r\n" * extra
    if chunked:
        wire = CHUNKED + (b"%x\r\n%s\r\n" % (len(body), body) if body else b"") + b"0\r\n\r\n"
    else:
        wire = OK + b"Content-Length: %d\r\n\r\n" % len(body) + body
    reader = ResponseReader(Limits())
    fed = 0
    for data in cut(wire + after, at):
        if reader.complete:
            break
        reader.feed(data)
        fed += len(data)
    assert reader.complete
    assert reader.take() == body
    assert not reader.clean or fed == len(wire)


@given(st.sampled_from([good[0] for good in GOOD.values()]), st.data())
def test_any_damage_is_an_upstream_error_or_an_answer(wire: bytes, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(wire) - 1))
    damaged = wire[:place] + data.draw(st.binary(max_size=8)) + wire[place + data.draw(st.integers(0, 4)) :]
    reader = ResponseReader(Limits())
    try:
        for piece in cut(damaged, data.draw(st.lists(st.integers(min_value=0), max_size=4))):
            reader.feed(piece)
        reader.eof()
    except UpstreamError:
        return
    assert reader.complete
