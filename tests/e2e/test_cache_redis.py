"""Answers that several skyproxies keep in one Redis, which others use, too, and which stands still, is full or gone."""

from __future__ import annotations

import shutil
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import yaml

from tests.e2e.conftest import Starter, config_for
from tests.e2e.processes import DemoProvider, Proxy, eventually
from tests.e2e.raw import Answer, ask, call, chat, open_request
from tests.e2e.redis_server import Redis
from tests.redis_commands import documented

if shutil.which("redis-server") is None:
    pytest.skip("there is no Redis: apt-get install redis-server", allow_module_level=True)
pytest.importorskip("txredisapi")

GONE = "The store of kept answers is not to be used: requests go on without"
BACK = "The store of kept answers is there again"
ENTRIES = "skyproxy:{answers}:1:entry:"


@pytest.fixture(scope="module")
def redis(start_for_module: Starter) -> Redis:
    server: Redis = start_for_module(Redis)
    return server


@pytest.fixture(scope="module")
def both(start_for_module: Starter, demo: DemoProvider, redis: Redis) -> list[Proxy]:
    """Two that keep answers in one place."""
    config = config_for(demo, {"cache": {"address": redis.url, "max_bytes": "1MB"}}, cache={"store": "redis"})
    proxies = [start_for_module(Proxy, config) for _ in range(2)]
    for each in proxies:
        number = iter(range(1000))
        eventually(lambda e=each, n=number: ask(e, about(f"{e.origin} {next(n)}")) and size(e), "it keeps answers")
    return proxies


def about(subject: str, stream: bool = False) -> dict[str, object]:
    """What is asked about *subject*."""
    return chat("combat", stream, user=subject)


def told(answer: Answer) -> str | None:
    assert answer.status == 200
    return answer.headers.get("x-skyproxy-cache")


def size(proxy: Proxy) -> float:
    """Entries that *proxy* knows of."""
    lines = call(proxy, "GET", "/metrics").body.decode().splitlines()
    return float(next(line for line in lines if line.startswith('skyproxy_cache_entries{store="redis"}')).split()[1])


def keys(redis: Redis) -> set[str]:
    """Of the answers that are kept there."""
    found = redis.ask(f"KEYS {ENTRIES}*").splitlines()
    return {line for line in found if line.startswith(ENTRIES) and len(line) == len(ENTRIES) + 64}


def kept(redis: Redis, proxy: Proxy, subject: str, stream: bool = False) -> str:
    """Have an answer kept; the key that it has in Redis."""
    before = keys(redis)
    assert told(ask(proxy, about(subject, stream))) == "miss"
    eventually(lambda: keys(redis) - before, "it is kept")
    return (keys(redis) - before).pop()


def purge(proxy: Proxy) -> None:
    session = call(proxy, "GET", "/api/session", headers={"Origin": proxy.origin})
    cookie = session.headers["set-cookie"].partition(";")[0]
    headers = {"Cookie": cookie, "Origin": proxy.origin, "X-Skyproxy-Csrf": session.json()["csrf"]}
    assert call(proxy, "POST", "/api/cache/purge", {}, headers).status == 200


def test_what_one_was_told_the_other_knows(both: list[Proxy], demo: DemoProvider, redis: Redis) -> None:
    first, second = both
    for stream in (False, True):
        key = kept(redis, first, "them", stream)
        demo.reset()
        answers = [ask(each, about("them", stream)) for each in both]
        assert [told(each) for each in answers] == ["hit", "hit"]
        assert answers[0].body == answers[1].body and 0 <= int(answers[1].headers["age"]) < 300
        assert 299_000 - 60_000 < int(redis.ask(f"PTTL {key}").split()[0].removeprefix(":")) <= 300_000
    assert answers[1].body.endswith(b"data: [DONE]\n\n")
    # What is another's stays another's.
    assert told(ask(second, about("them"), {"Authorization": "Bearer somebody-else"})) == "miss"
    assert demo.stats()["total"] == 1


