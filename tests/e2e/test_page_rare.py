"""The page in rare states: what comes late, what is gone, what is pressed meanwhile."""

from __future__ import annotations

import http.client
import json
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.e2e.browser import Browser, Page, Route, chrome, expect, opened
from tests.e2e.conftest import Starter, config_for
from tests.e2e.processes import DemoProvider, Proxy, eventually
from tests.e2e.raw import ask, call, chat
from tests.e2e.test_access import Guarded
from tests.e2e.test_listen import free_port
from tests.e2e.test_page_login import origin_of, typed

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
  addEventListener(kind, hear) {
    super.addEventListener(kind, (event) => (window.deaf && event.isTrusted) || hear(event));
  }
};
window.say = async (kind, data) => {
  streams.at(-1).dispatchEvent(new MessageEvent(kind, {data: JSON.stringify(data)}));
  for (let frames = 0; frames < 3; frames += 1) await new Promise(requestAnimationFrame);
};
"""
"""Lets time pass for a page at once, tells its streams of events, and what they shall have said."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chrome() as started:
        yield started


def asked_for(page: Page, part: str) -> list[str]:
    """The addresses with *part* in them that *page* asks for from now on."""
    found: list[str] = []
    page.on("request", lambda request: found.append(request.url) if part in request.url else None)
    return found


@pytest.fixture
def locked(start: Starter, tmp_path: Path) -> tuple[Guarded, str]:
    """One that wants a key, and the admin's."""
    guarded = Guarded(start, tmp_path, config_for(start(DemoProvider)))
    guarded.key("lydia")
    return guarded, guarded.key("--admin")


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


def test_who_is_asked_for_a_key_asks_for_nothing(browser: Browser, locked: tuple[Guarded, str]) -> None:
    guarded, admin = locked
    with opened(browser, "about:blank", quiet=False) as tab:
        page = tab.page
        page.add_init_script(LATER)
        page.goto(f"{guarded.run.base_url.removesuffix('/v1')}/")
        typed(page, admin)
        expect(page.get_by_text("● Live")).to_be_visible()
        guarded.command("keys", "revoke", "admin")
        expect(page.get_by_role("heading", name="Type the admin key")).to_be_visible()
        page.evaluate("later(11000)")
        asked = asked_for(page, "/api/")
        page.wait_for_timeout(2500)
        assert asked == []


SLOW = json.dumps(chat("demo:guard;first=9", stream=True)).encode()
"""The body of a request that takes long."""


class Counted(NamedTuple):
    """A proxy whose combat goes well, whose memory fails, and whose diary is rescued."""

    proxy: Proxy

    @property
    def url(self) -> str:
        return f"{self.proxy.origin}/#/requests"

    def ask(self, slot: str, request_id: str) -> None:
        assert ask(self.proxy, chat(slot), {"X-Request-Id": request_id}).status in (200, 500)


@pytest.fixture
def counted(start: Starter) -> Counted:
    config = config_for(start(DemoProvider))
    good = "demo:guard"
    config["model_slots"]["memory"] = {"provider": "demo", "model": "guard;status=500"}
    config["model_slots"]["diary"] = {"provider": "demo", "model": "guard;status=500", "fallbacks": [good]}
    return Counted(start(Proxy, config))


def links_of(page: Page) -> Any:
    return page.get_by_role("table", name="Requests").get_by_role("link")


def test_what_was_asked_of_another_list_is_not_shown(browser: Browser, counted: Counted) -> None:
    counted.ask("diary", "rescued-1")
    counted.ask("memory", "failed-1")
    held: list[Route] = []
    with opened(browser, "about:blank", quiet=False) as tab:
        page = tab.page
        page.route("**/api/requests?*limit=50*", lambda route: held.append(route))
        page.goto(f"{counted.url}?outcome=failed")
        expect(links_of(page)).to_have_count(1)
        counted.ask("memory", "failed-2")
        eventually(lambda: page.wait_for_timeout(50) or held, "it looks for what is new")
        page.get_by_role("button", name="Rescued").click()
        expect(links_of(page)).to_have_attribute("href", re.compile("rescued-1"))
        for each in held:
            each.continue_()
        page.wait_for_timeout(1000)
        expect(links_of(page)).to_have_count(1)


