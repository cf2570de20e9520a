"""The real `opa`, which judges what our built-ins answer."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.opa import OPAServer, opa_server


@pytest.fixture(scope="package")
def opa() -> Iterator[OPAServer]:
    with opa_server() as server:
        yield server
