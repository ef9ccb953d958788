"""Redis as a store: what is done about one that refuses, is silent, or goes away."""

from __future__ import annotations

from typing import Any
from unittest import SkipTest

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionAborted, ConnectionLost, ConnectionRefusedError
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import LogLevel, capturedLogs
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

try:
    from skyproxy.process.sharing.link import Commands, Subscriber
    from skyproxy.process.sharing.redis_store import RedisStore
except ImportError:
    raise SkipTest('needs the extra: pip install "skyproxy[redis]"') from None
from skyproxy.shares.leader import Terms
from skyproxy.shares.store import Tick


class Transport(StringTransport):
    """A connection that its own side may abort."""

    protocol: Any = None

    def abortConnection(self) -> None:
        super().abortConnection()
        self.protocol.connectionLost(Failure(ConnectionAborted()))


class Endpoint:
    """Makes connections when it is told to.

    :ivar tries: not answered yet.
    """

    def __init__(self) -> None:
        self.tries: list[tuple[Any, Deferred[Any]]] = []

    def connect(self, factory: Any) -> Deferred[Any]:
        made: Deferred[Any] = Deferred()
        self.tries.append((factory, made))
        return made

    def accept(self) -> Transport:
        factory, made = self.tries.pop(0)
        transport = Transport()
        transport.protocol = factory.buildProtocol(IPv4Address("TCP", "127.0.0.1", 1))
        transport.protocol.makeConnection(transport)
        made.callback(transport.protocol)
        return transport

    def refuse(self) -> None:
        self.tries.pop(0)[1].errback(ConnectionRefusedError())


class Heard:
    """What a listener has heard."""

    def __init__(self) -> None:
        self.all: list[Any] = []

    def ready(self) -> None:
        self.all.append("ready")

    def told(self, message: bytes) -> None:
        self.all.append(("told", message))

    def heard(self, message: bytes) -> None:
        self.all.append(("heard", message))


RIGHTS = "give its user all that the operator's guide lists"
SUBSCRIBED = b"*3\r\n$9\r\nsubscribe\r\n$1\r\nx\r\n:1\r\n"


class RedisStoreTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock, self.endpoint, self.listener = Clock(), Endpoint(), Heard()
        self.answers: list[Any] = []
        for kind in (Commands, Subscriber):
            # It reads what is left of the same data in another turn of the reactor, its own.
            self.patch(kind, "callLater", staticmethod(self.clock.callLater))
        self.make()

    def make(self, **login: Any) -> None:
        self.endpoint.tries.clear()
        self.store = RedisStore(self.clock, self.endpoint, "me", login, Terms())
        self.store.begin(self.listener)

    def receive(self, transport: Transport, data: bytes) -> None:
        transport.protocol.dataReceived(data)
        for _ in range(10):
            self.clock.advance(0)

    def connected(self) -> tuple[Transport, Transport]:
        """Both connections."""
        both = self.endpoint.accept(), self.endpoint.accept()
        commands, hearing = sorted(both, key=lambda each: len(each.value()))
        self.assertIn(b"SUBSCRIBE\r\n$25\r\nskyproxy:0:{shares}:to:me\r\n", hearing.value())
        self.receive(hearing, SUBSCRIBED)
        self.assertEqual(self.listener.all, ["ready"])
        return commands, hearing

    def tick(self) -> None:
        self.store.tick(b"report", self.answers.append)

    def test_a_tick(self) -> None:
        commands, _ = self.connected()
        self.tick()
        self.assertIn(b"$6\r\nreport\r\n", commands.value())
        self.assertEqual(self.store.late(1), 0.0)
        self.receive(commands, b"*5\r\n:5000\r\n$3\r\nyou\r\n:0\r\n:0\r\n*0\r\n")
        self.assertEqual(self.answers, [Tick("you")])
        self.assertEqual((self.store.late(4000), self.store.late(9000)), (1.0, 0.0))
        # What comes too late is known as such: the store's clock goes on as this one.
        commands.clear()
        self.clock.advance(2.0)
        self.tick()
        self.assertIn(b"$4\r\n7000\r\n", commands.value())
        self.receive(commands, b"*1\r\n:9000\r\n")
        self.assertEqual(self.answers[1:], ["it has stood still"])

    def test_one_that_leads(self) -> None:
        commands, hearing = self.connected()
        self.tick()
        self.receive(commands, b"*5\r\n:5000\r\n$2\r\nme\r\n:1\r\n:1\r\n*2\r\n$2\r\nme\r\n$3\r\nyou\r\n"
        )  # fmt: skip
        self.assertEqual(self.answers, [Tick("me", True, ("me", "you"), True)])
        self.store.lead(leads=True)
        self.receive(hearing, SUBSCRIBED)
        self.assertEqual(self.listener.all, ["ready", "ready"])
        for channel, message in (("reports", "from you"), ("to:me", "a grant")):
            name = f"skyproxy:0:{{shares}}:{channel}"
            text = f"*3\r\n$7\r\nmessage\r\n${len(name)}\r\n{name}\r\n${len(message)}\r\n{message}\r\n"
            self.receive(hearing, text.encode())
        self.assertEqual(self.listener.all[2:], [("heard", b"from you"), ("told", b"a grant")])
        sent: list[bool] = []
        self.store.send({"you": b"a grant"}, sent.append)
        self.receive(commands, b":0\r\n")
        self.assertEqual(sent, [False])
        absent: list[list[str]] = []
        self.store.absent(["you", "they"], absent.append)
        self.receive(commands, b"*4\r\n$1\r\na\r\n:1\r\n$1\r\nb\r\n:0\r\n")
        self.assertEqual(absent, [["they"]])
        self.store.lead(leads=False)
        self.assertIn(b"UNSUBSCRIBE", hearing.value())

    def test_one_that_is_not_there(self) -> None:
        self.tick()
        for _ in range(8):
            self.endpoint.refuse()
            self.endpoint.refuse()
            self.tick()
            # A machine that comes back is not waited for, however long it was gone.
            self.clock.advance(0.51)
            self.assertEqual(len(self.endpoint.tries), 2)
        self.assertEqual(self.answers, ["it has not answered yet"] + ["it does not accept connections"] * 8)

    def test_one_that_is_silent(self) -> None:
        commands, hearing = self.connected()
        self.tick()
        self.clock.advance(1.0)
        self.clock.advance(0.0)
        self.assertEqual(self.answers, ["it has not answered for 1 s"])
        self.clock.advance(0.3)
        self.assertEqual(len(self.endpoint.tries), 2)
        # Others may still see by the one connection that this machine goes on, until there is a new one.
        self.assertEqual((commands.disconnected, hearing.disconnected), (True, False))
        self.listener.all.clear()
        self.receive(hearing, b"*3\r\n$7\r\nmessage\r\n$1\r\nx\r\n$1\r\nm\r\n")
        self.connected()
        self.assertTrue(hearing.disconnected)

    def test_one_that_is_silent_to_each_new_connection(self) -> None:
        _, hearing = self.connected()
        self.tick()
        self.clock.advance(1.0)
        for _ in range(3):
            self.clock.advance(0.6)
            transports = [self.endpoint.accept(), self.endpoint.accept()]
            self.tick()
            self.clock.advance(1.0)
            self.assertTrue(all(each.disconnected for each in transports))
            self.assertFalse(hearing.disconnected)
        done: list[str] = []
        self.store.leave(b"bye", lambda: done.append("done"))
        self.assertTrue(hearing.disconnected)
        self.assertEqual(done, ["done"])

    def test_a_question_on_a_connection_that_is_given_up(self) -> None:
        commands, hearing = self.connected()
        self.store.lead(leads=True)
        self.tick()
        self.receive(commands, b"-NOPERM this user has no permissions\r\n")
        self.assertFalse(hearing.disconnected)
        self.clock.advance(0.3)
        self.store.lead(leads=False)
        self.listener.all.clear()
        fresh = self.connected()
        # What was asked there is not waited for, and is no reason to give up another one.
        self.clock.advance(5.0)
        self.assertEqual([each.disconnected for each in (hearing, *fresh)], [True, False, False])

    def test_one_that_goes_away(self) -> None:
        commands, hearing = self.connected()
        self.tick()
        commands.protocol.connectionLost(Failure(ConnectionLost()))
        self.assertEqual(self.answers, ["it has closed the connection"])
        self.tick()
        self.assertEqual(self.answers[1:], ["it has closed the connection"])
        hearing.protocol.connectionLost(Failure(ConnectionLost()))
        self.clock.advance(0.3)
        self.listener.all.clear()
        self.connected()

    def test_what_it_does_not_allow(self) -> None:
        commands, hearing = self.connected()
        self.tick()
        self.receive(commands, b"-NOPERM this user has no permissions\r\n")
        self.assertEqual(self.answers, [f"NOPERM this user has no permissions ({RIGHTS})"])
        self.assertEqual((commands.disconnected, hearing.disconnected), (True, False))

    def test_what_to_do(self) -> None:
        """About what does not mend itself."""
        for said, told in (
            ("MOVED 13224 10.0.0.1:6379", "Redis Cluster is not spoken: MOVED 13224 10.0.0.1:6379"),
            ("ERR The user executing the script can't run this command or subcommand script: 0", RIGHTS),
            ("READONLY You can't write against a read only replica.", "it is a replica: name the one that is written"),
            ("WRONGTYPE Operation against a key", "another program uses skyproxy's keys: name another database"),
            ("OOM command not allowed when used memory > 'maxmemory'.", "'maxmemory'."),
        ):
            commands, _ = self.connected()
            self.tick()
            self.receive(commands, f"-{said}\r\n".encode())
            self.assertIn(told, self.answers.pop())
            self.setUp()

    def test_a_database_of_a_cluster(self) -> None:
        self.make(dbid=3)
        transport = self.endpoint.accept()
        self.receive(transport, b"-ERR SELECT is not allowed in cluster mode\r\n")
        transport.protocol.connectionLost(Failure(ConnectionLost()))
        self.tick()
        self.assertRegex(self.answers[0], "^Redis Cluster is not spoken: .* not allowed in cluster mode")

    def test_a_password_that_it_does_not_take(self) -> None:
        self.make(password="wrong", username="who")
        delays = []
        for _ in range(8):
            for transport in (self.endpoint.accept(), self.endpoint.accept()):
                self.assertIn(b"AUTH\r\n$3\r\nwho\r\n$5\r\nwrong\r\n", transport.value())
                self.receive(transport, b"-WRONGPASS invalid username-password pair\r\n")
                self.assertTrue(transport.disconnecting)
                transport.protocol.connectionLost(Failure(ConnectionLost()))
            self.tick()
            waited = 0.0
            while len(self.endpoint.tries) < 2:
                self.clock.advance(0.1)
                waited += 0.1
            delays.append(waited)
        self.assertEqual(set(self.answers), {"could not auth: WRONGPASS invalid username-password pair"})
        # It is not asked over and over.
        self.assertGreater(delays[-1], 1.4)
        self.assertLess(delays[-1], 2.2)

    def test_one_that_takes_the_connection_and_does_not_answer(self) -> None:
        self.make(password="right")
        transports = [self.endpoint.accept(), self.endpoint.accept()]
        self.clock.advance(2.0)
        self.assertTrue(all(each.disconnected for each in transports))
        self.tick()
        self.assertEqual(self.answers, ["it has not answered for 2 s"])

    def told(self) -> tuple[Heard, Transport, Transport]:
        """One that hears what is told to all besides, and both connections."""
        hears = Heard()
        self.endpoint.tries.clear()
        self.store = RedisStore(self.clock, self.endpoint, "me", {"dbid": 3}, Terms())
        self.assertEqual(self.store.prefix, "skyproxy:3:{shares}:")
        listener: Any = hears
        listener.lost = lambda: hears.all.append("lost")
        self.store.listen("all", listener)
        self.store.begin(self.listener)
        both = self.endpoint.accept(), self.endpoint.accept()
        for each in both:
            self.receive(each, b"+OK\r\n")
        commands, hearing = sorted(both, key=lambda each: len(each.value()))
        self.assertTrue(hearing.value().endswith(b"SUBSCRIBE\r\n$3\r\nall\r\n"), hearing.value())
        self.assertEqual(hears.all, [])
        self.receive(hearing, SUBSCRIBED)
        self.receive(hearing, SUBSCRIBED)
        return hears, commands, hearing

    def test_what_is_told_to_all(self) -> None:
        hears, commands, hearing = self.told()
        self.assertEqual((hears.all, self.listener.all), (["ready"], ["ready"]))
        self.receive(hearing, b"*3\r\n$7\r\nmessage\r\n$3\r\nall\r\n$2\r\nhi\r\n")
        self.receive(hearing, b"*3\r\n$7\r\nmessage\r\n$3\r\nany\r\n$2\r\nhi\r\n")
        self.assertEqual((hears.all[1:], self.listener.all[1:]), ([("heard", b"hi")], [("told", b"hi")]))
        # One connection after the other is lost: it is ready again when there are both.
        commands.protocol.connectionLost(Failure(ConnectionLost()))
        self.clock.advance(0.3)
        self.receive(self.endpoint.accept(), b"+OK\r\n")
        self.assertEqual(hears.all[2:], ["lost", "ready"])
        hearing.protocol.connectionLost(Failure(ConnectionLost()))
        self.clock.advance(0.3)
        hearing = self.endpoint.accept()
        self.receive(hearing, b"+OK\r\n")
        self.assertEqual(hears.all[4:], ["lost"])
        self.receive(hearing, SUBSCRIBED)
        self.receive(hearing, SUBSCRIBED)
        self.assertEqual(hears.all[4:], ["lost", "ready"])

    def test_a_script_that_is_refused_harms_nothing_else(self) -> None:
        _, commands, hearing = self.told()
        replies: list[Any] = []
        self.store.run("return 1", ["k"], ["a"], replies.append, lambda why: replies.append(("failed", why)))
        self.receive(commands, b":1\r\n")
        self.store.run("return 2", ["k"], ["a"], replies.append, lambda why: replies.append(("failed", why)))
        self.receive(commands, b"-NOPERM this user has no permissions\r\n")
        self.assertEqual(replies, [1, ("failed", f"NOPERM this user has no permissions ({RIGHTS})")])
        self.assertFalse(commands.disconnected or hearing.disconnected)
        commands.protocol.connectionLost(Failure(ConnectionLost()))
        self.store.run("return 3", ["k"], ["a"], replies.append, lambda why: replies.append(("failed", why)))
        self.assertEqual(replies[2:], [("failed", "it has closed the connection")])

    def test_of_a_part_that_is_refused_people_are_told(self) -> None:
        _, commands, _ = self.told()

        def ask() -> None:
            self.store.run("return 1", [], [], replies.append, replies.append)
            self.receive(commands, b"-NOPERM this user has no permissions\r\n")

        replies: list[Any] = []
        with capturedLogs() as events:
            for _ in range(2):
                self.assertEqual(events, [])
                for _ in range(4):
                    self.tick()
                    self.receive(commands, b"*1\r\n:1000\r\n")
                # The first time all may be refused from here on, of which others tell.
                ask()
            for _ in range(2):
                ask()
        (told,) = events
        self.assertEqual(
            (told["log_level"], told["reason"]), (LogLevel.warn, f"NOPERM this user has no permissions ({RIGHTS})")
        )
        self.assertEqual(replies, [f"NOPERM this user has no permissions ({RIGHTS})"] * 4)

    def test_the_end(self) -> None:
        commands, hearing = self.connected()
        left: list[bool] = []
        self.store.leave(b"goodbye", lambda: left.append(True))
        self.assertIn(b"goodbye", commands.value())
        self.assertEqual(left, [])
        self.receive(commands, b":1\r\n")
        self.assertEqual(left, [True])
        self.assertTrue(commands.disconnecting and hearing.disconnecting)
        self.clock.advance(10.0)
        self.assertEqual(self.endpoint.tries, [])

    def test_the_end_without_an_answer(self) -> None:
        left: list[bool] = []
        self.store.leave(b"goodbye", lambda: left.append(True))
        self.assertEqual(left, [True])
        self.endpoint.tries.clear()
        self.make()
        self.connected()
        self.store.leave(b"goodbye", lambda: left.append(True))
        self.clock.advance(0.5)
        self.assertEqual(left, [True, True])
