"""The ledger: what it adds up, what it does to the disk, and what it does about files that are no good."""

from __future__ import annotations

import os
import sqlite3
import stat
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any
from unittest import SkipTest

from twisted.internet.task import Clock
from twisted.logger import LogEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.telemetry.costs import entries as of_entries
from skyproxy.telemetry.costs.ledger import Ledger
from skyproxy.telemetry.costs.ledger_database import LEDGER
from skyproxy.telemetry.records import GivenUp, RequestRecord
from skyproxy.telemetry.requests.facts import Step
from skyproxy.telemetry.usage import Tokens
from tests.unit.fakes import ImmediateWorker
from tests.unit.telemetry.test_records import RECORD

NOON = 1_796_040_000.0
PAID = RECORD._replace(
    slot="default", provider="openrouter", upstream_model="mistral-small", outcome="ok", tokens=Tokens(100, 20, 30, 5),
    cost=0.5, price_source="table", given_up=(),
)  # fmt: skip


class Trace:
    """Of a request of which nothing is to be told."""

    answered: Any = None

    def __init__(self, *steps: Step) -> None:
        self.steps = steps

    def masked(self, text: str) -> str:
        return text.replace("sk-secret", "***")


def ended(minute: int, *steps: Step) -> Any:
    return SimpleNamespace(minute=minute, started=100.0, attempts=Trace(*steps))


class LedgerCase(SynchronousTestCase):
    """Ledgers in one folder."""

    def setUp(self) -> None:
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.path = self.folder / "data" / "costs.sqlite"
        self.clock = Clock()
        self.wall = NOON
        self.alive = True
        self.events: list[LogEvent] = []
        globalLogPublisher.addObserver(self.events.append)
        self.addCleanup(globalLogPublisher.removeObserver, self.events.append)
        self.made = 0

    def ledger(self, *paths: Path) -> Ledger:
        worker: Any = ImmediateWorker()
        self.made += 1
        made = Ledger(
            self.clock, paths or (self.path,), 400, f"run-{self.made}", lambda _: self.alive, lambda: self.wall, worker
        )
        made.open()
        return made

    def request(self, ledger: Ledger, record: RequestRecord = PAID, *steps: Step, client: str = "127.0.0.1") -> None:
        over = ended(ledger.arrived(), *steps)
        ledger.completed(record, over, SimpleNamespace(host=client))

    def costs(self, ledger: Ledger, period: Any = "today") -> dict[str, Any]:
        return self.successResultOf(ledger.costs(period))

    def book(self, ledger: Ledger, unfinished: int = 0, period: Any = "all") -> dict[str, Any]:
        return self.successResultOf(ledger.book(period, unfinished))

    def told(self) -> list[str]:
        return [event["log_format"] for event in self.events if event.get("log_namespace", "").endswith("costs.ledger")]

    def tables(self, path: Path) -> list[Any]:
        database = sqlite3.connect(path)
        self.addCleanup(database.close)
        return database.execute("SELECT minute, slot, ok, cost FROM spent").fetchall()


