"""skyproxy is killed and started again, under load: what it keeps on disk stays whole."""

from __future__ import annotations

import json
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any

from tests.e2e.conftest import Starter, config_for
from tests.e2e.findings import Findings
from tests.e2e.processes import DemoProvider, Proxy, eventually
from tests.e2e.raw import ask, chat
from tests.e2e.sizes import size
from tests.e2e.verdicts import COMPLETE, Crowd, Seen

LIVES = size(10, 3)
"""Of each of two proxies."""

SIZE = 50_000
"""Bytes of an answer: it takes many pages of the file."""

KNOWN = chat("combat", seed=1)
"""What is asked in every life."""


class KilledProxy:
    """A proxy that listens at the same port in each of its lives, with the same log."""

    def __init__(self, start: Starter, config: dict[str, Any], log_file: Path) -> None:
        self._start = start
        self._config = config
        self._log_file = log_file
        self._listen = "tcp:0:interface=127.0.0.1"
        self._numbers = count()
        self.seconds: list[float] = []
        """From each start until the first answer."""
        self.lost: list[Seen] = []

    def live(self) -> None:
        """Start, serve for a moment, and be killed while it serves."""
        began = time.monotonic()
        proxy: Proxy = self._start(Proxy, self._config, "--listen", self._listen, "--log-file", str(self._log_file))
        known = ask(proxy, KNOWN)
        self.seconds.append(time.monotonic() - began)
        assert known.status == 200 and known.headers["x-skyproxy-cache"] == "hit"
        self._listen = f"tcp:{proxy.address[1]}:interface=127.0.0.1"
        first = next(self._numbers) * 1_000_000

        def body(number: int) -> dict[str, Any]:
            # Each answer is new, and written to the file of kept answers.
            return chat(f"demo:guard;delay=0;size={SIZE};text=n{first + number}", stream=number % 2 == 1)

        crowd = Crowd(proxy, body, lambda number: f"n{first + number}".ljust(SIZE, "."))
        with crowd.asking(clients=4):
            eventually(lambda: crowd.outcomes[COMPLETE] > 20, "it serves")
            logged = self._log_file.stat().st_size
            eventually(lambda: self._log_file.stat().st_size > logged, "it writes its log")
            proxy.kill()
            crowd.stop()
        # What was under way when it was killed has no end: none may look as if it had one.
        self.lost += [seen for seen in crowd.lost if seen.ended]


def test_two_proxies_with_one_file_of_answers_are_killed_again_and_again(
    start: Starter, demo: DemoProvider, tmp_path: Path, findings: Findings
) -> None:
    path = tmp_path / "answers.sqlite"
    config = config_for(demo, {"cache": {"path": str(path)}}, cache={"store": "sqlite", "ttl": "1h"})
    first = start(Proxy, config)
    assert ask(first, KNOWN).headers["x-skyproxy-cache"] == "miss"
    assert first.stop() == 0

    proxies = [KilledProxy(start, config, tmp_path / f"{name}.jsonl") for name in ("one", "two")]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda proxy: [proxy.live() for _ in range(LIVES)], proxies))

    seconds = sorted(second for proxy in proxies for second in proxy.seconds)
    findings.figure(f"{len(seconds)} kills; from start to answer, two at a time, {seconds[0]:.2f} s at least")
    findings.most("the slowest of them", seconds[-1], 2, "s")
    assert [proxy.lost for proxy in proxies] == [[], []]
    assert not list(tmp_path.glob("*.aside-*"))
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        kept = [json.loads(body) for (body,) in database.execute("SELECT body FROM answers WHERE NOT stream")]
    assert len(kept) > 2 * LIVES
    assert {answer["object"] for answer in kept} == {"chat.completion"}
    for name in ("one", "two"):
        records, torn = log_of(tmp_path / f"{name}.jsonl")
        # Who is killed while it writes leaves a line without its end; the next life begins a line of its own.
        assert len(torn) <= LIVES and all(line.count('{"timestamp":') <= 1 for line in torn)
        assert "Upstream request completed" in {record["message"] for record in records}
        assert not [record for record in records if record["level"] in ("WARN", "ERROR")]


def log_of(path: Path) -> tuple[list[dict[str, Any]], list[str]]:
    """The records of a log, and the lines that are none."""
    records: list[dict[str, Any]] = []
    torn: list[str] = []
    for line in path.read_text().splitlines():
        try:
            records.append(json.loads(line))
        except ValueError:
            torn.append(line)
    return records, torn
