"""Notices in a store: what is asked of it, and what is made of what it answers."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.process.notices.kept import READ, TELL, KeptNotices
from skyproxy.process.notices.notice import MAX_NOTICES, Notice, read_message
from skyproxy.process.notices.outbox import ENDED_SECONDS, MAX_WAITING, Outbox, State


class Redis:
    """In place of the connection to it.

    :ivar asked: scripts that wait for their answers, as (script, arguments, done, failed).
    """

    prefix = "p:"

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.listens: list[Any] = []

    def listen(self, channel: str, listener: Any) -> None:
        self.listens.append((channel, listener))

    def run(self, script: str, keys: list[str], arguments: list[Any], done: Any, failed: Any) -> None:
        assert keys == ["p:told", "p:told:revoked"]
        self.asked.append((script, arguments, done, failed))


class KeptNoticesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.redis: Any = Redis()
        self.kept = KeptNotices(self.redis)
        self.heard: list[Any] = []

    def test_what_is_told(self) -> None:
        states = [State(("rate", "p", "k", "m"), "", 1.2345, b"value"), State(("breaker", "p", ""), "07", 0.0, b"")]
        self.kept.tell(b"message", states, self.heard.append)
        ((script, arguments, done, _),) = self.redis.asked
        self.assertEqual((script, arguments[:2]), (TELL, ["p:told", b"message"]))
        first, second = arguments[2:6], arguments[6:]
        self.assertRegex(first[0], "^rate:[0-9a-f]{32}$")
        self.assertEqual((first[1:], second[1:]), (["", 1235, b"value"], ["07", 0, b""]))
        done(1)
        self.kept.tell(None, [], self.heard.append)
        self.redis.asked[1][3]("it is gone")
        self.assertEqual((self.redis.asked[1][1][1], self.heard), (b"", [True, False]))

    def test_what_is_read(self) -> None:
        self.kept.read(lambda *read: self.heard.append(read))
        script, arguments, done, failed = self.redis.asked[0]
        self.assertEqual((script, arguments), (READ, []))
        failed("whatever")
        self.assertEqual(self.heard, [])
        good = Notice("refused", "p", "k", seconds=300.0)
        done([1500, good.encoded(), 10, b"nonsense", -5, good._replace(seconds=1.0).encoded(), 999_999, good.encoded()])
        ((notices, broken),) = self.heard
        self.assertEqual(([each.seconds for each in notices], broken), ([1.5, 0.0, 300.0], 1))

    def test_how_late_it_is(self) -> None:
        self.redis.late = lambda sent: sent / 4
        self.assertEqual(self.kept.late(6), 1.5)

    def test_who_listens(self) -> None:
        listener: Any = object()
        self.kept.listen(listener)
        self.assertEqual(self.redis.listens, [("p:told", listener)])


class OutboxTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.sent: list[Any] = []
        self.outbox = Outbox(self.clock, "me", lambda message, states, done: self.sent.append((message, states, done)))

    def told(self, number: int = -1) -> list[Notice]:
        message = read_message(b"1 " + self.sent[number][0])
        assert message is not None
        return list(message.notices)

    def rest(self, seconds: float, model: str = "m") -> Notice:
        return Notice("rate", "p", "k", model, seconds)

    def opened(self, count: int) -> Notice:
        return Notice("opened", "p", "", "m", 50.0, 50.0, stamp=(count, 1))

    def test_several_about_the_same(self) -> None:
        probes = Notice("probes", "p", "", "m", stamp=(1, 1))
        for each in (self.opened(1), probes, self.opened(2), self.rest(3.0), self.rest(2.0), probes):
            self.outbox.put(each)
        self.outbox.ready()
        self.clock.advance(0.01)
        self.assertEqual([each.kind for each in self.told()], ["opened", "rate", "probes"])
        self.assertEqual((self.told()[0].stamp, round(self.told()[1].seconds)), ((2, 1), 3))

    def test_the_end_of_what_waits(self) -> None:
        self.outbox.put(Notice("refused", "p", "k", seconds=300.0))
        self.outbox.put(Notice("back", "p", "k"))
        self.outbox.put(self.opened(1))
        self.outbox.put(Notice("closed", "p", "", "m", stamp=(1, 1)))
        self.outbox.ready()
        self.clock.advance(0.01)
        self.assertEqual([each.kind for each in self.told()], ["back", "closed"])
        states = [(each.subject[0], each.seconds) for each in self.sent[0][1]]
        # A machine that was cut off until now, and takes the key for refused and the breaker for open, learns of it.
        expected = [("rests", 0.0), ("refused", 0.0), ("back", ENDED_SECONDS), ("breaker", ENDED_SECONDS)]
        self.assertEqual(states, expected)

    def test_a_key_that_is_refused_again_was_put_back_before(self) -> None:
        self.outbox.put(Notice("refused", "p", "k", seconds=300.0))
        self.outbox.ready()
        self.clock.advance(0.01)
        states = {each.subject[0]: (each.rank, each.seconds) for each in self.sent[0][1]}
        self.assertEqual((states["back"], states["refused"][0]), (("9" * 20, 0.0), ""))

    def test_a_message_holds_no_more_than_is_read_of_it(self) -> None:
        for number in range(MAX_NOTICES + 1):
            self.outbox.put(Notice("probes", str(number)))
        self.outbox.ready()
        self.clock.advance(0.01)
        self.sent[0][2](True)
        self.assertEqual((len(self.told()), len(self.outbox)), (MAX_NOTICES, 1))

    def test_what_was_not_passed_on_waits_again_unless_there_is_newer(self) -> None:
        self.outbox.ready()
        self.outbox.put(self.rest(30.0))
        self.outbox.put(self.opened(1))
        self.clock.advance(0.01)
        self.outbox.put(self.opened(2))
        self.clock.advance(5.0)
        self.assertEqual(len(self.sent), 1, "one at a time")
        self.sent[0][2](False)
        self.clock.advance(0.51)
        self.assertEqual([(each.kind, each.stamp[0]) for each in self.told()], [("rate", 0), ("opened", 2)])
        self.assertLess(self.told()[0].seconds, 25.0)
        self.assertEqual(self.outbox.told, 0)
        self.sent[1][2](True)
        self.assertEqual((self.outbox.told, len(self.outbox)), (2, 0))

    def test_it_is_bounded(self) -> None:
        for number in range(MAX_WAITING + 10):
            self.outbox.put(self.rest(900.0, f"{number:0500}"))
        self.assertEqual(len(self.outbox), MAX_WAITING)
        self.outbox.ready()
        told = 0
        while len(self.outbox):
            self.clock.advance(0.26)
            message, states, done = self.sent[-1]
            self.assertLessEqual(len(message), 65_536)
            told += len(states)
            done(True)
        self.assertEqual(told, MAX_WAITING)
        self.clock.advance(10.0)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_what_is_kept_only_is_not_passed_on(self) -> None:
        self.outbox.ready()
        self.outbox.put(self.rest(9.0), publish=False)
        self.clock.advance(0.01)
        message, states, _ = self.sent[0]
        self.assertEqual((message, len(states)), (None, 1))
