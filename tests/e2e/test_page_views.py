"""The views of the page, in a browser, before real processes with faults."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest

from tests.e2e.browser import Browser, chrome, expect, opened
from tests.e2e.conftest import Starter, config_for
from tests.e2e.page_checks import keeps_out, misplaced
from tests.e2e.processes import DemoProvider, Proxy, eventually
from tests.e2e.raw import ask, call, chat

STORY = "Halt there, traveller. State your business or turn back now."


class Stage(NamedTuple):
    """A browser, and a proxy before two providers that has served requests of many kinds."""

    browser: Browser
    proxy: Proxy

    @property
    def url(self) -> str:
        return f"{self.proxy.origin}/"


def config_of(first: DemoProvider, second: DemoProvider) -> dict[str, Any]:
    config = config_for(first, api_key_env=["FIRST_API_KEY", "SECOND_API_KEY"])
    config["providers"]["second"] = {**config_for(second)["providers"]["demo"]}
    answers = f"guard;delay=0.02;text={quote(STORY)}"
    other = f"second:{answers}"
    # Providers on this machine cost nothing, and some is to cost little.
    config["providers"]["demo"]["dialect"] = "openai"
    config["prices"] = {"demo:*": {"prompt": 0.3, "completion": 0.6}}
    config["model_slots"] = {
        "default": {"provider": "demo", "model": answers},
        "combat": {"provider": "demo", "model": "guard;status=503", "fallbacks": [other]},
        "memory": {"provider": "demo", "model": "guard;status=500"},
        "creative": {"provider": "demo", "model": "guard;first=20", "hedge_after": "0.3s", "fallbacks": [other]},
        "meta": {"provider": "demo", "model": f"guard;first=3;text={quote(STORY)}"},
    }
    return config


@pytest.fixture(scope="module")
def stage(start_for_module: Starter) -> Iterator[Stage]:
    first, second = start_for_module(DemoProvider), start_for_module(DemoProvider)
    env = {"FIRST_API_KEY": "sk-first-first", "SECOND_API_KEY": "sk-second-second"}
    proxy = start_for_module(Proxy, config_of(first, second), env=env)
    for number in range(6):
        served(proxy, "default", f"d-{number}")
    served(proxy, "combat", "rescued-1")
    served(proxy, "creative", "hedged-1")
    served(proxy, "memory", "failed-1", 500)
    eventually(lambda: call(proxy, "GET", "/api/requests").json()["kept"] >= 9, "all are counted")
    with chrome() as browser:
        yield Stage(browser, proxy)


def served(proxy: Proxy, slot: str, request_id: str, status: int = 200) -> None:
    assert ask(proxy, chat(slot, stream=True), {"X-Request-Id": request_id}).status == status


def test_now(stage: Stage) -> None:
    with opened(stage.browser, stage.url) as tab:
        page = tab.page
        slots = page.get_by_role("region", name="Slots").get_by_role("listitem")
        expect(slots).to_have_count(5)
        first = slots.first
        expect(first.get_by_role("heading", name="Dialogue")).to_be_visible()
        expect(first).to_contain_text("Reliable")
        expect(first).to_contain_text("6 of 6 answered.")
        expect(first.get_by_role("img")).to_have_accessible_name("The last 6: 6 answered")
        expect(slots.filter(has_text="Combat")).to_contain_text("second answers instead")
        expect(slots.filter(has_text="Combat").get_by_role("img")).to_have_accessible_name("The last 1: 1 rescued")
        provider = page.get_by_role("region", name="Providers").locator("li").filter(has_text="demo").first
        provider.locator("summary").click()
        expect(provider).to_contain_text("FIRST_API_KEY: good")
        expect(provider).to_contain_text("demo:guard;status=500")
        charts = page.get_by_role("region", name="Charts")
        expect(charts.get_by_role("img", name=re.compile("^Requests"))).to_be_visible()
        charts.get_by_text("As table").nth(1).click()
        expect(charts.get_by_role("table", name="Requests")).to_contain_text("answered")
        expect(charts.get_by_role("heading", name="Tokens")).to_be_visible()
        page.get_by_role("button", name="Evening").click()
        expect(charts.get_by_role("img", name=re.compile("^Requests"))).to_be_visible()
        tab.page.get_by_role("button", name="15 min").click()
        expect(tab.page.get_by_role("button", name="15 min")).to_have_attribute("aria-pressed", "true")


def test_what_is_under_way_is_seen_and_what_is_unfolded_stays_so(stage: Stage) -> None:
    with opened(stage.browser, stage.url) as tab:
        page = tab.page
        provider = page.get_by_role("region", name="Providers").locator("details").first
        provider.locator("summary").click()
        asked = threading.Thread(target=served, args=(stage.proxy, "meta", "slow-1"))
        asked.start()
        running = page.get_by_role("region", name="Under way now")
        expect(running.get_by_role("link", name="Meta")).to_be_visible()
        expect(running).to_contain_text("demo was asked")
        running.get_by_role("link", name="Meta").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Under way.")
        expect(page.get_by_role("heading", level=1)).to_have_text(re.compile("Answered by demo after"))
        asked.join()
        page.go_back()
        expect(page.get_by_text("Nothing is asked right now.")).to_be_visible()


def test_requests_are_searched_and_filtered_by_the_server(stage: Stage) -> None:
    with opened(stage.browser, f"{stage.url}#/requests") as tab:
        page = tab.page
        table = page.get_by_role("table", name="Requests")
        expect(table.get_by_role("row").filter(has_text="Combat")).to_contain_text("demo ✕503 → second ✓")
        page.get_by_role("button", name=re.compile("^Failed 1$")).click()
        expect(table.get_by_role("row")).to_have_count(2)
        expect(table.get_by_role("row").nth(1)).to_contain_text("Memory")
        assert "outcome=failed" in page.url
        page.get_by_role("searchbox", name="Search requests").fill("nothing like this")
        expect(page.get_by_text(re.compile(r"None of \d+ matches\."))).to_be_visible()
        page.get_by_role("button", name="Clear filters").click()
        page.get_by_role("searchbox", name="Search requests").fill("rescued-1")
        expect(table.get_by_role("row").filter(has_text="Combat")).to_have_count(1)
        expect(table).to_have_attribute("aria-rowcount", "2")
        page.reload()
        expect(page.get_by_role("searchbox", name="Search requests")).to_have_value("rescued-1")
        table.get_by_role("link").click()
        expect(page.get_by_role("heading", level=1)).to_have_text(re.compile("^Answered by second after"))
        page.keyboard.press("Escape")
        expect(page.get_by_role("searchbox", name="Search requests")).to_have_value("rescued-1")


def test_all_requests_are_sorted_by_the_heads_of_columns(stage: Stage) -> None:
    def highest(query: str) -> str:
        found: str = call(stage.proxy, "GET", f"/api/requests?{query}").json()["requests"][0]["id"]
        return found

    with opened(stage.browser, f"{stage.url}#/requests") as tab:
        page = tab.page
        table = page.get_by_role("table", name="Requests")
        time, total = (table.get_by_role("columnheader", name=name) for name in ("Time", "Total"))
        first = table.get_by_role("row").nth(1).get_by_role("link")
        expect(time).to_have_attribute("aria-sort", "descending")
        for query, arrow, sort in (("sort=total", "↓", "descending"), ("sort=total&order=asc", "↑", "ascending")):
            total.get_by_role("button").press("Enter")
            expect(total).to_have_attribute("aria-sort", sort)
            expect(total).to_have_text(f"Total {arrow}")
            expect(first).to_have_attribute("href", re.compile(f"/{highest(query)}\\?"))
            assert page.url.endswith(f"#/requests?{query}")
        expect(table.locator("[aria-sort]")).to_have_count(1)
        page.reload()
        expect(total).to_have_attribute("aria-sort", "ascending")
        # A row that is new has its place among all, which it gets when somebody wants it.
        served(stage.proxy, "default", "sorted-1")
        page.get_by_role("button", name="1 new ↻").click()
        expect(table.locator("a[href*=sorted-1]")).to_be_visible()
        table.get_by_role("button", name="Cost").click()
        expect(table.get_by_role("columnheader", name="Cost")).to_have_attribute("aria-sort", "descending")
        table.get_by_role("button", name="Time").click()
        expect(time).to_have_attribute("aria-sort", "descending")
        assert page.url.endswith("#/requests")
        page.set_viewport_size({"width": 390, "height": 844})
        page.get_by_label("Sort").select_option("First token ↓")
        expect(first).to_have_attribute("href", re.compile(f"/{highest('sort=first_token')}\\?"))
        expect(table.get_by_role("columnheader", name="First token")).to_have_attribute("aria-sort", "descending")
        # The two lines of a row stand apart.
        upper, lower = (table.locator(f"td.{name}").first.bounding_box() for name in ("total", "time"))
        assert upper["y"] + upper["height"] <= lower["y"], (upper, lower)
        # Where one is can be seen.
        page.get_by_role("navigation").get_by_role("link", name="Log").click()
        expect(page.get_by_role("heading", level=1, name="Log")).to_be_focused()
        assert page.evaluate("document.querySelector('nav [aria-current]').getBoundingClientRect().right") <= 390 - 14


def test_what_is_of_another_day_says_so(stage: Stage) -> None:
    listed = call(stage.proxy, "GET", "/api/requests").json()
    for row in listed["requests"][1:]:
        row["at"] -= 3 * 86_400
    with opened(stage.browser, stage.url) as tab:
        tab.page.route("**/api/requests?*", lambda route: route.fulfill(json=listed))
        tab.page.goto(f"{stage.url}#/requests")
        links = tab.page.get_by_role("table", name="Requests").get_by_role("link")
        expect(links.last).to_have_text(re.compile(r"^\d+ \w+ \d\d:\d\d$"))
        for width in (1280, 960, 390, 320):
            tab.page.set_viewport_size({"width": width, "height": 700})
            tab.page.evaluate(THREE_FRAMES)
            box = links.last.evaluate("e => [e.parentElement.scrollWidth, e.parentElement.clientWidth]")
            assert box[0] <= box[1], (width, box)
            assert misplaced(tab.page) == [], width


def test_one_request(stage: Stage) -> None:
    with opened(stage.browser, f"{stage.url}#/requests/hedged-1") as tab:
        page = tab.page
        title = page.get_by_role("heading", level=1)
        expect(title).to_contain_text("The second one was quicker: demo had said nothing for")
        told = call(stage.proxy, "GET", "/api/requests/hedged-1").json()
        happened = page.get_by_role("list", name="What happened").get_by_role("listitem")
        expect(happened).to_have_count(len(told["lines"]))
        for number, line in enumerate(told["lines"]):
            expect(happened.nth(number)).to_contain_text(line["text"])
        expect(page.get_by_role("img", name=told["sentence"])).to_be_visible()
        expect(page.get_by_role("button", name="Copy as text")).to_be_visible()
        page.keyboard.press("[")
        expect(title).to_have_text(re.compile("^Answered by second after .* demo (failed|was overloaded)"))
    # What took nothing has no price that could be unknown.
    with opened(stage.browser, f"{stage.url}#/requests/failed-1") as tab:
        expect(tab.page.get_by_text("Cost", exact=True).locator("xpath=following-sibling::dd")).to_have_text("—")
    # A browser tells of each answer that is no success.
    with opened(stage.browser, f"{stage.url}#/requests/never-seen", quiet=False) as tab:
        expect(tab.page.get_by_text(re.compile("never-seen is not known, or no longer kept"))).to_be_visible()


def test_rows_stay_while_somebody_reads(stage: Stage, start: Starter) -> None:
    demo = start(DemoProvider)
    proxy = start(Proxy, config_for(demo))
    for number in range(120):
        assert ask(proxy, chat("combat"), {"X-Request-Id": f"old-{number}"}).status == 200
    with opened(stage.browser, f"{proxy.origin}/#/requests") as tab:
        page = tab.page
        table = page.get_by_role("table", name="Requests")
        expect(table).to_have_attribute("aria-rowcount", "121")
        assert table.get_by_role("row").count() < 60
        page.get_by_role("region", name="Requests").evaluate("element => { element.scrollTop = 1600; }")
        row = table.locator("tr[aria-rowindex='56']")
        expect(row).to_be_visible()
        before = row.evaluate("element => [element.querySelector('a').href, element.getBoundingClientRect().top]")
        for number in range(14):
            assert ask(proxy, chat("combat"), {"X-Request-Id": f"new-{number}"}).status == 200
        fresh = page.get_by_role("button", name="14 new ↑")
        expect(fresh).to_be_visible()
        after = row.evaluate("element => [element.querySelector('a').href, element.getBoundingClientRect().top]")
        assert after == before
        fresh.click()
        expect(table.locator("tr[aria-rowindex='2'] a")).to_have_attribute("href", re.compile("new-13"))


def test_requests_that_came_too_quickly_are_counted(stage: Stage) -> None:
    kept = call(stage.proxy, "GET", "/api/requests").json()
    row = {**kept["requests"][0], "number": kept["requests"][0]["number"] + 1001}
    told = {"v": 1, "boot": "b", "topics": [], "requests": [row], "under_way": [], "newest": row["number"], "log": []}
    event = f"id: b-1\nevent: snapshot\ndata: {json.dumps({**told, 'newest_line': 0})}\n\n"
    with opened(stage.browser, f"{stage.url}#/costs", quiet=False) as tab:
        page = tab.page
        page.route("**/api/events*", lambda route: route.fulfill(body=event, content_type="text/event-stream"))
        page.goto(f"{stage.url}#/requests")
        page.reload()
        expect(page.get_by_text("1,000 more ended in between, too many at once to be listed")).to_be_visible()
        expect(page.get_by_role("button", name="Show the newest")).to_be_visible()


def test_the_log(stage: Stage) -> None:
    with opened(stage.browser, f"{stage.url}#/log") as tab:
        page = tab.page
        expect(page.get_by_text("● Live")).to_be_visible()
        lines = page.get_by_role("list", name="Lines of the log").get_by_role("listitem")
        # What was before the page was opened is there, once, in another tab, too, and again after a reload.
        other = tab.context.new_page()
        other.goto(f"{stage.url}#/log")
        before = re.compile("Upstream request completed.* request_id=failed-1 ")
        expect(other.get_by_role("listitem").filter(has_text=before)).to_have_count(1)
        other.close()
        expect(lines.filter(has_text=before)).to_have_count(1)
        page.reload()
        expect(lines.filter(has_text=before)).to_have_count(1)
        served(stage.proxy, "memory", "logged-1", 500)
        expect(lines.filter(has_text="logged-1").first).to_be_visible()
        page.get_by_label("Level").select_option("error and worse")
        expect(lines).to_have_count(0)
        expect(page.get_by_text("No line matches.")).to_be_visible()
        page.get_by_label("Level").select_option("info and worse")
        page.get_by_role("searchbox", name="Filter lines").fill("logged-1")
        expect(lines.first).to_be_visible()
        page.get_by_role("button", name="Pause").click()
        served(stage.proxy, "memory", "logged-1", 500)
        expect(page.get_by_text(re.compile(r"Paused, \d+ new"))).to_be_visible()
        page.get_by_role("button", name="Go on").click()
        lines.last.get_by_role("link").click()
        expect(page.get_by_role("heading", level=1)).to_contain_text("demo failed.")


def test_by_keys_alone(stage: Stage) -> None:
    with opened(stage.browser, stage.url) as tab:
        page = tab.page
        expect(page.get_by_text("● Live")).to_be_visible()
        page.keyboard.press("2")
        expect(page.get_by_role("heading", level=1, name="Requests")).to_be_focused()
        expect(page.get_by_role("table", name="Requests").get_by_role("link").first).to_be_visible()
        page.keyboard.press("j")
        page.keyboard.press("j")
        expect(page.locator("tr[aria-rowindex='3'] a")).to_be_focused()
        page.keyboard.press("Enter")
        expect(page.get_by_role("list", name="What happened")).to_be_visible()
        page.keyboard.press("Escape")
        expect(page.get_by_role("table", name="Requests")).to_be_visible()
        page.keyboard.press("/")
        page.keyboard.type("3")
        expect(page.get_by_role("searchbox", name="Search requests")).to_have_value("3")
        page.keyboard.press("Escape")
        page.keyboard.press("?")
        expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
        page.get_by_label("Keys of one letter are on").uncheck()
        page.keyboard.press("Escape")
        page.keyboard.press("1")
        expect(page.get_by_role("heading", level=1, name="Requests")).to_be_visible()


THREE_FRAMES = """async () => {
  for (let i = 0; i < 3; i++) await new Promise(requestAnimationFrame);
}"""
"""After the first one the charts know their new size, after the second they are drawn anew."""

VIEWS = ("#/now", "#/now?big", "#/requests", "#/requests/hedged-1", "#/requests/failed-1", "#/log")


@pytest.mark.parametrize("size", ["desktop", "phone"])
def test_nobody_is_kept_out_and_nothing_is_misplaced(stage: Stage, size: str) -> None:
    for view in VIEWS:
        with opened(stage.browser, stage.url + view, size) as tab:
            page = tab.page
            expect(page.get_by_text("● Live")).to_be_visible()
            expect(page.get_by_role("heading", level=1)).to_have_count(1)
            page.wait_for_timeout(500)
            if view == "#/now":
                for each in page.get_by_role("region", name="Providers").locator("summary").all():
                    each.click()
            for scheme in ("light", "dark"):
                page.emulate_media(color_scheme=scheme)
                assert page.evaluate(f"matchMedia('(prefers-color-scheme: {scheme})').matches")
                # Another scheme changes colours, and nothing else.
                assert keeps_out(page, None if scheme == "light" else "cat.color") == [], (view, scheme)
                assert misplaced(page) == [], (view, scheme)
            for width in (320, 640, 768):
                page.set_viewport_size({"width": width, "height": 700})
                page.evaluate(THREE_FRAMES)
                assert misplaced(page) == [], (view, width)