class SumsTests(LedgerCase):
    """What it adds up."""

    def test_by_who_and_what_for(self) -> None:
        ledger = self.ledger()
        self.request(ledger)
        self.request(ledger)
        self.request(ledger, PAID._replace(slot="memory", cost=0.25, outcome="failed"), client="10.0.0.7")
        costs = self.costs(ledger)
        self.assertEqual(costs["cost"], {"USD": 1.25})
        self.assertEqual(
            [(each["slot"], each["cost"]["USD"]) for each in costs["by_slot"]], [("default", 1.0), ("memory", 0.25)]
        )
        self.assertEqual([each["deployment"] for each in costs["by_deployment"]], ["openrouter:mistral-small"])
        self.assertEqual(
            {each["client"]: each["requests"] for each in costs["by_client"]}, {"127.0.0.1": 2, "10.0.0.7": 1}
        )
        self.assertEqual(
            costs["tokens"], {"prompt": 300, "completion": 60, "cached": 90, "reasoning": 15, "estimated": 0}
        )
        self.assertEqual(costs["outcomes"]["failed"], 1)
        self.assertEqual(sum(each["cost"] for each in costs["hours"]), 1.25)
        self.assertEqual(costs["estimated_cost"], {})

    def test_sources_estimates_and_no_price(self) -> None:
        ledger = self.ledger()
        self.request(
            ledger, PAID._replace(tokens=Tokens(4, 6, estimated=True), currency="EUR", price_source="configuration")
        )
        self.request(ledger, PAID._replace(cost=0.0, price_source="local", provider="ollama"))
        for _ in range(3):
            self.request(ledger, PAID._replace(cost=None, price_source=None, upstream_model="odd"))
        self.request(ledger, PAID._replace(cost=None, price_source=None, tokens=None, outcome="refused"))
        costs = self.costs(ledger)
        self.assertEqual(costs["cost"], {"EUR": 0.5, "USD": 0.0})
        self.assertEqual(costs["estimated_cost"], {"EUR": 0.5})
        (unpriced,) = costs["unpriced"]
        self.assertEqual((unpriced["deployment"], unpriced["requests"], unpriced["tokens"]), ("openrouter:odd", 3, 360))
        self.assertEqual({each["source"] for each in costs["by_source"]}, {"configuration", "local", None})
        # Nobody misses the price of what took nothing.
        other = self.ledger(self.folder / "other.sqlite")
        self.request(other, PAID._replace(cost=None, price_source=None, tokens=None, outcome="refused"))
        self.assertEqual(self.costs(other)["by_source"], [])

    def test_hedging(self) -> None:
        ledger = self.ledger()
        lost = GivenUp(
            "openrouter", "mistral-small", 2.9, None, Tokens(10, 1, estimated=True), 0.1, "USD", "table", True
        )
        retried = lost._replace(hedged=False, cost=0.2)
        hedge = Step(102.0, "hedge", 0, seconds=2.0)
        over = ended(ledger.arrived(), hedge)
        over.attempts.answered = SimpleNamespace(candidate=1)
        ledger.completed(PAID._replace(provider="ollama", time_to_first_byte=2.9, given_up=(lost,)), over, None)
        self.request(ledger, PAID._replace(given_up=(retried,)), Step(101.0, "failed", 0, status=503))
        over = ended(ledger.arrived(), hedge)
        over.attempts.answered = SimpleNamespace(candidate=0)
        ledger.completed(PAID, over, None)
        costs = self.costs(ledger)
        self.assertEqual(costs["hedging"]["requests"], 2)
        self.assertEqual(costs["hedging"]["silences_avoided"], 1)
        self.assertAlmostEqual(costs["hedging"]["seconds_saved_at_least"], 0.9)
        self.assertEqual(costs["hedging"]["cost"], {"USD": 0.1})
        self.assertEqual(costs["rescued"], 2)
        self.assertAlmostEqual(costs["cost"]["USD"], 1.8)
        self.assertAlmostEqual(costs["given_up_cost"]["USD"], 0.3)
        self.assertTrue(self.book(ledger)["balances"])

    def test_names_that_clients_make_up(self) -> None:
        ledger = self.ledger()
        for number in range(1200):
            model = f"sk-secret-{number}-{'x' * 300}"
            record = PAID._replace(
                slot=None, upstream_model=model, given_up=(GivenUp("p", model, 1.0, None, Tokens(1, 1)),)
            )
            self.request(ledger, record, client=f"10.0.{number // 250}.{number % 250}")
        costs = self.costs(ledger)
        names = [each["deployment"] for each in costs["by_deployment"]]
        self.assertLessEqual(len(names), 1002)
        self.assertLessEqual(max(map(len, names)), 220)
        self.assertFalse(any("sk-secret" in name for name in names))
        self.assertLessEqual(len(costs["by_client"]), 501)
        self.assertEqual(costs["requests"], 1200)
        self.assertTrue(self.book(ledger)["balances"])

    def test_clients_with_keys_are_told_apart_however_many_addresses_ask(self) -> None:
        ledger = self.ledger()
        for number in range(600):
            self.request(ledger, PAID, client=f"10.0.{number // 250}.{number % 250}")
        for number in range(700):
            self.request(ledger, PAID._replace(client=f"jwt.{number}"))
        names = {each["client"] for each in self.costs(ledger)["by_client"]}
        self.assertEqual(len({each for each in names if each and each.startswith("jwt.")}), 700)
        self.assertEqual(len(names), 500 + 1 + 700)

    def test_periods(self) -> None:
        ledger = self.ledger()
        for hours in (24 * 40, 24 * 3, 30, 4.5, 1, 0.1):
            self.wall = NOON - hours * 3600
            self.request(ledger)
        self.wall = NOON
        counts = {period: self.costs(ledger, period)["requests"] for period in ("evening", "7d", "all")}
        self.assertEqual(counts, {"evening": 2, "7d": 5, "all": 6})
        self.wall = NOON + 5 * 3600
        self.assertEqual(self.costs(ledger, "evening")["requests"], 2)


