"""What keys cost: ``python -m tests.benchmarks.access``.

Three things are printed. How long the look-up of right and of wrong keys takes, as two distributions that must not
differ. How many calls of the door's code a request takes. And what a request takes of the processor with and without
clients, and what refusals take, on real processes that are asked in turn.
"""

from __future__ import annotations

import json
import random
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Any

import yaml

from skyproxy.access.access import Access, presented
from skyproxy.access.keys import hash_of, new_key
from tests.e2e.conftest import config_for
from tests.e2e.processes import DemoProvider, Proxy
from tests.unit.configs import config_of
from tests.unit.web.support import WebCase

_CONFIG = "providers: {p: {base_url: 'http://127.0.0.1:9/v1'}}\nmodel_slots: {default: {provider: p, model: m}}\n"
_LOOKUPS = 20_000
_REQUESTS, _ROUNDS = 400, 15
_OF_ACCESS = ("skyproxy/access/", "skyproxy/web/door.py", "skyproxy/web/logins.py", "skyproxy/pipeline/allowed.py")
_BODY = json.dumps({"model": "default", "messages": [{"role": "user", "content": "Halt"}]}).encode()


def clients(keys: list[str]) -> str:
    """``clients:`` with these keys."""
    lines = "".join(f"  c{number}: {{key_hash: '{hash_of(key)}'}}\n" for number, key in enumerate(keys))
    return f"clients:\n{lines}"


