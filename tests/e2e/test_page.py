"""The shell of the page, in a browser, before a real process."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.browser import Browser, chrome, expect, opened
from tests.e2e.conftest import Starter, config_for
from tests.e2e.page_looks import looks_well
from tests.e2e.processes import DemoProvider, Proxy
from tests.e2e.raw import ask, call, chat
from tests.e2e.test_listen import free_port


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chrome() as browser:
        yield browser


def page_of(proxy: Proxy) -> str:
    return f"{proxy.origin}/"


def test_it_says_how_all_is(browser: Browser, start: Starter) -> None:
    demo = start(DemoProvider)
    proxy = start(Proxy, config_for(demo))
    with opened(browser, page_of(proxy)) as tab:
        page = tab.page
        top = page.get_by_role("region", name="How all is")
        # As it is read aloud: what is only to be known is not said to be waiting.
        expect(top.get_by_role("status")).to_contain_text("Note: Waiting for the first request.")
        expect(top.get_by_role("button", name="Copy the address")).to_be_visible()
        expect(page).to_have_title("○ Waiting for the first request \N{EN DASH} skyproxy")
        assert ask(proxy, chat("default")).status == 200
        expect(top).to_contain_text("All well.")
        expect(page).to_have_title("✓ skyproxy")
        expect(page.get_by_role("heading", level=1)).to_have_count(1)


def test_a_refused_key_is_told(browser: Browser, start: Starter) -> None:
    demo = start(DemoProvider)
    config = config_for(demo, api_key_env="MY_API_KEY")
    config["providers"]["second"] = config_for(demo)["providers"]["demo"]
    config["model_slots"]["default"] = {"provider": "demo", "model": "guard;status=401"}
    config["model_slots"]["memory"] = {"provider": "second", "model": "guard"}
    proxy = start(Proxy, config, env={"MY_API_KEY": "sk-wrong-wrong"})
    assert ask(proxy, chat("memory")).status == 200
    assert ask(proxy, chat("default")).status == 401
    with opened(browser, page_of(proxy)) as tab:
        top = tab.page.get_by_role("region", name="How all is")
        expect(top).to_contain_text("demo refuses your key MY_API_KEY.")
        expect(tab.page).to_have_title("✕ demo refuses your key MY_API_KEY \N{EN DASH} skyproxy")
        top.get_by_text("and 1 more").click()
        expect(top.get_by_role("listitem")).to_contain_text("Dialogue")
        looks_well(tab.page, "now-refused")
        # What answers is offered for what does not, by the keys alone.
        top.get_by_role("button", name="Use second for Dialogue").press("Enter")
        dialog = tab.page.get_by_role("dialog", name="Use second for Dialogue")
        change = dialog.get_by_role("button", name="Change it")
        # It has the focus once it is known what it would do; before, Enter would close the dialog.
        expect(change).to_be_focused()
        change.press("Enter")
        expect(dialog).to_contain_text("Done, until skyproxy ends:")
        assert ask(proxy, chat("default")).headers["x-skyproxy-provider"] == "second"
        dialog.get_by_role("button", name="Close").click()
        expect(top.get_by_role("button", name="Use second for Dialogue")).to_have_count(0)


def test_the_process_goes_and_comes_back(browser: Browser, start: Starter) -> None:
    demo = start(DemoProvider)
    config, listen = config_for(demo), ("--listen", str(free_port()))
    proxy = start(Proxy, config, *listen)
    # A browser tells each connection that was refused.
    with opened(browser, page_of(proxy), quiet=False) as tab:
        page = tab.page
        expect(page.get_by_text("● Live")).to_be_visible()
        proxy.stop()
        expect(page.get_by_text("skyproxy was stopped at")).to_be_visible()
        expect(page).to_have_title(re.compile("^✕ skyproxy was stopped at"))
        again = start(Proxy, config, *listen)
        expect(page.get_by_text("● Live")).to_be_visible()
        again.kill()
        expect(page.get_by_text("This page lost skyproxy at")).to_be_visible()
        expect(page.get_by_role("button", name="Try now")).to_be_visible()


def test_a_view_that_cannot_be_loaded_comes_later(browser: Browser, start: Starter) -> None:
    config, listen = config_for(start(DemoProvider)), ("--listen", str(free_port()))
    proxy = start(Proxy, config, *listen)
    with opened(browser, page_of(proxy), quiet=False) as tab:
        page = tab.page
        expect(page.get_by_text("● Live")).to_be_visible()
        proxy.stop()
        expect(page.get_by_text("skyproxy was stopped at")).to_be_visible()
        page.get_by_role("link", name="Costs", exact=True).click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Costs")
        expect(page.get_by_text("was not loaded yet")).to_be_visible()
        start(Proxy, config, *listen)
        expect(page.get_by_role("button", name="This month")).to_be_visible()


def test_requests_of_the_process_before_are_no_longer_listed(browser: Browser, start: Starter) -> None:
    """Though the new one has served more of them before the page hears of it."""
    config, listen = config_for(start(DemoProvider)), ("--listen", str(free_port()))
    proxy = start(Proxy, config, *listen)
    for number in range(3):
        assert ask(proxy, chat("default"), headers={"X-Request-Id": f"old-{number}"}).status == 200
    with opened(browser, f"{page_of(proxy)}#/requests", quiet=False) as tab:
        page = tab.page
        links = page.get_by_role("table", name="Requests").get_by_role("link")
        expect(links).to_have_count(3)
        expect(page.get_by_text("● Live")).to_be_visible()
        tab.context.set_offline(True)
        proxy.stop()
        again = start(Proxy, config, *listen)
        for number in range(5):
            assert ask(again, chat("default"), headers={"X-Request-Id": f"new-{number}"}).status == 200
        tab.context.set_offline(False)
        expect(page.get_by_role("button", name="All 5")).to_be_visible()
        expect(links).to_have_count(5)
        for each in links.all():
            expect(each).to_have_attribute("href", re.compile("/new-"))
        # What is filtered goes on, too.
        page.get_by_role("searchbox", name="Search requests").fill("new-")
        expect(page.get_by_role("button", name="All 5")).to_be_visible()
        tab.context.set_offline(True)
        again.stop()
        third = start(Proxy, config, *listen)
        tab.context.set_offline(False)
        expect(page.get_by_role("button", name="All 0")).to_be_visible()
        assert ask(third, chat("default"), headers={"X-Request-Id": "new-9"}).status == 200
        expect(page.get_by_role("button", name="All 1")).to_be_visible()
        expect(links).to_have_count(1)


def test_it_does_not_wait_for_what_answers_already(browser: Browser, start: Starter) -> None:
    """As in an upgrade: the process that says goodbye is not the one that answers next."""
    proxy = start(Proxy, config_for(start(DemoProvider)))
    goodbye = {"content_type": "text/event-stream", "body": "event: beat\ndata: {}\n\nevent: bye\ndata: {}\n\n"}
    with opened(browser, "about:blank") as tab:
        page = tab.page
        page.add_init_script(
            "window.waits = []; const real = setTimeout;"
            "window.setTimeout = (call, wait, ...more) => (waits.push(wait), real(call, wait, ...more));"
        )
        page.route("**/api/events?*", lambda route: route.fulfill(**goodbye), times=2)
        page.goto(page_of(proxy))
        expect(page.get_by_text("● Live")).to_be_visible()
        expect(page.get_by_text("Waiting for the first request.")).to_be_visible()
        assert page.evaluate("waits.filter((each) => each === 400).length") == 2


class Upgraded(Proxy):
    """Which has another style sheet."""

    PROGRAM = (
        "from skyproxy.web.page import files\n"
        "shipped = files.shipped\n"
        "files.shipped = lambda: {**shipped(), 'page.css': shipped()['page.css'] + b'/* new */'}\n"
        "from twisted.scripts.twistd import run\n"
        "run()\n"
    )
    twistd = (sys.executable, "-c", PROGRAM, "-n", "--pidfile", "")


def test_a_tab_from_before_an_upgrade_goes_on(browser: Browser, start: Starter) -> None:
    config, listen = config_for(start(DemoProvider)), ("--listen", str(free_port()))
    proxy = start(Proxy, config, *listen)
    with opened(browser, page_of(proxy), quiet=False) as tab:
        page, top = tab.page, tab.page.get_by_role("region", name="How all is")
        expect(page.get_by_text("● Live")).to_be_visible()
        proxy.stop()
        proxy = start(Proxy, config, *listen)
        expect(top).to_contain_text("Waiting for the first request.")
        expect(page.get_by_text("● Live")).to_be_visible()
        assert "upgraded" not in top.inner_text(), "it was only started again"
        proxy.stop()
        start(Upgraded, config, *listen)
        expect(top).to_contain_text("skyproxy was upgraded.")
        expect(top.get_by_role("button", name="Load the new one")).to_be_visible()
        # A view that was not loaded before.
        page.get_by_role("link", name="Costs", exact=True).click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Costs")
        expect(top).not_to_contain_text("upgraded")


def test_one_stream_for_many_tabs(browser: Browser, start: Starter) -> None:
    demo = start(DemoProvider)
    proxy = start(Proxy, config_for(demo))
    with opened(browser, page_of(proxy)) as tab:
        pages = [tab.page, *(tab.context.new_page() for _ in range(8))]
        for page in pages[1:]:
            page.goto(page_of(proxy))
        for page in pages:
            expect(page.get_by_text("● Live")).to_be_visible()
        assert ask(proxy, chat("default")).status == 200
        for page in pages:
            expect(page.get_by_text("All well.")).to_be_visible()
        # The one with the stream goes: another takes over.
        tab.page.close()
        assert ask(proxy, chat("combat")).status == 200
        expect(pages[-1].get_by_text("● Live")).to_be_visible()


def test_the_theme_is_the_readers(browser: Browser, start: Starter) -> None:
    demo = start(DemoProvider)
    proxy = start(Proxy, config_for(demo))

    def ground(page: Any) -> str:
        value: str = page.evaluate("getComputedStyle(document.body).backgroundColor")
        return value

    with opened(browser, page_of(proxy), scheme="dark") as tab:
        assert ground(tab.page) == "rgb(15, 19, 25)"
        tab.page.get_by_label("Theme").select_option("Light")
        assert ground(tab.page) == "rgb(245, 246, 248)"
        tab.page.reload()
        expect(tab.page.get_by_label("Theme")).to_have_value("light")
        assert ground(tab.page) == "rgb(245, 246, 248)"


def test_numbers_are_written_in_one_way_whatever_the_readers_language(browser: Browser, start: Starter) -> None:
    proxy = start(Proxy, config_for(start(DemoProvider)))
    for language in ("de-DE", "ar-EG", "hi-IN"):
        with browser.new_context(locale=language) as context:
            page = context.new_page()
            page.goto(page_of(proxy))
            written = page.evaluate("""async () => {
                const format = await import(document.scripts[0].src.replace('main', 'format'));
                return [format.count(1234567), format.duration(0.2), format.money(0.31), format.tickMoney(0.025)];
            }""")
            assert written == ["1,234,567", "0.2 s", "$0.31", "$0.025"], language


def test_the_policy_forbids_programs_made_of_text(browser: Browser, start: Starter) -> None:
    demo = start(DemoProvider)
    proxy = start(Proxy, config_for(demo))
    answer = call(proxy, "GET", "/")
    assert "script-src 'self';" in answer.headers["content-security-policy"]
    with opened(browser, page_of(proxy), quiet=False) as tab:
        expect(tab.page.get_by_text("● Live")).to_be_visible()
        tried = """() => {
            try { document.body.innerHTML = '<b>x</b>'; return 'written'; } catch (error) { return error.name; }
        }"""
        assert tab.page.evaluate(tried) == "TypeError"