class BookTests(LedgerCase):
    """That all requests are accounted for."""

    def test_it_balances(self) -> None:
        ledger = self.ledger()
        for outcome in ("ok", "client_error", "upstream_error", "failed", "refused", "cancelled"):
            self.request(ledger, PAID._replace(outcome=outcome))
        ledger.arrived()
        book = self.book(ledger, unfinished=1)
        self.assertEqual(book["balances"], True, book)
        self.assertEqual((book["arrived"], book["ok"], book["under_way"], book["lost"]), (7, 1, 1, 0))
        self.assertEqual(book["tokens"]["records"], 720)

    def test_what_is_in_no_count_is_told(self) -> None:
        ledger = self.ledger()
        self.request(ledger)
        ledger.arrived()
        book = self.book(ledger, unfinished=0)
        self.assertEqual((book["balances"], book["differences"]), (False, {"under_way": 1}))

    def test_over_a_restart(self) -> None:
        first = self.ledger()
        self.request(first)
        self.successResultOf(first.close(1.0))
        second = self.ledger()
        self.request(second)
        book = self.book(second)
        self.assertEqual((book["arrived"], book["ok"], book["lost"], book["balances"]), (2, 2, 0, True))
        self.assertEqual(self.told(), [])

    def test_lost_when_it_was_killed(self) -> None:
        first = self.ledger()
        self.request(first)
        first.arrived()
        first.arrived()
        self.clock.advance(5)
        # What has the number of a process that is gone may be this process, in a container.
        second = self.ledger()
        self.assertEqual(len(self.told()), 1)
        book = self.book(second)
        self.assertEqual((book["arrived"], book["ok"], book["lost"], book["balances"]), (3, 1, 2, True))

    def test_another_process_on_the_same_file(self) -> None:
        first, other = self.ledger(), self.ledger()
        for each in (first, other):
            database = each._file
            database._run = database._run._replace(pid=os.getpid() + (each is other))
        self.request(first)
        other.arrived()
        self.clock.advance(5)
        self.request(first)
        book = self.book(first)
        self.assertEqual((book["arrived"], book["ok"], book["under_way"], book["lost"]), (3, 2, 1, 0))
        self.assertTrue(book["balances"], book)
        self.alive = False
        self.assertEqual(self.book(first)["lost"], 1)
        # It was only asleep.
        other.completed(PAID, ended(other.arrived()), None)
        self.clock.advance(5)
        self.alive = True
        self.assertEqual(self.book(first)["lost"], 0)


class DiskTests(LedgerCase):
    """What it does to the disk."""

    def test_nothing_without_requests(self) -> None:
        ledger = self.ledger()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.request(ledger)
        self.clock.advance(1)
        self.assertEqual(len(self.tables(self.path)), 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_once_a_second_at_most_and_at_least(self) -> None:
        ledger = self.ledger()
        written: list[float] = []
        write = ledger._file.write

        def count(entries: Any) -> None:
            written.append(self.clock.seconds())
            write(entries)

        ledger._file.write = count  # type: ignore[method-assign]
        for _ in range(600):
            self.request(ledger)
            self.clock.advance(0.1)
        gaps = [later - earlier for earlier, later in pairwise([0.0, *written, 60.0])]
        self.assertTrue(all(gap <= 1.11 for gap in gaps) and all(gap >= 0.99 for gap in gaps[:-1]), gaps)
        self.assertEqual(self.costs(ledger)["requests"], 600)

    def test_for_its_owner_alone(self) -> None:
        if os.name == "nt":
            raise SkipTest("Windows has no modes")
        self.request(self.ledger())
        self.clock.advance(1)
        for path in self.path.parent.iterdir():
            self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o600, path)
        self.assertEqual(stat.S_IMODE(self.path.parent.stat().st_mode), 0o700)

    def test_no_more_than_is_to_be_kept(self) -> None:
        ledger = self.ledger()
        self.wall = NOON - 300 * 86_400
        self.request(ledger)
        self.wall = NOON
        self.request(ledger)
        self.assertEqual(self.costs(ledger, "all")["requests"], 2)
        ledger.keep(30)
        ledger._file._clean(NOON)
        self.assertEqual(self.costs(ledger, "all")["requests"], 1)
        self.assertTrue(self.book(ledger)["balances"])

    def test_a_full_disk(self) -> None:
        ledger = self.ledger()
        self.request(ledger)
        self.costs(ledger)
        database = ledger._file._database
        assert database is not None
        pages = database.execute("PRAGMA page_count").fetchone()[0]
        database.execute(f"PRAGMA max_page_count = {pages}")
        for number in range(500):
            self.request(ledger, PAID._replace(slot=f"slot-{number}"))
        self.clock.advance(6)
        self.assertEqual(self.told(), ["The file of costs cannot be written to: what is counted waits in memory"])
        self.clock.advance(60)
        self.assertEqual(len(self.told()), 1)
        database.execute("PRAGMA max_page_count = 1000000")
        self.clock.advance(6)
        self.assertEqual(self.costs(ledger)["requests"], 501)
        self.assertTrue(self.book(ledger)["balances"])

    def test_what_waits_is_bounded(self) -> None:
        self.patch(of_entries, "MOST_ENTRIES", 10)
        collector = of_entries.Collector()
        for number in range(8):
            collector.add(PAID._replace(slot=f"a{number}"), ended(1), None)
        taken = collector.take()
        for number in range(8):
            collector.add(PAID._replace(slot=f"b{number}"), ended(1), None)
        self.assertEqual(collector.put_back(taken), 6)
        self.assertEqual(len(collector.take().counts), 10)