def test_a_list_that_could_not_be_had_comes_later(browser: Browser, counted: Counted) -> None:
    counted.ask("combat", "first-1")
    with opened(browser, "about:blank", quiet=False) as tab:
        page = tab.page
        page.route("**/api/requests?*", lambda route: route.abort(), times=1)
        page.goto(counted.url)
        problem = page.get_by_role("alert").filter(has_text="cannot be reached")
        expect(problem).to_be_visible()
        assert "What is shown" not in problem.inner_text(), "nothing is"
        expect(links_of(page)).to_have_count(1)
        expect(problem).to_be_hidden()


def test_what_is_filtered_has_no_gap(browser: Browser, counted: Counted) -> None:
    counted.ask("combat", "old")
    away = True
    with opened(browser, "about:blank", quiet=False) as tab:
        page = tab.page
        page.route("**/api/requests?*limit=50*", lambda route: route.abort() if away else route.continue_())
        page.goto(f"{counted.url}?slot=combat")
        expect(links_of(page)).to_have_count(1)
        for number in range(60):
            counted.ask("combat", f"new-{number}")
        page.wait_for_timeout(2500)
        away = False
        # Though the list takes long, it is asked for once.
        page.route("**/api/requests?*limit=200*", lambda route: (page.wait_for_timeout(1200), route.continue_()))
        lists = asked_for(page, "limit=200")
        counted.ask("combat", "new-60")
        table = page.get_by_role("table", name="Requests")
        expect(table.locator("tr[aria-rowindex='2'] a")).to_have_attribute("href", re.compile("new-60"))
        assert len(lists) == 1
        page.get_by_role("region", name="Requests").evaluate("element => { element.scrollTop = 99999; }")
        expect(table.locator("tr[aria-rowindex='60'] a")).to_have_attribute("href", re.compile("new-2[?]"))


def test_who_is_at_a_row_by_keys_stays_there(browser: Browser, counted: Counted) -> None:
    for number in range(3):
        counted.ask("combat", f"old-{number}")
    with opened(browser, counted.url) as tab:
        page = tab.page
        expect(links_of(page)).to_have_count(3)
        expect(page.get_by_text("● Live")).to_be_visible()
        page.keyboard.press("j")
        page.keyboard.press("j")
        row = page.locator("a:focus")
        expect(row).to_have_attribute("href", re.compile("old-1"))
        counted.ask("combat", "new-1")
        counted.ask("combat", "new-2")
        fresh = page.get_by_role("button", name="2 new ↑")
        expect(fresh).to_be_visible()
        expect(row).to_have_attribute("href", re.compile("old-1"))
        page.keyboard.press("k")
        expect(row).to_have_attribute("href", re.compile("old-2"))
        page.keyboard.press("Escape")
        page.get_by_role("searchbox", name="Search requests").focus()
        # They come once nobody is there.
        expect(links_of(page)).to_have_count(5)
        expect(fresh).to_be_hidden()


