"""What one worker finds out about a provider holds in all of them."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.conftest import Starter
from tests.e2e.findings import Findings
from tests.e2e.processes import PATIENCE, DemoProvider, Proxy, eventually
from tests.e2e.raw import Answer, call, chat
from tests.e2e.worker_pids import pid_of_worker

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="connections cannot be passed there")

WORKERS = 3
HEARD = "Heard of another worker"


class Line:
    """A connection that stays with the worker that has it."""

    def __init__(self, proxy: Proxy) -> None:
        self._connection = HTTPConnection(*proxy.address, timeout=PATIENCE)
        self._proxy = proxy

    def ask(self, model: str, **fields: Any) -> Answer:
        """A chat request."""
        body = json.dumps(chat(model, **fields))
        self._connection.request("POST", "/v1/chat/completions", body, {"Content-Type": "application/json"})
        response = self._connection.getresponse()
        return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())

    def provider(self, slot: str) -> str:
        """That answers for *slot*."""
        answer = self.ask(slot)
        assert answer.status == 200, answer
        return answer.headers["x-skyproxy-provider"]

    @property
    def pid(self) -> int:
        """Of the worker."""
        return pid_of_worker(self._proxy, self._connection.sock)

    def close(self) -> None:
        self._connection.close()


class Crew(Proxy):
    """skyproxy with several workers before one provider under several names, and a line to each of them."""

    def __init__(self, cwd: Path, demo: DemoProvider) -> None:
        self.demo = demo
        plain = {"base_url": demo.base_url, "dialect": "local", "max_retries": 0, "breaker": "off", "rate_guard": "off"}
        keys = ["FIRST_SECRET", "SECOND_SECRET"]
        config = {
            "proxy": {"drain_timeout": "2s"},
            "providers": {
                "limited": {**plain, "rate_guard": "on"},
                "keyed": {**plain, "rate_guard": "on", "api_key_env": keys},
                "broken": {**plain, "breaker": {"open_for": "600s"}},
                "shaky": {**plain, "breaker": {"open_for": "0.2s"}},
                "kept": {**plain, "cache": {"ttl": "600s"}},
                "spare": plain,
            },
            "model_slots": {
                "default": {"provider": "spare", "model": "guard"},
                "broken": {"provider": "broken", "model": "guard;status=500;fail=5", "fallbacks": ["spare:guard"]},
                "shaky": {
                    "provider": "shaky",
                    "model": "guard;status=500;fail=5;first=0",
                    "fallbacks": ["spare:guard"],
                },
            },
            "profiles": {"quiet": {"default": "limited:guard"}},
        }
        super().__init__(
            cwd, config, "--workers", str(WORKERS), env={"FIRST_SECRET": "first", "SECOND_SECRET": "second"}
        )
        self.lines: list[Line] = []
        self.connect()

    def stats(self) -> Any:
        return call(self, "GET", "/api/stats").json()

    def connect(self) -> None:
        """Have a line to each worker."""
        eventually(lambda: all(each["serves"] for each in self.stats()["workers"]), "all serve")
        for each in self.lines:
            each.close()
        found: dict[int, Line] = {}
        spare: list[Line] = []
        while len(found) < WORKERS:
            line = Line(self)
            line.ask("default")
            (spare.append(line) if line.pid in found else found.setdefault(line.pid, line))  # type: ignore[func-returns-value]
        for each in spare:
            each.close()
        self.lines = list(found.values())

    def heard(self, found: str, provider: str) -> list[dict[str, Any]]:
        """What workers have heard of others."""
        return [each for each in self.records(HEARD) if (each["found"], each["provider"]) == (found, provider)]

    @contextmanager
    def all_hear(self, found: str, provider: str) -> Iterator[None]:
        """Wait until the others have heard what is found out meanwhile."""
        told = len(self.heard(found, provider)) + WORKERS - 1
        yield
        eventually(lambda: len(self.heard(found, provider)) >= told, f"the others hear that {provider}: {found}")


@pytest.fixture(scope="module")
def crew(start_for_module: Starter, demo: DemoProvider) -> Crew:
    process: Crew = start_for_module(Crew, demo)
    return process


def asked(demo: DemoProvider, model: str) -> int:
    """How many requests for *model* have reached the provider."""
    return sum((each["body"] or {}).get("model") == model for each in demo.requests(2000))


def test_a_rest_holds_for_its_model_alone(crew: Crew, demo: DemoProvider) -> None:
    model = "guard;status=429;retry_after=600;fail=1"
    first, *others = crew.lines
    with crew.all_hear("ModelRests", "limited"):
        assert first.ask(f"limited:{model}").status == 429
    for each in others:
        answer = each.ask(f"limited:{model}")
        assert answer.status == 503 and 500 < int(answer.headers["retry-after"]) <= 600, answer
        assert each.ask("limited:guard").status == 200
    assert asked(demo, model) == 1


def key_of(demo: DemoProvider) -> str:
    """The key that the last request brought; what is asked about the server itself is none."""
    last = [each for each in demo.requests(20) if each["body"]][-1]
    headers = {name.lower(): value for name, value in last["headers"].items()}
    return str(headers["authorization"]).removeprefix("Bearer ")


def by_hand(crew: Crew, path: str, sent: dict[str, Any]) -> Answer:
    """Something that the page has done."""
    session = call(crew, "GET", "/api/session", headers={"Origin": crew.origin})
    cookie = session.headers["set-cookie"].partition(";")[0]
    headers = {"Cookie": cookie, "Origin": crew.origin, "X-Skyproxy-Csrf": session.json()["csrf"]}
    return call(crew, "POST", path, sent, headers)


def test_a_refused_key_is_used_by_none(crew: Crew, demo: DemoProvider) -> None:
    first = crew.lines[0]
    with crew.all_hear("KeyRefused", "keyed"):
        assert first.ask("keyed:guard;status=401;fail=1").status == 200  # by the second key
    for each in crew.lines:
        assert each.ask("keyed:guard").status == 200
        assert key_of(demo) == "second"
    # The answer comes when all have it.
    assert by_hand(crew, "/api/key/back", {"provider": "keyed", "key": "FIRST_SECRET"}).status == 200
    for each in reversed(crew.lines):
        assert each.ask("keyed:guard").status == 200
        assert key_of(demo) == "first"


def test_a_breaker_that_opens_is_open_for_its_model_everywhere(crew: Crew, demo: DemoProvider) -> None:
    model = "guard;status=500;fail=5"
    before = asked(demo, model)
    first = crew.lines[0]
    with crew.all_hear("BreakerOpened", "broken"):
        for _ in range(5):
            assert first.provider("broken") == "spare"
    for each in crew.lines:
        assert each.provider("broken") == "spare"
        assert each.ask("broken:guard").headers["x-skyproxy-provider"] == "broken"
    assert asked(demo, model) == before + 5
    assert by_hand(crew, "/api/breaker/close", {"provider": "broken", "model": model}).status == 200
    assert {each.provider("broken") for each in crew.lines} == {"broken"}
    crew.record("Circuit breaker opened", model=model)
    opened = [each for each in crew.records("Circuit breaker opened") if each["model"] == model]
    assert len(opened) == 1, "it is counted and logged once"


def breakers(crew: Crew, provider: str) -> set[str]:
    """The worst states of the breakers of a provider's models."""
    return {each["breaker"]["state"] for each in crew.stats()["providers"][provider]["deployments"]}


