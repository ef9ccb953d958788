"""Costs, in a browser, before a real process with faults, hedges, and models without a price."""

from __future__ import annotations

import re
from collections.abc import Iterator
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
    answers = f"guard;delay=0.005;text={quote(STORY)}"
    config["model_slots"] = {
        "default": {"provider": "demo", "model": answers},
        "creative": {
            "provider": "demo", "model": f"guard;first=1.2;delay=0;text={quote(STORY)}", "hedge_after": "200ms",
            "fallbacks": [f"second:{answers}"],
        },
        "memory": {"provider": "demo", "model": "guard;status=500"},
        TAG: {"provider": "second", "model": f"unpriced;text={quote(HOSTILE[1])}"},
    }  # fmt: skip
    config["prices"] = {
        "demo:*": {"prompt": 100, "completion": 200},
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