@pytest.mark.parametrize(
    "spoil",
    [
        "SET {} foreign",
        "SETRANGE {} 60 foreign",
        "APPEND {} more",
        "SETRANGE {} 16 2",
        "PERSIST {}",
        "RENAME {} elsewhere",
        "DEL skyproxy:{{answers}}:1:generation",
        "SET skyproxy:{{answers}}:1:generation foreign",
    ],
)
def test_nothing_but_an_answer_of_its_own_is_taken_for_one(
    both: list[Proxy], demo: DemoProvider, redis: Redis, spoil: str
) -> None:
    key = kept(redis, both[0], spoil)
    redis.ask(spoil.format(key))
    assert told(ask(both[1], about(spoil))) == "miss"
    # It is replaced.
    eventually(lambda: told(ask(both[0], about(spoil))) == "hit", "it is kept again")
    assert not both[0].records(GONE) and not both[1].records(GONE)


@pytest.mark.parametrize("name", ["use", "ends", "costs", "generation", "entry"])
def test_what_others_put_in_the_place_of_its_own_is_replaced(both: list[Proxy], redis: Redis, name: str) -> None:
    key = kept(redis, both[0], name) if name == "entry" else f"skyproxy:{{answers}}:1:{name}"
    redis.ask(f"DEL {key}")
    redis.ask(f"RPUSH {key} foreign")
    assert told(ask(both[1], about(name))) == "miss"
    eventually(lambda: told(ask(both[0], about(name))) == "hit", "it is kept")
    assert not both[0].records(GONE) and not both[1].records(GONE)


def test_a_purge_forgets_answers_and_nothing_else(both: list[Proxy], redis: Redis) -> None:
    foreign = {"skyproxy:{answers}:0:entry:old", "skyproxy:{answers}:1:entry:foreign", "other"}
    for each in foreign:
        redis.ask(f"SET {each} something")
    kept(redis, both[0], "purged")
    purge(both[1])
    assert told(ask(both[1], about("purged"))) == "miss"
    # The other one hears of it from Redis.
    eventually(lambda: len(keys(redis)) == 1, "the others are deleted, and it is kept")
    assert told(ask(both[0], about("purged"))) == "hit"
    assert {each for each in foreign if redis.ask(f"EXISTS {each}").startswith(":1")} == foreign


def test_its_space_is_bounded_and_the_least_recently_used_go_first(both: list[Proxy], redis: Redis) -> None:
    purge(both[0])
    large = chat("demo:guard;size=20000;chunks=5;delay=0", stream=True)
    key = kept(redis, both[0], "kept")
    assert told(ask(both[0], {**large, "user": "0"})) == "miss"
    for number in range(1, 20):
        assert told(ask(both[number % 2], {**large, "user": str(number)})) == "miss"
        assert told(ask(both[0], about("kept"))) == "hit"
    # Ten of them would be more than 1 MB.
    eventually(lambda: size(both[1]) == 10 == len(keys(redis)), "some went")
    assert key in keys(redis)
    assert told(ask(both[0], {**large, "user": "0"})) == "miss"


def test_two_machines_ask_once(both: list[Proxy], demo: DemoProvider, redis: Redis) -> None:
    body = chat("demo:guard;first=0.5", temperature=0)
    demo.reset()
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda number: ask(both[number % 2], body), range(20)))
    assert demo.stats()["total"] == 1
    assert {(each.status, each.body) for each in answers} == {(200, answers[0].body)}
    assert [told(each) for each in answers].count("miss") == 1
    # Streams are not waited for.
    demo.reset()
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda each: ask(each, {**body, "stream": True}), both))
    assert demo.stats()["total"] == 2
    assert not redis.ask("KEYS skyproxy:{answers}:1:claim:*").startswith("*1")


