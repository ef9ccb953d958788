"""The page in rare states: what comes late, what is gone, what is pressed meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.browser import Browser, Page, chrome, expect, opened
from tests.e2e.conftest import Starter, config_for
from tests.e2e.processes import DemoProvider, Proxy, eventually
from tests.e2e.raw import ask, chat
from tests.e2e.test_access import Guarded
from tests.e2e.test_listen import free_port

LATER = """
const now = performance.now.bind(performance), date = Date.now;
let more = 0;
performance.now = () => now() + more;
Date.now = () => date() + more;
window.later = (milliseconds) => { more += milliseconds; };
window.streams = [];
const Source = EventSource;
window.EventSource = class extends Source {
  constructor(...given) { super(...given); streams.push(this); }
};
"""
"""Lets time pass for a page at once, and tells its streams of events."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chrome() as started:
        yield started


def asked_for(page: Page, part: str) -> list[str]:
    """The addresses with *part* in them that *page* asks for from now on."""
    found: list[str] = []
    page.on("request", lambda request: found.append(request.url) if part in request.url else None)
    return found


def test_a_skyproxy_that_is_gone_is_not_stormed(browser: Browser, start: Starter) -> None:
    config, listen = config_for(start(DemoProvider)), ("--listen", str(free_port()))
    proxy = start(Proxy, config, *listen)
    with opened(browser, "about:blank", quiet=False) as tab:
        tab.context.add_init_script(LATER)
        pages = [tab.page, tab.context.new_page()]
        for page in pages:
            page.goto(f"{proxy.origin}/")
            expect(page.get_by_text("● Live")).to_be_visible()
        proxy.kill()
        for page in pages:
            page.evaluate("later(11000)")
            expect(page.get_by_text("This page lost skyproxy at")).to_be_visible()
        tried = [asked_for(page, "/api/events") for page in pages]
        pages[0].wait_for_timeout(4000)
        assert max(map(len, tried)) <= 2, "it is tried every three seconds"
        # Each tab tries by itself, and the first one comes last. Then they have one stream again.
        pages[0].route("**/api/events?*", lambda route: route.abort())
        again = start(Proxy, config, *listen)
        expect(pages[1].get_by_text("● Live")).to_be_visible()
        assert _streams(pages[1]) == 1
        pages[0].unroute("**/api/events?*")
        expect(pages[0].get_by_text("● Live")).to_be_visible()
        eventually(lambda: [_streams(page) for page in pages] == [1, 0], "the first one's stream is that of both")
        assert ask(again, chat("default")).status == 200
        for page in pages:
            expect(page.get_by_text("All well.")).to_be_visible()


def _streams(page: Page) -> int:
    """How many streams of events *page* has."""
    told: Any = page.evaluate("streams.filter((each) => each.readyState !== EventSource.CLOSED).length")
    return int(told)


def test_who_is_asked_for_a_key_asks_for_nothing(browser: Browser, start: Starter, tmp_path: Path) -> None:
    guarded = Guarded(start, tmp_path, config_for(start(DemoProvider)))
    guarded.key("lydia")
    admin = guarded.key("--admin")
    with opened(browser, "about:blank", quiet=False) as tab:
        page = tab.page
        page.add_init_script(LATER)
        page.goto(f"{guarded.run.base_url.removesuffix('/v1')}/")
        page.get_by_label("Admin key").fill(admin)
        page.get_by_role("button", name="Open").click()
        expect(page.get_by_text("● Live")).to_be_visible()
        guarded.command("keys", "revoke", "admin")
        expect(page.get_by_role("heading", name="Type the admin key")).to_be_visible()
        page.evaluate("later(11000)")
        asked = asked_for(page, "/api/")
        page.wait_for_timeout(2500)
        assert asked == []