class BadFileTests(LedgerCase):
    """Files that cannot be used."""

    def test_damaged(self) -> None:
        first = self.ledger()
        self.request(first)
        self.clock.advance(1)
        # Else it would write into the file whenever it is collected.
        self.successResultOf(first.close(1))
        whole = self.path.read_bytes()
        damaged = whole[:100] + b"\xff" * (len(whole) - 100)
        self.path.write_bytes(damaged)
        ledger = self.ledger()
        self.request(ledger)
        self.assertEqual(self.costs(ledger)["requests"], 1)
        self.assertEqual(len(self.told()), 1)
        self.assertIn("put aside", self.told()[0])
        self.assertEqual(self.path.with_name("costs.sqlite.aside-1").read_bytes(), damaged)

    def test_another_version(self) -> None:
        self.request(self.ledger())
        self.clock.advance(1)
        database = sqlite3.connect(self.path)
        database.execute(f"PRAGMA user_version = {LEDGER.version + 1}")
        database.close()
        ledger = self.ledger()
        self.request(ledger)
        self.assertEqual(self.costs(ledger)["requests"], 1)
        self.assertIn("put aside", self.told()[0])
        self.assertEqual(len(self.tables(self.path.with_name("costs.sqlite.aside-1"))), 1)

    def test_other_programs(self) -> None:
        self.path.parent.mkdir()
        self.path.write_text("not ours")
        ledger = self.ledger()
        self.request(ledger)
        costs = self.costs(ledger)
        self.assertEqual((costs["requests"], costs["file"]), (1, None))
        self.assertEqual(self.path.read_text(), "not ours")
        self.assertEqual([path.name for path in self.path.parent.iterdir()], ["costs.sqlite"])
        self.assertEqual(len(self.told()), 1)
        self.assertIn("in memory alone", self.told()[0])

    def test_the_next_place(self) -> None:
        file = self.folder / "file"
        file.touch()
        ledger = self.ledger(file / "costs.sqlite", self.path)
        self.request(ledger)
        self.assertEqual(self.costs(ledger)["file"], str(self.path))
        self.assertEqual(self.told(), [])

    def test_no_place(self) -> None:
        file = self.folder / "file"
        file.touch()
        ledger = self.ledger(file / "costs.sqlite")
        self.request(ledger)
        self.request(ledger)
        self.assertEqual(self.costs(ledger)["requests"], 2)
        self.assertEqual(len(self.told()), 1)

    def test_another_process_keeps_it(self) -> None:
        self.request(self.ledger())
        self.clock.advance(1)
        other = sqlite3.connect(self.path, isolation_level=None)
        self.addCleanup(other.close)
        ledger = self.ledger()
        assert ledger._file._database is not None
        ledger._file._database.execute("PRAGMA busy_timeout = 1")
        other.execute("BEGIN IMMEDIATE")
        self.request(ledger)
        self.clock.advance(1)
        self.assertIn("waits in memory", self.told()[0])
        other.execute("ROLLBACK")
        self.clock.advance(6)
        self.assertEqual(self.costs(ledger)["requests"], 2)
