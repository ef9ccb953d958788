"""Names and errors that would like to be programs: the page shows them as text, and runs nothing."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

from tests.e2e.browser import chrome, expect, opened
from tests.e2e.conftest import Starter, config_for
from tests.e2e.page_checks import misplaced
from tests.e2e.processes import DemoProvider, Proxy, eventually
from tests.e2e.raw import ask, call, chat

# Of the kinds in the Big List of Naughty Strings (script injection, controls of direction, zalgo, very long words).
HOSTILE = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(2)>",
    '"><svg onload=alert(3)>',
    "javascript:alert(4)",
    "'; alert(5); //",
    "</title><script>alert(6)</script>",
    "{{constructor.constructor('alert(7)')()}}",
    "<iframe srcdoc='<script>parent.alert(8)</script>'>",
    "&lt;b&gt;not bold&lt;/b&gt;",
    "Z\u0351\u036b\u0343\u036a\u0302\u036b\u033da\u034f\u0334lgo",
    "__proto__",
    "constructor",
    "W" * 300,
)

# The loader takes no such name.
FROM_CLIENTS = (
    "\u202ethgir ot tfel\u202c",
    "\N{PILE OF POO}\N{ZERO WIDTH JOINER}\N{GRINNING FACE}",
    "a\x00b\x1b[31mc",
)


def test_nothing_runs(start: Starter) -> None:
    demo = start(DemoProvider)
    config: dict[str, Any] = config_for(demo)
    for each in HOSTILE:
        config["model_slots"][each] = {"provider": "demo", "model": f"guard;text={quote(each)}"}
        told = quote(json.dumps({"error": {"message": each, "code": each, "type": each}}), safe="")
        config["model_slots"][f"bad {each}"] = {"provider": "demo", "model": f"guard;status=500;body={told}"}
    proxy = start(Proxy, config)
    for number, each in enumerate(HOSTILE):
        # A slash and a ! mean something in names of models; they are sent as they are.
        for name in (each, f"bad {each}", f"unknown {each}"):
            agent = each.encode("ascii", "replace").decode()
            ask(proxy, chat(name, stream=True), {"User-Agent": agent, "X-Request-Id": f"h-{number}"})
    for each in FROM_CLIENTS:
        ask(proxy, chat(each))
    eventually(lambda: call(proxy, "GET", "/api/requests").json()["kept"] >= len(HOSTILE), "they are counted")
    rows = call(proxy, "GET", "/api/requests?limit=500").json()["requests"]
    failed = next(row for row in rows if row["outcome"] != "ok")
    with chrome() as browser:
        for size in ("desktop", "phone"):
            with opened(browser, f"{proxy.origin}/#/log", size) as tab:
                page = tab.page
                expect(page.get_by_text("● Live")).to_be_visible()
                ask(proxy, chat(f"bad {HOSTILE[1]}", stream=True), {"User-Agent": HOSTILE[0]})
                expect(page.get_by_role("list", name="Lines of the log")).to_be_visible()
                page.goto(f"{proxy.origin}/#/now")
                expect(page.get_by_role("heading", name=HOSTILE[0], exact=True)).to_be_visible()
                for each in page.get_by_role("region", name="Providers").locator("summary").all():
                    each.click()
                assert misplaced(page) == []
                page.goto(f"{proxy.origin}/#/requests")
                expect(page.get_by_role("table", name="Requests")).to_be_visible()
                page.get_by_role("searchbox", name="Search requests").fill("<img src=x onerror")
                expect(page.get_by_role("table", name="Requests")).to_contain_text("<img src=x onerror")
                assert misplaced(page) == []
                page.goto(f"{proxy.origin}/#/requests/{quote(failed['id'])}?number={failed['number']}")
                expect(page.get_by_role("list", name="What happened")).to_be_visible()
                assert misplaced(page) == []
                page.goto(f"{proxy.origin}/#/requests?q={quote(HOSTILE[0])}&slot={quote(HOSTILE[1])}")
                expect(page.get_by_role("searchbox", name="Search requests")).to_have_value(HOSTILE[0])
                page.goto(f"{proxy.origin}/#/{quote(HOSTILE[0])}")
                expect(page.get_by_role("region", name="Slots")).to_be_visible()
                assert page.locator("script, iframe, img").count() == 1, "an element came in by a name"


def test_names_from_right_to_left_turn_no_sentence(start: Starter) -> None:
    demo = start(DemoProvider)
    config: dict[str, Any] = config_for(demo)
    provider = "\N{HEBREW LETTER ALEF}\N{HEBREW LETTER BET}"
    config["providers"] = {provider: config["providers"]["demo"]}
    config["model_slots"] = {provider: {"provider": provider, "model": "guard;status=500"}}
    proxy = start(Proxy, config)
    assert ask(proxy, chat(provider), {"X-Request-Id": "turned"}).status == 500
    with chrome() as browser, opened(browser, f"{proxy.origin}/#/now") as tab:
        page = tab.page
        page.get_by_role("region", name="Providers").locator("summary").click()
        for text in (f"{provider} does not answer.", f"{provider}:guard;status=500"):
            for each in page.get_by_text(text).filter(visible=True).all():
                assert each.evaluate("element => getComputedStyle(element).direction") == "ltr", text
        page.goto(f"{proxy.origin}/#/requests")
        way = page.get_by_role("table", name="Requests").locator(".way bdi")
        expect(way.first).to_contain_text(provider)
        assert way.first.evaluate("element => getComputedStyle(element).direction") == "ltr"
        page.goto(f"{proxy.origin}/#/requests/turned")
        lines = page.get_by_role("list", name="What happened").locator("bdi")
        expect(lines.filter(has_text=f"{provider}: 500").first).to_be_visible()
        assert all(each.evaluate("element => getComputedStyle(element).direction") == "ltr" for each in lines.all())
