"""What workers tell each other: each once, in whatever order it comes, and whoever is lost on the way."""

from __future__ import annotations

from collections import deque
from types import SimpleNamespace
from typing import Any, cast

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.config import BreakerSettings
from skyproxy.process.workers.board import HALF_OPEN_SECONDS, MOST_KEPT, Board
from skyproxy.process.workers.news import MOST_STAMPS, NEVER, Found, Known, Openings, Seen
from skyproxy.process.workers.publishing import MOST_WAITING, Publisher
from skyproxy.process.workers.telling import Telling
from skyproxy.upstream.exchange.provider import Provider
from skyproxy.upstream.guards.admission_control import Guards
from skyproxy.upstream.guards.breaker import Breaker, BreakerState
from skyproxy.upstream.guards.concurrency import Limiter
from skyproxy.upstream.guards.deployments import Deployments
from skyproxy.upstream.guards.findings import (
    BreakerClosed,
    BreakerOpened,
    BreakerProbes,
    Finding,
    KeyRefused,
    ModelRests,
    ProbeIgnored,
    Teller,
)
from skyproxy.upstream.guards.learned_limits import Rest
from tests.unit.configs import config_of


class Wire:
    """In place of a channel: what was told, and not yet heard."""

    def __init__(self) -> None:
        self.queue: deque[Any] = deque()

    waiting = 0

    def tell(self, message: object) -> None:
        self.queue.append(message)


class Worker:
    """One worker with one provider, whose breaker matters."""

    def __init__(self, clock: Clock, number: int, known: Known) -> None:
        self.number = number
        self.channel = Wire()
        self.sent: deque[Found] = deque()
        self.telling = Telling(number, known, cast(Any, self.sent.append))

        def make(tell: Teller | None) -> Provider:
            self.breaker = Breaker(clock, BreakerSettings(), "some", tell=tell)
            guards = Guards(
                Limiter(clock, max_concurrent=5, max_pending=5), Deployments(clock, None, "some"), self.breaker
            )
            return cast(Provider, SimpleNamespace(config=SimpleNamespace(name="some"), guards=guards))

        self.make = make
        self.providers = {"some": self.telling.provider(make)}
        self.telling.begin(lambda: self.providers)

    def fail(self) -> None:
        for _ in range(5):
            self.breaker.admit(last=True).failed("why")


class House:
    """Workers, the parent between them, and messages that come when they are carried."""

    def __init__(self, workers: int = 3) -> None:
        self.clock = Clock()
        self.board = Board(self.clock.seconds)
        self.workers = [Worker(self.clock, number, self.board.known()) for number in range(workers)]
        self.publisher = Publisher(self.board, cast(Any, self.workers))
        self.passed = 0

    def up(self, number: int) -> None:
        """The parent takes the next message of a worker."""
        if self.workers[number].sent:
            self.publisher.found(number, self.workers[number].sent.popleft())

    def down(self, number: int) -> None:
        """A worker takes the next message of the parent."""
        queue = self.workers[number].channel.queue
        if queue:
            self.passed += 1
            self.workers[number].telling.take(queue.popleft())

    def settle(self) -> None:
        """Carry all."""
        while any(each.sent or each.channel.queue for each in self.workers):
            for number in range(len(self.workers)):
                self.up(number)
                self.down(number)

    def restart(self, number: int) -> None:
        """A worker is lost, with what it had not told, and another begins."""
        self.workers[number] = Worker(self.clock, number, self.board.known())

    def states(self) -> set[BreakerState]:
        return {each.breaker.state for each in self.workers}


STEPS = st.lists(
    st.tuples(st.sampled_from(["fail", "good", "bad", "up", "down", "later", "restart"]), st.integers(0, 2)),
    max_size=40,
)


