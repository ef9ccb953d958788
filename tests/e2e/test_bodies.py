"""What requests and answers said, kept and shown: by a real process, its API and the page in a browser."""

from __future__ import annotations

import json
import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest

from tests.e2e.browser import Browser, chrome, expect, opened
from tests.e2e.conftest import Starter, config_for
from tests.e2e.page_checks import keeps_out, misplaced
from tests.e2e.processes import DemoProvider, Proxy
from tests.e2e.raw import ask, call, chat
from tests.e2e.test_reload import reload

KEY = "sk-of-the-provider-123"
STORY = "Halt there, traveller. State your business."
HOSTILE = "<img src=x onerror=alert(1)><script>alert(2)</script>\u202e"


class Stage(NamedTuple):
    proxy: Proxy
    file: Path


def config_of(demo: DemoProvider, file: Path, **proxy: Any) -> dict[str, Any]:
    config = config_for(demo, {"record_bodies": "all", "bodies": {"file": str(file)}, **proxy}, api_key_env="DEMO_KEY")
    config["model_slots"] = {
        "default": {"provider": "demo", "model": f"guard;delay=0.01;text={quote(STORY)}"},
        "memory": {"provider": "demo", "model": "guard;status=500"},
        "meta": {"provider": "demo", "model": "guard;text=Another%20line%20of%20talk."},
    }
    return config


@pytest.fixture(scope="module")
def stage(start_for_module: Starter, tmp_path_factory: pytest.TempPathFactory) -> Stage:
    file = tmp_path_factory.mktemp("bodies") / "bodies.sqlite"
    demo = start_for_module(DemoProvider)
    proxy = start_for_module(Proxy, config_of(demo, file), env={"DEMO_KEY": KEY})
    served(proxy, "default", "stream-1", stream=True)
    served(proxy, "default", "whole-1")
    served(proxy, "memory", "failed-1", 500)
    served(proxy, "default", "secret-1", text=f"My key is {KEY}, keep it. {HOSTILE}")
    return Stage(proxy, file)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chrome() as found:
        yield found


def served(
    proxy: Proxy, slot: str, request_id: str, status: int = 200, text: str = "Hello", stream: bool = False
) -> None:
    body = chat(slot, stream=stream, messages=[{"role": "user", "content": text}])
    assert ask(proxy, body, {"X-Request-Id": request_id}).status == status


def said(proxy: Proxy, request_id: str) -> dict[str, Any]:
    answer = call(proxy, "GET", f"/api/bodies/{request_id}")
    assert answer.status == 200
    found: dict[str, Any] = answer.json()
    return found


def test_what_was_asked_and_answered(stage: Stage) -> None:
    found = said(stage.proxy, "stream-1")
    assert json.loads(found["request"]["text"])["messages"][0]["content"] == "Hello"
    assert found["answer"]["text"].endswith("data: [DONE]\n\n")
    assert found["answer"]["cut"] is False
    whole = said(stage.proxy, "whole-1")
    assert json.loads(whole["answer"]["text"])["choices"][0]["message"]["content"] == STORY
    failed = said(stage.proxy, "failed-1")
    assert (failed["outcome"], failed["status"]) == ("upstream_error", 500)
    assert "error" in json.loads(failed["answer"]["text"])


def test_no_key_is_kept(stage: Stage) -> None:
    found = said(stage.proxy, "secret-1")
    assert "My key is [redacted], keep it." in found["request"]["text"]
    for file in stage.file.parent.iterdir():
        assert KEY.encode() not in file.read_bytes()
        assert file.stat().st_mode & 0o077 == 0


