"""The retry budget of the process, in a total outage."""

from __future__ import annotations

import time

from tests.e2e.raw import ask, call, chat
from tests.features.crowd import at_once
from tests.features.lab import Lab, config_of
from tests.features.seen import received, saw

_REQUESTS = 400
_AT_ONCE = 8


def show(lab: Lab) -> None:
    """Every request fails, and wants two retries."""
    sheet = lab.sheet("Retry budget in a total outage", "Allowed: a fifth of the requests, and ten a second.")
    demo = lab.demo()
    proxy = lab.proxy(config_of(demo, {"demo": {"max_retries": 2}}))
    began = time.monotonic()
    answers = []
    for _ in range(_REQUESTS // _AT_ONCE):
        answers += at_once(proxy, [chat("demo:guard;status=503;retry_after=0")] * _AT_ONCE)
    seconds = time.monotonic() - began
    retries = demo.stats()["total"] - _REQUESTS
    # The bucket of ten a second is full at the beginning.
    allowed = 0.2 * _REQUESTS + 10 * (seconds + 1)
    counted = call(proxy, "GET", "/api/stats").json()["retry_budget"]["retries"]
    holds = 0 < retries <= allowed and counted == retries and all(answer.status == 503 for answer in answers)
    told = f"{received(demo)}: {retries} retries in {seconds:.1f} s, {allowed:.0f} allowed, 800 wanted"
    sheet.row(f"{_REQUESTS} requests, all of them 503", saw(*answers), told, holds=holds)
    demo.reset()
    answer = ask(proxy, chat("demo:guard;delay=0"))
    sheet.row("the outage is over", saw(answer), received(demo), holds=answer.status == 200)
