"""Equal requests at several workers: one asks the provider, and the others get what it gets."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.e2e.conftest import Starter, config_for
from tests.e2e.findings import Findings
from tests.e2e.processes import DemoProvider, Proxy, eventually
from tests.e2e.raw import Answer, ask, call, chat, open_request, read_all, read_until
from tests.e2e.worker_pids import pid_of_worker

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="connections cannot be passed there")

AT_ONCE = 20


@pytest.fixture(scope="module")
def crew(start_for_module: Starter, demo: DemoProvider) -> Proxy:
    """skyproxy with two workers."""
    proxy: Proxy = start_for_module(Proxy, config_for(demo, {"workers": 2}, coalesce=True, max_retries=0))
    return proxy


@pytest.fixture(autouse=True)
def from_nothing(crew: Proxy, demo: DemoProvider) -> None:
    """Both serve, and the provider counts those of one test."""
    eventually(lambda: all(each["serves"] for each in call(crew, "GET", "/api/stats").json()["workers"]), "both serve")
    eventually(lambda: demo.stats()["active"] == 0, "what others asked for is over")
    demo.reset()


def asked_of_both(
    crew: Proxy, demo: DemoProvider, body: dict[str, Any]
) -> tuple[socket.socket, list[socket.socket], int]:
    """Connections on which the same is asked: the first of one worker, the others of the other one, which follows; and
    the process of the first worker."""
    first = open_request(crew, body)
    eventually(lambda: demo.stats()["active"] == 1, "it is at the provider")
    leads = pid_of_worker(crew, first)
    others: list[socket.socket] = []
    while len(others) < 2:
        other = open_request(crew, body)
        if pid_of_worker(crew, other) != leads:
            others.append(other)
    return first, others, leads


@pytest.mark.parametrize("stream", [False, True])
def test_twenty_at_once_are_one(crew: Proxy, demo: DemoProvider, findings: Findings, stream: bool) -> None:
    body = chat("demo:guard;first=0.3;chunks=5;delay=0.02", stream, temperature=0)
    barrier = threading.Barrier(AT_ONCE)

    def one(_: int) -> Answer:
        barrier.wait()
        return ask(crew, body)

    began = time.monotonic()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = list(pool.map(one, range(AT_ONCE)))
    findings.figure(f"{AT_ONCE} at once, stream={stream}: {time.monotonic() - began:.2f} s")
    assert demo.stats()["total"] == 1
    assert {(each.status, each.body) for each in answers} == {(200, answers[0].body)}
    results = [each.headers["x-skyproxy-cache"] for each in answers]
    assert (results.count("miss"), results.count("coalesced")) == (1, AT_ONCE - 1)
    assert not stream or answers[0].body.endswith(b"data: [DONE]\n\n")


def test_one_that_comes_late_has_at_once_what_there_is(crew: Proxy, demo: DemoProvider) -> None:
    body = chat("demo:guard;chunks=2;delay=600", stream=True)
    first, others, _ = asked_of_both(crew, demo, body)
    for each in (first, *others):
        # The rest comes in ten minutes.
        assert b'"content"' in read_until(each, b'"content"')
        each.close()
    assert demo.stats()["total"] == 1
    eventually(lambda: demo.stats()["active"] == 0, "the provider is told when the last has left")


def test_the_first_one_leaves_and_the_others_go_on(crew: Proxy, demo: DemoProvider) -> None:
    first, others, _ = asked_of_both(crew, demo, chat("demo:guard;chunks=20;delay=0.05", stream=True))
    read_until(first, b'"content"')
    first.close()
    for each in others:
        assert read_until(each, b"0\r\n\r\n").endswith(b"[DONE]\n\n\r\n0\r\n\r\n")
    assert (demo.stats()["total"], demo.stats()["cancelled"]) == (1, 0)


def test_an_error_within_a_stream_is_the_failure_of_all_who_share_it(crew: Proxy, demo: DemoProvider) -> None:
    def failed() -> int:
        count: int = call(crew, "GET", "/api/stats").json()["slots"]["direct"]["outcomes"].get("upstream_error", 0)
        return count

    assert ask(crew, chat("demo:guard;status=500")).status == 500
    eventually(failed, "one is counted")
    before = failed()
    demo.reset()
    body = chat("demo:guard;first=0.5;chunks=9;delay=0.05;error_in_stream=6", stream=True)
    first, others, _ = asked_of_both(crew, demo, body)
    for each in (first, *others):
        assert b'"error"' in read_until(each, b"0\r\n\r\n")
    assert demo.stats()["total"] == 1
    eventually(lambda: failed() == before + 3, "all three are counted as failed by the provider")


def test_a_worker_that_is_killed_before_it_has_an_answer(crew: Proxy, demo: DemoProvider) -> None:
    _, others, leads = asked_of_both(crew, demo, chat("demo:guard;hang;fail=1;chunks=2;delay=0", stream=True))
    assert demo.stats()["total"] == 1
    os.kill(leads, signal.SIGKILL)
    for each in others:
        assert b"[DONE]" in read_until(each, b"0\r\n\r\n")
    # One of them asked, for both.
    assert demo.stats()["total"] == 2


def test_a_worker_that_is_killed_in_the_middle_of_a_stream(crew: Proxy, demo: DemoProvider) -> None:
    _, others, leads = asked_of_both(crew, demo, chat("demo:guard;chunks=2;delay=600", stream=True))
    for each in others:
        read_until(each, b'"content"')
    os.kill(leads, signal.SIGKILL)
    for each in others:
        rest = read_all(each)
        assert b"[DONE]" not in rest and b"upstream_broken" in rest and not rest.endswith(b"0\r\n\r\n")
    assert demo.stats()["total"] == 1


def test_a_worker_that_stands_still_keeps_nobody(crew: Proxy, demo: DemoProvider) -> None:
    first, others, leads = asked_of_both(crew, demo, chat("demo:guard;hang;fail=1;chunks=2;delay=0", stream=True))
    os.kill(leads, signal.SIGSTOP)
    try:
        for each in others:
            assert b"[DONE]" in read_until(each, b"0\r\n\r\n")
    finally:
        os.kill(leads, signal.SIGCONT)
        first.close()
    assert demo.stats()["total"] == 2
