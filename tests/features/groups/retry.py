"""Retries: of what, how often, and after what time."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from tests.e2e.processes import DemoProvider, Proxy, eventually
from tests.e2e.raw import Answer, ask, call, chat, open_request, read_all
from tests.features.crowd import free_port
from tests.features.lab import Lab, Sheet, config_of
from tests.features.seen import every, is_good, received, saw

_FAULTS = {
    "408": "status=408",
    "429, Retry-After: 0": "status=429;retry_after=0",
    "500": "status=500",
    "502": "status=502",
    "503": "status=503",
    "504": "status=504",
    "reset before any byte": "reset",
}
_ASKED = 2.0
_WAYS = {
    "Retry-After in seconds": "status=503;retry_after=2",
    "Retry-After as a date": "status=503;retry_date=2",
    "retry-after-ms": "status=429;retry_after_ms=2000",
    "x-ratelimit-reset-requests: 2s": "status=429;ratelimit_reset=2s",
    "x-ratelimit-reset-requests: 2": "status=429;ratelimit_reset=2",
}


def show(lab: Lab) -> None:
    """With two retries, as shipped."""
    demo, second = lab.demo(), lab.demo()
    late = free_port()
    proxy = lab.proxy(
        config_of(
            demo,
            {
                "demo": {"max_retries": 2},
                "one": {"max_retries": 2, "max_concurrent": 1},
                "second": {"base_url": second.base_url},
                "late": {"base_url": f"http://127.0.0.1:{late}/v1", "max_retries": 10},
                "gone": {"base_url": f"http://127.0.0.1:{free_port()}/v1", "max_retries": 2},
            },
            {"far": {"model": "guard;status=429;retry_after=60", "fallbacks": ["second:guard;delay=0"]}},
        )
    )
    sheet = lab.sheet("Retry", "Two retries at most, as shipped. Whole answers and streams.")
    _transient(sheet, demo, proxy)
    _not_retried(sheet, demo, proxy)
    _unreachable(lab, sheet, proxy, late)
    _asked_to_wait(lab.sheet("Retry: the provider says when"), demo, second, proxy)


def _transient(sheet: Sheet, demo: DemoProvider, proxy: Proxy) -> None:
    for name, fault in _FAULTS.items():
        demo.reset()
        model = f"demo:guard;delay=0;fail=2;{fault}"
        answers = [ask(proxy, chat(f"{model};text={stream}", stream=stream)) for stream in (False, True)]
        holds = every(map(is_good, answers)) and demo.stats()["total"] == 6
        sheet.row(f"{name}: twice, then well", saw(*answers), received(demo), holds=holds)


def _not_retried(sheet: Sheet, demo: DemoProvider, proxy: Proxy) -> None:
    demo.reset()
    answer = ask(proxy, chat("demo:guard;status=503"))
    sheet.row("503 for ever", saw(answer), received(demo), holds=(answer.status, demo.stats()["total"]) == (503, 3))
    demo.reset()
    statuses = (400, 401, 403, 404, 422)
    answers = [ask(proxy, chat(f"demo:guard;status={status}")) for status in statuses]
    holds = [each.status for each in answers] == list(statuses) and demo.stats()["total"] == len(statuses)
    sheet.row("the request is wrong", saw(*answers), received(demo), holds=holds)
    demo.reset()
    data = read_all(open_request(proxy, chat("demo:guard;chunks=9;delay=0.01;cut=3", stream=True)))
    tokens, errors, ends = data.count(b'"content":"') - 1, data.count(b'data: {"error"'), data.count(b"[DONE]")
    told = f"200, {tokens} tokens, {errors} error event, {ends} [DONE]"
    holds = (tokens, errors, ends, demo.stats()["total"]) == (3, 1, 0, 1)
    sheet.row("a stream breaks after its third token", told, received(demo), holds=holds)


def _unreachable(lab: Lab, sheet: Sheet, proxy: Proxy, port: int) -> None:
    answer = ask(proxy, chat("gone:guard"))
    retries = call(proxy, "GET", "/api/stats").json()["providers"]["gone"]["retries"]
    told = f"nothing, {retries} retries"
    sheet.row("nothing listens", saw(answer), told, holds=answer.status == 502 and retries == 2)
    found: list[Answer] = []
    asking = threading.Thread(target=lambda: found.append(ask(proxy, chat("late:guard;delay=0"))))
    asking.start()
    demo = lab.demo("--listen", f"tcp:{port}:interface=127.0.0.1")
    asking.join()
    holds = every(map(is_good, found)) and demo.stats()["total"] == 1
    sheet.row("nothing listens, then the provider starts", saw(*found), received(demo), holds=holds)


def _asked_to_wait(sheet: Sheet, demo: DemoProvider, second: DemoProvider, proxy: Proxy) -> None:
    demo.reset()
    bodies = [chat(f"demo:guard;delay=0;fail=1;{fault}") for fault in _WAYS.values()]
    with ThreadPoolExecutor(len(bodies)) as pool:
        answers: Sequence[Answer] = list(pool.map(lambda body: ask(proxy, body), bodies))
    requests = demo.requests(100)
    for name, body, answer in zip(_WAYS, bodies, answers, strict=True):
        sent = [each for each in requests if each["body"]["model"] == body["model"].removeprefix("demo:")]
        waited = sent[-1]["started"] - sent[0]["finished"]
        holds = is_good(answer) and len(sent) == 2 and _ASKED <= waited <= 1.1 * _ASKED
        sheet.row(name, saw(answer), f"2 requests; asked for {_ASKED:g} s, waited {waited:.3f} s", holds=holds)
    _holds_no_permit(sheet, demo, proxy)
    demo.reset()
    answer = ask(proxy, chat("demo:guard;status=429;retry_after=60"))
    holds = (answer.status, answer.headers.get("retry-after"), demo.stats()["total"]) == (429, "60", 1)
    told = f"{saw(answer)} at once, Retry-After: {answer.headers.get('retry-after')}"
    sheet.row("Retry-After: 60, over the cap of 10 s; no fallback", told, received(demo), holds=holds)
    demo.reset()
    answer = ask(proxy, chat("far", stream=True))
    first, then = demo.requests()[0], second.requests()[0]
    holds = is_good(answer) and demo.stats()["total"] == second.stats()["total"] == 1
    # CLOCK_MONOTONIC is the same for both.
    gap = then["started"] - first["started"]
    told = f"1 (429), and the fallback 1 (200), {gap * 1000:.0f} ms later"
    sheet.row("Retry-After: 60, over the cap of 10 s; a fallback", saw(answer), told, holds=holds and gap < 5)


def _holds_no_permit(sheet: Sheet, demo: DemoProvider, proxy: Proxy) -> None:
    demo.reset()
    found: list[Answer] = []
    asking = threading.Thread(
        target=lambda: found.append(ask(proxy, chat("one:guard;delay=0;fail=1;status=429;retry_after=1", seed=1)))
    )
    asking.start()
    eventually(lambda: demo.stats()["refused"] or demo.stats()["by_status"].get("429"), "it is told to wait")
    found.append(ask(proxy, chat("one:guard;delay=0", seed=2)))
    asking.join()
    order = [request["body"]["seed"] for request in demo.requests(3)]
    holds = every(map(is_good, found)) and order == [1, 2, 1]
    told = "first A (429), then B (200), then A (200)" if holds else f"in this order: {order}"
    sheet.row("A is told to wait; B comes meanwhile; one permit in all", saw(*found), told, holds=holds)
