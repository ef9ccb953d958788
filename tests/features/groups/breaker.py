"""The circuit breaker: open, fail fast, one probe, closed."""

from __future__ import annotations

import http.client
import json
import time
from statistics import median

from tests.e2e.processes import PATIENCE, DemoProvider, Proxy, eventually
from tests.e2e.raw import ask, call, chat, open_request, read_until
from tests.features.crowd import at_once
from tests.features.lab import Lab, Sheet, config_of
from tests.features.seen import is_good, received, saw

_OPEN_FOR = 1.5
_FAST = 0.005
_ASKED = 200


def show(lab: Lab) -> None:
    """Two providers, of which one opens on failures in a row, the other on their rate."""
    demo = lab.demo()
    row = {"consecutive": 5, "open_for": f"{_OPEN_FOR}s", "failure_rate": 1.0, "min_requests": 1000}
    rate = {"consecutive": 1000, "failure_rate": 0.5, "min_requests": 10, "window": "30s", "open_for": "60s"}
    strict = {"consecutive": 2, "failure_rate": 0.1, "min_requests": 2}
    proxy = lab.proxy(
        config_of(demo, {"row": {"breaker": row}, "rate": {"breaker": rate}, "strict": {"breaker": strict}})
    )
    sheet = lab.sheet(
        "Circuit breaker", f"`consecutive: 5`, `open_for: {_OPEN_FOR}s`; `failure_rate: 0.5` of 10 requests."
    )
    _row(sheet, demo, proxy)
    _rate(sheet, demo, proxy)
    _what_does_not_count(sheet, demo, proxy)


def _state(proxy: Proxy, provider: str) -> str:
    state: str = call(proxy, "GET", "/api/stats").json()["providers"][provider]["breaker"]["state"]
    return state


def _fail_fast(sheet: Sheet, demo: DemoProvider, proxy: Proxy, provider: str) -> None:
    """Ask an open breaker again and again, by one connection as a client of a library does."""
    demo.reset()
    connection = http.client.HTTPConnection(*proxy.address, timeout=PATIENCE)
    body = json.dumps(chat(f"{provider}:guard"))
    times, codes = [], set()
    for _ in range(_ASKED):
        began = time.perf_counter()
        connection.request("POST", "/v1/chat/completions", body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        data = answer.read()
        times.append(time.perf_counter() - began)
        codes.add((answer.status, json.loads(data)["error"]["code"], answer.getheader("Retry-After") is not None))
    connection.close()
    middle = median(times)
    holds = codes == {(503, "breaker_open", True)} and demo.stats()["total"] == 0 and middle < _FAST
    told = ", ".join(f"{status} {code}" for status, code, _ in codes)
    told += f", with Retry-After; median {middle * 1000:.2f} ms, slowest {max(times) * 1000:.1f} ms"
    sheet.row(f"open: {_ASKED} requests", told, received(demo), holds=holds)


def _row(sheet: Sheet, demo: DemoProvider, proxy: Proxy) -> None:
    answers = [ask(proxy, chat("row:guard;status=500")) for _ in range(5)]
    opened = time.monotonic()
    holds = [each.status for each in answers] == [500] * 5 and _state(proxy, "row") == "open"
    holds = holds and proxy.record("Circuit breaker opened")["provider"] == "row"
    sheet.row("closed: five failures in a row", saw(*answers), f"{received(demo)}; then open", holds=holds)
    _fail_fast(sheet, demo, proxy, "row")
    _after(opened)
    demo.reset()
    answer = ask(proxy, chat("row:guard;status=500"))
    reopened = time.monotonic()
    holds = answer.status == 500 and demo.stats()["total"] == 1 and _state(proxy, "row") == "open"
    sheet.row(f"{_OPEN_FOR} s later: the probe fails", saw(answer), f"{received(demo)}; open again", holds=holds)
    _after(reopened)
    demo.reset()
    probe = open_request(proxy, chat("row:guard;first=1;delay=0"))
    eventually(lambda: demo.stats()["active"] == 1, "one probe is let through")
    others = at_once(proxy, [chat("row:guard;delay=0")] * 10)
    asked = demo.stats()["total"]
    holds = asked == 1 and {each.status for each in others} == {503} and _state(proxy, "row") == "half_open"
    told = f"the probe nothing yet; {saw(*others)}"
    sheet.row(f"{_OPEN_FOR} s later: a slow probe, and ten more", told, f"{asked}; half-open", holds=holds)
    head = read_until(probe, b"total_tokens")
    probe.close()
    answers = at_once(proxy, [chat("row:guard;delay=0")] * 10)
    holds = b"200 OK" in head and all(map(is_good, answers)) and _state(proxy, "row") == "closed"
    told = f"the probe 200; {saw(*answers)}"
    sheet.row(
        "the probe succeeds; ten more", told, f"{received(demo)}; closed", holds=holds and demo.stats()["total"] == 11
    )


def _after(opened: float) -> None:
    time.sleep(max(0.0, opened + _OPEN_FOR + 0.1 - time.monotonic()))


def _rate(sheet: Sheet, demo: DemoProvider, proxy: Proxy) -> None:
    demo.reset()
    models = ("rate:guard;delay=0", "rate:guard;status=502")
    answers = [ask(proxy, chat(models[number % 2])) for number in range(11)]
    holds = [each.status for each in answers] == [200, 502] * 5 + [503] and demo.stats()["total"] == 10
    sheet.row("every second request fails", saw(*answers), f"{received(demo)}; then open", holds=holds)


def _what_does_not_count(sheet: Sheet, demo: DemoProvider, proxy: Proxy) -> None:
    demo.reset()
    answers = [ask(proxy, chat(f"strict:guard;status={status}")) for status in (400, 404, 422) * 3]
    answers.append(ask(proxy, chat("strict:guard;delay=0")))
    holds = is_good(answers[-1]) and demo.stats()["total"] == 10
    sheet.row("nine client errors, then a good one", saw(*answers), f"{received(demo)}; closed", holds=holds)
    demo.reset()
    for _ in range(6):
        connection = open_request(proxy, chat("strict:guard;hang"))
        eventually(lambda: demo.stats()["active"] == 1, "it is asked")
        connection.close()
        eventually(lambda: demo.stats()["active"] == 0, "it is told")
    answer = ask(proxy, chat("strict:guard;delay=0"))
    holds = is_good(answer) and demo.stats()["cancelled"] == 6
    sheet.row("six clients leave, then a good one", saw(answer), f"{received(demo)}; closed", holds=holds)
