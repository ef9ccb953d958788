"""The guards in calm and in trouble: what one bad model, key or moment does to all others."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from tests.e2e.processes import PATIENCE, DemoProvider, Proxy, eventually
from tests.e2e.raw import ask, chat, open_request, read_all, read_until
from tests.features.crowd import at_once
from tests.features.lab import Lab, Sheet, config_of
from tests.features.seen import is_good, received, saw

_TALK = "guard;chunks=10;delay=0.1;first=0.1"
"""The model that talk asks for: the first words after 0.1 s, the last ones a second later."""

_SOON = 1.0
"""Seconds to the first words of talk that nothing holds up, on a busy machine."""

SHIPPED: dict[str, dict[str, Any]] = {"as shipped": {"breaker": "on", "rate_guard": "on", "max_retries": 2}}
_SWITCHES = {
    **SHIPPED,
    "without guards": {"breaker": "off", "rate_guard": "off", "max_retries": 2},
}


class Heard(NamedTuple):
    """What one client heard.

    :ivar status: of its answer.
    :ivar first: seconds to the first bytes of it.
    """

    status: int
    first: float


def show(lab: Lab, all_switches: Mapping[str, dict[str, Any]] = _SWITCHES) -> None:
    """Each situation before the guards as shipped, and before the same provider without them."""
    situations: tuple[Callable[[Lab, Sheet, str, dict[str, Any]], None], ...] = (
        _one_rate_limit, _limited_model, _failing_model, _slow_model, _background, _alone_then_many,
    )  # fmt: skip
    sheet = lab.sheet("Guards", "Talk asks for another model than the bad one, at the same provider, of 25 permits.")
    for situation in situations:
        for name, switches in all_switches.items():
            situation(lab, sheet, name, switches)
    for name, switches in all_switches.items():
        _gone(lab, sheet, name, switches)
        _slow_probe(lab, sheet, name, switches)


def _proxy(lab: Lab, demo: DemoProvider, switches: dict[str, Any], **slots: Any) -> Proxy:
    slots = {"talk": {"model": _TALK}, **slots}
    return lab.proxy(config_of(demo, {"demo": {"max_concurrent": 25, **switches}}, slots))


def _talk(proxy: Proxy, bursts: int, size: int, pause: float) -> list[Heard]:
    """What *bursts* of *size* talk streams hear, which come *pause* seconds after each other."""

    def one(number: int) -> Heard:
        return _hear(proxy, chat("talk", stream=True, seed=number))

    with ThreadPoolExecutor(bursts * size) as pool:
        heard = []
        for burst in range(bursts):
            heard += [pool.submit(one, burst * size + each) for each in range(size)]
            time.sleep(pause)
        return [each.result() for each in heard]


def _hear(proxy: Proxy, body: dict[str, Any]) -> Heard:
    began = time.monotonic()
    connection = open_request(proxy, body)
    with connection:
        head = read_until(connection, b"\r\n\r\n")
        first = time.monotonic() - began
        if b" 200 " in head:
            read_until(connection, b"[DONE]")
    return Heard(int(head[9:12] or b"0"), first)


def _row(
    sheet: Sheet, situation: str, name: str, heard: list[Heard], demo: DemoProvider, *, within: float = _SOON
) -> None:
    """Write down what talk *heard*; as promised if nobody was refused, and nobody late."""
    good = [each for each in heard if each.status == 200]
    late = max((each.first for each in good), default=0.0)
    told = f"{len(good)} of {len(heard)} answered, the last first words after {late:.1f} s"
    holds = name != "as shipped" or (len(good) == len(heard) and late < within)
    sheet.row(f"{situation}: {name}", told, received(demo), holds=holds)


def _one_rate_limit(lab: Lab, sheet: Sheet, name: str, switches: dict[str, Any]) -> None:
    demo = lab.demo()
    proxy = _proxy(lab, demo, switches)
    ask(proxy, chat("demo:guard;status=429;fail=1;delay=0"))
    _row(sheet, "one 429; then 3 bursts of 10 streams", name, _talk(proxy, 3, 10, 1.5), demo)


def _limited_model(lab: Lab, sheet: Sheet, name: str, switches: dict[str, Any]) -> None:
    demo = lab.demo()
    proxy = _proxy(lab, demo, {**switches, "queue_timeout": "3s"})
    ask(proxy, chat("demo:free;status=429"))
    _row(sheet, "a model that always answers 429, asked once; then 40 streams", name, _talk(proxy, 10, 4, 0.5), demo)


def _failing_model(lab: Lab, sheet: Sheet, name: str, switches: dict[str, Any]) -> None:
    demo = lab.demo()
    proxy = _proxy(lab, demo, switches)
    over = threading.Event()

    def fail() -> None:
        while not over.is_set():
            for _ in range(2):
                ask(proxy, chat("demo:broken;status=500"))
            over.wait(1.0)

    failing = threading.Thread(target=fail)
    failing.start()
    try:
        _row(sheet, "a model that answers 500, twice a second; 40 streams", name, _talk(proxy, 10, 4, 0.7), demo)
    finally:
        over.set()
        failing.join(PATIENCE)


def _slow_model(lab: Lab, sheet: Sheet, name: str, switches: dict[str, Any]) -> None:
    demo = lab.demo()
    proxy = _proxy(lab, demo, switches, slow={"model": "slow;hang", "default_timeout": "500ms"})
    at_once(proxy, [chat("slow", stream=True, seed=number) for number in range(5)])
    _row(sheet, "five streams of one model ran into default_timeout; then 10", name, _talk(proxy, 1, 10, 0), demo)


def _background(lab: Lab, sheet: Sheet, name: str, switches: dict[str, Any]) -> None:
    demo = lab.demo()
    diary = {"model": "guard;first=5;delay=0"}
    if name == "as shipped":
        diary["priority"] = "background"
    proxy = _proxy(lab, demo, switches, diary=diary)
    writing = [open_request(proxy, chat("diary", seed=number)) for number in range(40)]
    try:
        eventually(lambda: demo.stats()["active"] >= 15, "background holds what it may")
        # It has all the permits it gets, and its answers are far away.
        _row(sheet, "40 background requests of 5 s; then 10 streams", name, _talk(proxy, 1, 10, 0), demo)
    finally:
        for each in writing:
            each.close()


def _alone_then_many(lab: Lab, sheet: Sheet, name: str, switches: dict[str, Any]) -> None:
    demo = lab.demo()
    proxy = _proxy(lab, demo, switches)
    for number in range(200):
        ask(proxy, chat("demo:guard;delay=0", seed=number))
    answers = at_once(proxy, [chat("demo:guard;first=0.3;delay=0", seed=number) for number in range(100)])
    peak = demo.stats()["peak_active"]
    told = f"{received(demo)}, {peak} at a time"
    sheet.row(
        f"200 quick answers to one client, then 100 clients: {name}", saw(*answers), told,
        holds=all(map(is_good, answers)) and peak == 25,
    )  # fmt: skip


def _restarted(lab: Lab, demo: DemoProvider) -> DemoProvider:
    """*demo* anew, at the same port."""
    port = demo.base_url.rpartition(":")[2].removesuffix("/v1")
    return lab.demo("--listen", f"tcp:{port}:interface=127.0.0.1")


def _gone(lab: Lab, sheet: Sheet, name: str, switches: dict[str, Any]) -> None:
    demo = lab.demo()
    proxy = _proxy(lab, demo, switches)
    streams = [open_request(proxy, chat("demo:guard;chunks=1000;delay=0.1", stream=True, seed=n)) for n in range(10)]
    eventually(lambda: demo.stats()["active"] == 10, "ten streams are under way")
    demo.kill()
    for each in streams:
        read_all(each)
        each.close()
    for number in range(5):
        ask(proxy, chat("demo:guard;delay=0", seed=number))
    demo = _restarted(lab, demo)
    back = time.monotonic()
    first = eventually(lambda: is_good(ask(proxy, chat("demo:guard;delay=0"))) and time.monotonic(), "it answers again")
    later = at_once(proxy, [chat("demo:guard;delay=0", seed=number) for number in range(10)])
    told = f"a good answer {first - back:.1f} s after its return, then {saw(*later)}"
    holds = name != "as shipped" or (first - back < 2.0 and all(map(is_good, later)))
    sheet.row(
        f"the provider is gone with 10 streams in flight, and comes back: {name}", told, received(demo), holds=holds
    )


def _slow_probe(lab: Lab, sheet: Sheet, name: str, switches: dict[str, Any]) -> None:
    demo = lab.demo()
    proxy = _proxy(lab, demo, switches)
    demo.kill()
    for number in range(5):
        ask(proxy, chat("demo:guard;delay=0", seed=number))
    demo = _restarted(lab, demo)
    probe = open_request(proxy, chat("demo:guard;first=8;delay=0"))
    try:
        eventually(lambda: demo.stats()["active"] == 1, "the slow answer is under way")
        situation = "half-open, the probe is a whole answer of 8 s; then 10 streams"
        _row(sheet, situation, name, _talk(proxy, 1, 10, 0), demo)
    finally:
        probe.close()