def test_the_log_is_filtered_by_what_is_seen_while_it_is_paused_too(browser: Browser, counted: Counted) -> None:
    for number in range(60):
        counted.ask("combat", f"good-{number}")
    counted.ask("memory", "failed-1")
    with opened(browser, counted.url.replace("requests", "log")) as tab:
        page = tab.page
        lines = page.get_by_role("list", name="Lines of the log").get_by_role("listitem")
        box = page.get_by_role("region", name="Log")
        search = page.get_by_role("searchbox", name="Filter lines")
        failed = lines.filter(has_text=re.compile("Upstream request completed.* request_id=failed-1 "))
        expect(failed).to_have_count(1)
        page.get_by_role("button", name="Pause").click()
        counted.ask("memory", "failed-2")
        expect(page.get_by_text(re.compile(r"Paused, \d+ new"))).to_be_visible()
        search.fill("outcome=upstream_error")
        expect(lines).to_have_count(1)
        expect(failed).to_have_count(1)
        expect(page.get_by_text("Paused, 1 new")).to_be_visible()
        page.get_by_role("button", name="Go on").click()
        expect(lines).to_have_count(2)
        search.fill("nothing like this")
        expect(page.get_by_text("No line matches.")).to_be_visible()
        search.fill("")
        expect(lines.filter(has_text="request_id=good-59 ")).to_be_visible()
        assert box.evaluate("each => each.scrollHeight - each.scrollTop - each.clientHeight") < 40


def sentence(code: str, **more: Any) -> dict[str, Any]:
    """One of those on top."""
    told = {"code": code, "level": "warning", "text": "x is left alone for now.", "advice": "", "about": "x"}
    return {**told, "request_id": "", "slot": "", "use": "", **more}


def test_a_countdown_takes_the_focus_from_nobody(browser: Browser, counted: Counted) -> None:
    with opened(browser, "about:blank") as tab:
        page = tab.page
        page.add_init_script(LATER)
        page.goto(counted.url.replace("requests", "now"))
        expect(page.get_by_text("● Live")).to_be_visible()
        now = call(counted.proxy, "GET", "/api/now").json()
        page.evaluate("window.deaf = true")
        top = page.get_by_role("region", name="How all is")
        for seconds in (12, 11):
            told = sentence("breaker", advice=f"It is asked again in {seconds} s.")
            other = sentence("rate", text="y is at its rate limit.", advice=f"m is asked again in {seconds + 20} s.")
            page.evaluate("now => say('now', now)", {**now, "sentence": told, "more": [other]})
            expect(top).to_contain_text(f"It is asked again in {seconds} s.")
            if seconds == 12:
                top.get_by_role("button", name="Ask it again now").focus()
                top.get_by_text("and 1 more").click()
                top.get_by_role("button", name="Ask it again now").focus()
            expect(top.get_by_role("listitem")).to_have_text(re.compile(f"m is asked again in {seconds + 20} s[.]"))
        expect(top.get_by_role("button", name="Ask it again now")).to_be_focused()
        # A reader of screens is told of another sentence, and not of each second.
        live = top.get_by_role("status").locator("[aria-live=off]")
        expect(live).to_have_text("It is asked again in 11 s.")


def test_the_way_back_leads_to_the_list_as_it_was(browser: Browser, counted: Counted) -> None:
    counted.ask("memory", "failed-1")
    with opened(browser, counted.url.replace("requests", "setup")) as tab:
        page = tab.page
        expect(page.get_by_text("● Live")).to_be_visible()
        # The view that is to be searched is not loaded yet.
        page.keyboard.press("/")
        expect(page.get_by_role("searchbox", name="Search requests")).to_be_focused()
        page.keyboard.press("Escape")
        page.get_by_role("button", name="Failed").click()
        links_of(page).first.click()
        expect(page.get_by_role("heading", level=1)).to_contain_text("demo failed")
        page.get_by_role("main").get_by_role("link", name="Requests").click()
        expect(page.get_by_role("button", name="Failed")).to_have_attribute("aria-pressed", "true")
        assert page.url.endswith("#/requests?outcome=failed")


def test_a_request_that_cannot_be_asked_for_is_not_called_gone(browser: Browser, counted: Counted) -> None:
    counted.ask("combat", "one-1")
    with opened(browser, "about:blank", quiet=False) as tab:
        page, title = tab.page, tab.page.get_by_role("heading", level=1)
        page.route("**/api/requests/one-1*", lambda route: route.abort(), times=1)
        page.goto(f"{counted.url}/one-1")
        expect(page.get_by_text("skyproxy cannot be reached.")).to_be_visible()
        expect(title).to_have_text("This request cannot be shown now")
        expect(page.get_by_role("button", name="Try again")).to_be_visible()
        expect(title).to_contain_text("Answered by demo")