def test_a_breaker_that_closes_is_closed_everywhere(crew: Crew) -> None:
    first, second, *_ = crew.lines
    with crew.all_hear("BreakerOpened", "shaky"):
        for _ in range(5):
            assert first.provider("shaky") == "spare"
    # Its probe is the second worker's, which hears of the opening and closes it for the others.
    eventually(lambda: second.provider("shaky") == "shaky", "it is tried again")
    eventually(lambda: breakers(crew, "shaky") == {"closed"}, "it is closed in all")
    assert {each.provider("shaky") for each in crew.lines} == {"shaky"}


def test_a_worker_begins_with_what_the_others_know(crew: Crew, demo: DemoProvider) -> None:
    first, last = crew.lines[0], crew.lines[-1]
    rested = "guard;status=429;retry_after=900;fail=1"
    with crew.all_hear("ModelRests", "limited"), crew.all_hear("KeyRefused", "keyed"):
        assert first.ask(f"limited:{rested}").status == 429
        assert first.ask("keyed:guard;status=401;fail=1;first=0").status == 200
    number, pid = next(
        (index, each["pid"]) for index, each in enumerate(crew.stats()["workers"]) if each["pid"] == last.pid
    )
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: crew.stats()["workers"][number]["restarts"], "it is started again")
    crew.connect()
    began = next(each for each in crew.lines if each.pid == crew.stats()["workers"][number]["pid"])
    before = asked(demo, rested)
    refused = began.ask(f"limited:{rested}")
    assert refused.status == 503 and int(refused.headers["retry-after"]) > 600
    assert asked(demo, rested) == before
    assert began.ask("limited:guard").status == 200
    assert began.ask("keyed:guard").status == 200
    assert key_of(demo) == "second"


