"""A real Chromium, driven by playwright, and axe-core to judge what it shows."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

HERE = Path(__file__).resolve().parent
NAMES = ("chromium", "chromium-browser", "google-chrome")
# What WCAG 2.2 AA asks for, and axe-core's own good practice.
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


def executable() -> str:
    """Return the path of a Chromium; skip where there is none, fail where that must not be."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    return found or _absent("a Chromium is absent: install Debian's chromium")


def axe_source() -> str:
    """Return the script of axe-core; skip where it is absent, fail where that must not be."""
    path = HERE / "node_modules" / "axe-core" / "axe.min.js"
    return path.read_text(encoding="utf-8") if path.exists() else _absent("axe-core is absent: run `make browser`")


@contextmanager
def chromium(*arguments: str) -> Iterator[Browser]:
    """Start a Chromium without a window, with further arguments of its command line, and end it."""
    path = executable()
    # A container has no user namespaces for the sandbox; the pages are our own.
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", *arguments])
        yield browser
        browser.close()


@contextmanager
def another(browser: Browser, *arguments: str) -> Iterator[Browser]:
    """Start one more Chromium beside the first, with arguments of its own, and end it."""
    started = browser.browser_type.launch(executable_path=executable(), args=["--no-sandbox", *arguments])
    yield started
    started.close()


def violations(page: Page) -> list[str]:
    """Return what axe-core finds wrong with what a page shows, a line each."""
    # By the debugger, for the page's own policy lets no script in.
    page.evaluate(axe_source())
    found: dict[str, Any] = page.evaluate("tags => axe.run(document, {runOnly: tags})", TAGS)
    return [f"{rule['id']}: {node['html'][:120]}" for rule in found["violations"] for node in rule["nodes"]]


def _absent(reason: str) -> str:
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