def test_a_request_that_was_under_way(browser: Browser, counted: Counted) -> None:
    def asked(request_id: str) -> threading.Thread:
        thread = threading.Thread(target=counted.ask, args=("demo:guard;first=3", request_id))
        thread.start()
        eventually(lambda: call(counted.proxy, "GET", "/api/now").json()["under_way_count"], "it is under way")
        return thread

    with opened(browser, counted.url.replace("requests", "now"), quiet=False) as tab:
        page, title = tab.page, tab.page.get_by_role("heading", level=1)
        expect(page.get_by_text("● Live")).to_be_visible()
        asking = asked("slow-1")
        page.goto(f"{counted.url}/slow-1")
        page.locator("summary").filter(has_text="What was said").click()
        expect(page.get_by_text("The request is under way: what was said is kept when it is over.")).to_be_visible()
        expect(title).to_contain_text("Answered by demo")
        expect(page.get_by_text("Bodies are not recorded")).to_be_visible()
        asking.join()
        # Another process has begun, which knows nothing of it.
        asking = asked("slow-2")
        page.goto(f"{counted.url}/slow-2")
        expect(title).to_have_text("Under way.")
        page.route("**/api/requests/slow-2*", lambda route: route.fulfill(status=404, json={}))
        expect(title).to_have_text("This request is not here")
        expect(page.get_by_role("button", name="End it…")).to_be_hidden()
        again = asked_for(page, "/api/requests/slow-2")
        page.wait_for_timeout(1500)
        assert again == []
        asking.join()


KEPT = {"v": 1, "record_bodies": "all", "lost": 0, "kept": 1, "bytes": 1, "file": None, "next": None}
"""An answer of /api/bodies."""


def test_what_was_chosen_last_is_listed(browser: Browser, counted: Counted) -> None:
    row = {"id": "failed-1", "at": 1e9, "job": "Memory", "model": "m", "deployment": None, "outcome": "failed"}
    held: list[Route] = []
    with opened(browser, "about:blank") as tab:
        page = tab.page
        page.route("**/api/bodies?*outcome=failed*", lambda route: held.append(route))
        page.goto(counted.url.replace("requests", "kept"))
        expect(page.get_by_text("0 kept.")).to_be_visible()
        page.get_by_label("Outcome").select_option("Failed")
        eventually(lambda: page.wait_for_timeout(50) or held, "it was asked for")
        page.get_by_label("Outcome").select_option("All")
        page.wait_for_timeout(500)
        held[0].fulfill(json={**KEPT, "requests": [{**row, "seconds": 1.0}]})
        page.wait_for_timeout(500)
        expect(page.get_by_text("0 kept.")).to_be_visible()
        expect(page.get_by_role("list", name="Kept requests").get_by_role("link")).to_have_count(0)


def test_what_was_typed_last_is_proposed(browser: Browser, counted: Counted) -> None:
    held: list[Route] = []
    with opened(browser, counted.url.replace("requests", "now")) as tab:
        page = tab.page
        page.get_by_role("region", name="Providers").locator("summary").first.click()
        page.get_by_role("button", name="Limit of demo").click()
        dialog = page.get_by_role("dialog")
        page.route("**/api/set", lambda route: held.append(route), times=1)
        limit = dialog.get_by_label("Requests at once (max_concurrent)")
        limit.fill("5")
        limit.press("Enter")
        eventually(lambda: page.wait_for_timeout(50) or held, "it was asked what that would do")
        limit.fill("7")
        held[0].continue_()
        page.wait_for_timeout(500)
        expect(dialog.get_by_role("button", name="Set it")).to_have_count(0)
        limit.press("Enter")
        expect(dialog).to_contain_text("7")
        expect(dialog.get_by_role("button", name="Set it")).to_be_focused()