def test_a_user_with_the_commands_of_the_guide_and_no_others(start: Starter, demo: DemoProvider, redis: Redis) -> None:
    commands = " ".join(f"+{each.lower()}" for each in documented("skyproxy:{answers}:*"))
    assert redis.ask(f"ACL SETUSER keeper on >secret ~skyproxy:{{answers}}:* -@all {commands}") == "+OK\r\n+OK\r\n"
    address = redis.url.replace("://", "://keeper:secret@") + "/2"
    proxy = start(Proxy, config_for(demo, {"cache": {"address": address}}, cache={"store": "redis"}))

    def entries() -> int:
        return redis.ask("SELECT 2\r\nKEYS *").count(ENTRIES)

    number = iter(range(1000))
    eventually(lambda: ask(proxy, about(f"keeper {next(number)}")) and size(proxy), "it keeps answers")
    # It claims this, which takes longer than until it renews the claim, and gives the claim up.
    slow = chat("demo:guard;first=1.2", temperature=0)
    assert [told(ask(proxy, slow)), told(ask(proxy, slow))] == ["miss", "hit"]
    assert entries() > 1
    purge(proxy)
    eventually(lambda: not entries(), "all is deleted")
    assert redis.ask("ACL LOG").startswith("*0")
    assert not proxy.records(GONE)


def test_a_machine_that_fails_or_is_killed_while_another_waits(
    start: Starter, both: list[Proxy], demo: DemoProvider, redis: Redis
) -> None:
    def claims() -> bool:
        return redis.ask("KEYS skyproxy:{answers}:1:claim:*").startswith("*1")

    def both_ask(first: Proxy, body: dict[str, object]) -> Answer:
        """What the second one gets, of two that ask one after the other."""
        demo.reset()
        asked = open_request(first, body)
        eventually(claims, "it has claimed")
        with ThreadPoolExecutor(1) as pool:
            answer = pool.submit(ask, both[1], body)
            if first not in both:
                first.kill()
            found = answer.result()
        asked.close()
        return found

    failed = both_ask(both[0], chat("demo:guard;first=0.5;fail=1;status=400", temperature=0))
    assert (told(failed), demo.stats()["total"]) == ("miss", 2)
    third = start(Proxy, yaml.safe_load((both[0].folder / "proxy.yaml").read_text()))
    number = iter(range(1000))
    eventually(lambda: ask(third, about(f"third {next(number)}")) and size(third), "it keeps answers")
    began = time.monotonic()
    killed = both_ask(third, chat("demo:guard;hang;fail=1", temperature=0))
    assert (told(killed), demo.stats()["total"]) == ("miss", 2)
    print(f"seconds until another machine asks in the place of one that is gone: {time.monotonic() - began:.1f}")


def test_one_that_is_full_stands_still_or_is_gone_is_gone_without(
    both: list[Proxy], demo: DemoProvider, redis: Redis
) -> None:
    first, second = both
    kept(redis, first, "before")
    redis.ask("CONFIG SET maxmemory 1")
    assert told(ask(first, about("full"))) == "miss"
    assert "OOM" in first.record(GONE, level="WARN")["reason"]
    assert told(ask(first, about("before"))) == "hit"
    redis.ask("CONFIG SET maxmemory 0")
    assert told(ask(first, about("no longer full"))) == "miss"
    first.record(BACK)

    redis.child.send_signal(signal.SIGSTOP)
    try:
        began = time.monotonic()
        assert [told(ask(second, about(f"still {number}"))) for number in range(20)] == ["miss"] * 20
        print(f"20 requests, one after the other, before a Redis that stands still: {time.monotonic() - began:.2f} s")
        second.record(GONE, level="WARN")
    finally:
        redis.child.send_signal(signal.SIGCONT)
    second.record(BACK)
    assert told(ask(second, about("before"))) == "hit"

    redis.kill()
    assert [told(ask(each, about("gone"))) for each in both * 3] == ["miss"] * 6
    for each in both:
        assert len(each.records(GONE)) == 1
        assert b'skyproxy_cache_dropped_total{store="redis"} 0' not in call(each, "GET", "/metrics").body
        assert each.stop() == 0
