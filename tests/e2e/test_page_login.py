"""The page where clients need keys: it asks for the admin key, and nobody else gets in by it."""

from __future__ import annotations

import http.server
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from skyproxy.access.keys import hash_of, new_key
from tests.chromium import arguments, chromium
from tests.e2e.browser import PATIENCE_MS, Browser, Page, chrome, expect, opened
from tests.e2e.conftest import Starter, config_for
from tests.e2e.page_checks import misplaced
from tests.e2e.processes import DemoProvider, eventually
from tests.e2e.raw import ask, call, chat
from tests.e2e.test_access import Everywhere, Guarded, state
from tests.e2e.test_page_hostile import HOSTILE

TITLE = "Type the admin key"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chrome() as started:
        yield started


@pytest.fixture
def guarded(start: Starter, tmp_path: Path) -> Guarded:
    demo: DemoProvider = start(DemoProvider)
    return Guarded(start, tmp_path, config_for(demo))


def typed(page: Page, key: str) -> None:
    page.get_by_label("Admin key").fill(key)
    page.get_by_role("button", name="Open").click()


def origin_of(guarded: Guarded) -> str:
    origin: str = guarded.run.base_url.removesuffix("/v1")
    return origin


@contextmanager
def served_elsewhere(text: str) -> Iterator[str]:
    """A page of another port of this machine."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: Any) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()


def test_without_clients_nobody_is_asked(guarded: Guarded, browser: Browser) -> None:
    with opened(browser, f"{origin_of(guarded)}/#/now") as tab:
        expect(tab.page.get_by_text("● Live")).to_be_visible()
        expect(tab.page.get_by_role("button", name="Log out")).to_have_count(0)


def test_login_and_what_it_opens(guarded: Guarded, browser: Browser) -> None:
    key, admin = guarded.key("lydia"), guarded.key("--admin")
    origin = origin_of(guarded)
    for size in ("desktop", "phone"):
        with opened(browser, f"{origin}/#/requests", size, quiet=False) as tab:
            page = tab.page
            expect(page.get_by_role("heading", name=TITLE)).to_be_visible()
            expect(page.get_by_role("navigation")).to_be_hidden()
            expect(page.get_by_label("Admin key")).to_be_focused()
            assert misplaced(page) == []
            for wrong, meant in (
                (key, "opens other things"),
                (admin[:-1], "52 characters"),
                ("x", "nobody here knows"),
            ):
                typed(page, wrong)
                expect(page.get_by_role("alert")).to_contain_text(meant)
            typed(page, admin)
            expect(page.get_by_text("● Live")).to_be_visible()
            expect(page.get_by_role("heading", name="Requests", exact=True)).to_be_visible()
            cookie = next(each for each in tab.context.cookies() if each["name"].endswith("_admin"))
            assert cookie["httpOnly"] and cookie["sameSite"] == "Strict"
            assert page.evaluate("document.cookie") == "", "no script can read it"
            page.goto(f"{origin}/#/try")
            page.get_by_role("button", name="Ask").click()
            expect(page.get_by_role("link", name="All steps of this request")).to_be_visible()
            eventually(lambda: any(
                each["client"] == "admin" for each in guarded.get("/api/requests", admin).json()["requests"]
            ), "the page has asked as the admin")  # fmt: skip
            page.get_by_role("button", name="Log out").click()
            expect(page.get_by_role("heading", name=TITLE)).to_be_visible()
            # The console tells of refusals, and of nothing else.
            assert not [each for each in tab.said if "401" not in each and "403" not in each]


def test_another_tab_is_let_in_and_asks_and_a_login_that_is_over_is_asked_for(
    guarded: Guarded, browser: Browser
) -> None:
    guarded.key("lydia")
    admin, origin = guarded.key("--admin"), origin_of(guarded)
    with opened(browser, f"{origin}/#/now", quiet=False) as tab:
        expect(tab.page.get_by_text("skyproxy keys create --admin")).to_be_visible()
        typed(tab.page, admin)
        expect(tab.page.get_by_text("● Live")).to_be_visible()
        other = tab.context.new_page()
        other.goto(f"{origin}/#/try")
        expect(other.get_by_role("button", name="Log out")).to_be_visible()
        other.get_by_role("button", name="Ask").click()
        expect(other.get_by_role("link", name="All steps of this request")).to_be_visible()
        assert not guarded.told("Refused at the door")[1:], "but for the first tab, before the key was typed"
        # The stream of events goes on: what is asked for finds out.
        tab.context.clear_cookies()
        other.goto(f"{origin}/#/setup")
        expect(other.get_by_role("heading", name=TITLE)).to_be_visible()
        expect(other.get_by_label("Admin key")).to_be_focused()


def test_the_page_of_another_computer_says_how_it_is_reached(start: Starter, tmp_path: Path, browser: Browser) -> None:
    admin, config = new_key(), config_for(start(DemoProvider))
    config["access"] = {"admin": {"key_hash": hash_of(admin)}, "required": False}
    path = tmp_path / "skyproxy.yaml"
    path.write_text(yaml.safe_dump(config))
    run = start(Everywhere, "--config", str(path), env=state(tmp_path))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        try:
            asked.connect(("198.51.100.1", 9))
        except OSError:
            pytest.skip("this machine has no address but its own")
        address = asked.getsockname()[0]
    own = f"http://{address}:{run.base_url.rpartition(':')[2].removesuffix('/v1')}"
    # What a browser says of pages over plain HTTP is not ours.
    with opened(browser, f"{own}/#/now", quiet=False) as tab:
        typed(tab.page, admin)
        expect(tab.page.get_by_text(f"Type this into SkyrimNet: {own}/v1/chat/completions")).to_be_visible()
        tab.page.goto(f"{own}/#/setup")
        expect(tab.page.get_by_role("region", name="3. SkyrimNet")).to_contain_text(f"{own}/v1/chat/completions")


def test_a_key_that_is_revoked_closes_the_page(guarded: Guarded, browser: Browser) -> None:
    guarded.key("lydia")
    admin = guarded.key("--admin")
    with opened(browser, f"{origin_of(guarded)}/#/now", quiet=False) as tab:
        typed(tab.page, admin)
        expect(tab.page.get_by_text("● Live")).to_be_visible()
        guarded.command("keys", "revoke", "admin")
        expect(tab.page.get_by_role("heading", name=TITLE)).to_be_visible()
        expect(tab.page.get_by_text("there is none yet")).to_be_visible()


def test_other_pages_get_nothing_done(guarded: Guarded, browser: Browser) -> None:
    """CSRF: pages of another port of this machine, which are of the same site, and their requests carry the cookie."""
    guarded.key("lydia")
    admin, origin = guarded.key("--admin"), origin_of(guarded)
    body = json.dumps({"slot": "combat"})
    script = f"""<script>
      const tries = [];
      const attempt = (path, options) => tries.push(
        fetch('{origin}' + path, {{credentials: 'include', ...options}})
          .then((answer) => answer.text()).then((text) => 'READ ' + text, () => 'refused'));
      attempt('/api/now', {{}});
      attempt('/api/session', {{}});
      const plain = {{'Content-Type': 'text/plain'}};
      attempt('/api/pause', {{method: 'POST', body: '{body}', mode: 'no-cors', headers: plain}});
      attempt('/api/pause', {{method: 'POST', body: '{body}'}});
      attempt('/v1/chat/completions', {{method: 'POST', body: '{json.dumps(chat())}'}});
      attempt('/v1/models', {{}});
      attempt('/api/login', {{method: 'POST', body: '{{"key":"{admin}"}}'}});
      Promise.all(tries).then((all) => {{ document.title = JSON.stringify(all); }});
    </script><form id=f method=post enctype=text/plain action="{origin}/api/pause">
      <input name='{{"slot":"combat","x":"' value='"}}'></form>"""
    with served_elsewhere(script) as elsewhere:  # noqa: SIM117
        with opened(browser, f"{origin}/#/now", quiet=False) as tab:
            typed(tab.page, admin)
            expect(tab.page.get_by_text("● Live")).to_be_visible()
            other = tab.context.new_page()
            other.goto(elsewhere)
            other.wait_for_function("document.title.startsWith('[')", timeout=PATIENCE_MS)
            found = json.loads(other.title())
            # An error that is read is one, too: it tells nothing but that nobody gets in.
            for text in found:
                assert "READ" not in text or '"error"' in text or text == "READ ", found
            other.evaluate("document.getElementById('f').submit()")
            other.wait_for_load_state()
            # As the page itself, but without what only it knows.
            told = tab.page.evaluate(
                """async (body) => {
                  const send = async (headers) => (await fetch('api/pause', {method: 'POST', body, headers})).status;
                  return [await send({}), await send({'X-Skyproxy-Csrf': '0'.repeat(64)})];
                }""",
                body,
            )
            assert told == [403, 403]
    assert guarded.get("/api/changes", admin).json()["changes"] == []
    assert guarded.get("/api/now", admin).json()["slots"][0]["speed"] is not None
    assert not [each for each in guarded.get("/api/requests", admin).json()["requests"] if each["outcome"] == "ok"]


def test_a_name_that_leads_here_gets_nothing(guarded: Guarded, browser: Browser) -> None:
    """DNS rebinding: a page whose own name has come to mean this machine."""
    admin = guarded.key("--admin")
    guarded.key("lydia")
    port = guarded.run.address[1]

    rules = "MAP evil.example 127.0.0.1"
    args = [f"--host-resolver-rules={rules}", *arguments()]
    misled = browser.browser_type.launch(executable_path=chromium(), args=args)
    try:
        page = misled.new_page()
        answer = page.goto(f"http://evil.example:{port}/healthz")
        assert answer is not None and answer.status == 200, "the name leads here"
        found = page.evaluate(
            """async (key) => {
              const found = [];
              for (const [path, options] of [
                ['/', {}], ['/api/now', {}], ['/api/session', {}], ['/v1/models', {}],
                ['/api/login', {method: 'POST', body: JSON.stringify({key})}],
                ['/api/pause', {method: 'POST', body: '{"slot":"combat"}'}],
              ]) {
                const answer = await fetch(path, options);
                found.push([answer.status, (await answer.json()).error.code]);
              }
              return found;
            }""",
            admin,
        )
        assert found == [[403, "host_not_allowed"]] * 6
    finally:
        misled.close()


def test_hostile_strings(guarded: Guarded, browser: Browser) -> None:
    """Wrong keys, paths and agents of those who are refused stand in the log that the page shows."""
    guarded.key("lydia")
    admin = guarded.key("--admin")
    with opened(browser, f"{origin_of(guarded)}/#/log", quiet=False) as tab:
        page = tab.page
        typed(page, admin)
        expect(page.get_by_text("● Live")).to_be_visible()
        for each in HOSTILE:
            agent = each.encode("ascii", "replace").decode()
            ask(guarded.run, chat(each), {"Authorization": f"Bearer {agent}", "User-Agent": agent})
            call(guarded.run, "GET", "/api/requests/%3Cscript%3Ealert(1)%3C/script%3E", None, {"x-api-key": agent})
            ask(guarded.run, chat(each), {"Authorization": f"Bearer {admin}", "User-Agent": agent})
        expect(page.get_by_text("Refused at the door").first).to_be_visible()
        page.goto(f"{origin_of(guarded)}/#/requests")
        expect(page.get_by_role("table", name="Requests")).to_be_visible()
        assert misplaced(page) == []
        assert not [each for each in tab.said if "alert" in each or each.startswith("dialog")], tab.said
    for wrong in set(HOSTILE) - {"constructor"}:
        done = guarded.command("keys", "create", "--", wrong, code=2)
        assert "must be a client's name" in done.stderr