def test_the_wall_names_what_it_tells(browser: Browser, start: Starter) -> None:
    config = config_for(start(DemoProvider))
    config["model_slots"] = {"memory": {"provider": "demo", "model": "guard"}}
    proxy = start(Proxy, config)
    with opened(browser, f"{proxy.origin}/#/now?big") as tab:
        wall = tab.page.get_by_role("main")
        expect(wall).to_contain_text("Memory starts talking within")
        assert ask(proxy, chat("memory")).status == 200
        expect(wall).to_contain_text("Memory answers within")


def test_who_could_not_log_out_is_not_called_so(browser: Browser, locked: tuple[Guarded, str]) -> None:
    guarded, admin = locked
    with opened(browser, f"{origin_of(guarded)}/", quiet=False) as tab:
        page = tab.page
        typed(page, admin)
        expect(page.get_by_text("● Live")).to_be_visible()
        page.route("**/api/logout", lambda route: route.abort())
        page.get_by_role("button", name="Log out").click()
        page.wait_for_timeout(300)
        page.reload()
        expect(page.get_by_text("● Live")).to_be_visible()
        expect(page.get_by_role("button", name="Log out")).to_be_visible()


def test_who_answered_before_a_change_is_not_said_to_answer_instead(browser: Browser, counted: Counted) -> None:
    counted.ask("combat", "one")
    with opened(browser, "about:blank") as tab:
        page = tab.page
        page.add_init_script(LATER)
        page.goto(counted.url.replace("requests", "now"))
        expect(page.get_by_text("● Live")).to_be_visible()
        page.evaluate("window.deaf = true")
        now = call(counted.proxy, "GET", "/api/now").json()
        slot = next(each for each in now["slots"] if each["answered_by"] == "demo")
        card = page.get_by_role("region", name="Slots").get_by_role("listitem").filter(has_text="Combat")
        for candidates, says in ((["a:m", "demo:m"], True), (["a:m", "b:m"], False)):
            slot["candidates"] = candidates
            page.evaluate("now => say('now', now)", now)
            expect(card.get_by_text("demo answers instead")).to_be_visible(visible=says)


def test_that_too_many_pages_listen_is_told(browser: Browser, start: Starter) -> None:
    proxy = start(Proxy, config_for(start(DemoProvider)))
    host, port = proxy.address
    others = [socket.create_connection((host, port)) for _ in range(32)]
    try:
        for each in others:
            each.sendall(b"GET /api/events?topics=now HTTP/1.1\r\nHost: %s:%d\r\n\r\n" % (host.encode(), port))
            assert each.recv(12) == b"HTTP/1.1 200"
        with opened(browser, f"{proxy.origin}/", quiet=False) as tab:
            top = tab.page.get_by_role("region", name="How all is")
            expect(top).to_contain_text("32 pages listen already: close one.")
            others.pop().close()
            expect(tab.page.get_by_text("● Live")).to_be_visible()
    finally:
        for each in others:
            each.close()


def test_a_new_tab_hears_all_whatever_it_hears_first(browser: Browser, counted: Counted) -> None:
    counted.ask("combat", "logged-1")
    early = """
    const Channel = BroadcastChannel;
    window.BroadcastChannel = class extends Channel {
      postMessage(message) {
        const told = {event: 'now', data: NOW};
        if (message.event === 'hello') this.dispatchEvent(new MessageEvent('message', {data: told}));
        super.postMessage(message);
      }
    };
    """
    with opened(browser, counted.url) as tab:
        expect(tab.page.get_by_text("● Live")).to_be_visible()
        second = tab.context.new_page()
        second.add_init_script(early.replace("NOW", json.dumps(call(counted.proxy, "GET", "/api/now").json())))
        second.goto(counted.url.replace("requests", "log"))
        expect(second.get_by_role("listitem").filter(has_text="request_id=logged-1")).to_be_visible()


