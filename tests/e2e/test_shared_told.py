"""What one of several machines finds out, or people do at it, holds at all that share a Redis."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from skyproxy.access.keys import digest, hash_of, new_key
from skyproxy.access.store import ClientStore
from skyproxy.config.access import ClientSettings
from skyproxy.process.notices.kept import MOST_KEPT, READ, TELL
from tests.e2e.conftest import Starter
from tests.e2e.findings import Findings
from tests.e2e.processes import DemoProvider, Proxy, eventually
from tests.e2e.raw import Answer, ask, call, chat
from tests.e2e.redis_server import Redis, free_port
from tests.e2e.test_commands import skyproxy

if shutil.which("redis-server") is None:
    pytest.skip("there is no Redis: apt-get install redis-server", allow_module_level=True)
pytest.importorskip("txredisapi")
pytestmark = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="there are no workers here")

WORKERS = 2
ADMIN, GUEST = new_key(), new_key()
FROM_MACHINE, FROM_WORKER = "Heard of another machine", "Heard of another worker"


class Machine(Proxy):
    """One of them. The configuration says the same on each but for the second key, and a profile.

    :param profiles: more of them.
    """

    def __init__(
        self,
        cwd: Path,
        demo: DemoProvider,
        redis: str,
        workers: int,
        second: str,
        profiles: dict[str, Any] | None = None,
    ) -> None:
        store = cwd / "clients"
        ClientStore(store).create("guest", "client", ClientSettings(), digest(GUEST.encode()))
        plain = {"base_url": demo.base_url, "dialect": "local", "max_retries": 0, "breaker": "off", "rate_guard": "off"}
        config = {
            "proxy": {"drain_timeout": "2s", "shared": redis, "workers": workers},
            "access": {"required": True, "store": str(store), "admin": {"key_hash": hash_of(ADMIN)}},
            "providers": {
                "limited": {**plain, "rate_guard": "on"},
                "keyed": {**plain, "rate_guard": "on", "api_key_env": ["FIRST_SECRET", "SECOND_SECRET"]},
                "broken": {**plain, "breaker": {"open_for": "600s"}},
                "kept": {**plain, "cache": {"ttl": "600s"}},
                "spare": plain,
            },
            "model_slots": {
                "default": {"provider": "spare", "model": "guard"},
                "broken": {"provider": "broken", "model": "guard;status=500;fail=5", "fallbacks": ["spare:guard"]},
            },
            "profiles": {"quiet": {"default": "limited:guard"}, **(profiles or {})},
        }
        runtime = cwd / "run"
        runtime.mkdir(mode=0o700)
        self.env = {"XDG_RUNTIME_DIR": str(runtime), "FIRST_SECRET": "first", "SECOND_SECRET": second}
        super().__init__(cwd, config, env=self.env)

    def ask(self, model: str, key: str = ADMIN) -> Answer:
        """A chat request on a connection of its own: to either worker."""
        return ask(self, chat(model), {"Authorization": f"Bearer {key}"})

    def provider(self, slot: str) -> str:
        """That answers for *slot*."""
        return self.ask(slot).headers["x-skyproxy-provider"]

    def by_hand(self, path: str, sent: dict[str, Any]) -> Any:
        """Something that people do."""
        answer = call(self, "POST", path, sent, {"Authorization": f"Bearer {ADMIN}"})
        assert answer.status == 200, answer
        return answer.json()

    def stats(self) -> Any:
        return call(self, "GET", "/api/stats", None, {"Authorization": f"Bearer {ADMIN}"}).json()

    def notices(self) -> dict[str, int]:
        """How many were told, heard and ignored."""
        counts: dict[str, int] = self.stats()["shared_limits"]["notices"]
        return counts

    def heard(self, found: str, about: str, by: str = FROM_MACHINE) -> list[dict[str, Any]]:
        return [each for each in self.records(by) if (each["found"], each["about"]) == (found, about)]


@pytest.fixture(scope="module")
def redis(start_for_module: Starter) -> Redis:
    server: Redis = start_for_module(Redis, free_port())
    return server


@pytest.fixture(scope="module")
def alone(start_for_module: Starter, demo: DemoProvider, redis: Redis) -> Machine:
    machine: Machine = start_for_module(Machine, demo, redis.url, 1, "second", {"mine": {"default": "kept:guard"}})
    return machine


@pytest.fixture(scope="module")
def parent(start_for_module: Starter, demo: DemoProvider, redis: Redis) -> Machine:
    machine: Machine = start_for_module(Machine, demo, redis.url, WORKERS, "s3cond-elsewhere")
    eventually(lambda: all(each["serves"] for each in machine.stats()["workers"]), "all serve")
    return machine


@pytest.fixture(autouse=True)
def both_there(alone: Machine, parent: Machine, redis: Redis) -> None:
    """Both hear what is told."""
    channel = "skyproxy:0:{shares}:told"
    eventually(lambda: f":{2}\r\n" in redis.ask(f"PUBSUB NUMSUB {channel}"), "both hear")


def all_hear(machine: Machine, found: str, about: str) -> None:
    """Wait until each process of *machine* has heard it."""
    eventually(lambda: machine.heard(found, about), f"it hears of {about}: {found}")
    if len(machine.stats().get("workers", ())) > 1:
        told: Callable[[], bool] = lambda: len(machine.heard(found, about, FROM_WORKER)) == WORKERS  # noqa: E731
        eventually(told, f"its workers hear of {about}: {found}")


def asked(demo: DemoProvider, model: str) -> int:
    """How many requests for *model* have reached the provider."""
    return sum((each["body"] or {}).get("model") == model for each in demo.requests(2000))


def key_of(demo: DemoProvider) -> str:
    """The key that the last request brought; what is asked about the server itself is none."""
    last = [each for each in demo.requests(20) if each["body"]][-1]
    headers = {name.lower(): value for name, value in last["headers"].items()}
    return str(headers["authorization"]).removeprefix("Bearer ")


def test_a_rest_holds_for_its_model_alone(alone: Machine, parent: Machine, demo: DemoProvider) -> None:
    for number, (first, other) in enumerate(((alone, parent), (parent, alone))):
        model = f"guard;status=429;retry_after=600;fail=1;size={number + 1}"
        assert first.ask(f"limited:{model}").status == 429
        all_hear(other, "ModelRests", model)
        for _ in range(4):
            answer = other.ask(f"limited:{model}")
            assert answer.status == 503 and 500 < int(answer.headers["retry-after"]) <= 600, answer
        assert other.ask("limited:guard").status == 200
        assert asked(demo, model) == 1


def test_a_refused_key_is_put_aside_where_it_is_the_same(alone: Machine, parent: Machine, demo: DemoProvider) -> None:
    # The second key is another one on each machine.
    assert alone.ask("keyed:guard;status=401;fail=1").status == 200
    all_hear(parent, "KeyRefused", "FIRST_SECRET")
    for _ in range(4):
        assert parent.ask("keyed:guard").status == 200
        assert key_of(demo) == "s3cond-elsewhere"
    parent.by_hand("/api/key/back", {"provider": "keyed", "key": "FIRST_SECRET"})
    # Keys are taken in turn: of the least busy the first.
    eventually(lambda: (alone.ask("keyed:guard").status, key_of(demo)) == (200, "first"), "it is used there, too")
    assert not parent.heard("KeyRefused", "SECOND_SECRET")


def test_a_breaker_that_opens_is_open_on_all(alone: Machine, parent: Machine, demo: DemoProvider) -> None:
    model = "guard;status=500;fail=5"
    for _ in range(5):
        assert alone.provider("broken") == "spare"
    all_hear(parent, "BreakerOpened", model)
    assert {parent.provider("broken") for _ in range(4)} == {"spare"}
    assert asked(demo, model) == 5
    assert parent.ask("broken:guard").headers["x-skyproxy-provider"] == "broken"
    (state,) = [each for each in parent.stats()["providers"]["broken"]["deployments"] if each["model"] == model]
    assert state["breaker"]["state"] == "open"
    parent.by_hand("/api/breaker/close", {"provider": "broken", "model": model})
    all_hear(alone, "BreakerClosed", model)
    assert alone.provider("broken") == "broken"
    assert not parent.records("Circuit breaker opened"), "it is counted and logged once"


def test_a_purge_empties_the_caches_of_all(alone: Machine, parent: Machine, findings: Findings) -> None:
    def result(machine: Machine) -> str:
        return machine.ask("kept:guard").headers["x-skyproxy-cache"]

    for first, other in ((alone, parent), (parent, alone)):
        eventually(lambda other=other: {result(other) for _ in range(4)} == {"hit"}, "all of its workers have it")
        before = {each: len(each.records("Changed by hand")) for each in (first, other)}
        first.by_hand("/api/cache/purge", {})
        for each, count in before.items():
            eventually(lambda each=each, n=count: len(each.records("Changed by hand")) > n, "it is done, and logged")
        assert result(other) == "miss"
        seconds = at(other.records("Changed by hand")[-1]) - at(first.records("Changed by hand")[-1])
        findings.most("seconds from a purge to its being done on another machine", seconds, 0.2, "s")


def test_a_profile_is_used_by_all_that_have_it(alone: Machine, parent: Machine) -> None:
    parent.by_hand("/api/profile/quiet", {})
    eventually(lambda: alone.provider("default") == "limited", "the other uses it, too")
    alone.by_hand("/api/profile/off", {})
    eventually(lambda: {parent.provider("default") for _ in range(4)} == {"spare"}, "neither uses it")
    alone.by_hand("/api/profile/mine", {})
    missing = "Another machine uses a profile that the configuration here does not have: nothing is changed here"
    assert parent.record(missing, level="WARN")["profile"] == "mine"
    assert parent.provider("default") == "spare"
    alone.by_hand("/api/profile/off", {})
    assert len(parent.records(missing)) == 1


def test_a_client_that_is_revoked_on_one_has_no_key_on_any(alone: Machine, parent: Machine) -> None:
    assert (alone.ask("default", GUEST).status, parent.ask("default", GUEST).status) == (200, 200)
    done = skyproxy(alone.folder, "keys", "revoke", "guest", env=alone.env)
    assert done.returncode == 0, done.stderr
    eventually(lambda: parent.ask("default", GUEST).status == 401, "the other refuses it")
    assert [parent.ask("default", GUEST).status for _ in range(4)] == [401] * 4
    assert parent.ask("default").status == 200


def at(record: dict[str, Any]) -> float:
    return datetime.fromisoformat(record["timestamp"].replace("Z", "+00:00")).timestamp()


def test_it_is_told_soon_and_seldom(alone: Machine, parent: Machine, redis: Redis, findings: Findings) -> None:
    seconds = []
    for number in range(4):
        first, other = ((alone, parent), (parent, alone))[number % 2]
        model = f"guard;status=500;size={number}"
        for _ in range(5 if first is alone else 9):
            # The workers of one machine count failures each for itself.
            first.ask(f"broken:{model}")
        all_hear(other, "BreakerOpened", model)
        by = FROM_WORKER if other is parent else FROM_MACHINE
        opened = first.record("Circuit breaker opened", model=model)
        seconds.append(max(map(at, other.heard("BreakerOpened", model, by))) - at(opened))
    findings.most("seconds from the opening of a breaker to its being open on another machine", max(seconds), 0.2, "s")
    findings.figure("one by one: " + ", ".join(f"{each * 1000:.0f} ms" for each in seconds))

    # A provider that flaps: each of its models rests by itself.
    before, told = redis.calls().get("publish", 0), alone.notices()["told"]
    for number in range(60):
        assert alone.ask(f"limited:guard;status=429;fail=1;retry_after=600;size={100 + number}").status == 429
    all_hear(parent, "ModelRests", "guard;status=429;fail=1;retry_after=600;size=159")
    assert alone.notices()["told"] - told == 60
    published = redis.calls().get("publish", 0) - before
    findings.figure(f"60 rests: {published} messages in all, reports of shares among them")


def test_what_is_no_notice_is_ignored(alone: Machine, redis: Redis) -> None:
    before = alone.notices()["ignored"]
    for each in ("nonsense", "1 [1,2]", '1 [1,\\"x\\",[[1]]]', "x" * 70_000):
        redis.ask(f'PUBLISH skyproxy:0:{{shares}}:told "{each}"')
    eventually(lambda: alone.notices()["ignored"] == before + 4, "it is counted")
    figures = call(alone, "GET", "/metrics", None, {"Authorization": f"Bearer {ADMIN}"}).body
    assert b'skyproxy_shared_notices_total{notice="ignored"} %d.0\n' % (before + 4) in figures
    assert alone.ask("default").status == 200


def test_what_the_store_keeps(redis: Redis) -> None:
    def tell(*states: tuple[str, str, int, str]) -> None:
        words = [str(word).encode() for state in states for word in state]
        assert redis.send(b"EVAL", TELL.encode(), b"1", b"kept", b"channel", b"", *words) == b":1\r\n"

    def kept() -> list[bytes]:
        return redis.send(b"EVAL", READ.encode(), b"1", b"kept").split(b"\r\n")[3::3]

    tell(("a", "", 60_000, "long"), ("b", "05", 60_000, "fifth"), ("c", "", 60_000, "over"), ("d", "07", 60_000, "x y"))
    tell(
        ("a", "", 50_000, "shorter"),
        ("b", "04", 60_000, "stale"),
        ("c", "~", 0, ""),
        ("d", "06", 0, ""),
        ("e", "1", 0, ""),
    )
    assert sorted(kept()) == [b"fifth", b"long", b"x y"]
    tell(("a", "", 70_000, "longer"), ("b", "05", 0, ""), ("d", "08", 60_000, "x z"))
    assert sorted(kept()) == [b"longer", b"x z"]
    # What others write there is passed over.
    redis.send(b"ZADD", b"kept", b"9999999999999", b"hash", b"9999999999999", b"text", b"9999999999999", b"gone")
    redis.send(b"HSET", b"kept:hash", b"a", b"b")
    redis.send(b"SET", b"kept:text", b"nonsense")
    assert sorted(kept()) == [b"longer", b"x z"]
    # Those that end last stay.
    tell(*((f"many{number}", "", 100_000 + number, f"{number}") for number in range(MOST_KEPT + 20)))
    assert len(kept()) == MOST_KEPT - 3 and b"longer" not in kept() and b"23" in kept()
    assert int(redis.send(b"EXISTS", b"kept:a", b"kept:many0")[1:-2]) == 0
    assert 0 < int(redis.send(b"PTTL", b"kept:many99")[1:-2]) <= 100_099
    tell(("short", "", 1, "now"))
    eventually(lambda: b"now" not in kept(), "it ends by itself")
    redis.send(b"DEL", b"kept")


def test_one_that_begins_knows_what_holds(
    start: Starter, alone: Machine, parent: Machine, demo: DemoProvider, redis: Redis
) -> None:
    model = "guard;status=429;retry_after=900;fail=1"
    assert alone.ask(f"limited:{model}").status == 429
    all_hear(parent, "ModelRests", model)
    parent.by_hand("/api/profile/quiet", {})
    third = start(Machine, demo, redis.url, 1, "second")
    all_hear(third, "ModelRests", model)
    refused = third.ask(f"limited:{model}")
    assert refused.status == 503 and int(refused.headers["retry-after"]) > 600
    assert asked(demo, model) == 1
    eventually(lambda: third.provider("default") == "limited", "it uses the profile that all use")
    eventually(lambda: third.ask("default", GUEST).status == 401, "it has heard who was revoked")
    # After a restart of the store, which keeps nothing, who goes on tells it again.
    port = redis.port
    redis.kill()
    assert alone.ask("default").status == 200
    again = start(Redis, port)
    eventually(lambda: "skyproxy:0:{shares}:told:model" in again.ask("KEYS *told*"), "it is there again")
