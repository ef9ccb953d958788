"""What machines tell each other: applied by whom it concerns, once, in whatever order it comes."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.process.notices.notice import Notice
from skyproxy.process.notices.outbox import PROFILE_SECONDS
from skyproxy.upstream.guards.breaker import BreakerState
from skyproxy.upstream.guards.learned_limits import Rest
from skyproxy.upstream.guards.refusals import BreakerOpen
from tests.unit.process.notices.machines import FAR, Machine, Parent, Store, provider_config, settle, told


def fail(guards: Any, model: str | None = None, why: str = "why") -> None:
    breaker = guards.breaker if model is None else guards.deployments.of(model).breaker
    for _ in range(5):
        breaker.admit(last=True).failed(why)


class Case(SynchronousTestCase):
    """A process alone, and a parent with two workers."""

    def setUp(self) -> None:
        super().setUp()
        self.clock = Clock()
        self.store = Store(self.clock)
        self.alone = Machine(self.clock, self.store, "a", provider_config())
        self.parent = Parent(self.clock, self.store, "b", provider_config())
        for each in (self.alone, self.parent):
            each.begin()
        self.everywhere = [*self.alone.guards, *self.parent.guards]

    def settle(self) -> None:
        settle(self.clock, self.alone, self.parent)

    def limited(self, guards: Any, model: str = "m", key: str = "A", retry_after: float | None = None) -> None:
        """The provider has answered 429."""
        guards.deployments.of(model).guard(key).sent().limited(retry_after)

    def rests(self, model: str = "m", key: str = "A") -> list[float]:
        return [round(each.deployments.of(model).guard(key).rest, 1) for each in self.everywhere]

    def rejected(self, guards: Any) -> None:
        """The provider has answered 401 to the first key."""
        guards.keys.take().rejected(401, 1)

    def aside(self) -> list[list[str]]:
        """The keys that are put aside, on each."""
        return [[key.variable for key in each.keys.statistics() if key.rejected] for each in self.everywhere]


class GuardsTests(Case):
    """Rests, keys and breakers."""

    def test_a_rest(self) -> None:
        for number, guards in enumerate(self.everywhere):
            self.limited(guards, f"m{number}", retry_after=20.0)
            self.settle()
            rests = self.rests(f"m{number}")
            self.assertTrue(all(0 < each <= 20 for each in rests), rests)
            self.assertEqual(self.rests("other"), [0.0] * 3)
            self.assertEqual(self.rests(f"m{number}", "B"), [0.0] * 3)

    def test_a_refused_key_and_its_return(self) -> None:
        self.rejected(self.parent.guards[1])
        self.settle()
        self.assertEqual(self.aside(), [["A"]] * 3)
        # Somebody puts it back at the other machine.
        self.alone.guards[0].put_back("A")
        self.alone.notices.by_hand.key_put_back("some", "A")
        self.settle()
        self.assertEqual(self.parent.hands.done, [("back", "some", "A")])
        self.assertEqual([each for each in self.store.states if each[0] == "refused"], [])
        self.assertEqual(self.alone.hearsay.board.known().found, ())

    def test_a_key_that_rests(self) -> None:
        self.alone.guards[0].keys.take().limited(100.0)
        self.settle()
        resting = [[key.variable for key in each.keys.statistics() if key.resting] for each in self.everywhere]
        self.assertEqual(resting, [["A"]] * 3)

    def test_a_breaker(self) -> None:
        for model in (None, "m"):
            fail(self.parent.guards[0], model)
            self.settle()
            states = [
                (each.breaker if model is None else each.deployments.of(model).breaker) for each in self.everywhere
            ]
            self.assertEqual({each.state for each in states}, {BreakerState.OPEN})
            self.alone.guards[0].breaker.close()
            self.alone.guards[0].deployments.of("m").breaker.close()
            self.alone.notices.by_hand.breakers_closed("some", [model])
            self.settle()
            self.assertEqual([each.state for each in states], [BreakerState.CLOSED] * 3)
            # The next opening is after that, wherever it is.
            for guards in self.everywhere:
                fail(guards, model)
                self.settle()
                self.assertEqual({each.state for each in states}, {BreakerState.OPEN})
                for each in self.everywhere:
                    each.breaker.close()
                    each.deployments.of("m").breaker.close()
                self.parent.notices.by_hand.breakers_closed("some", [model])
                self.settle()
                self.assertEqual([each.state for each in states], [BreakerState.CLOSED] * 3)

    def test_one_probe_for_all(self) -> None:
        fail(self.alone.guards[0])
        self.settle()
        self.clock.advance(600.0)
        first, second, third = (each.breaker for each in self.everywhere)
        probe = second.admit()
        self.assertTrue(probe.is_probe)
        self.parent.carry()
        self.clock.advance(0.01)
        self.alone.line.carry()
        self.parent.carry()
        for each in (first, third):
            self.assertRaises(BreakerOpen, each.admit)
        probe.ignored()
        self.settle()
        self.assertTrue(first.admit().is_probe, "another may try")

    def test_nobody_tells_what_it_has_heard(self) -> None:
        fail(self.alone.guards[0])
        self.rejected(self.parent.guards[0])
        self.limited(self.parent.guards[1], retry_after=5.0)
        self.settle()
        self.assertEqual((self.alone.notices.told, self.parent.notices.told), (1, 2))
        self.assertEqual((self.alone.notices.news, self.parent.notices.news), (2, 1))

    def test_a_provider_that_flaps_is_told_of_seldom(self) -> None:
        for number in range(200):
            self.limited(self.alone.guards[0], f"m{number % 40}", retry_after=5.0 + number)
            self.clock.advance(0.02)
        self.settle()
        self.assertLessEqual(len(self.store.messages), 4 + 4 * 5)
        self.assertGreater(self.rests("m39")[1], 195.0)


class WhomItConcernsTests(Case):
    """What is meant, and what not."""

    def other(self, **settings: str) -> Machine:
        machine = Machine(self.clock, self.store, "c", provider_config(**settings), place="elsewhere")
        machine.begin()
        self.everywhere = [*self.alone.guards, *machine.guards]
        return machine

    def settle_with(self, other: Machine) -> None:
        settle(self.clock, self.alone, self.parent, other)

    def test_another_key_does_not_rest(self) -> None:
        other = self.other(first="its-own")
        self.rejected(self.alone.guards[0])
        self.limited(self.alone.guards[0], retry_after=20.0)
        self.limited(self.alone.guards[0], key="B", retry_after=20.0)
        fail(self.alone.guards[0])
        self.settle_with(other)
        self.assertEqual(self.aside(), [["A"], []])
        self.assertEqual(self.rests()[1], 0.0)
        self.assertGreater(self.rests(key="B")[1], 0.0)
        self.assertIs(other.guards[0].breaker.state, BreakerState.OPEN)

    def test_the_same_key_in_another_variable(self) -> None:
        other = self.other(first="key-two", second="key-one")
        self.limited(self.alone.guards[0], retry_after=20.0)
        self.settle_with(other)
        self.assertEqual((self.rests("m", "A")[1], self.rests("m", "B")[1] > 0), (0.0, True))

    def test_another_provider_of_the_same_name(self) -> None:
        other = self.other(base_url="https://other.example/v1")
        fail(self.alone.guards[0])
        self.limited(self.alone.guards[0], retry_after=20.0)
        self.settle_with(other)
        self.assertIs(other.guards[0].breaker.state, BreakerState.CLOSED)
        self.assertEqual(self.rests()[1], 0.0)

    def test_a_server_of_the_machine_itself(self) -> None:
        for local in ("http://127.0.0.1:1/v1", "http://localhost:1/v1", "http://[::1]:1/v1"):
            store = Store(self.clock)
            first, second, neighbour = (
                Machine(self.clock, store, name, provider_config(base_url=local), place=place)
                for name, place in (("d", "here"), ("e", "there"), ("f", "here"))
            )
            for each in (first, second, neighbour):
                each.begin()
            fail(first.guards[0])
            settle(self.clock, first, second, neighbour)
            self.assertIs(second.guards[0].breaker.state, BreakerState.CLOSED)
            self.assertIs(neighbour.guards[0].breaker.state, BreakerState.OPEN)

    def test_no_key_travels(self) -> None:
        self.rejected(self.alone.guards[0])
        self.limited(self.alone.guards[0], retry_after=20.0)
        fail(self.alone.guards[0], why="I do not know key-one.")
        self.settle()
        refused = self.assertRaises(BreakerOpen, self.parent.guards[0].breaker.admit)  # type: ignore[union-attr]
        self.assertEqual(refused.cause, "I do not know ***.")
        sent = b"".join([*self.store.messages, *(value for _, _, value in self.store.states.values())])
        self.assertNotIn(b"key-one", sent)
        self.assertNotIn(FAR.encode(), sent)

    def test_no_time_is_longer_than_guards_here_would_take(self) -> None:
        names = self.alone.names
        provider, key = names.provider("some") or "", names.key("some", "A") or ""
        year = 3e7
        notices = [
            Notice("rate", provider, key, "guessed", year, year),
            Notice("rate", provider, key, "stated", year, year, stated=True),
            Notice("rests", provider, names.key("some", "B") or "", seconds=year),
            Notice("refused", provider, key, seconds=year),
            Notice("opened", provider, "", None, year, year, stamp=(1, 1)),
        ]
        self.alone.notices.heard(told(*notices))
        guards = self.alone.guards[0]
        self.assertEqual(self.rests("guessed")[0], 30.0)
        self.assertEqual(self.rests("stated")[0], 3600.0)
        self.assertEqual([round(each.resting) for each in guards.keys.statistics()], [0, 3600])  # type: ignore[union-attr]
        self.assertEqual(guards.breaker.statistics().retry_in, 600.0)  # type: ignore[union-attr]
        self.clock.advance(300.0)
        self.assertEqual(self.aside()[0], [])


class StoreTests(Case):
    """One that was not there, is emptied, or is written to by others."""

    def test_one_that_begins_knows_what_holds(self) -> None:
        self.limited(self.alone.guards[0], retry_after=20.0)
        self.rejected(self.alone.guards[0])
        fail(self.parent.guards[0])
        self.settle()
        self.clock.advance(5.0)
        third = Machine(self.clock, self.store, "c", provider_config())
        third.begin()
        self.everywhere = list(third.guards)
        self.assertTrue(10.0 < self.rests()[0] <= 15.0, self.rests())
        self.assertEqual(self.aside(), [["A"]])
        self.assertIs(third.guards[0].breaker.state, BreakerState.OPEN)
        told = len(self.store.messages)
        settle(self.clock, self.alone, self.parent, third)
        self.assertEqual(len(self.store.messages), told)

    def test_what_is_over_is_not_learned(self) -> None:
        self.limited(self.alone.guards[0], retry_after=5.0)
        self.settle()
        self.clock.advance(5.0)
        third = Machine(self.clock, self.store, "c", provider_config())
        third.begin()
        self.everywhere = list(third.guards)
        self.assertEqual(self.rests(), [0.0])

    def test_one_that_was_cut_off(self) -> None:
        self.parent.line.cut()
        fail(self.alone.guards[0])
        self.rejected(self.parent.guards[0])
        self.limited(self.parent.guards[0], retry_after=1.0)
        self.alone.notices.by_hand.purged()
        self.settle()
        self.assertEqual(self.aside(), [[], ["A"], ["A"]])
        self.clock.advance(2.0)
        self.parent.line.connect()
        self.settle()
        self.assertEqual(self.aside(), [["A"]] * 3)
        self.assertEqual({each.breaker.state for each in self.everywhere}, {BreakerState.OPEN})
        self.assertEqual(self.parent.hands.done, ["purge"])
        # What is over by then is not told.
        self.assertEqual(self.parent.notices.told, 1)

    def test_one_that_was_cut_off_learns_what_is_over(self) -> None:
        fail(self.alone.guards[0])
        self.rejected(self.alone.guards[0])
        self.settle()
        self.parent.line.cut()
        self.alone.guards[0].breaker.close()
        self.alone.notices.by_hand.breakers_closed("some", [None])
        self.alone.guards[0].put_back("A")
        self.alone.notices.by_hand.key_put_back("some", "A")
        self.settle()
        self.assertEqual(self.aside(), [[], ["A"], ["A"]])
        self.parent.line.connect()
        self.settle()
        self.assertEqual(self.parent.hands.done, [("back", "some", "A")])
        self.assertEqual([each.breaker.state for each in self.everywhere], [BreakerState.CLOSED] * 3)
        third = Machine(self.clock, self.store, "c", provider_config())
        third.begin()
        self.assertIs(third.guards[0].breaker.state, BreakerState.CLOSED)
        # And what is found out after that holds.
        self.rejected(self.alone.guards[0])
        fail(self.alone.guards[0])
        self.settle()
        fourth = Machine(self.clock, self.store, "d", provider_config())
        fourth.begin()
        self.assertIs(fourth.guards[0].breaker.state, BreakerState.OPEN)
        self.everywhere = list(fourth.guards)
        self.assertEqual(self.aside(), [["A"]])

    def test_one_that_was_cut_off_does_not_write_what_is_over(self) -> None:
        self.rejected(self.alone.guards[0])
        self.settle()
        self.alone.line.cut()
        self.parent.notices.by_hand.key_put_back("some", "A")
        self.settle()
        self.alone.line.connect()
        self.settle()
        self.assertEqual(self.alone.hands.done, [("back", "some", "A")])
        third = Machine(self.clock, self.store, "c", provider_config())
        third.begin()
        self.everywhere = list(third.guards)
        self.assertEqual(self.aside(), [[]])

    def test_a_store_that_is_emptied_is_told_again(self) -> None:
        self.rejected(self.alone.guards[0])
        self.parent.notices.by_hand.clients_revoked([b"digest"])
        self.settle()
        before = dict(self.store.states)
        for each in (self.alone, self.parent):
            each.line.cut()
        self.store.restart()
        for each in (self.alone, self.parent):
            each.line.connect()
        told = len(self.store.messages)
        self.settle()
        self.assertEqual(self.store.states.keys(), before.keys())
        self.assertEqual(len(self.store.messages), told, "who is there knows it")

    @given(st.one_of(st.binary(max_size=200), st.recursive(st.none() | st.integers() | st.text(max_size=5), st.lists)))
    @settings(max_examples=200, deadline=None)
    def test_whatever_stands_in_the_channel(self, each: Any) -> None:
        import orjson

        machine = Machine(Clock(), Store(Clock()), "d", provider_config())
        machine.begin()
        try:
            message = each if isinstance(each, bytes) else b"1 " + orjson.dumps([1, "x", each])
        except TypeError:
            return
        machine.notices.heard(message)
        self.assertEqual(machine.notices.news, 0)

    def test_what_is_almost_a_notice(self) -> None:
        good: list[Any] = list(Notice("opened", self.alone.names.provider("some") or "", stamp=(1, 1), seconds=5.0))
        for index, wrong in (
            (0, "unknown"), (0, 1), (1, "x" * 65), (3, "m" * 513), (4, -1.0), (4, 1e12), (4, True), (4, None),
            (5, "1"), (6, 1), (7, "t" * 301), (8, [1]), (8, [2**61, 1]), (8, [2**50, 1]), (8, [1, 2**63]), (8, None),
        ):  # fmt: skip
            before = self.alone.notices.ignored
            self.alone.notices.heard(told([*good[:index], wrong, *good[index + 1 :]]))  # type: ignore[list-item]
            self.assertEqual(self.alone.notices.ignored, before + 1, (index, wrong))
        self.assertIs(self.alone.guards[0].breaker.state, BreakerState.CLOSED)
        self.alone.notices.heard(told(good))  # type: ignore[list-item]
        self.assertIs(self.alone.guards[0].breaker.state, BreakerState.OPEN)
        for each in (b" " * 70_000, b"1 " + b" " * 70_000, told()[2:], b"x" + told(), b"1" * 16 + told(), b""):
            before = self.alone.notices.ignored
            self.alone.notices.heard(each)
            self.assertEqual(self.alone.notices.ignored, before + 1, each[:20])

    def test_who_stood_still_hears_of_no_rest_that_is_over(self) -> None:
        self.rejected(self.alone.guards[0])
        self.limited(self.alone.guards[0], retry_after=20.0)
        self.clock.advance(0.3)
        self.clock.advance(100.0)
        self.alone.notices.by_hand.purged()
        self.settle()
        self.assertEqual(self.rests(), [0.0] * 3)
        self.assertEqual(self.aside(), [["A"]] * 3)
        self.assertEqual(self.parent.hands.done, ["purge"])
        self.clock.advance(200.5)
        self.assertEqual(self.aside(), [[]] * 3, "it is over when it would have been")

    def test_what_cannot_be_applied(self) -> None:
        self.alone.hands.purge = lambda: 1 / 0  # type: ignore[method-assign,assignment,return-value]
        self.alone.notices.heard(told(Notice("purge", stamp=(1, 1)), Notice("profile", text="p", stamp=(2, 1))))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual((self.alone.notices.ignored, self.alone.hands.done), (1, [("profile", "p")]))

    def test_nothing_after_the_end(self) -> None:
        self.alone.notices.by_hand.profile_used("p")
        self.alone.notices.stop()
        fail(self.alone.guards[0])
        self.alone.notices.by_hand.profile_used("q")
        self.alone.notices.heard(told(Notice("purge", stamp=(1, 1))))
        self.alone.line.connect()
        self.assertEqual(self.alone.hands.done, [])
        self.assertEqual([each for each in self.clock.getDelayedCalls() if each.active()], [])
        self.settle()
        self.assertEqual(self.parent.hands.done, [])


class ByHandTests(Case):
    """What people do."""

    def test_a_purge(self) -> None:
        self.alone.notices.by_hand.purged()
        self.settle()
        self.assertEqual((self.alone.hands.done, self.parent.hands.done), ([], ["purge"]))
        third = Machine(self.clock, self.store, "c", provider_config())
        third.begin()
        self.assertEqual(third.hands.done, [], "what it keeps is of later")
        third.line.cut()
        third.line.connect()
        self.assertEqual(third.hands.done, [])

    def test_a_purge_before_the_store_was_there_for_the_first_time(self) -> None:
        late = Machine(self.clock, self.store, "c", provider_config())
        late.notices.begin(late.hands)
        self.clock.advance(5.0)
        self.alone.notices.by_hand.purged()
        self.settle()
        late.line.connect()
        self.assertEqual(late.hands.done, ["purge"])
        late.line.cut()
        late.line.connect()
        self.assertEqual(late.hands.done, ["purge"], "once")

    def test_the_last_profile_holds(self) -> None:
        # Both at the same moment: all agree on one.
        self.alone.notices.by_hand.profile_used("p")
        self.parent.notices.by_hand.profile_used("q")
        self.settle()
        self.assertEqual((self.alone.hands.done, self.parent.hands.done), ([("profile", "q")], []))
        self.alone.notices.by_hand.profile_used("off")
        self.settle()
        self.assertEqual(self.parent.hands.done, [("profile", "off")])

    def test_one_that_begins_uses_the_profile_that_others_use(self) -> None:
        self.alone.notices.by_hand.profile_used("p")
        self.settle()
        self.parent.notices.stop()
        for _ in range(10):
            self.clock.advance(PROFILE_SECONDS / 2)
        third = Machine(self.clock, self.store, "c", provider_config())
        third.begin()
        self.assertEqual(third.hands.done, [("profile", "p")])
        # Who uses it says so a few times a minute, to nobody but those that begin.
        self.assertEqual(len(self.store.messages), 1)
        self.alone.notices.stop()
        third.notices.stop()
        self.clock.advance(PROFILE_SECONDS)
        fourth = Machine(self.clock, self.store, "d", provider_config())
        fourth.begin()
        self.assertEqual(fourth.hands.done, [])

    def test_who_has_not_the_profile_does_not_keep_it(self) -> None:
        self.parent.hands.unknown = "p"
        self.alone.notices.by_hand.profile_used("p")
        self.settle()
        self.alone.notices.stop()
        for _ in range(10):
            self.clock.advance(PROFILE_SECONDS / 2)
        third = Machine(self.clock, self.store, "c", provider_config())
        third.begin()
        self.assertEqual(third.hands.done, [])

    def test_what_is_done_for_others_is_not_told_again(self) -> None:
        by_hand = self.parent.notices.by_hand
        self.parent.hands.purge = by_hand.purged  # type: ignore[method-assign]
        self.parent.hands.profile = lambda name: by_hand.profile_used(name) is None  # type: ignore[method-assign]
        self.parent.hands.put_back = by_hand.key_put_back  # type: ignore[method-assign]
        self.alone.notices.by_hand.purged()
        self.alone.notices.by_hand.profile_used("p")
        self.alone.notices.by_hand.key_put_back("some", "A")
        self.settle()
        self.assertEqual((self.alone.notices.told, self.parent.notices.told), (3, 0))
        self.assertEqual(self.parent.notices.news, 3)

    def test_a_client(self) -> None:
        self.parent.hands.client = b"digest"
        self.alone.notices.by_hand.clients_revoked([b"digest", b"unknown there"])
        self.settle()
        self.assertEqual(self.parent.hands.done, [("revoked", True)])
        self.assertEqual(self.parent.notices.news, 2)
        third = Machine(self.clock, self.store, "c", provider_config())
        third.hands.client = b"of somebody else"
        third.begin()
        self.assertEqual(third.hands.done, [("revoked", False)])
        self.parent.line.cut()
        self.parent.line.connect()
        self.assertEqual(self.parent.notices.news, 2, "it is known")
        self.assertNotIn(b"digest", b"".join(self.store.messages))

    def test_a_client_that_was_revoked_before_this_process_began(self) -> None:
        self.parent.hands.client = b"digest"
        again = Machine(self.clock, self.store, "c", provider_config())
        again.hands.revoked_before = [b"digest", b"another"]
        again.begin()
        self.settle()
        self.assertEqual((self.parent.hands.done, self.parent.notices.news), ([("revoked", True)], 2))
        # What is in the store need not be told.
        told = len(self.store.messages)
        once_more = Machine(self.clock, self.store, "d", provider_config())
        once_more.hands.revoked_before = [b"digest", b"another"]
        once_more.begin()
        self.settle()
        self.assertEqual(len(self.store.messages), told)
        # Nor is it told twice, when the store has lost all.
        self.store.restart()
        once_more.line.cut()
        once_more.line.connect()
        self.settle()
        self.assertEqual(len(self.store.messages), told)

    def test_a_key_or_a_provider_that_is_not_known(self) -> None:
        self.alone.notices.by_hand.key_put_back("some", "GONE")
        self.alone.notices.by_hand.key_put_back("gone", "A")
        self.alone.notices.by_hand.breakers_closed("gone", [None])
        self.settle()
        self.assertEqual(self.store.messages, [])
        self.parent.notices.heard(told(Notice("back", "unknown", "unknown")))
        self.assertEqual(self.parent.hands.done, [])

    def test_a_model_whose_name_is_too_long(self) -> None:
        self.limited(self.alone.guards[0], "m" * 513, retry_after=5.0)
        self.settle()
        self.assertEqual(self.store.messages, [])


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["fail", "good", "close", "purge", "inside", "told", "told", "again", "flush", "cut"]),
        st.integers(0, 4),
        st.integers(0, 5),
    ),
    max_size=50,
)


class ConvergenceTests(SynchronousTestCase):
    """Two machines with two workers each, and a process alone."""

    @given(STEPS)
    @settings(max_examples=250, deadline=None)
    def test_all_agree_at_last_in_whatever_order_it_comes(self, steps: list[tuple[str, int, int]]) -> None:
        clock = Clock()
        store = Store(clock)
        machines: list[Machine] = [Parent(clock, store, name, provider_config()) for name in ("a", "b")]
        machines.append(Machine(clock, store, "c", provider_config()))
        for each in machines:
            each.begin()
        guards = [guard for each in machines for guard in each.guards]
        purgers = set()
        for step, number, index in steps:
            machine = machines[number // 2]
            match step:
                case "fail":
                    fail(guards[number])
                case "good":
                    guards[number].breaker.admit(last=True).succeeded()
                case "close":
                    machine.close_breaker()
                case "purge":
                    machine.notices.by_hand.purged()
                    purgers.add(machine)
                case "inside":
                    machine.carry()
                case "told":
                    machine.line.carry(index)
                case "again":
                    machine.line.carry(index, again=True)
                case "flush":
                    clock.advance(0.01)
                case "cut":
                    # What it has not heard comes by what is kept.
                    machine.line.cut()
                    machine.line.connect()
        settle(clock, *machines)
        states = {each.breaker.state for each in guards}
        self.assertEqual(len(states), 1, states)
        for each in machines:
            self.assertTrue(not purgers or each in purgers or "purge" in each.hands.done)
        told = sum(each.notices.told for each in machines)
        settle(clock, *machines)
        self.assertEqual(sum(each.notices.told for each in machines), told)

    @given(st.lists(st.tuples(st.integers(1, 60), st.integers(0, 2)), max_size=20), st.randoms())
    @settings(max_examples=100, deadline=None)
    def test_rests_end_alike(self, rests: list[tuple[int, int]], order: Any) -> None:
        clock = Clock()
        store = Store(clock)
        machines = [Parent(clock, store, name, provider_config()) for name in ("a", "b")]
        for each in machines:
            each.begin()
        guards = [guard for each in machines for guard in each.guards]
        for seconds, number in rests:
            guards[number].deployments.of("m").guard("A").hear_rest(Rest(0.0, 0.0, stated=True))
            guards[number].deployments.of("m").guard("A").sent().limited(float(seconds))
            for each in machines:
                while each.carry():
                    continue
            clock.advance(0.05)
            line = machines[1 - number // 2].line
            order.shuffle(queue := list(line.queue))
            line.queue.clear()
            line.queue.extend(queue)
        settle(clock, *machines)
        ends = [each.deployments.of("m").guard("A").rest for each in guards]
        # What is left is told, not when it ends: a rest is longer by as much as its notice was on its way.
        self.assertLess(max(ends) - min(ends), 0.05 * len(rests) + 1.0, ends)
