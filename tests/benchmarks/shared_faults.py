"""Skyproxies that share 25 permits by a Redis, under load, while something is killed, emptied or stopped.

``python -m tests.benchmarks.shared_faults`` prints a table: at most how many requests the provider had at a time, how
many were refused, and how long the longest took, of requests that take half a second.
With ``--client 10`` all are those of one client that may have 10 at once.
"""

from __future__ import annotations

import argparse
import itertools
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import Any

from skyproxy.access.keys import hash_of, new_key
from tests.e2e.conftest import config_for, starter
from tests.e2e.processes import DemoProvider, Proxy
from tests.e2e.raw import ask, chat
from tests.e2e.redis_server import Redis, free_port

LIMIT = 25
BODY = chat("demo:guard;chunks=5;delay=0.1;first=0", stream=True)


class Trial:
    """Everything that takes part.

    :param workers: of each skyproxy.
    :param concurrent: requests at once of the one client; 0: they are nobody's.
    """

    def __init__(self, start: Any, workers: int, concurrent: int) -> None:
        self.start, self.workers, self.concurrent = start, workers, concurrent
        self.key = new_key()
        self.demo: DemoProvider = start(DemoProvider)
        self.port = free_port()
        self.redis: Redis = start(Redis, self.port)
        self.proxies: list[Proxy | None] = [self.another() for _ in range(3)]
        self.over = threading.Event()
        self.lock = threading.Lock()
        self.begin()

    def another(self) -> Proxy:
        config = config_for(
            self.demo, {"shared": f"redis://127.0.0.1:{self.port}", "workers": self.workers}, max_pending=200
        )
        if self.concurrent:
            config["clients"] = {"one": {"key_hash": hash_of(self.key), "concurrent": self.concurrent}}
        proxy: Proxy = self.start(Proxy, config)
        return proxy

    def begin(self) -> None:
        self.answered = self.refused = self.lost = 0
        self.longest = 0.0

    def asks(self, number: int, turn: int) -> int:
        """Which skyproxy the client *number* asks in its turn."""
        return (number + turn) % len(self.proxies)

    def load(self, number: int) -> None:
        """Ask, one after the other."""
        for turn in itertools.count():
            if self.over.is_set():
                return
            proxy = self.proxies[self.asks(number, turn)]
            if proxy is None:
                time.sleep(0.05)
                continue
            began = time.monotonic()
            try:
                answer = ask(proxy, BODY, {"Authorization": f"Bearer {self.key}"} if self.concurrent else None)
                status = answer.status if answer.status != 200 or b"[DONE]" in answer.body else 0
            except (OSError, HTTPException):
                status = 0
            with self.lock:
                self.answered += status == 200
                self.refused += status >= 400
                self.lost += status == 0
                self.longest = max(self.longest, time.monotonic() - began if status else 0.0)

    @contextmanager
    def under_load(self) -> Iterator[None]:
        """All clients ask meanwhile; the table begins with what they get in calm."""
        clients = [threading.Thread(target=self.load, args=(number,), daemon=True) for number in range(45)]
        for each in clients:
            each.start()
        print(f"3 skyproxies of {self.workers}, {LIMIT} permits, 45 clients; what takes long takes half a second")
        print("| what | at most at the provider | answered | refused | lost with a process | the longest |")
        print("|---|---|---|---|---|---|")
        self.row("nothing", lambda: None, 8.0)
        yield
        self.over.set()
        for each in clients:
            each.join(60)

    def row(self, what: str, act: Callable[[], None], seconds: float = 12.0) -> None:
        """What happens when *act* is done in the middle of the load."""
        self.demo.reset()
        self.begin()
        until = time.monotonic() + seconds
        time.sleep(1.5)
        act()
        time.sleep(max(0.0, until - time.monotonic()))
        peak = self.demo.stats()["peak_active"]
        print(
            f"| {what} | {peak} | {self.answered} | {self.refused} | {self.lost} | {self.longest:.1f} s |", flush=True
        )

    # What is done.

    def kill_proxy(self) -> None:
        proxy, self.proxies[0] = self.proxies[0], None
        assert proxy is not None
        proxy.kill()
        time.sleep(5.0)
        self.proxies[0] = self.another()

    def end_proxy(self) -> None:
        proxy, self.proxies[1] = self.proxies[1], None
        assert proxy is not None
        proxy.stop()
        self.proxies[1] = self.another()

    def stop_proxy(self) -> None:
        proxy = self.proxies[2]
        assert proxy is not None
        proxy.child.send_signal(signal.SIGSTOP)
        time.sleep(6.0)
        proxy.child.send_signal(signal.SIGCONT)

    def kill_redis(self) -> None:
        self.redis.kill()
        time.sleep(6.0)
        self.redis = self.start(Redis, self.port)

    def restart_redis(self) -> None:
        self.redis.kill()
        self.redis = self.start(Redis, self.port)

    def stop_redis(self) -> None:
        self.redis.child.send_signal(signal.SIGSTOP)
        time.sleep(6.0)
        self.redis.child.send_signal(signal.SIGCONT)

    def empty_redis(self) -> None:
        for _ in range(20):
            self.redis.ask("FLUSHALL")
            time.sleep(0.4)


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.shared_faults", description=__doc__)
    parser.add_argument("--workers", type=int, default=1, help="of each skyproxy")
    parser.add_argument("--client", type=int, default=0, help="requests at once of the one client that asks")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        starting = starter(Path(folder))
        try:
            trial = Trial(next(starting), given.workers, given.client)
            with trial.under_load():
                trial.row("a skyproxy is killed, another starts after 5 s", trial.kill_proxy)
                trial.row("a skyproxy ends in good order, another starts", trial.end_proxy)
                trial.row("a skyproxy stands still for 6 s", trial.stop_proxy)
                trial.row("Redis is emptied, 20 times", trial.empty_redis)
                trial.row("Redis is killed and starts anew", trial.restart_redis)
                trial.row("Redis is gone for 6 s", trial.kill_redis)
                trial.row("Redis stands still for 6 s", trial.stop_redis)
        finally:
            starting.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