def lookups() -> None:
    """Print the two distributions."""
    right = [new_key() for _ in range(50)]
    config = config_of(_CONFIG + clients(right))
    access = Access(lambda _: None)
    access.use(config, access.prepare(config))
    # Wrong ones of three kinds: unknown, and right up to the last characters, and by their first half.
    wrong = [*(new_key() for _ in range(20)), *(each[:-6] + "aaaaaa" for each in right[:15]),
             *(each[:28] + new_key()[28:] for each in right[:15])]  # fmt: skip
    times: dict[str, list[int]] = {"right": [], "wrong": []}
    asked = [("right", each) for each in right] + [("wrong", each) for each in wrong]
    for _ in range(_LOOKUPS // len(asked) + 1):
        random.shuffle(asked)
        for kind, key in asked:
            fields = {b"authorization": b"Bearer " + key.encode()}
            began = time.perf_counter_ns()
            found = presented(fields)
            assert found is not None
            access.holder(found)
            times[kind].append(time.perf_counter_ns() - began)
    print("Look-ups of keys, ns:")
    for kind, taken in times.items():
        taken.sort()
        shown = " ".join(f"p{share:g} {taken[int(len(taken) * share / 100)]:>6}" for share in (1, 25, 50, 75, 99))
        print(f"  {kind}: {shown}   of {len(taken)}")
    print(f"  greatest distance of the two cumulated distributions: {_distance(*times.values()):.3f}")


def _distance(one: list[int], other: list[int]) -> float:
    """That of Kolmogorov and Smirnov, of sorted values."""
    from bisect import bisect_right

    points = [*one[:: max(1, len(one) // 500)], *other[:: max(1, len(other) // 500)]]
    return max(abs(bisect_right(one, each) / len(one) - bisect_right(other, each) / len(other)) for each in points)


def calls() -> None:
    """Print how many calls of the door's code a request takes."""
    key = new_key()
    for name, more, headers in (
        ("off", "", {"Authorization": "Bearer anything"}),
        ("on", clients([key]), {"Authorization": f"Bearer {key}"}),
    ):
        case = WebCase()
        case.setUp()
        config = config_of(_CONFIG + more)
        case.access.use(config, case.access.prepare(config))

        def ask(case: WebCase = case, headers: dict[str, str] = headers) -> None:
            case.treq.request("POST", "http://localhost/v1/chat/completions", data=_BODY, headers=headers)
            case.treq.flush()

        ask()
        counted = _counted(ask)
        own = {where: count for where, count in counted.items() if any(each in where for each in _OF_ACCESS)}
        total = sum(counted.values())
        print(f"Access {name}: {total} calls up to the proxy, of the door's code {sum(own.values())}: {own}")


def _counted(act: Callable[[], object]) -> Counter[str]:
    """The calls of skyproxy's own code while *act* runs, by place."""
    counts: Counter[str] = Counter()

    def profile(frame: FrameType, event: str, _: Any) -> None:
        if event == "call" and "/skyproxy/" in frame.f_code.co_filename:
            file = frame.f_code.co_filename.rpartition("/skyproxy/")[2]
            counts[f"skyproxy/{file}:{frame.f_code.co_name}"] += 1

    sys.setprofile(profile)
    try:
        act()
    finally:
        sys.setprofile(None)
    return counts


def _used(pid: int) -> float:
    """Seconds of the processor that a process has had, to the nanosecond (proc(5), schedstat)."""
    return sum(int(task.read_text().split()[0]) for task in Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e9


class Asker:
    """One connection that is kept, on which requests go one after the other."""

    def __init__(self, port: int, key: str) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), 60)
        self._request = (
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            b"Authorization: Bearer %b\r\nContent-Length: %d\r\n\r\n%b" % (key.encode(), len(_BODY), _BODY)
        )

    def ask(self) -> int:
        """The status of one answer, which is read to its end."""
        self._socket.sendall(self._request)
        data = b""
        while b"\r\n\r\n" not in data:
            data += self._socket.recv(65536)
        head, _, body = data.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        while len(body) < length:
            body += self._socket.recv(65536)
        return int(data[9:12])

    def close(self) -> None:
        """Ask no more."""
        self._socket.close()


def processes() -> None:
    """Print what requests and refusals take of the processor of real processes, and how long refusals take."""
    key, other = new_key(), new_key()
    with TemporaryDirectory() as name:
        folders = [Path(name) / each for each in ("demo", "off", "on")]
        for folder in folders:
            folder.mkdir()
        demo = DemoProvider(folders[0])
        started: list[Any] = [demo]
        try:
            config = config_for(demo)
            config["model_slots"]["default"]["model"] = "guard;delay=0"
            with_clients = {**config, **yaml.safe_load(clients([key]))}
            off, on = (
                Proxy(folders[1], config, "--log-level", "info"),
                Proxy(folders[2], with_clients, "--log-level", "info"),
            )
            started += [off, on]
            costs: dict[str, list[float]] = {"off": [], "on": [], "refused": []}
            waits: list[float] = []
            ways = {"off": (off, key, 200), "on": (on, key, 200), "refused": (on, other, 401)}
            for turn in range(_ROUNDS + 1):
                for kind in list(ways) if turn % 2 else reversed(ways):
                    proxy, sent, status = ways[kind]
                    asker = Asker(proxy.address[1], sent)
                    used = _used(proxy.child.pid)
                    for _ in range(_REQUESTS):
                        began = time.perf_counter()
                        assert asker.ask() == status
                        if kind == "refused" and turn:
                            waits.append(time.perf_counter() - began)
                    if turn:
                        costs[kind].append((_used(proxy.child.pid) - used) / _REQUESTS * 1e6)
                    asker.close()
            least = {kind: min(each) for kind, each in costs.items()}
            for kind, each in costs.items():
                print(f"{kind}: processor µs a request: median {median(each):.0f}, least {least[kind]:.0f}")
            print(f"on, more than off: {(median(costs['on']) / median(costs['off']) - 1) * 100:+.1f} % by the medians")
            waits.sort()
            print(
                f"refused: p50 {waits[len(waits) // 2] * 1e3:.2f} ms, p99 {waits[int(len(waits) * 0.99)] * 1e3:.2f} ms"
            )
            _flood(on, key, other)
        finally:
            for each in reversed(started):
                each.kill()


def _flood(proxy: Proxy, key: str, other: str) -> None:
    """Print what 1,000 wrong keys a second do to others and to the log."""
    import threading

    over = threading.Event()
    refused: list[float] = []
    good: dict[str, list[float]] = {"alone": [], "beside the flood": []}

    def flood() -> None:
        asker, began = Asker(proxy.address[1], other), time.perf_counter()
        while not over.is_set():
            at = time.perf_counter()
            assert asker.ask() == 401
            refused.append(time.perf_counter() - at)
            # 250 a second by each of four.
            time.sleep(max(0.0, began + len(refused) / 1000 - time.perf_counter()))

    def ask_for(name: str, seconds: float) -> None:
        asker, until = Asker(proxy.address[1], key), time.perf_counter() + seconds
        while time.perf_counter() < until:
            at = time.perf_counter()
            assert asker.ask() == 200
            good[name].append(time.perf_counter() - at)
            time.sleep(0.01)

    lines = len(proxy.records("Refused at the door"))
    ask_for("alone", 4)
    threads = [threading.Thread(target=flood) for _ in range(4)]
    for each in threads:
        each.start()
    ask_for("beside the flood", 4)
    over.set()
    for each in threads:
        each.join()
    time.sleep(1)
    refused.sort()
    print(
        f"flood: {len(refused) / 4:.0f} wrong keys a second, refused: {_shown(refused)}; lines in the log: "
        f"{len(proxy.records('Refused at the door')) - lines}"
    )
    for name, taken in good.items():
        taken.sort()
        print(f"  good requests {name}: {_shown(taken)}")


def _shown(taken: list[float]) -> str:
    """Of sorted seconds."""
    return f"p50 {taken[len(taken) // 2] * 1e3:.2f} ms, p99 {taken[int(len(taken) * 0.99)] * 1e3:.2f} ms"


if __name__ == "__main__":
    lookups()
    calls()
    processes()
