"""What the tests in a browser share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page

from tests.browser.chromium import chromium
from tests.browser.story import HERE, NAMES, Story, a_page, told


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """A gateway, its providers, and a browser that finds them."""
    with chromium(NAMES.format(address=HERE)) as browser, told(browser, tmp_path_factory.mktemp("story")) as running:
        yield running


@pytest.fixture
def page(story: Story) -> Iterator[Page]:
    """A page of somebody who has been nowhere yet."""
    made = a_page(story.browser)
    yield made
    made.context.close()


@pytest.fixture
def elsewhere(story: Story) -> Iterator[Page]:
    """A page of another browser, which shares no cookie with the first."""
    made = a_page(story.browser)
    yield made
    made.context.close()