class TellingTests(SynchronousTestCase):
    """:class:`Telling` and :class:`Publisher`."""

    def setUp(self) -> None:
        super().setUp()
        self.house = House()

    @given(STEPS)
    @settings(max_examples=300, deadline=None)
    def test_all_agree_at_last_and_nobody_echoes(self, steps: list[tuple[str, int]]) -> None:
        house = House()
        found = 0
        for step, number in steps:
            worker = house.workers[number]
            before = len(worker.sent)
            match step:
                case "fail":
                    worker.fail()
                case "good":
                    worker.breaker.admit(last=True).succeeded()
                case "bad":
                    worker.breaker.admit(last=True).failed("why")
                case "up":
                    house.up(number)
                case "down":
                    house.down(number)
                case "later":
                    house.clock.advance(0.7)
                case "restart":
                    house.publisher = Publisher(house.board, cast(Any, house.workers))
                    house.restart(number)
            found += max(0, len(house.workers[number].sent) - before) if step in ("fail", "good", "bad") else 0
        house.settle()
        self.assertLessEqual(house.passed, found * 2)
        closed = {each.breaker.state is BreakerState.CLOSED for each in house.workers}
        self.assertEqual(len(closed), 1, house.states())

    def test_a_stale_closed_does_not_undo_a_newer_opened(self) -> None:
        house = self.house
        house.workers[0].fail()
        house.settle()
        house.clock.advance(1.0)
        # Both try at the same moment: one finds that all is well, and the other that it is not.
        good, bad = (house.workers[number].breaker.admit() for number in (0, 1))
        bad.failed("why")
        good.succeeded()
        for order in ((1, 0), (0, 1)):
            for number in order:
                house.up(number)
                house.up(number)
        house.settle()
        self.assertEqual(house.states(), {BreakerState.OPEN})

    def test_of_two_openings_the_closing_of_the_later_holds(self) -> None:
        house = self.house
        for each in house.workers[:2]:
            each.fail()
        house.settle()
        self.assertEqual(house.states(), {BreakerState.OPEN})
        house.clock.advance(1.0)
        house.workers[2].breaker.admit().succeeded()
        house.settle()
        self.assertEqual(house.states(), {BreakerState.CLOSED})

    def test_who_begins_again_has_its_say(self) -> None:
        house = self.house
        for _ in range(3):
            house.workers[0].fail()
            house.settle()
            house.clock.advance(1.0)
            house.workers[0].breaker.admit().succeeded()
            house.settle()
        house.restart(2)
        house.workers[2].fail()
        house.settle()
        self.assertEqual(house.states(), {BreakerState.OPEN})

    def test_who_begins_knows_what_is_open(self) -> None:
        house = self.house
        house.workers[0].fail()
        house.settle()
        house.clock.advance(0.4)
        house.restart(1)
        told = house.workers[1].breaker.statistics()
        self.assertEqual((told.state, round(told.retry_in, 3)), ("open", 0.6))

    def test_who_hears_of_all_in_sum_opens_after_that(self) -> None:
        house = House(1)
        house.board.heard_of((7, 0))
        worker = house.workers[0]
        worker.telling.take(house.board.known())
        worker.fail()
        self.assertEqual(worker.sent[0].stamp[0], 8)

    def test_one_that_has_been_replaced_has_no_say(self) -> None:
        worker = self.house.workers[0]
        old = worker.breaker
        worker.providers = {"some": worker.telling.provider(worker.make)}
        for _ in range(5):
            old.admit(last=True).failed("why")
        self.assertEqual(list(worker.sent), [])
        worker.fail()
        self.assertEqual(len(worker.sent), 1)

    def test_a_provider_that_is_not_there(self) -> None:
        self.house.workers[0].telling.take(Found("gone", KeyRefused("A", 1.0), NEVER, 0))

    def test_one_that_takes_nothing_hears_of_it_in_sum(self) -> None:
        house = self.house
        slow: Any = SlowWire()
        house.workers[2].channel = slow
        refused = [Found("some", KeyRefused(f"KEY_{number}", 300.0), NEVER, 0) for number in range(MOST_WAITING + 50)]
        for each in refused:
            house.publisher.found(0, each)
        self.assertEqual(len(slow.queue), MOST_WAITING)
        self.assertEqual(len(house.workers[1].channel.queue), len(refused))
        slow.queue.clear()
        slow.drained.callback(None)
        (known,) = slow.queue
        self.assertEqual(len(known.found), len(refused))
        house.publisher.found(0, refused[0])
        self.assertEqual(len(slow.queue), 2)


