"""What the section upstream takes; what it refuses stands in the table of bad configurations."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from guard.policy.model import SecretRef, ServerKind, Upstream, UpstreamTls


def upstream(url: str, tls: UpstreamTls | None = None, base_path: str | None = None) -> Upstream:
    return Upstream(url=url, kind=ServerKind.VLLM, model="m", tls=tls, base_path=base_path)


@pytest.mark.parametrize(
    "url",
    ["http://localhost:8000/v1", "https://models.example", "HTTPS://models.example:8443/", "unix:/run/model.sock",
     "unix:/var/run/a-b_c@1/~x+y.sock", "unix:/" + "x" * 106],
)  # fmt: skip
def test_three_kinds_of_address_are_known(url: str) -> None:
    assert upstream(url).url == url


@pytest.mark.parametrize(
    "url",
    ["", "unix:", "unix:/", "unix:run/model.sock", "unix:///run/model.sock", "unix://run/model.sock", "unix:/run//s",
     "unix:/run/model.sock/", "unix:/run/./s", "unix:/run/s?x", "unix:/run/s#x", "unix:/run/%2e", "unix:/run/s s",
     "UNIX:/run/model.sock", "unix:@name", "unix:/run/\x00", "unix:/run/ä", "https:/models.example", "ftp://x"],
)  # fmt: skip
def test_an_address_of_another_form_is_refused(url: str) -> None:
    with pytest.raises(ValidationError):
        upstream(url)


@given(st.text(max_size=30))
def test_no_text_after_the_scheme_of_a_socket_leads_elsewhere(rest: str) -> None:
    try:
        url = upstream("unix:" + rest).url
    except ValidationError:
        return
    names = url.removeprefix("unix:/").split("/")
    assert all(name not in {"", ".", ".."} and name.isascii() and name.isprintable() for name in names)


def test_tls_is_taken_with_https_however_it_is_written_and_a_base_path_with_a_socket() -> None:
    own = UpstreamTls(client_certificate="own.pem", client_key=SecretRef(file="own.key"), server_name="models.example")
    for url in ("https://127.0.0.1:8443", "HTTPS://127.0.0.1:8443"):
        assert upstream(url, own).tls == own
    assert upstream("unix:/run/s", base_path="/v1").base_path == "/v1"
