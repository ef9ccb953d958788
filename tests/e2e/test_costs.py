"""The ledger of costs before a provider that fails in many ways: it balances, over restarts and kills."""

from __future__ import annotations

import asyncio
import json
import os
import random
import sqlite3
import stat
import subprocess
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.commands import PROGRAM
from tests.e2e.conftest import Starter, config_for
from tests.e2e.processes import LOOPBACK, PATIENCE, TWISTD, DemoProvider, Proxy, environment, eventually, run_to_end
from tests.e2e.raw import ask, chat

REQUESTS = int(os.environ.get("SKYPROXY_TEST_REQUESTS", "600"))
"""The balance was also tried with 10,000."""

CLIENTS = 20

SLOTS = {
    "default": {"model": "guard;delay=0.002"},
    "combat": {"model": "guard;first=0.2;delay=0", "hedge_after": "50ms", "fallbacks": ["other:a;delay=0"]},
    "slow": {"model": "guard;delay=0", "hedge_after": "1ms", "fallbacks": ["other:b;first=0.3;delay=0"]},
    "memory": {"model": "guard;status=503", "fallbacks": ["other:c;delay=0"]},
    "broken": {"model": "guard;status=500"},
    "late": {"model": "guard;hang", "default_timeout": "200ms", "fallbacks": ["other:d;delay=0"]},
    "cut": {"model": "guard;cut=3;delay=0"},
    "error": {"model": "guard;error_in_stream=2;delay=0"},
    "unsaid": {"model": "guard;usage=false;delay=0"},
    "wrong": {"model": "guard;status=400"},
    "shared": {"model": "guard;delay=0.01", "coalesce": True},
    "kept": {"model": "guard;delay=0", "cache": {"ttl": "1h"}},
}


def config(demo: DemoProvider, ledger: Path, **proxy: Any) -> dict[str, Any]:
    made = config_for(demo, {"costs_file": str(ledger), **proxy}, max_retries=1, max_pending=5)
    made["providers"]["other"] = {**made["providers"]["demo"], "max_pending": 100}
    made["model_slots"] = {name: {"provider": "demo", **slot} for name, slot in SLOTS.items()}
    made["prices"] = {
        "demo:*": {"prompt": 1, "completion": 2},
        "other:*": {"prompt": 3, "completion": 4, "currency": "EUR"},
    }
    return made


def read(proxy: Proxy, path: str) -> dict[str, Any]:
    with urllib.request.urlopen(f"{proxy.origin}{path}", timeout=PATIENCE) as answer:
        found: dict[str, Any] = json.load(answer)
    return found


async def crowd(proxy: Proxy, count: int, seed: int) -> int:
    """Ask *count* times, for everything; some leave early. The number of those that left."""
    chance, todo, left = random.Random(seed), iter(range(count)), 0

    async def client() -> None:
        nonlocal left
        for number in todo:
            slot = chance.choice([*SLOTS, "nobody", "demo:guard;delay=0"])
            seed_of = number % 3 if slot in ("shared", "kept") else number
            body = json.dumps(chat(slot, stream=chance.random() < 0.7, seed=seed_of)).encode()
            reader, writer = await asyncio.open_connection(*proxy.address)
            writer.write(
                b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
            )
            await writer.drain()
            if chance.random() < 0.1:
                left += 1
                await asyncio.sleep(chance.random() * 0.2)
            else:
                await reader.read(-1)
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    await asyncio.gather(*(client() for _ in range(CLIENTS)))
    return left


def over(proxy: Proxy, arrived: int) -> bool:
    """Whether so many requests have arrived, and none is under way.

    Of those who have left, some may still wait to be read; and some never arrive, where a busy machine finds them gone
    before it has looked at what they want.
    """
    book = read(proxy, "/api/book")
    return bool(book["arrived"] >= arrived and book["under_way"] == 0)


def logged_tokens(proxy: Proxy) -> int:
    """From the log, which knows nothing of the ledger."""
    records = [each for each in proxy.records() if "outcome" in each]
    return sum(
        each.get("tokens_prompt", 0) + each.get("tokens_completion", 0) + each.get("given_up_tokens", 0)
        for each in records
    )


