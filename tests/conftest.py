"""What every test shares."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def _what_is_kept_for_the_next_time_is_kept_for_these_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module", autouse=True)
def _garbage_of_a_module_is_collected_in_the_main_thread() -> Iterator[None]:
    """An engine of regorus must be dropped by the thread that made it, and the collector runs in whichever thread."""
    yield
    gc.collect()