class SlowWire(Wire):
    """Likewise, with a side that takes nothing for a while."""

    def __init__(self) -> None:
        from twisted.internet.defer import Deferred

        super().__init__()
        self.drained: Deferred[None] = Deferred()

    @property
    def waiting(self) -> int:  # type: ignore[override]
        return len(self.queue)

    def done(self) -> Any:
        return self.drained


class OpeningsTests(SynchronousTestCase):
    """:class:`Openings`."""

    def test_they_are_not_kept_for_ever(self) -> None:
        openings = Openings()
        for number in range(MOST_STAMPS + 10):
            openings.stamp("some", BreakerOpened(f"m{number}", 1.0, 1.0, ""), 0)
        self.assertEqual(openings.stamp("some", BreakerClosed("m0"), 0), NEVER)
        self.assertEqual(openings.stamp("some", BreakerClosed("m10"), 0), (11, 0))


class BoardTests(SynchronousTestCase):
    """:class:`Board`."""

    def setUp(self) -> None:
        super().setUp()
        self.clock = Clock()
        self.board = Board(self.clock.seconds)

    def found(self, finding: Finding, stamp: tuple[int, int] = NEVER, seen: int = 0) -> bool:
        return self.board.take(Found("some", finding, stamp, seen))

    def known(self) -> list[Finding]:
        return [each.finding for each in self.board.known().found]

    def test_what_is_left_is_told(self) -> None:
        self.found(ModelRests("m", "A", Rest(20.0, 0.5, stated=True)))
        self.found(KeyRefused("A", 300.0))
        self.found(BreakerOpened("m", 2.0, 2.0, "why"), (1, 0))
        self.clock.advance(5.0)
        rest = ModelRests("m", "A", Rest(15.0, 0.5, stated=True))
        self.assertEqual(self.known(), [rest, KeyRefused("A", 295.0), BreakerOpened("m", 0.0, 2.0, "why")])
        self.clock.advance(16.0)
        self.assertEqual(len(self.known()), 2)
        self.clock.advance(HALF_OPEN_SECONDS)
        self.assertEqual(self.known(), [])

    def test_a_shorter_rest_ends_no_longer_one(self) -> None:
        self.found(KeyRefused("A", 300.0))
        self.found(KeyRefused("A", 1.0))
        self.assertEqual(self.known(), [KeyRefused("A", 300.0)])

    def test_a_breaker_that_is_closed_or_was_tried(self) -> None:
        opened = BreakerOpened(None, 1.0, 1.0, "")
        self.found(opened, (1, 0))
        self.found(BreakerClosed(None), (1, 0))
        self.assertEqual(self.known(), [])
        self.found(opened, (2, 0))
        self.assertFalse(self.found(opened, (2, 0)), "it is known")
        self.assertFalse(self.found(BreakerClosed(None), (1, 0)), "it is stale")
        self.found(BreakerProbes(None), (2, 0))
        self.found(ProbeIgnored(None), (2, 0))
        self.clock.advance(1.0)
        self.assertEqual(len(self.known()), 1)
        self.found(BreakerProbes(None), (2, 0))
        self.clock.advance(1.0)
        self.assertEqual(self.known(), [], "each worker takes it for closed")

    def test_what_was_found_before_a_key_was_put_back(self) -> None:
        self.found(KeyRefused("A", 300.0))
        self.found(KeyRefused("B", 300.0))
        seen = self.board.put_back("some", "A")
        self.assertEqual(self.known(), [KeyRefused("B", 300.0)])
        self.assertFalse(self.found(KeyRefused("A", 300.0), seen=seen.number - 1))
        self.assertTrue(self.found(KeyRefused("B", 301.0), seen=seen.number - 1), "it is another key")
        self.assertTrue(self.found(KeyRefused("A", 300.0), seen=seen.number))

    def test_what_was_found_before_a_breaker_was_closed_by_hand(self) -> None:
        self.found(BreakerOpened("m", 1.0, 1.0, ""), (1, 0))
        self.found(BreakerOpened("other", 1.0, 1.0, ""), (2, 0))
        self.found(BreakerOpened(None, 1.0, 1.0, ""), (3, 0))
        seen = self.board.close_breaker("some", "m")
        self.assertEqual({each.model for each in self.known()}, {None, "other"})  # type: ignore[union-attr]
        self.assertFalse(self.found(BreakerOpened("m", 1.0, 1.0, ""), (4, 1), seen.number - 1))
        self.assertTrue(self.found(BreakerOpened("m", 1.0, 1.0, ""), (4, 1), seen.number))

    def test_what_was_found_of_a_provider_that_begins_anew(self) -> None:
        def providers(more: str) -> Any:
            return config_of(
                f"providers: {{some: {{base_url: 'http://127.0.0.1:1'{more}}}, b: {{base_url: 'http://127.0.0.1:2'}}}}"
            ).providers

        plain = providers("")
        self.assertEqual(self.board.reconfigure({}, plain), Seen(1))
        self.found(KeyRefused("A", 300.0), seen=1)
        self.board.take(Found("b", KeyRefused("A", 300.0), NEVER, 1))
        self.board.reconfigure(plain, providers(", max_concurrent: 3"))
        self.assertEqual(len(self.known()), 2, "it is the same with another limit")
        self.board.reconfigure(plain, providers(", max_connections: 3"))
        self.assertEqual([each.provider for each in self.board.known().found], ["b"])
        self.assertFalse(self.found(KeyRefused("A", 300.0), seen=2))
        self.assertTrue(self.board.take(Found("b", KeyRefused("B", 300.0), NEVER, 2)))
        self.assertEqual(self.board.known().seen, 3)

    def test_what_is_as_true_of_a_provider_that_has_changed(self) -> None:
        def providers(more: str, **environ: str) -> Any:
            text = f"providers: {{some: {{base_url: 'http://127.0.0.1:1/v1', {more}}}}}"
            return config_of(text.replace("127.0.0.1:1/v1', new_url: on", "127.0.0.1:2/v1'"), **environ).providers

        keys = {"A": "sk-a", "B": "sk-b"}
        plain = providers("api_key_env: [A, B]", **keys)
        found = [
            KeyRefused("A", 300.0), KeyRefused("B", 300.0), ModelRests("m", "A", Rest(20.0, 0.5, stated=True)),
            ModelRests("m", "B", Rest(20.0, 0.5, stated=True)), BreakerOpened("m", 2.0, 2.0, "why"),
        ]  # fmt: skip
        for more, environ, kept in (
            ("api_key_env: [A, B], max_pending: 3", keys, [0, 1, 2, 3, 4]),
            ("api_key_env: [A]", keys, [0, 2, 4]),
            ("api_key_env: [A, B]", {**keys, "A": "sk-other"}, [1, 3, 4]),
            ("api_key_env: [A, B], headers: {OpenAI-Organization: mine}", keys, [2, 3]),
            ("api_key_env: [A, B], proxy_url: 'http://127.0.0.1:3'", keys, [0, 1, 2, 3]),
            ("new_url: on, api_key_env: [A, B]", keys, []),
            ("api_key_env: [A, B]", {}, []),
        ):
            self.setUp()
            self.board.reconfigure({}, plain)
            for each in found:
                self.found(each, (1, 0), seen=1)
            self.board.reconfigure(plain, providers(more, **environ))
            self.assertEqual(self.known(), [found[index] for index in kept], more)
            self.assertFalse(self.found(KeyRefused("A", 400.0), seen=1), "it may be of the key before")

    def test_it_is_bounded(self) -> None:
        for number in range(MOST_KEPT + 10):
            self.found(ModelRests(f"m{number}", "A", Rest(100.0 + number, 0.5, stated=True)))
        self.assertEqual(len(self.known()), MOST_KEPT)
        self.assertNotIn("m0", [each.model for each in self.known()])  # type: ignore[union-attr]
