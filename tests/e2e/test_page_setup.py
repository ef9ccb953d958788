"""Setup, in a browser, before a real process."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.e2e.browser import Browser, chrome, expect, opened
from tests.e2e.commands import written
from tests.e2e.conftest import Starter, config_for
from tests.e2e.page_looks import HOSTILE, looks_well
from tests.e2e.processes import DemoProvider, Proxy
from tests.e2e.raw import ask, chat
from tests.e2e.test_now_after_changes import KEYS, Picky, serving

SECRET = "sk-skyproxy-page-secret"
LONG_NAME = "SeverActionsFollowersAndTheirLongConversations_Evaluation"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chrome() as browser:
        yield browser


def setup_config(demo: DemoProvider) -> dict[str, Any]:
    config = config_for(demo, api_key_env="MY_API_KEY")
    config["providers"]["demo"]["dialect"] = "openai"
    config["providers"]["keyless"] = {"base_url": "https://keyless.example/v1", "api_key_env": "NO_SUCH_KEY"}
    config["providers"]["gone"] = {"base_url": "http://127.0.0.1:9/v1"}
    config["model_slots"]["memory"] = {"provider": "gone", "model": "m"}
    # As mods register them: it must leave space for what it is the name of.
    config["model_slots"][LONG_NAME] = {"provider": "gone", "model": "m"}
    config["model_slots"]["refused"] = {"provider": "demo", "model": "guard;status=401"}
    return config


@pytest.mark.parametrize(("size", "scheme"), [("desktop", "light"), ("phone", "dark")])
def test_providers_slots_and_what_to_type(browser: Browser, start: Starter, size: str, scheme: str) -> None:
    demo = start(DemoProvider)
    proxy = start(Proxy, setup_config(demo), env={"MY_API_KEY": SECRET})
    # A browser tells each answer that was an error.
    with opened(browser, f"{proxy.origin}/#/setup", size, scheme, quiet=False) as tab:
        page = tab.page
        expect(page.get_by_role("heading", level=1)).to_have_text("Setup")
        providers = page.get_by_role("region", name="1. Providers")
        expect(providers).to_contain_text("MY_API_KEY is set in the environment.")
        expect(providers).to_contain_text(re.compile(r"NO_SUCH_KEY is missing: put it into \S+\.env\."))
        # The demo's list of models is open to every key: nobody says that this one is good.
        providers.get_by_role("button", name="Test demo").click()
        expect(providers).to_contain_text("MY_API_KEY: not tested (its list of models is open to every key)")
        providers.get_by_role("button", name="Test gone").click()
        expect(providers).to_contain_text("no answer")
        providers.get_by_role("button", name="Test keyless").click()
        expect(providers).to_contain_text("NO_SUCH_KEY: missing")
        slots = page.get_by_role("region", name="2. Slots")
        slots.get_by_role("button", name=re.compile("by one token.*: default")).click()
        expect(slots).to_contain_text(re.compile("It answers"))
        slots.get_by_role("button", name=re.compile("by one token.*: refused")).click()
        expect(slots).to_contain_text("The guard was told to answer 401.")
        expect(slots).to_contain_text("Check MY_API_KEY")
        typed = page.get_by_role("region", name="3. SkyrimNet")
        expect(typed).to_contain_text(f"{proxy.base_url}/chat/completions")
        expect(typed.get_by_role("button", name="Copy memory")).to_be_visible()
        job = typed.get_by_role("heading", name=LONG_NAME).bounding_box()
        assert job is not None and job["width"] > 100, job
        expect(
            page.get_by_role("region", name="On this computer").get_by_role("button", name="Look again")
        ).to_be_enabled()
        looks_well(page, f"setup-{size}-{scheme}")
        assert SECRET not in page.content()
        assert [each for each in tab.said if "Failed to load resource" not in each] == []


def test_what_to_do_about_a_refused_key_is_said_where_it_was_tested(browser: Browser, start: Starter) -> None:
    with serving(Picky) as url:
        provider = {"base_url": url, "api_key_env": "WRONG"}
        slots = {"default": {"provider": "openrouter", "model": "m"}}
        proxy = start(Proxy, {"providers": {"openrouter": provider}, "model_slots": slots}, env=KEYS)
        assert ask(proxy, chat()).status == 401
        with opened(browser, f"{proxy.origin}/#/now") as tab:
            tab.page.get_by_role("region", name="How all is").get_by_role("link", name="Setup").click()
            providers = tab.page.get_by_role("region", name="1. Providers")
            providers.get_by_role("button", name="Test openrouter").click()
            expect(providers).to_contain_text("WRONG: refused (status 401)")
            expect(providers).to_contain_text("Set another one in the environment, and start skyproxy anew.")
            expect(providers).to_contain_text("Keys are made at https://openrouter.ai/settings/keys.")


def test_what_is_pasted_is_on_the_clipboard(browser: Browser, start: Starter) -> None:
    proxy = start(Proxy, setup_config(start(DemoProvider)), env={"MY_API_KEY": SECRET})
    with opened(browser, f"{proxy.origin}/#/setup") as tab:
        tab.context.grant_permissions(["clipboard-read", "clipboard-write"])
        typed = tab.page.get_by_role("region", name="3. SkyrimNet")
        typed.get_by_role("button", name="Copy http").click()
        expect(typed.get_by_text("Copied")).to_be_visible()
        assert tab.page.evaluate("navigator.clipboard.readText()") == f"{proxy.base_url}/chat/completions"


def test_without_a_configuration_it_comes_first_and_once(browser: Browser, start: Starter) -> None:
    proxy = start(Proxy)
    with opened(browser, f"{proxy.origin}/") as tab:
        page = tab.page
        expect(page.get_by_role("heading", level=1)).to_have_text("Setup")
        expect(page.get_by_text("There is no configuration yet")).to_be_visible()
        looks_well(page, "setup-demo")
        page.get_by_role("link", name="Now").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Now")
        page.reload()
        expect(page.get_by_text("● Live")).to_be_visible()
        expect(page.get_by_role("heading", level=1)).to_have_text("Now")
        page.get_by_role("region", name="How all is").get_by_role("link", name="Setup").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Setup")
        # What the page tells to do is done, and the page tells that, too.
        page.get_by_role("button", name="Copy skyproxy init").wait_for()
        folder = proxy.folder / "none" / "skyproxy"
        folder.mkdir(parents=True)
        (folder / "skyproxy.yaml").write_text("providers: [\n")
        expect(page.get_by_text("The built-in demo answers until the configuration can be used.")).to_be_visible()
        written(folder, config_for(start(DemoProvider)))
        expect(page.get_by_text("There is no configuration yet")).to_have_count(0)
        expect(page.get_by_text(f"Configuration: {folder / 'skyproxy.yaml'}")).to_be_visible()


def test_problems_of_a_reload_have_their_place_and_run_nothing(browser: Browser, start: Starter) -> None:
    demo = start(DemoProvider)
    config = config_for(demo, {"watch": True})
    for number, text in enumerate(text for text in HOSTILE if text.isprintable()):
        config["model_slots"][f"s{number}"] = {"provider": "demo", "model": f"m {text}"}
    proxy = start(Proxy, config)
    with opened(browser, f"{proxy.origin}/#/setup") as tab:
        page = tab.page
        expect(page.get_by_role("region", name="2. Slots")).to_contain_text("<script>alert(1)</script>")
        path = proxy.folder / "proxy.yaml"
        path.write_text("providers:\n  demo:\n    base_url: http://127.0.0.1:9/v1\n    <img onerror=alert(1)>: 1\n")
        page.get_by_role("button", name="Test demo").focus()
        problems = page.get_by_role("region", name="The new configuration cannot be used; the old one serves on")
        expect(problems).to_contain_text(re.compile(r"proxy\.yaml:4: .*<img onerror=alert\(1\)>"))
        looks_well(page, "setup-problems")
        expect(page.get_by_role("button", name="Test demo")).to_be_focused()
        config["model_slots"]["another"] = {"provider": "demo", "model": "guard"}
        path.write_text(yaml.safe_dump(config))
        expect(page.get_by_role("region", name="2. Slots")).to_contain_text("another")
        expect(problems).to_have_count(0)
