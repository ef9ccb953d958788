"""Costs, in a browser, before a real process with faults, hedges, and models without a price."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest

from tests.e2e.browser import Browser, chrome, expect, opened
from tests.e2e.conftest import Starter, config_for
from tests.e2e.page_checks import misplaced
from tests.e2e.page_looks import HOSTILE, looks_well
from tests.e2e.processes import DemoProvider, Proxy, eventually
from tests.e2e.raw import ask, call, chat

STORY = "Halt there, traveller. State your business or turn back now."
ANSWERS = f"guard;delay=0.005;text={quote(STORY)}"
TAG = "<img src=x onerror=alert(1)>"


class Stage(NamedTuple):
    """A browser, and a proxy that has served requests of many kinds."""

    browser: Browser
    proxy: Proxy

    @property
    def url(self) -> str:
        return f"{self.proxy.origin}/"


def config_of(first: DemoProvider, second: DemoProvider) -> dict[str, Any]:
    config = config_for(first)
    # Providers on this machine cost nothing, and these are to cost something.
    config["providers"]["demo"]["dialect"] = "openai"
    config["providers"]["second"] = {**config_for(second)["providers"]["demo"], "dialect": "openai"}
    config["model_slots"] = {
        "default": {"provider": "demo", "model": ANSWERS},
        "creative": {
            "provider": "demo", "model": f"guard;first=1.2;delay=0;text={quote(STORY)}", "hedge_after": "200ms",
            "fallbacks": [f"second:{ANSWERS}"],
        },
        "memory": {"provider": "demo", "model": "guard;status=500"},
        TAG: {"provider": "second", "model": f"unpriced;text={quote(HOSTILE[1])}"},
    }  # fmt: skip
    config["prices"] = {
        "demo:*": {"prompt": 1, "completion": 2},
        "second:guard*": {"prompt": 300, "completion": 400, "currency": "EUR"},
    }
    return config


@pytest.fixture(scope="module")
def stage(start_for_module: Starter) -> Iterator[Stage]:
    first, second = start_for_module(DemoProvider), start_for_module(DemoProvider)
    proxy = start_for_module(Proxy, config_of(first, second))
    for slot, count in (("default", 6), ("creative", 3), ("memory", 2), (TAG, 1)):
        for _ in range(count):
            assert ask(proxy, chat(slot, stream=True)).status == (500 if slot == "memory" else 200)
    eventually(lambda: call(proxy, "GET", "/api/requests").json()["kept"] >= 12, "all are counted")
    with chrome() as browser:
        yield Stage(browser, proxy)


@pytest.mark.parametrize(("size", "scheme"), [("desktop", "light"), ("phone", "dark")])
def test_what_was_spent(stage: Stage, size: str, scheme: str) -> None:
    costs = call(stage.proxy, "GET", "/api/costs").json()
    with opened(stage.browser, f"{stage.url}#/costs", size, scheme) as tab:
        page = tab.page
        expect(page.get_by_role("heading", level=1)).to_have_text("Costs")
        expect(page.locator(".number")).to_have_text(re.compile(r"\$\d.*€\d"))
        slots = page.get_by_role("table", name="By slot")
        expect(slots.get_by_role("row")).to_have_count(5)
        unknown = slots.get_by_role("row").filter(has_text=TAG)
        expect(unknown.get_by_role("cell").first).to_have_text("—")
        expect(page.get_by_text("No price is known of 1 model: 1 request is not in these sums.")).to_be_visible()
        expect(page.get_by_text("second:unpriced;text=")).to_have_count(2)
        expect(page.get_by_role("region", name="Where prices come from")).to_contain_text("no price is known")
        hedging = page.get_by_role("region", name="Hedging")
        expect(hedging).to_contain_text(re.compile(r"3 requests asked a second one too: it cost .*\$0\.\d+"))
        book = page.get_by_role("region", name="The book")
        expect(book).to_contain_text(
            "✓ It balances. Arrived 12 = answered 10 + provider\N{RIGHT SINGLE QUOTATION MARK}s errors 2."
        )
        expect(book).to_contain_text(f"Tokens: {costs['tokens']['prompt'] + costs['tokens']['completion']:,} in")
        looks_well(page, f"costs-{size}-{scheme}")
        assert misplaced(page) == []
        # No number begins in one line and ends in another.
        page.set_viewport_size({"width": 320, "height": 700})
        assert misplaced(page) == []


def test_it_is_sorted_and_another_period_chosen_by_keys(stage: Stage) -> None:
    with opened(stage.browser, stage.url) as tab:
        page = tab.page
        expect(page.get_by_text("● Live")).to_be_visible()
        page.keyboard.press("4")
        expect(page.get_by_role("heading", level=1)).to_have_text("Costs")
        slots = page.get_by_role("table", name="By slot")
        expect(slots.get_by_role("columnheader", name="Cost")).to_have_attribute("aria-sort", "descending")
        head = slots.get_by_role("button", name="Requests")
        head.focus()
        page.keyboard.press("Enter")
        expect(slots.get_by_role("rowheader").first).to_have_text("Dialogue (default)")
        page.keyboard.press("Enter")
        expect(slots.get_by_role("columnheader", name="Requests")).to_have_attribute("aria-sort", "ascending")
        expect(slots.get_by_role("rowheader").first).to_have_text(TAG)
        page.get_by_role("button", name="This month").press("Enter")
        expect(page.get_by_role("button", name="This month")).to_have_attribute("aria-pressed", "true")
        assert page.url.endswith("#/costs?period=month")
        page.reload()
        expect(page.get_by_role("button", name="This month")).to_have_attribute("aria-pressed", "true")
        expect(page.get_by_role("img", name=re.compile(r"^Cost by slot \(USD\)"))).to_be_visible()
        # What comes is seen without a word.
        assert ask(stage.proxy, chat("default", stream=True)).status == 200
        expect(page.get_by_role("region", name="The book")).to_contain_text("Arrived 13 = answered 11")


@pytest.mark.parametrize(
    ("zone", "begun", "hours"),
    [
        ("Europe/Berlin", "2026-10-24T22:00+00:00", 15),
        ("Europe/Berlin", "2026-03-28T23:00+00:00", 15),
        ("Australia/Lord_Howe", "2026-04-04T13:00+00:00", 15),
        ("Asia/Kolkata", "2026-10-24T18:30+00:00", 15),
        ("Asia/Kolkata", "2026-10-18T18:30+00:00", 150),
        ("Africa/Cairo", "2026-10-24T21:00+00:00", 200),
        ("Europe/Berlin", "2026-11-24T23:00+00:00", 60),
    ],
)
def test_each_hour_is_in_the_chart(stage: Stage, zone: str, begun: str, hours: int) -> None:
    """Those of a day on which the clock is put back, and in zones that are half an hour apart from others."""
    costs = call(stage.proxy, "GET", "/api/costs").json()
    begin = int(datetime.fromisoformat(begun).timestamp())
    first = begin // 3600
    costs |= {"from": begin, "to": begin + hours * 3600 - 60}
    costs["hours"] = [
        {"at": hour * 3600, "slot": "default", "currency": "USD", "cost": 1.0}
        for hour in range(first, (begin + hours * 3600 - 60) // 3600 + 1)
    ]
    context = stage.browser.new_context(timezone_id=zone, locale="en-GB")
    try:
        page = context.new_page()
        page.route("**/api/costs?*", lambda route: route.fulfill(json=costs))
        page.goto(f"{stage.url}#/costs")
        page.get_by_role("region", name="Over time").get_by_text("As table").click()
        table = page.get_by_role("table", name="Cost by slot (USD)")
        expect(table.get_by_role("row").nth(1)).to_be_visible()
        sums = [float(each.removeprefix("$")) for each in table.get_by_role("cell").all_inner_texts()]
        assert sum(sums) == len(costs["hours"])
        # No two are alike, but where the clock was put back.
        times = table.get_by_role("rowheader").all_inner_texts()
        assert len(set(times)) == len(times) or begun.startswith("2026-10-24T22") or "Lord_Howe" in zone
        assert len(sums) == len(costs["hours"]) if hours < 96 else len(sums) < 12
    finally:
        context.close()


def test_what_takes_long_is_not_asked_for_again_meanwhile(stage: Stage) -> None:
    with opened(stage.browser, stage.url) as tab:
        page = tab.page
        held: list[Any] = []
        page.add_init_script(
            "const now = performance.now.bind(performance); window.ahead = 0; performance.now = () => now() + ahead;"
        )
        page.route("**/api/book?*", lambda route: held.append(route))
        page.goto("about:blank")
        page.goto(f"{stage.url}#/costs")
        expect(page.get_by_text("● Live")).to_be_visible()
        for _ in range(3):
            page.evaluate("ahead += 60_000")
            page.wait_for_timeout(1100)
        [route] = held
        route.continue_()
        expect(page.get_by_role("region", name="The book")).to_contain_text("It balances.")
        # It took three minutes.
        page.evaluate("ahead += 60_000")
        page.wait_for_timeout(1100)
        assert len(held) == 1


def test_an_order_is_tried_by_keys_alone(stage: Stage) -> None:
    with opened(stage.browser, f"{stage.url}#/what-if?slot=creative") as tab:
        order = tab.page.get_by_role("list", name="Asked in this order")
        expect(order.get_by_role("listitem")).to_have_count(2)
        order.get_by_role("button", name="earlier").nth(1).focus()
        tab.page.keyboard.press("Enter")
        expect(order.get_by_role("listitem").first).to_contain_text("second:")
        # It is the first now, and goes no further.
        expect(order.get_by_role("button", name="Leave out second:")).to_be_focused()
        tab.page.keyboard.press("Enter")
        expect(order.get_by_role("listitem")).to_have_count(1)
        expect(tab.page.get_by_label("Another one")).to_be_focused()


def test_a_clock_that_is_set_back_stops_nothing(stage: Stage) -> None:
    with opened(stage.browser, stage.url) as tab:
        page = tab.page
        page.add_init_script("const now = Date.now; window.back = 0; Date.now = () => now() - window.back;")
        page.goto(f"{stage.url}#/costs")
        page.reload()
        book = page.get_by_role("region", name="The book")
        expect(book).to_contain_text("It balances.")
        page.evaluate("window.back = 3_600_000")
        assert ask(stage.proxy, chat("default", stream=True)).status == 200
        arrived = call(stage.proxy, "GET", "/api/book").json()["arrived"]
        expect(book).to_contain_text(f"Arrived {arrived} =")


@pytest.mark.parametrize(("size", "scheme"), [("desktop", "light"), ("phone", "dark")])
def test_what_would_have_been(stage: Stage, size: str, scheme: str) -> None:
    with opened(stage.browser, f"{stage.url}#/costs", size, scheme) as tab:
        page = tab.page
        page.get_by_role("link", name="What if it were set otherwise?").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("What if")
        result = page.get_by_role("region", name="What would have been")
        expect(result.get_by_role("status")).to_contain_text(re.compile(r"of silence in 1\d requests"))
        page.get_by_label("Slot", exact=True).select_option("creative")
        expect(result).to_contain_text(
            re.compile(r"Reckoned with 3 requests since .* are kept in memory, 2,000 at most\.")
        )
        page.get_by_label("Ask the next one too").select_option("never")
        # The first one was cut each time, so that nobody knows how long it would have been silent.
        expect(result.get_by_role("status")).to_contain_text("Nobody can tell")
        expect(result).to_contain_text(
            re.compile(r"No time of demo:guard;first=1\.2.* is known that would do: 3 requests need it")
        )
        page.get_by_label("Ask the next one too").select_option("as it was")
        page.get_by_role("button", name=re.compile("^Ask second:guard.* earlier")).click()
        expect(result.get_by_role("status")).to_contain_text(re.compile("would have been .*; it would have cost about"))
        expect(result).to_contain_text('provider: "second"')
        page.get_by_label("Slot", exact=True).select_option("default")
        page.get_by_label("Another one").select_option(f"second:{ANSWERS}")
        page.get_by_label("Ask the next one too").select_option("after …")
        page.get_by_label("Seconds of hedge_after").fill("0.2")
        expect(result.get_by_role("table")).to_contain_text("Silence altogether")
        looks_well(page, f"what-if-{size}-{scheme}")
        assert misplaced(page) == []
        account = page.get_by_role("region", name="What hedging was good for")
        expect(account).to_contain_text("No request has asked a second one too.")
        page.get_by_label("Slot", exact=True).select_option("All slots")
        expect(account).to_contain_text(
            re.compile(r"Creative: 3 requests asked a second one too, for \$0\.\d+ besides; it avoided 3 silences")
        )
        # It is said before it is done.
        page.get_by_label("Slot", exact=True).select_option("creative")
        page.get_by_role("button", name="Set it until skyproxy ends").click()
        dialog = page.get_by_role("dialog")
        expect(dialog).to_contain_text("slot creative has hedge_after 0.2s now.")
        dialog.get_by_role("button", name="Close").click()
        assert call(stage.proxy, "GET", "/api/changes").json()["changes"] == []