def test_a_profile_is_in_use_everywhere_when_its_switch_is_answered(crew: Crew) -> None:
    for name, provider in (("quiet", "limited"), ("off", "spare")) * 2:
        assert by_hand(crew, f"/api/profile/{name}", {}).status == 200
        assert [each.provider("default") for each in crew.lines] == [provider] * WORKERS


def test_a_purge_empties_the_caches_of_all(crew: Crew) -> None:
    def results() -> list[str]:
        return [each.ask("kept:guard").headers["x-skyproxy-cache"] for each in crew.lines]

    assert (results(), results()) == (["miss"] * WORKERS, ["hit"] * WORKERS)
    assert by_hand(crew, "/api/cache/purge", {}).status == 200
    assert (results(), results()) == (["miss"] * WORKERS, ["hit"] * WORKERS)


def test_a_configuration_serves_everywhere_when_its_reload_is_answered(crew: Crew) -> None:
    path = crew.folder / "proxy.yaml"
    for provider in ("limited", "spare"):
        config = yaml.safe_load(path.read_text())
        config["model_slots"]["default"]["provider"] = provider
        path.with_suffix(".new").write_text(yaml.safe_dump(config, sort_keys=False))
        path.with_suffix(".new").replace(path)
        assert by_hand(crew, "/api/reload", {}).status == 200
        assert [each.provider("default") for each in crew.lines] == [provider] * WORKERS


def at(record: dict[str, Any]) -> float:
    return datetime.fromisoformat(record["timestamp"].replace("Z", "+00:00")).timestamp()


def test_each_is_told_once_and_soon(crew: Crew, findings: Findings) -> None:
    seconds = []
    for number in range(9):
        model = f"guard;status=500;size={number}"
        line = crew.lines[number % WORKERS]
        for _ in range(5):
            assert line.ask(f"broken:{model}").status == 500

        def heard(model: str = model) -> list[dict[str, Any]]:
            return [each for each in crew.records(HEARD) if each["about"] == model]

        eventually(lambda heard=heard: len(heard()) >= WORKERS - 1, "the others hear")  # type: ignore[misc]
        opened = crew.record("Circuit breaker opened", model=model)
        seconds.append(max(map(at, heard())) - at(opened))
    findings.most("from the opening of a breaker to all workers knowing, at most", max(seconds), 0.2, "s")
    told = Counter(each["about"] for each in crew.records(HEARD) if each["about"].startswith("guard;status=500;size="))
    assert set(told.values()) == {WORKERS - 1}, "nobody tells what it has heard"
