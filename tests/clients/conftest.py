"""One guard and one scripted model server for a module's tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.clients.page import ended
from tests.clients.stand import Stand, stand_in


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    with stand_in(tmp_path_factory.mktemp("clients")) as stand, ended():
        yield stand
