"""The log's disk is full, or its file is moved and removed, under load: requests go on, and no line is lost."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterable
from typing import Any

import pytest

from tests.e2e.conftest import Starter, config_for
from tests.e2e.findings import Findings
from tests.e2e.processes import DemoProvider, Proxy, eventually
from tests.e2e.raw import ask, chat
from tests.e2e.verdicts import COMPLETE, Crowd

TEXT = "Halt"


def crowd_of(proxy: Proxy) -> Crowd:
    """Clients that ask for short answers, every other one a stream."""
    model = f"demo:guard;delay=0;text={TEXT}"
    return Crowd(proxy, lambda number: chat(model, stream=number % 2 == 1), lambda _: TEXT)


def completed(lines: Iterable[str]) -> set[str]:
    """The ids of the requests whose completion was logged. Each line must be whole."""
    records: list[dict[str, Any]] = [json.loads(line) for line in lines]
    return {record["request_id"] for record in records if record["message"] == "Upstream request completed"}


def test_a_full_disk(start: Starter, demo: DemoProvider, findings: Findings) -> None:
    resource = pytest.importorskip("resource")
    if not hasattr(resource, "prlimit"):
        pytest.skip("the limits of another process cannot be set here")
    proxy = start(Proxy, config_for(demo))
    assert ask(proxy, chat("combat")).status == 200
    proxy.record("Upstream request completed")

    def allow(size: int) -> None:
        # A limit to the size of files: beyond it, a write fails as one to a full disk does.
        resource.prlimit(proxy.child.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    # In the middle of a line.
    full = proxy.log_file.stat().st_size + 1000
    allow(full)
    crowd = crowd_of(proxy)
    with crowd.asking(clients=4, count=400):
        pass
    assert crowd.outcomes == {COMPLETE: 400}
    eventually(lambda: proxy.log_file.stat().st_size == full, "what fits is written")
    time.sleep(1.2)  # it tries again meanwhile
    assert sum("The log cannot be written" in line for line in proxy.output) == 1
    allow(resource.RLIM_INFINITY)
    eventually(lambda: proxy.log_file.stat().st_size > full, "it is written again")
    assert proxy.stop() == 0
    assert len(completed(proxy.log_file.read_text().splitlines())) == 401
    assert sum("The log cannot be written" in line for line in proxy.output) == 1
    findings.figure("disk full: 400 of 400 answered, 401 of 401 lines written when there was room again, one warning")


def test_files_that_are_moved_and_removed(start: Starter, demo: DemoProvider, findings: Findings) -> None:
    proxy = start(Proxy, config_for(demo))
    eventually(proxy.log_file.exists, "the log is written")
    crowd = crowd_of(proxy)
    files = []
    with crowd.asking(clients=4):
        for number in range(6):
            # What was written can still be read here, whatever becomes of the name.
            files.append(proxy.log_file.open())
            if number % 2:
                proxy.log_file.rename(proxy.log_file.with_suffix(f".{number}"))
            else:
                proxy.log_file.unlink()
            if number % 3 == 0:
                proxy.child.send_signal(signal.SIGUSR1)
            eventually(proxy.log_file.exists, "a new file is made")
            time.sleep(0.1)
    assert proxy.stop() == 0
    files.append(proxy.log_file.open())
    logged = [completed(file.read().splitlines()) for file in files]
    for file in files:
        file.close()
    assert crowd.outcomes.total() == crowd.outcomes[COMPLETE] == len(set[str]().union(*logged))
    assert sum(bool(ids) for ids in logged) > 1
    findings.figure(f"moved or removed 6 times: {crowd.outcomes.total():,} requests, as many lines")
    assert not [line for line in proxy.output if "The log cannot be written" in line]