def _asked_in_vain(counted: Counted) -> None:
    with suppress(OSError, http.client.HTTPException):
        call(counted.proxy, "POST", "/v1/chat/completions", SLOW)


def test_what_is_lost_does_not_go_on(browser: Browser, counted: Counted) -> None:
    with opened(browser, "about:blank", quiet=False) as tab:
        page = tab.page
        page.add_init_script(LATER)
        page.goto(counted.url.replace("requests", "now"))
        expect(page.get_by_text("● Live")).to_be_visible()
        asking = threading.Thread(target=_asked_in_vain, args=(counted,))
        asking.start()
        running = page.get_by_role("region", name="Under way now")
        expect(running.get_by_role("button", name="End")).to_be_visible()
        counted.proxy.kill()
        expect(page.get_by_text("This page lost skyproxy at")).to_be_visible()
        page.evaluate("later(30000)")
        page.wait_for_timeout(1200)
        elapsed = running.locator(".elapsed").inner_text()
        assert float(elapsed.removesuffix(" s").removeprefix("< ")) < 20, elapsed
        asking.join()


def test_what_is_unfolded_stays_so_when_another_slot_costs_more(browser: Browser, counted: Counted) -> None:
    costs = {"default": 0.2, "combat": 0.1}
    series = call(counted.proxy, "GET", "/api/series").json()

    def told(route: Route) -> None:
        point = {**series["points"][-1], "cost": {"USD": 0.3}, "tokens": 1, "answered": 2}
        by_slot = {slot: {"USD": cost} for slot, cost in costs.items()}
        route.fulfill(json={**series, "points": [*series["points"][:-1], {**point, "cost_by_slot": by_slot}]})

    with opened(browser, "about:blank", quiet=False) as tab:
        page = tab.page
        page.add_init_script(LATER)
        page.route("**/api/series?*", told)
        page.goto(counted.url.replace("requests", "now"))
        chart = page.get_by_role("figure").filter(has_text="Cost per slot")
        chart.get_by_text("As table").click()
        cells = chart.get_by_role("table").get_by_role("row").nth(1)
        expect(cells).to_contain_text("$0.10")
        costs["combat"] = 0.4
        page.evaluate("later(11000)")
        expect(cells).to_contain_text("$0.40")


def test_another_candidate_can_be_chosen_though_the_page_was_not_live_yet(browser: Browser, counted: Counted) -> None:
    counted.ask("memory", "other")
    with opened(browser, "about:blank", quiet=False) as tab:
        page = tab.page
        page.route("**/api/events?*", lambda route: route.abort(), times=1)
        page.goto(counted.url.replace("requests", "what-if?slot=combat"))
        expect(page.get_by_label("Another one")).to_be_visible()
        expect(page.get_by_label("Another one").locator("option")).not_to_have_count(1)


def test_who_may_no_longer_look_sees_no_dialog(browser: Browser, locked: tuple[Guarded, str]) -> None:
    guarded, admin = locked
    with opened(browser, f"{origin_of(guarded)}/", quiet=False) as tab:
        page = tab.page
        typed(page, admin)
        page.get_by_role("region", name="Providers").locator("summary").first.click()
        page.get_by_role("button", name="Limit of demo").click()
        expect(page.get_by_role("dialog")).to_be_visible()
        guarded.command("keys", "revoke", "admin")
        expect(page.get_by_role("heading", name="Type the admin key")).to_be_visible()
        expect(page.get_by_role("dialog")).to_have_count(0)
        expect(page.get_by_label("Admin key")).to_be_focused()


