"""Skyproxies that share 25 permits by a Redis, under load, while the network between them and Redis loses every packet.

``python -m tests.benchmarks.partition`` prints a table as ``shared_faults`` does. Redis runs in a network namespace of
its own, behind a router in another, which stops forwarding for one skyproxy, or for all, one way or both: nobody is
told, connections stay open, and attempts to connect are not answered. It takes root, and ``ip`` of iproute2; no packet
leaves the machine.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from tests.benchmarks.shared_faults import Trial
from tests.e2e.conftest import config_for, starter
from tests.e2e.processes import Process, Proxy, environment

_PORT = 6379


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


class Router:
    """Ways from here to a namespace, one for each skyproxy, all through a router."""

    def __init__(self, ways: int) -> None:
        name = f"sky{os.getpid() % 10_000}"
        self.ways = ways
        self.router, self.far = f"{name}r", f"{name}f"
        self._near = [f"{name}n{way}" for way in range(ways)]

    def address(self, way: int) -> str:
        """Where *way* leads to."""
        return f"10.97.{way}.2"

    def set_up(self) -> None:
        """Make namespaces, links and routes."""
        for namespace in (self.router, self.far):
            _ip("netns", "add", namespace)
            _ip("-n", namespace, "link", "set", "lo", "up")
        for way, near in enumerate(self._near):
            _ip("link", "add", near, "type", "veth", "peer", "name", f"near{way}", "netns", self.router)
            to_far = ("type", "veth", "peer", "name", f"way{way}", "netns", self.far)
            _ip("-n", self.router, "link", "add", f"far{way}", *to_far)
            _ip("addr", "add", f"10.98.{way}.1/24", "dev", near)
            _ip("-n", self.router, "addr", "add", f"10.98.{way}.2/24", "dev", f"near{way}")
            _ip("-n", self.router, "addr", "add", f"10.97.{way}.1/24", "dev", f"far{way}")
            _ip("-n", self.far, "addr", "add", f"{self.address(way)}/24", "dev", f"way{way}")
            _ip("link", "set", near, "up")
            _ip("-n", self.router, "link", "set", f"near{way}", "up")
            _ip("-n", self.router, "link", "set", f"far{way}", "up")
            _ip("-n", self.far, "link", "set", f"way{way}", "up")
            _ip("route", "add", f"10.97.{way}.0/24", "via", f"10.98.{way}.2")
            _ip("-n", self.far, "route", "add", f"10.98.{way}.0/24", "via", f"10.97.{way}.1")
            self.forward(way, on=True)

    def forward(self, way: int, *, on: bool, sides: Sequence[str] = ("near", "far")) -> None:
        """Whether packets from these *sides* go on."""
        for side in sides:
            setting = f"net.ipv4.conf.{side}{way}.forwarding={int(on)}"
            subprocess.run(["ip", "netns", "exec", self.router, "sysctl", "-q", "-w", setting], check=True)

    def is_cut(self, way: int) -> bool:
        """Whether nothing answers there."""
        try:
            socket.create_connection((self.address(way), _PORT), 0.3).close()
        except TimeoutError:
            return True
        return False

    def tear_down(self) -> None:
        """Have all of it gone; links go with their namespaces."""
        for namespace in (self.router, self.far):
            subprocess.run(["ip", "netns", "del", namespace], check=False, capture_output=True)


class RedisBehind(Process):
    """A Redis behind the *router*."""

    def __init__(self, cwd: Path, router: Router) -> None:
        command = ["ip", "netns", "exec", router.far, "redis-server", "--bind", "0.0.0.0", "--protected-mode", "no"]
        super().__init__([*command, "--port", str(_PORT), "--save", "", "--dir", str(cwd)], cwd, environment())
        self.wait_for("Ready to accept connections")


class Partition(Trial):
    """Everything that takes part."""

    def __init__(self, start: Any, workers: int, router: Router) -> None:
        self.router = router
        start(RedisBehind, router)
        self.started = 0
        super().__init__(start, workers, 0)

    def another(self) -> Proxy:
        way, self.started = self.started, self.started + 1
        shared = f"redis://{self.router.address(way)}:{_PORT}"
        proxy: Proxy = self.start(
            Proxy, config_for(self.demo, {"shared": shared, "workers": self.workers}, max_pending=200)
        )
        return proxy

    def asks(self, number: int, turn: int) -> int:
        # One that lacks permits must not hold back those who ask the others.
        return number % len(self.proxies)

    def cut_off(self, ways: range, seconds: float, sides: Sequence[str] = ("near", "far")) -> None:
        """Lose every packet from these *sides* of these *ways* for so long."""
        until = time.monotonic() + seconds
        for way in ways:
            self.router.forward(way, on=False, sides=sides)
        if not all(map(self.router.is_cut, ways)):
            raise SystemExit("The router goes on forwarding.")
        time.sleep(max(0.0, until - time.monotonic()))
        for way in ways:
            self.router.forward(way, on=True, sides=sides)

    def wave(self, ways: range, seconds: float) -> None:
        """Lose every packet on each of these *ways* for seven of ten quarters of a second."""
        chance, until = random.Random(1), time.monotonic() + seconds
        while time.monotonic() < until:
            for way in ways:
                self.router.forward(way, on=chance.random() > 0.7)
            time.sleep(0.25)
        for way in ways:
            self.router.forward(way, on=True)


@contextmanager
def _routed(ways: int) -> Iterator[Router]:
    router = Router(ways)
    try:
        router.set_up()
        yield router
    finally:
        router.tear_down()


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.partition", description=__doc__)
    parser.add_argument("--workers", type=int, default=1, help="of each skyproxy")
    given = parser.parse_args()
    if os.geteuid() or shutil.which("ip") is None:
        parser.error("it takes root, and ip of iproute2")
    with tempfile.TemporaryDirectory() as folder, _routed(3) as router:
        starting = starter(Path(folder))
        try:
            trial = Partition(next(starting), given.workers, router)
            with trial.under_load():
                for seconds in (1.0, 2.0, 6.0, 20.0):
                    for who, ways in (("one is", range(1)), ("all are", range(3))):
                        trial.row(
                            f"{who} cut off for {seconds:g} s", partial(trial.cut_off, ways, seconds), seconds + 10
                        )
                trial.row("one is cut off for 60 s", partial(trial.cut_off, range(1), 60.0), 70.0)
                for what, side in (("what one says", "near"), ("what one is told", "far")):
                    trial.row(f"{what} is lost for 20 s", partial(trial.cut_off, range(1), 20.0, (side,)), 30.0)
                for who, ways in (("one way", range(1)), ("each way", range(3))):
                    trial.row(f"most is lost on {who} for 20 s", partial(trial.wave, ways, 20.0), 30.0)
        finally:
            starting.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
