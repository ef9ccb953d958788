"""Many clients at once."""

from __future__ import annotations

import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.e2e.processes import Proxy
from tests.e2e.raw import Answer, ask


def at_once(proxy: Proxy, bodies: Sequence[dict[str, Any]]) -> list[Answer]:
    """The answers to *bodies*, in their order, which clients send at the same moment."""
    barrier = threading.Barrier(len(bodies))

    def one(body: dict[str, Any]) -> Answer:
        barrier.wait()
        return ask(proxy, body)

    with ThreadPoolExecutor(len(bodies)) as pool:
        return list(pool.map(one, bodies))


def free_port() -> int:
    """One on loopback where nothing listens."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def insist(proxy: Proxy, clients: int, seconds: float, body: Callable[[], dict[str, Any]]) -> Counter[int]:
    """How often *clients* saw each status that ask again and again for *seconds*.

    They begin one after the other within a second, and each obeys Retry-After.
    """
    until = time.monotonic() + seconds

    def one(number: int) -> Counter[int]:
        seen: Counter[int] = Counter()
        time.sleep(number / clients)
        while time.monotonic() < until:
            answer = ask(proxy, body())
            seen[answer.status] += 1
            if answer.status != 200:
                time.sleep(float(answer.headers.get("retry-after", "0.1")))
        return seen

    with ThreadPoolExecutor(clients) as pool:
        return sum(pool.map(one, range(clients)), Counter())
