"""What people do by the page's buttons, in a browser, before a real process with faults."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.e2e.browser import Browser, Page, Tab, chrome, expect, opened
from tests.e2e.commands import Run
from tests.e2e.conftest import Starter
from tests.e2e.page_checks import misplaced
from tests.e2e.page_looks import HOSTILE, looks_well
from tests.e2e.raw import Answer
from tests.e2e.test_actions import House, session_of

MESSAGE_OF_AN_ERROR = "Failed to load resource"
"""What a browser says of each answer that is an error."""


class Stage(NamedTuple):
    """A browser, and skyproxy before two providers."""

    browser: Browser
    house: House

    @property
    def url(self) -> str:
        host, port = self.house.run.address
        return f"http://{host}:{port}/"


@pytest.fixture(scope="module")
def stage(start_for_module: Starter, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    house = House(start_for_module, tmp_path_factory.mktemp("house"))
    with chrome() as browser:
        yield Stage(browser, house)


def provider_card(page: Page, name: str = "first") -> Any:
    """The card of a provider, unfolded."""
    card = page.get_by_role("region", name="Providers").locator("li.card").filter(has_text=name).first
    if card.locator("details").get_attribute("open") is None:
        card.locator("summary").click()
    return card


def said(tab: Tab) -> list[str]:
    """What the console said beside answers that were errors."""
    return [each for each in tab.said if MESSAGE_OF_AN_ERROR not in each]


def done(page: Page, label: str) -> Any:
    """Press *label* in the dialog; gives the dialog when it is done."""
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name=label, exact=True).click()
    expect(dialog.get_by_role("status")).to_contain_text("Done")
    return dialog


def close(page: Page) -> None:
    page.get_by_role("dialog").get_by_role("button", name="Close").click()
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_a_provider_is_paused_by_one_tab_and_resumed_by_another(stage: Stage) -> None:
    house = stage.house
    with opened(stage.browser, stage.url) as tab:
        page, other = tab.page, tab.context.new_page()
        other.goto(stage.url)
        for each in (page, other):
            provider_card(each).get_by_role("button", name="Pause first", exact=True).click()
            dialog = each.get_by_role("dialog", name="Pause first")
            expect(dialog).to_contain_text(
                "first is paused: 1 slot goes to its fallback and 1 slot is refused (alone)."
            )
        assert house.provider()["paused"] is None, "it was only told"
        done(page, "Pause first")
        assert house.answered_by() == "second"
        # The other one had been told of a time before; what is done there says how it is now.
        dialog = other.get_by_role("dialog")
        dialog.get_by_role("button", name="Pause first", exact=True).click()
        expect(dialog.get_by_role("status")).to_contain_text("Nothing had to be done: first is paused already.")
        close(other)
        close(page)
        expect(provider_card(page)).to_contain_text("paused by you")
        expect(provider_card(page)).to_contain_text("Paused by page at 127.0.0.1")
        # Three days later it is told of which day that was.
        later = tab.context.new_page()
        later.clock.set_fixed_time(datetime.now() + timedelta(days=3))
        later.goto(stage.url)
        expect(provider_card(later)).to_contain_text(re.compile(r"Paused by page at 127\.0\.0\.1, \d+ \w+ \d\d:\d\d"))
        later.close()
        expect(
            page.get_by_role("region", name="Slots").get_by_role("listitem").filter(has_text="alone")
        ).to_contain_text("Paused by you")
        resume = provider_card(other).get_by_role("button", name="Resume first", exact=True)
        resume.click()
        expect(other.get_by_role("dialog")).to_contain_text("first is resumed.")
        done(other, "Resume first")
        assert house.answered_by() == "first"
        # Undone from the list of changes, and not twice.
        close(other)
        expect(provider_card(page).get_by_role("button", name="Pause first", exact=True)).to_be_visible()
        assert said(tab) == []


def test_a_limit_is_changed_kept_and_undone(stage: Stage) -> None:
    house = stage.house
    before = house.path.read_bytes()
    with opened(stage.browser, stage.url) as tab:
        page = tab.page
        card = provider_card(page)
        card.get_by_role("button", name="Limit of first").click()
        dialog = page.get_by_role("dialog", name="The limit of first")
        number = dialog.get_by_label("Requests at once")
        expect(number).to_have_value("4")
        number.fill("3")
        dialog.get_by_role("button", name="What would that do?").click()
        expect(dialog).to_contain_text("first has max_concurrent 3 now.")
        number.fill("2")
        expect(dialog.get_by_role("button", name="Set it")).to_have_count(0)
        page.keyboard.press("Enter")
        expect(dialog.get_by_role("button", name="Set it")).to_be_focused()
        looks_well(page, "act-limit")
        done(page, "Set it")
        assert house.provider()["places"]["limit"] == 2
        expect(card).to_contain_text("Limit set by page at 127.0.0.1")
        dialog.get_by_role("button", name="Keep in the file…").click()
        expect(dialog).to_contain_text("-    max_concurrent: 4")
        expect(dialog).to_contain_text("+    max_concurrent: 2")
        assert house.path.read_bytes() == before, "it was only told"
        looks_well(page, "act-keep")
        done(page, "Write it")
        assert house.path.read_bytes() == before.replace(b"max_concurrent: 4", b"max_concurrent: 2")
        close(page)
        # What cannot be kept: the lines are there to be copied.
        house.command("set", "first", "max_concurrent=3")
        house.path.write_bytes(before)
        page.get_by_role("link", name="1 change by hand").click()
        changes = page.get_by_role("region", name="What holds now")
        changes.get_by_role("button", name="Keep in the file: first has max_concurrent 3 now.").click()
        dialog = page.get_by_role("dialog", name="Keep it in the file")
        expect(dialog.get_by_role("alert")).to_contain_text("has changed since it was read")
        expect(dialog.get_by_role("alert")).to_contain_text("    max_concurrent: 3")
        expect(dialog.get_by_role("button", name="Copy the lines")).to_be_visible()
        looks_well(page, "act-not-kept")
        close(page)
        changes.get_by_role("button", name="Undo: first has max_concurrent 3 now.").click()
        done(page, "Undo it")
        close(page)
        expect(changes).to_contain_text("Nothing: all is as the configuration says.")
        page.get_by_role("button", name="Read the configuration again").click()
        page.get_by_role("dialog").get_by_role("button", name="Read it").click()
        expect(page.get_by_role("dialog")).to_contain_text("provider first: max_concurrent 2 → 4")
        assert house.provider()["places"]["limit"] == 4
        house.path.write_bytes(before.replace(b"providers:", b"provders:"))
        page.get_by_role("dialog").get_by_role("button", name="Close").click()
        page.get_by_role("button", name="Read the configuration again").click()
        page.get_by_role("dialog").get_by_role("button", name="Read it").click()
        expect(page.get_by_role("alert")).to_contain_text("provders")
        house.path.write_bytes(before)
        house.command("reload")
        assert said(tab) == []
        tab.said.clear()


def test_a_slot_is_pointed_elsewhere_by_keys_alone(stage: Stage) -> None:
    house = stage.house
    with opened(stage.browser, stage.url) as tab:
        page = tab.page
        page.get_by_role("button", name="Change slot alone").focus()
        page.keyboard.press("Enter")
        dialog = page.get_by_role("dialog", name="Change slot alone")
        served = dialog.get_by_label("Asked first")
        expect(served).to_be_focused()
        expect(served).to_have_value("first:guard")
        page.keyboard.press("Enter")
        expect(dialog.get_by_role("alert")).to_contain_text("All is as it was")
        served.fill("secnd:guard")
        page.keyboard.press("Enter")
        expect(dialog.get_by_role("alert")).to_contain_text("secnd")
        served.fill("second:guard;text=elsewhere")
        dialog.get_by_label("hedge_after").fill("2s")
        page.keyboard.press("Enter")
        expect(dialog.get_by_role("button", name="Change it")).to_be_focused()
        page.keyboard.press("Enter")
        expect(dialog.get_by_role("status")).to_contain_text("Done, until skyproxy ends: slot alone has")
        assert house.answered_by("alone") == "second"
        # Keys of the page's do nothing while it is asked.
        page.keyboard.press("2")
        expect(page.get_by_role("region", name="Slots")).to_be_visible()
        dialog.get_by_role("button", name="Undo", exact=True).click()
        expect(dialog.get_by_role("status")).to_contain_text("Undone: slot alone has")
        page.keyboard.press("Escape")
        expect(page.get_by_role("button", name="Change slot alone")).to_be_focused()
        assert house.answered_by("alone") == "first"
        assert said(tab) == []
        tab.said.clear()


def test_profiles_keys_and_breakers(stage: Stage) -> None:
    house = stage.house
    house.ask("alone")
    with opened(stage.browser, stage.url) as tab:
        page = tab.page
        profiles = page.get_by_role("group", name="Profile")
        expect(profiles.get_by_role("button", name="None")).to_have_attribute("aria-pressed", "true")
        expect(profiles.get_by_role("button", name="cheap")).to_have_text("cheap ≈ $0 an hour")
        profiles.get_by_role("button", name="cheap").click()
        done(page, "Use cheap")
        close(page)
        expect(profiles.get_by_role("button", name="cheap")).to_have_attribute("aria-pressed", "true")
        assert house.answered_by("alone") == "second"
        profiles.get_by_role("button", name="None").click()
        done(page, "Use none")
        close(page)
        card = provider_card(page)
        card.get_by_role("button", name="Put FIRST_KEY_1 aside").click()
        done(page, "Put it aside")
        close(page)
        expect(card).to_contain_text("FIRST_KEY_1: put aside by page at 127.0.0.1")
        card.get_by_role("button", name="Put FIRST_KEY_2 aside").click()
        expect(page.get_by_role("dialog").get_by_role("alert")).to_contain_text("is the last key of first")
        expect(page.get_by_role("dialog").get_by_role("button", name="Put it aside")).to_have_count(0)
        close(page)
        card.get_by_role("button", name="Put FIRST_KEY_1 back").click()
        done(page, "Use it again")
        close(page)
        expect(card).to_contain_text("FIRST_KEY_1: good")
        house.command("set", "alone", "model=guard;status=500")
        for _ in range(5):
            house.ask("alone")
        again = card.get_by_role("button", name="Ask first:guard;status=500 again now")
        again.click()
        done(page, "Ask it again")
        close(page)
        expect(again).to_have_count(0)
        house.command("undo")
        assert said(tab) == []
        tab.said.clear()


def test_a_request_under_way_is_ended(stage: Stage) -> None:
    house = stage.house
    answers: list[Answer] = []
    asking = threading.Thread(target=lambda: answers.append(house.ask("first:guard;first=30", stream=True)))
    with opened(stage.browser, stage.url) as tab:
        page = tab.page
        asking.start()
        running = page.get_by_role("region", name="Under way now")
        running.get_by_role("button", name=re.compile("^End ")).click()
        expect(page.get_by_role("dialog")).to_contain_text("is ended: its client gets an error.")
        assert asking.is_alive(), "it was only told"
        done(page, "End it")
        asking.join()
        assert answers[0].status == 503 and answers[0].json()["error"]["code"] == "ended_by_hand"
        close(page)
        expect(running).to_contain_text("Nothing is asked right now.")
        told = house.call("GET", "/api/requests?limit=1").json()["requests"][0]
        assert told["sentence"] == "Ended by you." and told["outcome"] != "cancelled", told
        assert said(tab) == []


def test_a_session_that_is_gone_and_a_skyproxy_that_was_started_again(
    stage: Stage, start: Starter, tmp_path: Path
) -> None:
    house = House(start, tmp_path)
    port = house.run.address[1]
    with opened(stage.browser, f"http://127.0.0.1:{port}/", quiet=False) as tab:
        page = tab.page

        def pause(label: str) -> None:
            provider_card(page).get_by_role("button", name=f"{label} first", exact=True).click()
            done(page, f"{label} first")
            close(page)

        pause("Pause")
        tab.context.clear_cookies()
        expect(provider_card(page).get_by_role("button", name="Resume first", exact=True)).to_be_visible()
        pause("Resume")
        # What was typed before it ended is done by the one that runs now.
        provider_card(page).get_by_role("button", name="Limit of first").click()
        dialog = page.get_by_role("dialog")
        dialog.get_by_label("Requests at once").fill("3")
        page.keyboard.press("Enter")
        expect(dialog.get_by_role("button", name="Set it")).to_be_visible()
        house.run.stop()
        dialog.get_by_role("button", name="Set it").click()
        expect(dialog.get_by_role("alert")).to_contain_text("skyproxy cannot be reached.")
        expect(dialog.get_by_role("alert")).to_contain_text("Whether it was done is not known")
        house.run = start(Run, "--config", str(house.path), "--listen", str(port), env=house.env)
        done(page, "Set it")
        assert house.provider()["places"]["limit"] == 3
        old = dialog.get_by_role("button", name="Undo", exact=True)
        expect(old).to_be_visible()
        house.run.stop()
        house.run = start(Run, "--config", str(house.path), "--listen", str(port), env=house.env)
        old.click()
        expect(dialog.get_by_role("alert")).to_contain_text("There is no action")


def act(house: House, path: str, body: dict[str, Any]) -> None:
    """Have something done, as the page does it."""
    headers = {**session_of(house), "Origin": f"http://127.0.0.1:{house.run.address[1]}"}
    answer = house.call("POST", path, body, headers)
    assert answer.status == 200, answer.body


@pytest.mark.parametrize(("size", "scheme"), [("desktop", "light"), ("phone", "dark")])
def test_what_was_changed_is_listed(stage: Stage, size: str, scheme: str) -> None:
    house = stage.house
    act(house, "/api/pause", {"slot": "alone"})
    for text in HOSTILE:
        if text.isprintable():
            act(house, "/api/set", {"slot": "default", "set": {"model": f"guard;x={text}"}})
    with opened(stage.browser, f"{stage.url}#/changes", size, scheme) as tab:
        page = tab.page
        holds = page.get_by_role("region", name="What holds now")
        expect(holds.get_by_role("listitem")).to_have_count(2)
        expect(holds).to_contain_text("By page at 127.0.0.1, ")
        expect(page.get_by_role("region", name="What was done")).to_contain_text("<script>alert(1)</script>")
        looks_well(page, f"changes-{size}-{scheme}")
        assert misplaced(page) == []
        page.goto(f"{stage.url}#/now")
        card = provider_card(page)
        expect(card.get_by_role("button", name="Pause first", exact=True)).to_be_visible()
        looks_well(page, f"now-buttons-{size}-{scheme}")
        assert misplaced(page) == []
        page.get_by_role("button", name="Resume slot alone").click()
        expect(page.get_by_role("dialog")).to_contain_text("slot alone is resumed.")
        looks_well(page, f"act-{size}-{scheme}")
    act(house, "/api/resume", {"slot": "alone"})
    act(house, "/api/set", {"slot": "default", "set": {"model": "guard"}})
    assert house.call("GET", "/api/changes").json()["changes"] == []
