"""The response cache: what is a hit, what clients may say, what survives."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Sequence
from typing import Any

import openai

from tests.e2e.processes import ROOT, DemoProvider, Proxy
from tests.e2e.raw import Answer, ask, chat, open_request, read_until
from tests.features.lab import Lab, Sheet, config_of
from tests.features.seen import DONE, is_good, received

_TTL = 1.5


def show(lab: Lab) -> None:
    """In memory, in SQLite, and over an evening."""
    demo = lab.demo()
    store = {"path": "answers/cache.sqlite"}
    providers = {
        "memory": {"cache": {"ttl": "60s"}},
        "brief": {"cache": {"ttl": f"{_TTL}s"}},
        "kept": {"cache": {"ttl": "60s", "store": "sqlite"}},
    }
    config = config_of(demo, providers, _evening_slots(), proxy={"cache": store})
    proxy = lab.proxy(config)
    sheet = lab.sheet("Response cache", "`X-Skyproxy-Cache` of each answer in turn; - where there is none.")
    scene = _Scene(sheet, demo, proxy)
    again = chat("memory:guard;delay=0")
    scene.ask("the same twice", [again] * 2, ["miss", "hit"], 1)
    scene.ask("off: the same twice", [chat("demo:guard;delay=0")] * 2, ["-", "-"], 2)
    other = [chat("memory:guard;delay=0", temperature=0.1), chat("memory:guard;delay=0;size=9")]
    scene.ask("another temperature, another model", other, ["miss", "miss"], 2)
    bearer = {"Authorization": "Bearer somebody-else"}
    scene.ask("another client's key, twice", [again] * 2, ["miss", "hit"], 1, bearer)
    scene.ask("the body's field `cache: false`, which this dialect drops", [{**again, "cache": False}], ["hit"], 0)
    scene.ask("`Cache-Control: no-cache`", [again], ["miss"], 1, {"Cache-Control": "no-cache"})
    secret = chat("memory:guard;delay=0", user="secret")
    scene.ask("`Cache-Control: no-store`, twice", [secret] * 2, ["miss", "miss"], 2, {"Cache-Control": "no-store"})
    scene.ask("the same without it, for nothing was kept", [secret], ["miss"], 1)
    failed = [chat(f"memory:guard;status={status}") for status in (500, 404)]
    scene.ask("failures, twice each", failed * 2, ["-"] * 4, 4, status=(500, 404))
    _broken_streams(scene)
    scene.ask(f"ttl {_TTL:g} s: the same twice", [chat("brief:guard;delay=0")] * 2, ["miss", "hit"], 1)
    time.sleep(_TTL + 0.2)
    scene.ask(f"ttl {_TTL:g} s: once more, {_TTL + 0.2:g} s later", [chat("brief:guard;delay=0")], ["miss"], 1)
    _streams(scene)
    kept = chat("kept:guard;delay=0")
    scene.ask("SQLite: the same twice", [kept] * 2, ["miss", "hit"], 1)
    proxy.stop()
    proxy = lab.proxy(config | {"proxy": {**config["proxy"], "cache": {"path": str(proxy.folder / store["path"])}}})
    scene = _Scene(sheet, demo, proxy)
    scene.ask("SQLite: once more after a restart", [kept], ["hit"], 0)
    scene.ask("memory: once more after a restart", [again], ["miss"], 1)
    _evening(sheet, demo, proxy)


class _Scene:
    def __init__(self, sheet: Sheet, demo: DemoProvider, proxy: Proxy) -> None:
        self.sheet = sheet
        self.demo = demo
        self.proxy = proxy

    def ask(
        self,
        situation: str,
        bodies: Sequence[dict[str, Any]],
        expected: list[str],
        upstream: int,
        headers: dict[str, str] | None = None,
        *,
        status: tuple[int, ...] = (200,),
    ) -> list[Answer]:
        """Requests one after the other, with what their answers are to tell, and how many are to arrive upstream."""
        self.demo.reset()
        answers = [ask(self.proxy, body, headers) for body in bodies]
        told = list(map(_told, answers))
        holds = told == expected and self.demo.stats()["total"] == upstream
        holds = holds and all(is_good(each) if each.status == 200 else each.status in status for each in answers)
        self.sheet.row(situation, ", ".join(told), received(self.demo), holds=holds)
        return answers


def _told(answer: Answer) -> str:
    return answer.headers.get("x-skyproxy-cache", "-")


def _broken_streams(scene: _Scene) -> None:
    scene.demo.reset()
    faults = ("cut=2", "close_clean=2", "error_in_stream=2") * 2
    told = []
    for fault in faults:
        # One that its provider ends with an error ends properly, and its connection stays open.
        data = read_until(
            open_request(scene.proxy, chat(f"memory:guard;delay=0;{fault}", stream=True)), b"\r\n0\r\n\r\n"
        )
        found = re.search(rb"X-Skyproxy-Cache: (\w+)", data)
        told.append(found.group(1).decode() if found else "-")
        assert DONE not in data
    holds = "hit" not in told and scene.demo.stats()["total"] == len(faults)
    scene.sheet.row("broken streams, twice each", ", ".join(told), received(scene.demo), holds=holds)


def _streams(scene: _Scene) -> None:
    body = chat("memory:guard;delay=0.05;chunks=20", stream=True)
    first, second = scene.ask("a stream twice", [body] * 2, ["miss", "hit"], 1)
    same = first.body == second.body and second.body.endswith(DONE) and int(second.headers["age"]) >= 0
    told = f"{'the same bytes' if same else 'other bytes'} as the first, an event stream, Age: {second.headers['age']}"
    scene.sheet.row("the stream from the cache", told, "-", holds=same)
    scene.demo.reset()
    client = openai.OpenAI(base_url=scene.proxy.base_url, api_key="anything", max_retries=0)
    texts = []
    for _ in range(2):
        chunks = client.chat.completions.create(
            model="memory:guard;delay=0.01", messages=[{"role": "user", "content": "Hail!"}], stream=True
        )
        texts.append([chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices])
    client.close()
    holds = texts[0] == texts[1] and len(texts[0]) > 3 and scene.demo.stats()["total"] == 1
    told = f"{len(texts[0])} and {len(texts[1])} chunks, the same text"
    scene.sheet.row("a stream twice by the openai SDK", told, received(scene.demo), holds=holds)


def _evening_requests() -> list[dict[str, Any]]:
    return [json.loads(line) for line in (ROOT / "tests/data/evening.jsonl").read_text("utf-8").splitlines()]


def _evening_slots() -> dict[str, dict[str, Any]]:
    """Talk is not kept, judgements are."""
    names = {request["model"] for request in _evening_requests()}
    return {name: {} if name == "default" else {"cache": {"ttl": "10m"}} for name in names}


def _evening(sheet: Sheet, demo: DemoProvider, proxy: Proxy) -> None:
    demo.reset()
    requests = _evening_requests()
    answers = [ask(proxy, request) for request in requests]
    hits = sum(_told(answer) == "hit" for answer in answers)
    rate = hits / len(requests)
    arrived = demo.stats()["total"]
    holds = 0.2 <= rate <= 0.4 and arrived == len(requests) - hits and all(map(is_good, answers))
    told = f"{len(answers)} answers, {hits} hits: {rate:.0%}"
    sheet.row("an evening (tests/data/evening.jsonl), judgements kept, talk not", told, str(arrived), holds=holds)