def test_two_requests_of_one_id_are_two_and_a_short_delay_is_not_none(browser: Browser, counted: Counted) -> None:
    with opened(browser, "about:blank") as tab:
        page = tab.page
        page.add_init_script(LATER)
        page.goto(counted.url.replace("requests", "now"))
        expect(page.get_by_text("● Live")).to_be_visible()
        page.evaluate("window.deaf = true")
        counted.ask("combat", "one")
        row = call(counted.proxy, "GET", "/api/requests").json()["requests"][0]
        told = {"requests": [], "newest": 1, "under_way": [{**row, "phase": "a"}, {**row, "phase": "b"}]}
        page.evaluate("told => say('requests', told)", told)
        now = call(counted.proxy, "GET", "/api/now").json()
        page.evaluate("now => say('now', now)", {**now, "under_way_count": 2, "at": now["at"] + 60, "lag_p99": 0.00031})
        running = page.get_by_role("region", name="Under way now")
        expect(running.get_by_role("listitem")).to_have_count(2)
        delay = page.get_by_role("figure").filter(has_text="own delay (ms)")
        expect(delay.get_by_role("img")).to_have_accessible_name(re.compile("0[.]31 ms"))


def test_a_stream_that_fell_silent_is_asked_for_anew(browser: Browser, start: Starter) -> None:
    proxy = start(Proxy, config_for(start(DemoProvider)))
    with opened(browser, "about:blank", quiet=False) as tab:
        page = tab.page
        page.add_init_script(LATER)
        page.goto(f"{proxy.origin}/")
        expect(page.get_by_text("● Live")).to_be_visible()
        page.evaluate("window.deaf = true; later(6000)")
        top = page.get_by_role("region", name="How all is")
        expect(top).to_contain_text("This page lost skyproxy at")
        expect(top).to_contain_text(re.compile(r"Trying again in [1-5] s[.]"))
        page.evaluate("window.deaf = false; streams[0].close(); later(5000)")
        expect(page.get_by_text("● Live")).to_be_visible()
        assert _streams(page) == 1


def test_a_button_that_is_busy_keeps_the_focus(browser: Browser, counted: Counted) -> None:
    held: list[Route] = []
    with opened(browser, counted.url.replace("requests", "try"), quiet=False) as tab:
        page = tab.page
        expect(page.get_by_label("Slot A")).to_have_value("default")
        ask_it = page.get_by_role("button", name="Ask")
        ask_it.press("Enter")
        expect(page.get_by_role("link", name="All steps of this request")).to_be_visible()
        expect(ask_it).to_be_focused()
        page.route("**/api/test/demo", lambda route: held.append(route))
        page.goto(counted.url.replace("requests", "setup"))
        test = page.get_by_role("button", name="Test demo")
        test.press("Enter")
        eventually(lambda: page.wait_for_timeout(50) or held, "it is asked")
        test.press("Enter")
        page.wait_for_timeout(300)
        assert len(held) == 1, "it is busy"
        held[0].continue_()
        expect(test).to_be_enabled()
        expect(test).to_be_focused()
        # What is refused in a dialog can be tried again by the same key.
        page.goto(counted.url.replace("requests", "now"))
        page.get_by_role("button", name="Pause slot default").click()
        dialog = page.get_by_role("dialog")
        pause = dialog.get_by_role("button", name="Pause slot default")
        expect(pause).to_be_focused()
        page.route("**/api/pause", lambda route: route.abort())
        pause.press("Enter")
        expect(dialog.get_by_role("alert")).to_contain_text("cannot be reached")
        expect(pause).to_be_focused()


def test_escape_leaves_no_page_that_was_opened_at_a_request(browser: Browser, counted: Counted) -> None:
    counted.ask("combat", "one-1")
    with opened(browser, "about:blank", quiet=False) as tab:
        page, title = tab.page, tab.page.get_by_role("heading", level=1)
        page.goto(f"{counted.url}/one-1")
        expect(title).to_contain_text("Answered by demo")
        page.keyboard.press("Escape")
        expect(title).to_have_text("Requests")