def metrics_of(proxy: Proxy) -> dict[str, dict[str, float]]:
    """The sums of its metrics, by their names and by the label that tells what they count."""
    with urllib.request.urlopen(f"{proxy.origin}/metrics", timeout=PATIENCE) as answer:
        text = answer.read().decode()
    found: dict[str, dict[str, float]] = {}
    for family in text_string_to_metric_families(text):
        for name, labels, value, *_ in family.samples:
            label = labels.get("outcome") or labels.get("kind") or labels.get("result") or ""
            sums = found.setdefault(name.removeprefix("skyproxy_"), {})
            sums[label] = sums.get(label, 0.0) + value
    return found


def test_all_tell_the_same(start: Starter, demo: DemoProvider, tmp_path: Path) -> None:
    """The log, the book, the costs, the figures, the metrics, the chart and the list, of requests of all outcomes."""
    made = config(demo, tmp_path / "costs.sqlite")
    made["providers"]["keyless"] = {**made["providers"]["demo"], "api_key_env": "NOBODY_HAS_THIS_KEY"}
    proxy: Proxy = start(Proxy, made)
    assert ask(proxy, chat("keyless:guard")).status == 503
    left = asyncio.run(crowd(proxy, REQUESTS // 2, 3))
    eventually(lambda: over(proxy, REQUESTS // 2 + 1 - left), "all is over")

    def look() -> list[Any] | None:
        paths = ("book", "costs", "stats", "series?minutes=60", "requests?limit=1")
        found = [*(read(proxy, f"/api/{path}") for path in paths), metrics_of(proxy)]
        return found if read(proxy, "/api/book")["arrived"] == found[0]["arrived"] else None

    book, spent, stats, series, listed, metrics = eventually(look, "nobody comes any more")
    points = series["points"]
    eventually(lambda: len([each for each in proxy.records() if "outcome" in each]) == book["arrived"], "all is logged")
    records = [each for each in proxy.records() if "outcome" in each]

    def summed(some: Iterable[Mapping[str, float]]) -> dict[str, float]:
        sums: dict[str, float] = {}
        for each in some:
            for name, value in each.items():
                sums[name] = sums.get(name, 0.0) + value
        return sums

    outcomes = dict(Counter(each["outcome"] for each in records))
    assert len(outcomes) == 6, outcomes
    assert {name: book[name] for name in outcomes} == outcomes
    assert spent["outcomes"] == outcomes
    assert summed(each["outcomes"] for each in stats["slots"].values()) == outcomes
    assert metrics["requests_total"] == outcomes
    assert listed["counts"]["all"] == listed["kept"] == len(records)

    tokens = logged_tokens(proxy)
    of_providers = summed(each["tokens"] for each in stats["providers"].values())
    assert of_providers["prompt"] + of_providers["completion"] == tokens
    assert spent["tokens"]["prompt"] + spent["tokens"]["completion"] == book["tokens"]["records"] == tokens
    assert sum(metrics["tokens_total"].values()) == tokens
    assert sum(each["tokens"] for each in points) == tokens

    assert set(spent["cost"]) == {"USD", "EUR"}
    for other in (
        summed(each["cost"] for each in stats["providers"].values()), summed(each["cost"] for each in points),
        {name: sum(metrics[f"cost_{name.lower()}_total"].values()) for name in spent["cost"]},
    ):  # fmt: skip
        assert other == pytest.approx(spent["cost"])

    assert sum(each["answered"] + each["rescued"] for each in points) == outcomes["ok"]
    assert sum(each["rescued"] for each in points) == listed["counts"]["rescued"] == spent["rescued"]
    kept = Counter(each["cache"] for each in records if "cache" in each)
    assert listed["counts"]["cached"] == kept["hit"] + kept["coalesced"]
    # A look into the cache counts, too, if the client does not get its answer.
    assert metrics["cache_lookups_total"] == stats["cache"]
    assert all(stats["cache"][name] >= count > 0 for name, count in kept.items())
    for sentence, name in (("Retrying", "retries"), ("Falling back", "fallbacks"), ("Hedging", "hedges")):
        number = sum(each[name] for each in stats["providers"].values())
        assert sum(metrics[f"{name}_total"].values()) == number > 0, sentence
        told = len(proxy.records(sentence))
        # Some leave before they are asked for again.
        assert told >= number if name == "retries" else told == number, sentence


def test_it_balances_over_a_restart(start: Starter, demo: DemoProvider, tmp_path: Path) -> None:
    ledger = tmp_path / "costs.sqlite"
    first: Proxy = start(Proxy, config(demo, ledger))
    left = asyncio.run(crowd(first, REQUESTS // 2, 1))
    eventually(lambda: over(first, REQUESTS // 2 - left), "all is over")
    book = read(first, "/api/book")
    assert book["balances"], book
    assert first.stop() == 0

    second: Proxy = start(Proxy, config(demo, ledger))
    arrived = read(second, "/api/book")["arrived"]
    assert REQUESTS // 2 - left <= arrived <= REQUESTS // 2
    left = asyncio.run(crowd(second, REQUESTS // 2, 2))
    eventually(lambda: over(second, arrived + REQUESTS // 2 - left), "all is over")
    with urllib.request.urlopen(f"{second.origin}/metrics", timeout=PATIENCE) as answer:
        assert "skyproxy_hedge_cost_usd_total{" in answer.read().decode()
    assert second.stop() == 0

    # What a stop has left, nobody adds to any more.
    third: Proxy = start(Proxy, config(demo, ledger))
    book, spent = read(third, "/api/book"), read(third, "/api/costs?period=all")
    assert book["balances"], book
    assert arrived + REQUESTS // 2 - left <= book["arrived"] <= arrived + REQUESTS // 2
    assert book["lost"] == 0
    for outcome in ("ok", "client_error", "upstream_error", "failed", "cancelled"):
        assert book[outcome] > 0, book
    said = book["tokens"]["records"]
    assert sum(map(logged_tokens, (first, second))) == said
    for group in ("by_provider", "by_slot"):
        assert sum(each["tokens"] for each in book["tokens"][group]) == said
    for group in ("by_slot", "by_deployment", "by_client", "by_source"):
        for currency, amount in spent["cost"].items():
            assert sum(each["cost"].get(currency, 0.0) for each in spent[group]) == pytest.approx(amount)
    assert spent["requests"] == sum(each["requests"] for each in spent["by_slot"]) == book["arrived"]
    assert {each["source"] for each in spent["by_source"]} <= {"configuration", None}
    assert spent["estimated_cost"]["USD"] > 0
    assert spent["rescued"] > 0
    hedging = spent["hedging"]
    assert hedging["requests"] > hedging["silences_avoided"] > 0
    assert hedging["seconds_saved_at_least"] > 0 and hedging["cost"]
    assert stat.S_IMODE(ledger.stat().st_mode) == 0o600


def test_what_was_under_way_when_it_was_killed(start: Starter, demo: DemoProvider, tmp_path: Path) -> None:
    ledger = tmp_path / "costs.sqlite"
    first: Proxy = start(Proxy, config(demo, ledger))

    async def ask(count: int) -> list[Any]:
        connections = []
        body = json.dumps(chat("demo:guard;hang")).encode()
        for _ in range(count):
            reader, writer = await asyncio.open_connection(*first.address)
            writer.write(
                b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s"
                % (len(body), body)
            )
            connections.append((reader, writer))
        await asyncio.sleep(0)

        def written() -> bool:
            with sqlite3.connect(f"{ledger.as_uri()}?mode=ro", uri=True) as database:
                return database.execute("SELECT SUM(arrived) FROM books").fetchone()[0] == count

        for _, writer in connections:
            await writer.drain()
        await asyncio.to_thread(
            lambda: eventually(lambda: ledger.exists() and ledger.stat().st_size and written(), "written")
        )
        first.kill()
        return connections

    asyncio.run(ask(3))
    second: Proxy = start(Proxy, config(demo, ledger))
    told = second.record("Requests were under way when a skyproxy was killed: they count as lost")
    assert told["requests"] == 3
    book = read(second, "/api/book")
    assert (book["balances"], book["arrived"], book["lost"], book["under_way"]) == (True, 3, 3, 0), book


def test_two_processes_on_one_file(start: Starter, demo: DemoProvider, tmp_path: Path) -> None:
    ledger = tmp_path / "costs.sqlite"
    one, other = (start(Proxy, config(demo, ledger)) for _ in range(2))

    async def both() -> int:
        return sum(await asyncio.gather(crowd(one, 60, 3), crowd(other, 60, 4)))

    left = asyncio.run(both())
    for each in (one, other):
        # What the other one has not written yet comes within five seconds.
        eventually(lambda each=each: over(each, 120 - left), "both are in it")
        book = read(each, "/api/book")
        assert book["balances"], book
    assert not one.records("The file of costs cannot be written to: what is counted waits in memory")


def test_as_a_daemon(demo: DemoProvider, tmp_path: Path) -> None:
    """The thread begins after the fork."""
    import yaml

    ledger, log = tmp_path / "costs.sqlite", tmp_path / "skyproxy.log"
    (tmp_path / "proxy.yaml").write_text(yaml.safe_dump(config(demo, ledger)))
    subprocess.run(
        [TWISTD, "--pidfile", "twistd.pid", "--logfile", "twistd.log", "skyproxy", "--listen", LOOPBACK, "--config",
         "proxy.yaml", "--log-file", str(log)],
        cwd=tmp_path, env=environment(HOME=str(tmp_path)), check=True, timeout=PATIENCE,
    )  # fmt: skip
    pid = int(
        eventually(lambda: (tmp_path / "twistd.pid").exists() and (tmp_path / "twistd.pid").read_text(), "its pid")
    )
    try:

        def address() -> str | None:
            lines = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
            return next((each["base_url"] for each in lines if "base_url" in each), None)

        url = eventually(address, "it listens")
        body = json.dumps(chat("default")).encode()
        urllib.request.urlopen(f"{url}/chat/completions", body, timeout=PATIENCE).read()
        with urllib.request.urlopen(url.removesuffix("/v1") + "/api/costs", timeout=PATIENCE) as answer:
            assert json.load(answer)["requests"] == 1
    finally:
        os.kill(pid, 15)
    eventually(lambda: not (tmp_path / "twistd.pid").exists(), "it has ended")
    with sqlite3.connect(ledger) as database:
        assert database.execute("SELECT SUM(ok) FROM spent").fetchone()[0] == 1
        assert database.execute("SELECT ended FROM runs").fetchone()[0] is not None


def test_a_folder_that_is_read_only(start: Starter, demo: DemoProvider, tmp_path: Path) -> None:
    # A folder that is a file can be written to by nobody, root neither.
    (tmp_path / "folder").write_text("")
    proxy: Proxy = start(Proxy, config(demo, tmp_path / "folder" / "costs.sqlite"))
    left = asyncio.run(crowd(proxy, 20, 5))
    # Some leave early, which skyproxy finds out a moment later.
    eventually(lambda: read(proxy, "/api/costs")["requests"] >= 20 - left, "all are counted")
    assert read(proxy, "/api/costs")["file"] is None
    told = [each["message"] for each in proxy.records() if "in memory alone" in each["message"]]
    assert len(told) == 1


def test_the_command(start: Starter, demo: DemoProvider, tmp_path: Path) -> None:
    run = {"XDG_RUNTIME_DIR": str(tmp_path / "run")}
    (tmp_path / "run").mkdir(mode=0o700)
    ledger = tmp_path / "costs.sqlite"
    proxy: Proxy = start(Proxy, config(demo, ledger), env=run)
    left = asyncio.run(crowd(proxy, 40, 6))

    def costs(*arguments: str) -> subprocess.CompletedProcess[str]:
        return run_to_end([*PROGRAM, "costs", *arguments], proxy.folder, environment(HOME=str(proxy.folder), **run))

    eventually(lambda: over(proxy, 40 - left), "all is over")
    running = costs("--json", "--period", "all")
    assert 40 - left <= json.loads(running.stdout)["requests"] <= 40, running.stderr
    assert proxy.stop() == 0
    refused = costs("-c", "nowhere.yaml")
    assert refused.returncode == 1
    kept = costs("--json", "--period", "all", "-c", "proxy.yaml")
    assert json.loads(kept.stdout)["book"]["balances"] is True, kept.stderr
    assert json.loads(kept.stdout)["cost"] == json.loads(running.stdout)["cost"]
    shown = costs("-c", "proxy.yaml")
    assert shown.returncode == 0 and "it balances" in shown.stdout, shown.stderr
    before = ledger.read_bytes()
    with sqlite3.connect(ledger) as database:
        database.execute("PRAGMA user_version = 9")
    newer = costs("-c", "proxy.yaml")
    assert newer.returncode == 1 and "version" in newer.stderr
    assert ledger.exists() and len(ledger.read_bytes()) == len(before)


def test_other_periods_are_refused(start: Starter, demo: DemoProvider, tmp_path: Path) -> None:
    proxy: Proxy = start(Proxy, config(demo, tmp_path / "costs.sqlite"))
    with pytest.raises(urllib.error.HTTPError) as refused:
        read(proxy, "/api/costs?period=yesterday")
    assert refused.value.code == 400
    assert "today, evening" in json.load(refused.value)["error"]["message"]
