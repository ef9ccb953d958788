"""The guides, in a browser, before a real process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.browser import Browser, chrome, expect, opened
from tests.e2e.conftest import Starter
from tests.e2e.page_looks import looks_well
from tests.e2e.processes import Proxy


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chrome() as browser:
        yield browser


@pytest.mark.parametrize(("size", "scheme"), [("desktop", "light"), ("phone", "dark")])
def test_every_guide_is_read_without_a_message(browser: Browser, start: Starter, size: str, scheme: str) -> None:
    proxy = start(Proxy)
    with opened(browser, f"{proxy.origin}/#/setup", size, scheme) as tab:
        page = tab.page
        page.get_by_role("link", name="For players").click()
        for link, title in (
            ("Player", "Guide for players"), ("Operator", "Guide for operators"), ("Reference", "Reference"),
            ("Contributor", "Guide for contributors"),
        ):  # fmt: skip
            page.get_by_role("navigation", name="Guides").get_by_role("link", name=link).click()
            expect(page.get_by_role("heading", level=1)).to_contain_text(title)
            expect(page.get_by_label("Theme")).to_be_visible()
            for picture in page.get_by_role("img").all():
                assert picture.evaluate("e => e.decode().then(() => e.naturalWidth)") > 100
            # They share their looks, and are long: either of two is enough for each of the screens.
            if link in {"desktop": ("Player", "Operator"), "phone": ("Reference", "Contributor")}[size]:
                looks_well(page, f"guide-{link}-{size}-{scheme}".lower())
        page.get_by_text("Contents").click()
        page.get_by_role("link", name="skyproxy", exact=True).click()
        expect(page.get_by_text("● Live")).to_be_visible()
