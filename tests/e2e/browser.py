"""A browser for the tests of the page: Debian's Chromium, driven by Playwright."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.chromium import arguments, chromium

pytest.importorskip("playwright.sync_api", reason="playwright is missing: pip install -e '.[test]'")
if chromium() is None:
    pytest.skip("Chromium is missing: apt-get install chromium", allow_module_level=True)

from playwright.sync_api import Browser, Page, Route, expect, sync_playwright

PATIENCE_MS = 30_000
WIDTHS = {"desktop": (1280, 800), "phone": (390, 844)}

__all__ = ["PATIENCE_MS", "WIDTHS", "Browser", "Page", "Route", "Tab", "chrome", "expect", "opened"]


@contextmanager
def chrome() -> Iterator[Browser]:
    """A browser, until the end of the block."""
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=arguments())
        try:
            yield browser
        finally:
            browser.close()


class Tab:
    """A tab of its own browser profile.

    :ivar said: the messages of its console, its errors and its dialogs.
    """

    def __init__(self, context: Any) -> None:
        self.context = context
        self.page: Page = context.new_page()
        self.page.set_default_timeout(PATIENCE_MS)
        self.said: list[str] = []
        self.page.on("console", lambda message: self.said.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.said.append(f"error: {error}"))
        self.page.on("dialog", self._dialog)

    def _dialog(self, dialog: Any) -> None:
        self.said.append(f"dialog: {dialog.message}")
        dialog.dismiss()


@contextmanager
def opened(
    browser: Browser, url: str, size: str = "desktop", scheme: str = "light", quiet: bool = True
) -> Iterator[Tab]:
    """A tab at *url*.

    :param quiet: at the end, its console must have said nothing.
    """
    width, height = WIDTHS[size]
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme=scheme, locale="en-GB", reduced_motion="reduce"
    )
    try:
        tab = Tab(context)
        tab.page.goto(url)
        yield tab
        if quiet:
            assert tab.said == []
    finally:
        context.close()
