"""Several skyproxies keep to one limit together, by a Redis that is slow, emptied, stopped or gone."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml

from skyproxy.access.keys import hash_of, new_key
from tests.certificates import Authority
from tests.e2e.commands import skyproxy
from tests.e2e.conftest import Starter, config_for
from tests.e2e.findings import Findings
from tests.e2e.processes import PATIENCE, DemoProvider, Proxy, eventually
from tests.e2e.raw import ask, call, chat, open_request, read_until, send_request
from tests.e2e.redis_server import Redis, Sentinel, free_port
from tests.e2e.upgrades import Upgraded, upgraded_under_load

if shutil.which("redis-server") is None:
    pytest.skip("there is no Redis: apt-get install redis-server", allow_module_level=True)
pytest.importorskip("txredisapi")

LIMIT = 25
KEY, BUSY, RICH = new_key(), new_key(), new_key()
BUDGET = 0.002
MOST = 0.00022
"""What one request of :func:`spend` may cost."""
STREAM = chat("demo:guard;chunks=3;delay=0.02", stream=True)
HANG = chat("demo:guard;hang", stream=True)
GONE = "The store of shared limits is not to be used: each machine goes on with what shared_down says"
BACK = "The store of shared limits is there again"


@pytest.fixture(scope="module")
def redis(start_for_module: Starter) -> Redis:
    server: Redis = start_for_module(Redis)
    return server


def sharing(
    start: Starter, demo: DemoProvider, url: str, workers: int = 1, files: Path | None = None, **options: Any
) -> Proxy:
    """A skyproxy that shares limits by *url*, and keeps what is spent beside *files*."""
    config = config_for(demo, {"shared": url, "workers": workers}, max_pending=200)
    config["access"] = {"required": False, **({} if files is None else {"store": str(files)})}
    config["clients"] = {
        "lydia": {"key_hash": hash_of(KEY), "requests_per_minute": 20},
        "busy": {"key_hash": hash_of(BUSY), "concurrent": 8},
        "rich": {"key_hash": hash_of(RICH), "budget": f"{BUDGET}/day"},
    }
    config["prices"] = {"*": {"prompt": 1.0, "completion": 2.0}}
    proxy: Proxy = start(Proxy, config, **options)
    return proxy


@pytest.fixture(scope="module")
def both(start_for_module: Starter, demo: DemoProvider, redis: Redis) -> tuple[Proxy, Proxy]:
    """Two that share a limit, and have met."""
    first, second = (sharing(start_for_module, demo, redis.url) for _ in range(2))
    eventually(lambda: shares(first, second) in ([12, 13], [13, 12]), "each has its even part")
    return first, second


@pytest.fixture(autouse=True)
def from_nothing(demo: DemoProvider) -> Iterator[None]:
    """The provider counts those of one test."""
    eventually(lambda: demo.stats()["active"] == 0, "what others asked for is over")
    demo.reset()
    yield


def shares(*proxies: Proxy) -> list[int]:
    """What each may use now."""
    found = []
    for proxy in proxies:
        with urllib.request.urlopen(f"{proxy.origin}/api/stats", timeout=PATIENCE) as answer:
            found.append(json.loads(answer.read())["providers"]["demo"]["permits"]["limit"])
    return found


def told_on_the_page(proxy: Proxy) -> set[str]:
    """The codes of its sentences."""
    now = call(proxy, "GET", "/api/now").json()
    return {each["code"] for each in (now["sentence"], *now["more"])}


def ask_both(both: tuple[Proxy, ...], count: int) -> list[int]:
    """The statuses of *count* streams, spread over all, all of which end as they should."""

    def one(number: int) -> int:
        answer = ask(both[number % len(both)], STREAM)
        assert answer.body.endswith(b"data: [DONE]\n\n")
        return answer.status

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


def test_two_hundred_streams_over_twenty_five_permits(both: tuple[Proxy, Proxy], demo: DemoProvider) -> None:
    assert ask_both(both, 200) == [200] * 200
    stats = demo.stats()
    assert (stats["completed"], stats["peak_active"] <= LIMIT) == (200, True)


def test_one_that_wants_all_gets_all(both: tuple[Proxy, Proxy], demo: DemoProvider, findings: Findings) -> None:
    for proxy, other in (both, both[::-1]):
        eventually(lambda: demo.stats()["active"] == 0, "nothing is asked")
        began = time.monotonic()
        held = [open_request(proxy, HANG) for _ in range(LIMIT)]
        eventually(lambda: demo.stats()["active"] == LIMIT, "one has all permits")
        findings.most("seconds until all permits are where they are wanted", time.monotonic() - began, 0.3, "s")
        # The other one waits until one comes back, and not for longer.
        waiting = open_request(other, STREAM)
        eventually(lambda other=other: other.queued() == 1, "the request waits")
        held.pop().close()
        began = time.monotonic()
        eventually(lambda other=other: other.queued() == 0, "a permit has moved")
        findings.most("seconds until a permit has moved", time.monotonic() - began, 0.3, "s")
        assert b"[DONE]" in read_until(waiting, b"[DONE]")
        for each in (*held, waiting):
            each.close()
    assert demo.stats()["peak_active"] <= LIMIT


def test_no_more_wait_in_sum_than_may(both: tuple[Proxy, Proxy], demo: DemoProvider) -> None:
    held = [open_request(both[1], HANG) for _ in range(LIMIT)]
    eventually(lambda: demo.stats()["active"] == LIMIT, "one has all permits")
    # More than its even part of the places, and all that are left.
    held += [open_request(both[0], HANG) for _ in range(200)]
    eventually(lambda: both[0].queued() == 200, "all of them wait")
    for proxy in both:
        assert ask(proxy, STREAM).status == 503
    for each in held:
        each.close()


def test_a_client_may_ask_as_often_as_of_one_machine(both: tuple[Proxy, Proxy], findings: Findings) -> None:
    key = {"Authorization": f"Bearer {KEY}"}

    def ask_at(proxy: Proxy, count: int) -> Counter[int]:
        with ThreadPoolExecutor(count) as pool:
            return Counter(pool.map(lambda _: ask(proxy, chat("combat"), key).status, range(count)))

    began = time.monotonic()
    assert ask_at(both[0], 26) == {200: 20, 429: 6}
    assert ask_at(both[1], 5) == {429: 5}
    findings.figure(f"seconds until all of a client's requests have answers: {time.monotonic() - began:.2f}")
    told = [call(proxy, "GET", "/api/budgets").json()["limits"][0]["requests_per_minute"]["used"] for proxy in both]
    assert told == [20, 0]


def test_a_client_may_ask_for_as_much_at_once_as_of_one_machine(both: tuple[Proxy, Proxy], demo: DemoProvider) -> None:
    key = b"Authorization: Bearer %b\r\n" % BUSY.encode()
    held = [open_request(both[0], HANG, extra=key) for _ in range(8)]
    eventually(lambda: demo.stats()["active"] == 8, "one machine has all that a client may have at once")
    busy = ask(both[1], STREAM, {"Authorization": f"Bearer {BUSY}"})
    assert (busy.status, b"concurrent" in busy.body) == (429, True)
    for each in held:
        each.close()
    eventually(lambda: ask(both[1], STREAM, {"Authorization": f"Bearer {BUSY}"}).status == 200, "it may ask again")


def spend(proxies: tuple[Proxy, ...], count: int) -> tuple[Counter[int], float]:
    """The statuses of *count* requests at once, and what they have cost."""
    body = chat("combat", max_tokens=100)

    def one(number: int) -> tuple[int, float]:
        answer = ask(proxies[number % len(proxies)], body, {"Authorization": f"Bearer {RICH}"})
        usage = answer.json().get("usage", {"prompt_tokens": 0, "completion_tokens": 0})
        return answer.status, (usage["prompt_tokens"] + 2 * usage["completion_tokens"]) / 1e6

    with ThreadPoolExecutor(min(count, 20)) as pool:
        found = list(pool.map(one, range(count)))
    return Counter(status for status, _ in found), sum(cost for _, cost in found)


def spent(proxy: Proxy) -> float:
    """What a machine knows to be spent of the budget; NaN: nothing yet."""
    told = call(proxy, "GET", "/api/budgets").json()["budgets"]
    known = next(each["spent"] for each in told if each["account"] == "client:rich")
    return float("nan" if known is None else known)


def test_a_budget_of_all(both: tuple[Proxy, Proxy], redis: Redis, findings: Findings) -> None:
    statuses, cost = spend(both[:1], 1)
    assert statuses == {200: 1}
    eventually(lambda: abs(spent(both[1]) - cost) < 1e-9, "the other machine knows it")
    redis.ask("FLUSHALL")
    statuses, more = spend(both, 100)
    assert statuses.keys() == {200, 429}
    findings.figure(f"of a budget of {BUDGET} two machines have spent {cost + more:.6f} together")
    assert BUDGET - 2 * MOST <= cost + more <= BUDGET + 2 * MOST
    # Nothing is counted twice.
    for proxy in both:
        eventually(lambda proxy=proxy: abs(spent(proxy) - cost - more) < 1e-9, "each knows what both have spent")


def test_a_budget_of_a_client_whom_only_workers_know(start: Starter, demo: DemoProvider, tmp_path: Path) -> None:
    redis, answered = start(Redis), 0
    both, keys = [], []
    for name in ("one", "other"):
        config = config_for(demo, {"shared": redis.url, "workers": 2})
        config["access"] = {"store": str(tmp_path / f"{name}.sqlite")}
        config["prices"] = {"*": {"prompt": 1.0, "completion": 2.0}}
        path = tmp_path / f"{name}.yaml"
        path.write_text(yaml.safe_dump(config))
        made = skyproxy(tmp_path, "keys", "create", "rich", "--budget", "0.0008/day", "--config", str(path))
        keys.append(made.stdout.strip())
        both.append(start(Proxy, config))
    for proxy, key in zip(both, keys, strict=True):
        for _ in range(50):
            answer = ask(proxy, chat("combat", max_tokens=20), {"Authorization": f"Bearer {key}"})
            answered += answer.status == 200
        eventually(lambda: "budgets:of" in redis.ask("KEYS *"), "what was spent is told")
        time.sleep(1.0)
    # Each costs 0.000032, of which 0.000052 are reserved.
    assert 20 <= answered <= 26


def test_one_that_begins_where_a_budget_is_spent(start: Starter, demo: DemoProvider) -> None:
    redis = start(Redis)
    first = sharing(start, demo, redis.url)
    while spend((first,), 10)[0][200]:
        """There is something left."""
    known = spent(first)
    assert known > BUDGET - MOST
    for workers in (1, 2):
        fresh = sharing(start, demo, redis.url, workers)
        assert spend((fresh,), 40) == ({429: 40}, 0.0)
        assert fresh.stop() == 0
    redis.kill()
    # Who hears nothing knows nothing of what is spent.
    fresh = sharing(start, demo, redis.url)
    assert spend((fresh,), 5) == ({503: 5}, 0.0)


def test_one_that_has_ended_in_a_store_that_is_emptied(start: Starter, demo: DemoProvider, tmp_path: Path) -> None:
    redis = start(Redis)
    stays, files = sharing(start, demo, redis.url), tmp_path / "access.sqlite"
    ends = sharing(start, demo, redis.url, files=files)
    costs = [spend((ends,), 5)[1], spend((stays,), 1)[1]]
    assert ends.stop() == 0
    # What nobody has heard when Redis loses it is known to its own machine alone.
    eventually(lambda: abs(spent(stays) - sum(costs)) < 1e-9, "the other machine knows it")
    for _ in range(2):
        redis.ask("FLUSHALL")
        until = time.monotonic() + 4.5
        while time.monotonic() < until:
            assert spent(stays) > sum(costs) - 1e-9
            time.sleep(0.1)
    statuses, more = spend((stays,), 60)
    assert statuses.keys() == {200, 429}
    costs.append(more)
    assert sum(costs) <= BUDGET + MOST
    # When it is back, what it has spent is not counted besides.
    back = sharing(start, demo, redis.url, files=files)
    for proxy in (stays, back):
        eventually(lambda proxy=proxy: abs(spent(proxy) - sum(costs)) < 1e-9, "each knows what both have spent")


def test_one_that_ends_leaves_no_reservation(start: Starter, demo: DemoProvider, redis: Redis) -> None:
    both = tuple(sharing(start, demo, f"{redis.url}/2") for _ in range(2))
    eventually(lambda: sum(shares(*both)) == LIMIT, "they have met")
    key = b"Authorization: Bearer %b\r\n" % RICH.encode()
    stream = open_request(both[1], chat("demo:guard;chunks=8;delay=0.2", stream=True, max_tokens=900), extra=key)
    eventually(lambda: spent(both[0]) > 0.9 * BUDGET, "the other machine knows what it has reserved")
    both[1].child.send_signal(signal.SIGTERM)
    assert b"[DONE]" in read_until(stream, b"[DONE]")
    stream.close()
    assert both[1].child.wait(PATIENCE) == 0
    eventually(lambda: 0 < spent(both[0]) < 0.1 * BUDGET, "only what it has spent counts")


def test_a_budget_in_a_store_that_starts_with_an_older_file(start: Starter, demo: DemoProvider, tmp_path: Path) -> None:
    port = free_port()
    options = ("--port", str(port), "--dir", str(tmp_path))
    redis = start(Redis, port, *options)
    both = tuple(sharing(start, demo, redis.url) for _ in range(2))
    costs = [spend(both[:1], 1)[1]]
    eventually(lambda: abs(spent(both[1]) - costs[0]) < 1e-9, "the other machine knows it")
    assert "OK" in redis.ask("SAVE")
    for _ in range(3):
        costs.append(spend(both[:1], 1)[1])
        eventually(lambda: abs(spent(both[1]) - sum(costs)) < 1e-9, "the other machine knows it")
    redis.kill()
    start(Redis, port, *options)
    costs.append(spend(both[:1], 1)[1])
    for proxy in both:
        eventually(lambda proxy=proxy: abs(spent(proxy) - sum(costs)) < 1e-9, "each knows what both have spent")


def test_a_budget_in_a_store_that_evicts(start: Starter, demo: DemoProvider) -> None:
    redis = start(Redis)
    both = tuple(sharing(start, demo, redis.url) for _ in range(2))
    costs = [spend(both[:1], 1)[1]]
    for part in ("budgets:of:*", "budgets:changes", "budgets"):
        for proxy in both:
            eventually(lambda proxy=proxy: abs(spent(proxy) - sum(costs)) < 1e-9, "each knows what both have spent")
        found = redis.ask(f"KEYS skyproxy:0:{{shares}}:{part}").split()
        redis.ask(f"DEL {' '.join(key for key in found if key.startswith('skyproxy:'))}")
        costs.append(spend(both[1:], 1)[1])
        until = time.monotonic() + 4.0
        while time.monotonic() < until:
            assert min(map(spent, both)) > sum(costs) - MOST
            time.sleep(0.1)
    for proxy in both:
        eventually(lambda proxy=proxy: abs(spent(proxy) - sum(costs)) < 1e-9, "each knows what both have spent")


def test_the_store_is_not_asked_more_for_more_requests(
    both: tuple[Proxy, Proxy], redis: Redis, findings: Findings
) -> None:
    def serve(count: int, seconds: float) -> tuple[int, float]:
        before, began = sum(redis.calls().values()), time.monotonic()
        until = began + seconds

        def several(proxy: Proxy) -> None:
            connection = open_request(proxy, chat("combat"))
            for number in range(count // 2):
                if number:
                    send_request(connection, chat("combat"))
                assert read_until(connection, b'"total_tokens"').startswith(b"HTTP/1.1 200")
            connection.close()

        threads = [threading.Thread(target=several, args=(proxy,)) for proxy in both]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        # What comes by itself comes for as long.
        time.sleep(max(0.0, until - time.monotonic()))
        return sum(redis.calls().values()) - before, time.monotonic() - began

    many, seconds = serve(1000, 0.0)
    few, _ = serve(10, seconds)
    findings.figure(f"commands at Redis in {seconds:.1f} s: {few} with 10 requests, {many} with 1,000")
    # Both say four times a second what they want, at most, and six times besides, by a script of nine commands; one of
    # them answers by four. What budgets tell comes by itself.
    assert many - few < 2 * (4 * seconds + 7) * (9 + 4) + 2 * (seconds + 1) * 4


def test_a_store_that_is_emptied(both: tuple[Proxy, Proxy], demo: DemoProvider, redis: Redis) -> None:
    over, before = threading.Event(), [len(proxy.records(GONE)) for proxy in both]

    def empty() -> None:
        while not over.wait(0.2):
            redis.ask("FLUSHALL")

    emptying = threading.Thread(target=empty)
    emptying.start()
    try:
        assert ask_both(both, 150) == [200] * 150
    finally:
        over.set()
        emptying.join()
    assert demo.stats()["peak_active"] <= LIMIT
    assert [len(proxy.records(GONE)) for proxy in both] == before


def test_a_store_that_is_full(both: tuple[Proxy, Proxy], demo: DemoProvider, redis: Redis) -> None:
    before = [len(proxy.records(GONE)) for proxy in both]
    redis.ask("CONFIG SET maxmemory 1")
    try:
        assert "OOM" in redis.ask("SET some thing")
        # Longer than a lease, and than spending elsewhere may be unknown.
        until = time.monotonic() + 4.0
        while time.monotonic() < until:
            assert ask_both(both, 20) == [200] * 20
        assert spend(both, 2)[0].keys() <= {200, 429}
        eventually(lambda: sum(shares(*both)) == LIMIT, "they share all of it")
    finally:
        redis.ask("CONFIG SET maxmemory 0")
    assert demo.stats()["peak_active"] <= LIMIT
    assert [len(proxy.records(GONE)) for proxy in both] == before


def test_a_store_that_stands_still(both: tuple[Proxy, Proxy], demo: DemoProvider, redis: Redis) -> None:
    told = [len(proxy.records(BACK)) for proxy in both]
    eventually(lambda: sum(shares(*both)) == LIMIT, "they share all of it")
    redis.child.send_signal(signal.SIGSTOP)
    try:
        # With what they have, and then without a lease.
        assert ask_both(both, 40) == [200] * 40
        assert demo.stats()["peak_active"] <= LIMIT
        eventually(lambda: shares(*both) == [12, 12], "each has its even part")
        for proxy in both:
            proxy.record(GONE, level="WARN")
            assert b"skyproxy_shared_limits_leased 0.0\n" in call(proxy, "GET", "/metrics").body
            # Right after the start it would not be worth a word.
            eventually(lambda proxy=proxy: "alone" in told_on_the_page(proxy), "the page says so")
            # What others spend is not known (access.fail is closed).
            eventually(lambda proxy=proxy: spend((proxy,), 1)[0] == {503: 1}, "who has a budget is refused")
        demo.reset()
        assert ask_both(both, 60) == [200] * 60
        assert demo.stats()["peak_active"] <= 24
    finally:
        redis.child.send_signal(signal.SIGCONT)
    for proxy, before in zip(both, told, strict=True):
        eventually(lambda p=proxy, b=before: len(p.records(BACK)) == b + 1, "it is told that the store is back")
    eventually(lambda: spend(both, 2)[0].keys() <= {200, 429}, "what others spend is known again")
    eventually(lambda: sum(shares(*both)) == LIMIT, "they share all of it again")
    assert b"skyproxy_shared_limits_leased 1.0\n" in call(both[0], "GET", "/metrics").body
    assert ask_both(both, 40) == [200] * 40
    assert demo.stats()["peak_active"] <= LIMIT


def test_one_that_stands_still_and_goes_on(both: tuple[Proxy, Proxy], demo: DemoProvider) -> None:
    for stopped, other in (both, both[::-1]):
        stopped.child.send_signal(signal.SIGSTOP)
        try:
            assert ask_both((other,), 40) == [200] * 40
            # For all that anybody knows it goes on with its part, though nobody hears it.
            eventually(lambda other=other: shares(other) == [13], "the other one has what is left")
        finally:
            stopped.child.send_signal(signal.SIGCONT)
        assert ask_both(both, 60) == [200] * 60
        eventually(lambda: sum(shares(*both)) == LIMIT, "they share all of it again")
    assert demo.stats()["peak_active"] <= LIMIT


def test_a_store_that_is_killed(start: Starter, demo: DemoProvider) -> None:
    port = free_port()
    redis = start(Redis, port)
    both = tuple(sharing(start, demo, redis.url) for _ in range(2))
    eventually(lambda: shares(*both) in ([12, 13], [13, 12]), "each has its even part")
    redis.kill()
    assert ask_both(both, 30) == [200] * 30
    for proxy in both:
        assert proxy.record(GONE)["reason"] == "it does not accept connections"
    redis = start(Redis, port)
    for proxy in both:
        proxy.record(BACK)
    assert [len(proxy.records(GONE)) for proxy in both] == [1, 1]
    eventually(lambda: sum(shares(*both)) == LIMIT, "they share all of it again")
    assert demo.stats()["peak_active"] <= LIMIT
    # One that is killed, the one that leads or not, leaves its part after its lease.
    both[0].kill()
    eventually(lambda: shares(both[1]) == [LIMIT], "the other has all of it")
    # Another one comes, and goes in good order.
    third = sharing(start, demo, redis.url)
    eventually(lambda: shares(third, both[1]) in ([12, 13], [13, 12]), "each has its even part")
    assert third.stop() == 0
    eventually(lambda: shares(both[1]) == [LIMIT], "the other has all of it")
    assert len(both[1].records(GONE)) == 1


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="there are no workers here")
def test_two_machines_with_two_workers_each(start: Starter, demo: DemoProvider) -> None:
    server = start(Redis)
    both = tuple(sharing(start, demo, server.url, 2) for _ in range(2))
    eventually(lambda: shares(*both) in ([12, 13], [13, 12]), "each has its even part")
    assert ask_both(both, 200) == [200] * 200
    for proxy in both:
        held = [open_request(proxy, HANG) for _ in range(LIMIT)]
        eventually(lambda: demo.stats()["active"] == LIMIT, "one has all permits")
        for each in held:
            each.close()
        eventually(lambda: demo.stats()["active"] == 0, "they are given back")
    server.child.send_signal(signal.SIGSTOP)
    eventually(lambda: shares(*both) == [12, 12], "each has its even part")
    assert ask_both(both, 60) == [200] * 60
    server.child.send_signal(signal.SIGCONT)
    eventually(lambda: sum(shares(*both)) == LIMIT, "they share all of it again")
    assert ask_both(both, 60) == [200] * 60
    assert demo.stats()["peak_active"] <= LIMIT
    assert both[1].stop() == 0
    eventually(lambda: shares(both[0]) == [LIMIT], "the other has all of it")


def test_over_tls_with_a_password(start: Starter, demo: DemoProvider, tmp_path: Path) -> None:
    authority, port, secret = Authority(), free_port(), "s3cret/with@marks:"
    key, certificate, trusted = authority.write(tmp_path, "localhost")
    start(
        Redis, port, "--port", "0", "--tls-port", str(port), "--tls-cert-file", str(certificate),
        "--tls-key-file", str(key), "--tls-ca-cert-file", str(trusted), "--tls-auth-clients", "no",
        "--requirepass", secret,
    )  # fmt: skip
    env = {"SSL_CERT_FILE": str(trusted), "STORE_PASSWORD": secret}
    good = sharing(start, demo, f"rediss://:${{STORE_PASSWORD}}@localhost:{port}", env=env)
    eventually(lambda: shares(good) == [LIMIT], "it has all of it")
    # The certificate is for no address.
    wrong = sharing(start, demo, f"rediss://:${{STORE_PASSWORD}}@127.0.0.1:{port}", env=env)
    assert wrong.record(GONE)["reason"] == "its TLS certificate is for another host"
    assert ask(wrong, STREAM).status == 200
    refused = sharing(start, demo, f"rediss://:wr0ngpassword@localhost:{port}", env=env)
    assert "WRONGPASS" in refused.record(GONE)["reason"]
    assert not good.records(GONE)
    for proxy in (good, wrong, refused):
        assert proxy.stop() == 0
        said = proxy.log_file.read_text() + "\n".join(proxy.output)
        assert secret not in said and "wr0ng" not in said


def test_sentinels_tell_where_it_is(start: Starter, demo: DemoProvider) -> None:
    first = start(Redis)
    port = free_port()
    second = start(Redis, port, "--port", str(port), "--replicaof", "127.0.0.1", str(first.port))
    eventually(lambda: "master_link_status:up" in second.ask("INFO replication"), "it is a replica")
    sentinel = start(Sentinel, first)
    # The first of its Sentinels is not there.
    proxy = sharing(start, demo, sentinel.url)
    eventually(lambda: shares(proxy) == [LIMIT], "it has all of it")
    first.kill()

    def is_used() -> bool:
        # A Sentinel ends the connections of the one that it has take over, the test's among them.
        with suppress(ConnectionError):
            return bool(second.calls().keys() & {"eval", "evalsha"})
        return False

    eventually(is_used, "it goes on with the other one")
    eventually(lambda: shares(proxy) == [LIMIT], "it has all of it")
    assert ask(proxy, STREAM).status == 200


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_an_upgrade_keeps_to_the_limit(start: Starter, demo: DemoProvider, redis: Redis, findings: Findings) -> None:
    # The old process and the new one are two members for a while.
    settings = {"shared": f"{redis.url}/1", "drain_timeout": "60s"}
    proxy: Upgraded = start(Upgraded, config_for(demo, settings, max_concurrent=4, max_pending=200))
    eventually(lambda: shares(proxy) == [4], "it has all of it")
    upgraded_under_load(proxy, 2, 400, findings)
    assert demo.stats()["peak_active"] <= 4
    eventually(lambda: shares(proxy) == [4], "the new one has all of it")
    assert proxy.stop() == 0
