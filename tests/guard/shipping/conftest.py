"""One S3 server for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.guard.shipping.moto_server import MotoServer, moto_server


@pytest.fixture(scope="session")
def moto() -> Iterator[MotoServer]:
    """The server."""
    with moto_server() as server:
        yield server