def test_a_list_by_pages(stage: Stage) -> None:
    page = call(stage.proxy, "GET", "/api/bodies?limit=2").json()
    assert [row["id"] for row in page["requests"]] == ["secret-1", "failed-1"]
    assert page["kept"] >= 4
    older = call(stage.proxy, "GET", f"/api/bodies?limit=2&before={page['next']}").json()
    assert [row["id"] for row in older["requests"]] == ["whole-1", "stream-1"]
    failed = call(stage.proxy, "GET", "/api/bodies?outcome=upstream_error").json()
    assert [row["id"] for row in failed["requests"]] == ["failed-1"]
    wrong = call(stage.proxy, "GET", "/api/bodies?outcome=x")
    assert wrong.status == 400
    assert "outcome must be one of ok, " in wrong.json()["error"]["message"]


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="there is no SIGHUP here")
def test_why_there_is_nothing_and_a_reload_and_a_restart(start: Starter, tmp_path: Path) -> None:
    demo, file = start(DemoProvider), tmp_path / "b.sqlite"
    config = config_of(demo, file, record_bodies="off", costs="off")
    proxy = start(Proxy, config, env={"DEMO_KEY": KEY})
    served(proxy, "default", "r-off")
    assert said(proxy, "r-off")["why"] == "Bodies are not recorded (record_bodies: off)."
    assert not file.exists()
    config["proxy"]["record_bodies"] = "errors"
    reload(proxy, config)
    served(proxy, "default", "r-good")
    served(proxy, "memory", "r-bad", 500)
    assert said(proxy, "r-good")["why"] == "Only requests that fail are recorded (record_bodies: errors)."
    assert said(proxy, "r-bad")["why"] is None
    assert "Not known, or removed" in said(proxy, "r-never")["why"]
    proxy.stop()
    with sqlite3.connect(file) as database:
        assert database.execute("SELECT request_id FROM requests").fetchall() == [("r-bad",)]
    database.close()
    again = start(Proxy, config, env={"DEMO_KEY": KEY})
    assert said(again, "r-bad")["request"]["text"]


@pytest.mark.parametrize(("size", "scheme"), [("desktop", "light"), ("phone", "dark")])
def test_the_page_shows_it_and_asks_again(stage: Stage, browser: Browser, size: str, scheme: str) -> None:
    with opened(browser, f"{stage.proxy.origin}/#/requests/stream-1", size, scheme) as tab:
        page = tab.page
        page.locator("summary", has_text="What was said").click()
        expect(page.get_by_role("region", name="The answer")).to_contain_text(STORY)
        expect(page.get_by_role("region", name="The request")).to_contain_text('"content": "Hello"')
        page.get_by_role("combobox", name="Slot to ask again").select_option("meta")
        page.get_by_role("button", name="Ask again").click()
        result = page.get_by_role("group", name="The new answer")
        expect(result).to_contain_text("Another line of talk.")
        expect(result.get_by_role("heading", name="Where they differ")).to_be_visible()
        expect(result.locator("ins").first).to_contain_text("Another")
        assert misplaced(page) == []
        assert keeps_out(page) == []
        page.goto(f"{stage.proxy.origin}/#/requests/secret-1")
        page.locator("summary", has_text="What was said").click()
        expect(page.get_by_role("region", name="The request")).to_contain_text("<script>alert(2)</script>")
        page.goto(f"{stage.proxy.origin}/#/kept")
        expect(page.get_by_role("list", name="Kept requests").get_by_role("listitem").first).to_be_visible()
        assert misplaced(page) == []
        assert keeps_out(page) == []


def test_a_whole_answer_is_asked_for_again_as_it_was(stage: Stage, browser: Browser) -> None:
    """With ``stream_options`` real providers refuse what is no stream."""
    with opened(browser, f"{stage.proxy.origin}/#/requests/whole-1") as tab:
        page = tab.page
        page.locator("summary", has_text="What was said").click()
        page.get_by_role("button", name="Ask again").click()
        result = page.get_by_role("group", name="The new answer")
        expect(result).to_contain_text(STORY)
        href = result.get_by_role("link", name="All steps of it").get_attribute("href")
        assert href is not None
    sent = json.loads(said(stage.proxy, href.rpartition("/")[2])["request"]["text"])
    assert sent["stream"] is False and "stream_options" not in sent
