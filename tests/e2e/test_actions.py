"""What people change of a running skyproxy: by its commands, as a page and by a hotkey; on processes."""

from __future__ import annotations

import json
import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.commands import Run, skyproxy
from tests.e2e.conftest import Starter
from tests.e2e.processes import DemoProvider, eventually
from tests.e2e.raw import Answer, ask, call, chat, open_request, read_all

TOKEN = "hotkey-0123456789abcdef"

CONFIG = """\
# Mine; do not touch.  \r
proxy: {{{proxy}}}\r
providers:\r
  first:\r
    base_url: {first}   # the good one\r
    dialect: "local"\r
    max_concurrent: 4\r
    max_retries: 0\r
    api_key_env: [FIRST_KEY_1, FIRST_KEY_2]\r
  second: {{base_url: "{second}", max_concurrent: 9, dialect: local, max_retries: 0}}\r
model_slots:\r
  default: {{provider: first, model: guard, fallbacks: ["second:guard"]}}\r
  alone:\r
    provider: 'first'\r
    model: "guard"   # dépôt, 守卫\r
profiles:\r
  cheap: {{default: "second:guard;text=cheap", alone: "second:guard;text=cheap"}}\r
"""


class House:
    """skyproxy before two providers, and its commands."""

    def __init__(self, start: Starter, folder: Path, proxy: str = "drain_timeout: 2s") -> None:
        self.folder = folder
        self.first: DemoProvider = start(DemoProvider)
        self.second: DemoProvider = start(DemoProvider)
        self.path = folder / "skyproxy.yaml"
        text = CONFIG.format(proxy=proxy, first=self.first.base_url, second=self.second.base_url)
        self.path.write_bytes(text.encode("utf-8"))
        runtime = folder / "run"
        runtime.mkdir(mode=0o700)
        keys = {"FIRST_KEY_1": "key-one-0001", "FIRST_KEY_2": "key-two-0002"}
        self.env = {"XDG_RUNTIME_DIR": str(runtime), "SKYPROXY_PROFILE_TOKEN": TOKEN, **keys}
        self.log = folder / "log.jsonl"
        options = ("--config", str(self.path), "--log-file", str(self.log), "--log-level", "debug")
        self.run: Run = start(Run, *options, env=self.env)

    def command(self, *arguments: str, code: int = 0) -> Any:
        done = skyproxy(self.folder, *arguments, env=self.env)
        assert done.returncode == code, (arguments, done.stdout, done.stderr)
        return done

    def told(self, *arguments: str) -> Any:
        return json.loads(self.command(*arguments, "--json").stdout)

    def ask(self, model: str = "default", **fields: Any) -> Answer:
        proxy: Any = self.run
        return ask(proxy, chat(model, **fields))

    def answered_by(self, model: str = "default") -> str:
        answer = self.ask(model)
        assert answer.status == 200, answer.body
        return answer.headers["x-skyproxy-provider"]

    def records(self, message: str, count: int) -> list[dict[str, Any]] | None:
        """Those in the log with *message*, once there are *count*."""
        found = [json.loads(line) for line in self.log.read_text().split("\n")[:-1] if message in line]
        return found if len(found) >= count else None

    def call(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Answer:
        proxy: Any = self.run
        return call(proxy, method, path, body, headers)

    def now(self) -> Any:
        return self.call("GET", "/api/now").json()

    def provider(self, name: str = "first") -> Any:
        return next(each for each in self.now()["providers"] if each["name"] == name)

    def slot(self, name: str) -> Any:
        return next(each for each in self.now()["slots"] if each["name"] == name)


@pytest.fixture
def house(start: Starter, tmp_path: Path) -> House:
    return House(start, tmp_path)


def test_a_pause_lets_requests_under_way_end_and_the_fallback_serves(house: House) -> None:
    proxy: Any = house.run
    connection = open_request(proxy, chat("first:guard;first=4"), extra=b"Connection: close\r\n")
    eventually(lambda: house.first.stats()["active"] == 1, "the request is under way")
    dry = house.command("pause", "first", "--dry-run").stdout
    assert "1 slot goes to its fallback and 1 slot is refused (alone)" in dry and "dry run" in dry
    assert house.answered_by() == "first", "nothing was done"
    said = house.command("pause", "first").stdout
    assert "skyproxy undo" in said and "keep" not in said, said
    assert house.answered_by() == "second"
    refused = house.ask("alone")
    assert refused.status == 503 and refused.json()["error"]["code"] == "paused"
    assert "`skyproxy resume first`" in refused.json()["error"]["message"]
    assert house.ask("first:guard").status == 503
    paused = house.provider()["paused"]
    assert paused["by"].startswith("user ") and "admin socket" in paused["by"] and paused["since"] > 0
    alone = house.slot("alone")
    assert alone["health"]["code"] == "paused" and alone["health"]["word"] == "Paused by you"
    assert house.slot("default")["health"]["code"] == "too_few", "the other one is well"
    codes = {each["code"] for each in [house.now()["sentence"], *house.now()["more"]]}
    assert "paused" in codes and "not_answering" not in codes and "unreliable" not in codes
    assert b"200 OK" in read_all(connection), "what was under way has ended well"
    assert "first is resumed" in house.command("resume").stdout
    assert house.answered_by() == "first" and house.answered_by("alone") == "first"
    assert house.provider()["paused"] is None
    records = eventually(lambda: house.records("Changed by hand", 2), "both are logged")
    assert [each["what"].split(":")[0] for each in records] == ["first is paused", "first is resumed."]
    assert all("admin socket" in each["by"] for each in records)


def test_a_slot_and_a_model_are_paused_alone_and_undone(house: House) -> None:
    told = house.told("pause", "alone")
    assert house.ask("alone").status == 503 and house.answered_by() == "first"
    house.command("undo", told["id"])
    assert house.answered_by("alone") == "first"
    house.command("pause", "first:guard")
    assert house.answered_by() == "second" and house.ask("first:guard;text=other").status == 200
    assert house.command("resume", "alone").stdout == "slot alone is not paused itself: first:guard is.\n"
    house.command("undo")
    assert house.answered_by() == "first"
    assert "There is nothing to undo" in house.command("undo", code=1).stderr


def test_a_limit_under_load(house: House) -> None:
    seen: list[int] = []

    def asked(count: int, seconds: float, meanwhile: Any = None) -> int:
        """The most requests at once that the provider saw, of *count*."""
        seen.clear()
        with ThreadPoolExecutor(count) as pool:
            asking = [pool.submit(house.ask, f"first:guard;first={seconds}") for _ in range(count)]
            until = threading.Event()
            while not all(each.done() for each in asking):
                seen.append(house.first.stats()["active"])
                if meanwhile is not None and seen[-1] == 4:
                    meanwhile()
                    meanwhile = None
                until.wait(0.01)
            assert [each.result().status for each in asking] == [200] * count
        return max(seen)

    said: list[str] = []
    assert asked(12, 1.0, lambda: said.append(house.command("set", "first", "max_concurrent=2").stdout)) == 4
    assert "first has max_concurrent 2 now" in said[0]
    assert asked(6, 0.5) == 2
    first = house.provider()
    assert first["places"]["limit"] == 2 and first["limit_by_hand"]["by"].startswith("user ")
    assert house.command("reload").stdout == "Nothing is different.\n"
    assert house.provider()["places"]["limit"] == 2, "a reload leaves what was changed by hand"
    house.command("undo")
    assert house.provider()["places"]["limit"] == 4


def test_a_slot_is_pointed_elsewhere_kept_and_read_again(house: House) -> None:
    before = house.path.read_bytes()
    house.path.chmod(0o640)
    told = house.told("set", "alone", "second:guard;text=elsewhere")
    assert house.answered_by("alone") == "second" and told["can_be_kept"]
    assert house.slot("alone")["candidates"] == ["second:guard;text=elsewhere"]
    assert house.told("status")["slots"]["alone"] == "second:guard;text=elsewhere"
    dry = house.command("keep", "--dry-run").stdout
    assert dry.startswith("To be kept in ")
    assert "+    provider: 'second'" in dry and '-    model: "guard"   # dépôt, 守卫' in dry
    assert house.path.read_bytes() == before
    kept = house.told("keep", told["id"])
    assert kept["file"] == str(house.path) and not kept["can_be_undone"]
    expected = before.replace(b"provider: 'first'", b"provider: 'second'")
    expected = expected.replace(b'model: "guard" ', b'model: "guard;text=elsewhere" ')
    assert house.path.read_bytes() == expected, "and nothing else"
    assert stat.S_IMODE(house.path.stat().st_mode) == 0o640
    assert house.command("reload").stdout == "Nothing is different.\n"
    assert house.command("changes").stdout == "Nothing was changed by hand.\n"
    assert house.answered_by("alone") == "second"
    assert "kept in the file" in house.command("undo", told["id"], code=1).stderr
    house.command("set", "first", "max_concurrent=6")
    house.command("keep")
    assert house.path.read_bytes() == expected.replace(b"max_concurrent: 4\r\n", b"max_concurrent: 6\r\n")
    assert house.command("reload").stdout == "Nothing is different.\n" and house.provider()["places"]["limit"] == 6
    house.command("stop")


def test_values_as_people_type_them(house: House) -> None:
    told = house.command("set", "alone", "hedge_after=off", "strip_reasoning=YES").stdout
    assert "slot alone has hedge_after none, strip_reasoning true now." in told
    assert "strip_reasoning true (was false)" in house.command("changes").stdout
    done = house.command("set", "alone", "hedge_afetr=2s", code=1)
    assert done.stderr.endswith("cannot be set: did you mean hedge_after?\n"), done.stderr
    for command in ("profile", "undo", "keep"):
        assert "An empty text names nothing." in house.command(command, "", code=2).stderr


def test_nothing_is_kept_in_a_file_that_is_another_by_now(house: House) -> None:
    house.command("set", "first", "max_concurrent=3")
    text = house.path.read_bytes() + b"# later\r\n"
    house.path.write_bytes(text)
    done = house.command("keep", code=1)
    assert "has changed since it was read" in done.stderr and "    max_concurrent: 3" in done.stderr
    assert house.path.read_bytes() == text
    house.command("reload")
    house.path.chmod(0o444)
    assert "is not writable" in house.command("keep", code=1).stderr
    house.path.chmod(0o644)
    house.command("pause", "first")
    told = house.told("changes")["changes"][-1]
    assert "no line of the file" in house.command("keep", told["action"], code=1).stderr
    assert house.path.read_bytes() == text


def test_a_restart_forgets_what_was_not_kept(house: House, start: Starter) -> None:
    house.command("set", "first", "max_concurrent=3")
    house.command("stop")
    run: Any = start(Run, "--config", str(house.path), env=house.env)
    assert call(run, "GET", "/api/changes").json()["changes"] == []


def test_keys_and_breakers(house: House) -> None:
    house.command("pause", "first", "--key", "FIRST_KEY_1")
    assert house.answered_by() == "first"
    keys = {each["variable"]: each for each in house.provider()["keys"]}
    assert keys["FIRST_KEY_1"]["by_hand"]["by"].startswith("user ") and not keys["FIRST_KEY_1"]["aside"]
    assert keys["FIRST_KEY_1"]["requests"] == 0 and keys["FIRST_KEY_2"]["requests"] == 1
    assert "is the last key of first" in house.command("pause", "first", "--key", "FIRST_KEY_2", code=1).stderr
    house.command("resume", "first", "--key", "FIRST_KEY_1")
    assert house.answered_by() == "first"
    assert house.provider()["keys"][0]["requests"] == 1
    house.command("set", "alone", "model=guard;status=500")
    for _ in range(5):
        house.ask("alone")
    states = {each["model"]: each["breaker"]["state"] for each in house.provider()["deployments"]}
    assert states["guard;status=500"] in ("open", "half_open"), house.provider()["deployments"]
    house.command("resume", "first", "--breaker")
    assert {each["breaker"]["state"] for each in house.provider()["deployments"]} == {"closed"}


def test_a_purge_by_command(house: House) -> None:
    assert house.command("purge").stdout == "All answers that were kept are forgotten.\n"
    assert house.command("purge", "--dry-run").stdout.endswith("this was a dry run.\n")


def test_profiles_by_command_and_by_hotkey(house: House) -> None:
    assert house.command("profile").stdout == "cheap\n"
    house.command("profile", "cheap")
    assert house.answered_by() == "second" and house.answered_by("alone") == "second"
    assert house.now()["profile"] == "cheap" and house.now()["profiles"] == ["cheap"]
    house.command("profile", "off")
    assert house.answered_by() == "first" and house.now()["profile"] is None
    # What runs on this machine costs nothing.
    assert house.command("profile").stdout == "cheap  ≈ $0 an hour\noff  ≈ $0 an hour\n"
    assert house.told("profile")["costs"]["cheap"] == {"cost_hour": {"USD": 0.0}, "unknown": []}
    assert "Did you mean 'cheap'?" in house.command("profile", "cheep", code=1).stderr
    # As a game's hotkey does it.
    path = f"/api/profile/cheap?token={TOKEN}"
    answer = house.call("GET", path)
    assert answer.status == 200 and answer.json()["text"] == "Profile cheap is in use now.", answer.body
    assert house.now()["profile"] == "cheap"
    assert house.call("POST", f"/api/profile/off?token={TOKEN}").status == 200
    for wrong in ("/api/profile/cheap", "/api/profile/cheap?token=", f"/api/profile/cheap?token={TOKEN}x"):
        assert house.call("GET", wrong).status == 403, wrong
    # It can do nothing else, and nobody else's page can use it.
    for other in ("/api/pause", "/api/undo/last", "/api/set", "/api/reload", "/api/keep/last"):
        sent = {"Authorization": f"Bearer {TOKEN}"}
        assert house.call("POST", f"{other}?token={TOKEN}", {"provider": "first"}, sent).status == 403, other
    for headers in ({"Origin": "http://evil.example"}, {"Origin": "http://127.0.0.1:1"}, {"Host": "evil.example"},
                    {"Sec-Fetch-Site": "cross-site"}):  # fmt: skip
        assert house.call("GET", path, headers=headers).status == 403, headers
    house.call("GET", f"/api/profile/{'x' * 30}?token={TOKEN}")
    house.call("GET", f"/api/nothing/here?token={TOKEN}")
    assert house.now()["profile"] is None
    assert TOKEN not in house.log.read_text()
    assert TOKEN not in house.call("GET", "/api/requests").body.decode()


def session_of(house: House) -> dict[str, str]:
    """What the page brings."""
    answer = house.call("GET", "/api/session", headers={"Sec-Fetch-Site": "same-origin"})
    cookie = answer.headers["set-cookie"]
    port = house.run.address[1]
    assert cookie.startswith(f"skyproxy_{port}=") and cookie.endswith("; Path=/; HttpOnly; SameSite=Strict")
    return {"Cookie": cookie.partition(";")[0], "X-Skyproxy-Csrf": answer.json()["csrf"]}


def test_a_page_of_ours_acts_and_no_other_can(house: House) -> None:
    ours = {**session_of(house), "Origin": f"http://127.0.0.1:{house.run.address[1]}"}
    body = {"provider": "first"}
    refused: list[tuple[str, str, dict[str, str]]] = [
        ("POST", "no cookie", {**ours, "Cookie": ""}),
        ("POST", "no header", {**ours, "X-Skyproxy-Csrf": ""}),
        ("POST", "another's header", {**ours, "X-Skyproxy-Csrf": "0" * 64}),
        ("POST", "another cookie", {**ours, "Cookie": f"skyproxy_{house.run.address[1]}={'a' * 32}"}),
        ("POST", "another origin", {**ours, "Origin": "https://evil.example"}),
        ("POST", "another port of this machine", {**ours, "Origin": "http://127.0.0.1:8080"}),
        ("POST", "a file", {**ours, "Origin": "null"}),
        ("POST", "what browsers say of it", {**ours, "Sec-Fetch-Site": "cross-site"}),
        ("POST", "another port, as browsers say", {**ours, "Sec-Fetch-Site": "same-site"}),
        ("POST", "a name that leads here", {**ours, "Host": "evil.example", "Origin": "http://evil.example"}),
        ("GET", "a GET", ours),
        ("OPTIONS", "a question before", {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}),
    ]
    for method, why, headers in refused:
        answer = house.call(method, "/api/pause", body if method == "POST" else None, headers)
        assert answer.status in (403, 405), (why, answer.status, answer.body)
        assert house.provider()["paused"] is None, why
    for headers in ({"Origin": "http://127.0.0.1:8080"}, {"Sec-Fetch-Site": "cross-site"}, {"Host": "evil.example"}):
        answer = house.call("GET", "/api/session", headers=headers)
        assert answer.status == 403 and "set-cookie" not in answer.headers, headers
    done = house.call("POST", "/api/pause", body, ours)
    assert done.status == 200 and done.headers["cache-control"] == "no-store"
    assert done.json()["by"] == "page at 127.0.0.1" and house.provider()["paused"]["by"] == "page at 127.0.0.1"
    undone = house.call("POST", f"/api/undo/{done.json()['id']}", None, ours)
    assert undone.status == 200 and house.provider()["paused"] is None
    read = house.call("POST", "/api/reload", None, ours)
    assert read.status == 200 and read.json() == {"good": True, "changed": {}, "problems": []}
    assert house.call("POST", "/api/reload").status == 403
    for sent, param in (({"provder": "x"}, "provder"), ({"provider": 7}, "provider"), ([], None), ({}, "provider")):
        wrong = house.call("POST", "/api/pause", sent, ours)
        assert wrong.status == 400 and wrong.json()["error"]["param"] == param, (sent, wrong.body)


def test_changes_outlive_a_reload_unless_what_they_are_about_is_gone(house: House) -> None:
    house.command("set", "alone", "second:guard;text=elsewhere")
    house.command("pause", "second")
    house.command("set", "first", "max_concurrent=3")
    text = house.path.read_bytes().decode("utf-8")
    text = text.replace("max_concurrent: 4", "max_concurrent: 5")
    house.path.write_bytes(text.encode("utf-8"))
    house.command("reload")
    assert house.provider()["places"]["limit"] == 3 and house.provider("second")["paused"]
    kinds = [each["kind"] for each in house.told("changes")["changes"]]
    assert kinds == ["set", "pause", "set"]
    # Without the second provider nothing is left of what concerns it.
    lines = [line for line in text.splitlines(keepends=True) if "second" not in line or "default:" in line]
    gone = (
        "".join(lines)
        .replace(', fallbacks: ["second:guard"]', "")
        .replace(
            'cheap: {default: "second:guard;text=cheap", alone: "second:guard;text=cheap"}',
            'cheap: {default: "first:guard"}',
        )
    )
    house.path.write_bytes(gone.encode("utf-8"))
    assert "providers removed: second" in house.command("reload").stdout
    assert [each["kind"] for each in house.told("changes")["changes"]] == ["set"]
    assert house.answered_by("alone") == "first"
    eventually(lambda: house.records("ends, for what it is about is gone", 2), "that is told")


def test_what_is_kept_is_seen_by_the_watch_as_nothing_new(start: Starter, tmp_path: Path) -> None:
    house = House(start, tmp_path, "drain_timeout: 2s, watch: true")
    proxy: Any = house.run
    connection = open_request(proxy, chat("first:guard;first=3"), extra=b"Connection: close\r\n")
    eventually(lambda: house.first.stats()["active"] == 1, "the request is under way")
    house.command("set", "first", "max_concurrent=1")
    house.command("keep")
    (read,) = eventually(lambda: house.records("Configuration reloaded", 1), "the watch has seen it")
    assert "changes" not in read, read
    assert house.provider()["places"]["limit"] == 1
    assert b"200 OK" in read_all(connection)
    assert house.answered_by() == "first"
