"""Try it, in a browser, before a real process."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from urllib.parse import quote

import pytest

from tests.e2e.browser import Browser, chrome, expect, opened
from tests.e2e.conftest import Starter, config_for
from tests.e2e.page_looks import HOSTILE, looks_well
from tests.e2e.processes import DemoProvider, Proxy, eventually
from tests.e2e.raw import call


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chrome() as browser:
        yield browser


@pytest.fixture(scope="module")
def trying(start_for_module: Starter) -> Proxy:
    demo = start_for_module(DemoProvider)
    config = config_for(demo, api_key_env="MY_API_KEY")
    provider = config["providers"]["demo"]
    # No server of this machine's own: its answers have a price.
    provider.update(dialect="openai", breaker="off")
    slots = {
        "default": "guard;text=Halt. Who goes there at this hour?;chunks=7;delay=0.02",
        "memory": "guard;text=Halt. Who walks there at this late hour?;chunks=8;delay=0",
        "combat": "guard;first=3;chunks=2",
        "broken": "guard;status=402",
        "cut": "guard;chunks=20;delay=0.05;cut=5",
        "hostile": "guard;chunks=1;body=" + quote(_answer(" ".join(HOSTILE))),
    }
    config["model_slots"] = {name: {"provider": "demo", "model": model} for name, model in slots.items()}
    for number, text in enumerate(HOSTILE):
        model = f"guard;content_type=application%2Fjson;body={quote(_error(text))}"
        config["model_slots"][f"x{number}"] = {"provider": "demo", "model": model}
    config["prices"] = {"demo:*": {"prompt": 0.15, "completion": 0.6}}
    proxy: Proxy = start_for_module(Proxy, config, env={"MY_API_KEY": "sk-skyproxy-test"})
    return proxy


def _answer(text: str) -> str:
    chunk = {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"content": text}}]}
    return f"data: {json.dumps(chunk)}\n\ndata: [DONE]\n\n"


def _error(text: str) -> str:
    return json.dumps({"error": {"message": text}})


@pytest.mark.parametrize(("size", "scheme"), [("desktop", "light"), ("phone", "dark")])
def test_two_slots_side_by_side(browser: Browser, trying: Proxy, size: str, scheme: str) -> None:
    with opened(browser, f"{trying.origin}/#/try", size, scheme) as tab:
        page = tab.page
        expect(page.get_by_role("heading", level=1)).to_have_text("Try it")
        expect(page.get_by_label("Slot A")).to_have_value("default")
        expect(page.get_by_text(re.compile(r"default costs about \$0\.0000\d+"))).to_be_visible()
        looks_well(page, f"try-empty-{size}-{scheme}")
        page.get_by_label("Slot B (to compare)").select_option("memory")
        page.get_by_role("button", name="Ask").click()
        for letter, said in (
            ("A", "Halt. Who goes there at this hour?"),
            ("B", "Halt. Who walks there at this late hour?"),
        ):
            answer = page.get_by_role("region", name=f"Answer {letter}")
            expect(answer).to_contain_text(said)
            expect(answer.get_by_role("link", name="All steps of this request")).to_be_visible()
            for name, value in (
                ("First token", r"\d s$"), ("First sentence", r"\d s$"), ("Total", r"\d s$"), ("Cost", r"\$0\.0000\d+"),
                ("Way", "demo ✓"),
            ):  # fmt: skip
                part = answer.locator("dl > div").filter(has_text=re.compile(f"^{name}"))
                expect(part.get_by_role("definition")).to_have_text(re.compile(value))
        differs = page.get_by_role("region", name="Where they differ")
        expect(differs.get_by_role("deletion")).to_have_text(["A goes"])
        expect(differs.get_by_role("insertion")).to_have_text(["B walks", "B late"])
        looks_well(page, f"try-two-{size}-{scheme}")


def test_it_streams_under_a_running_clock_and_can_be_stopped(browser: Browser, trying: Proxy) -> None:
    with opened(browser, f"{trying.origin}/#/try?slot=combat") as tab:
        page = tab.page
        expect(page.get_by_label("Slot A")).to_have_value("combat")
        page.get_by_label("Line").select_option("Your own text")
        page.get_by_label("Text").fill("Who are you?")
        page.get_by_role("button", name="Ask").click()
        answer = page.get_by_role("region", name="Answer")
        expect(answer).to_contain_text("waiting…")
        expect(answer.locator(".clock")).to_have_text(re.compile(r"[12]\.\d s"))
        page.get_by_role("button", name="Stop").click()
        expect(answer).to_contain_text("Stopped by you.")
        expect(page.get_by_role("button", name="Ask")).to_be_enabled()
        eventually(
            lambda: call(trying, "GET", "/api/requests?outcome=cancelled&slot=combat").json()["matching"] == 1,
            "the request is cancelled",
        )


def test_errors_are_told_in_both_words(browser: Browser, trying: Proxy) -> None:
    # A browser tells each answer that was an error.
    with opened(browser, f"{trying.origin}/#/try?slot=broken", quiet=False) as tab:
        page = tab.page
        page.get_by_role("button", name="Ask").click()
        answer = page.get_by_role("region", name="Answer")
        expect(answer).to_contain_text("demo: no credits left")
        expect(answer).to_contain_text("demo ✕402")
        looks_well(page, "try-error")
        page.get_by_label("Slot A").select_option("cut")
        page.get_by_role("button", name="Ask").click()
        expect(answer).to_contain_text("broke")
        expect(answer.get_by_role("link", name="All steps of this request")).to_be_visible()


def test_nothing_that_others_write_runs(browser: Browser, trying: Proxy) -> None:
    with opened(browser, f"{trying.origin}/#/try?slot=hostile&with={quote('x1')}", quiet=False) as tab:
        page = tab.page
        page.get_by_role("button", name="Ask").click()
        expect(page.get_by_role("region", name="Answer A")).to_contain_text("<script>alert(1)</script>")
        looks_well(page, "try-hostile")
        for number, text in enumerate(HOSTILE):
            page.get_by_label("Slot A").select_option(f"x{number}")
            page.get_by_role("button", name="Ask").click()
            expect(page.get_by_role("region", name="Answer A")).to_contain_text(text[:40])
            expect(page.get_by_role("button", name="Ask")).to_be_enabled()
        assert [each for each in tab.said if "Failed to load resource" not in each] == []
