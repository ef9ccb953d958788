"""Messages of any size arrive whole, in their order, and one that reads slowly is not flooded."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.config.fields import frozen
from skyproxy.process.workers import protocol
from skyproxy.process.workers.protocol import PART_BYTES, Channel, NotDone, decode, encode


class Pair:
    """Two channels, and what goes between them when :meth:`pump` is called."""

    def __init__(self, left: Any, right: Any) -> None:
        self.channels = Channel(left), Channel(right)
        self.transports = StringTransport(), StringTransport()
        for channel, transport in zip(self.channels, self.transports, strict=True):
            channel.makeConnection(transport)  # type: ignore[no-untyped-call]

    def pump(self, turns: int = 1000) -> int:
        """Carry bytes over until none are left; returns the most that were ever on the way."""
        most = 0
        for _ in range(turns):
            moved = False
            for index, transport in enumerate(self.transports):
                data = transport.value()
                if data:
                    moved = True
                    most = max(most, len(data))
                    transport.clear()
                    self.channels[1 - index].dataReceived(data)  # type: ignore[no-untyped-call]
            if not moved:
                break
        return most


class ChannelTests(SynchronousTestCase):
    """:class:`Channel`."""

    def test_in_order_and_whole(self) -> None:
        got: list[Any] = []
        pair = Pair(None, got.append)
        sent = ["small", b"x" * (3 * PART_BYTES + 5), {"a": [1, 2]}, b"y" * PART_BYTES, ""]
        for each in sent:
            pair.channels[0].tell(each)
        most = pair.pump()
        self.assertEqual(got, sent)
        self.assertLess(most, PART_BYTES + 1000)

    def test_what_is_short_and_urgent_overtakes(self) -> None:
        got: list[Any] = []
        pair = Pair(None, got.append)
        channel = pair.channels[0]
        channel.tell(b"x" * 100_000)
        channel.tell("second")
        channel.tell_now("first")
        channel.tell_now(b"y" * 100_000)
        pair.pump()
        self.assertEqual([each[:6] for each in got], ["first", b"xxxxxx", "second", b"yyyyyy"])
        channel.connectionLost(Failure(ConnectionDone()))
        channel.tell_now("nobody is there")

    def test_what_waits_is_known(self) -> None:
        pair = Pair(None, lambda _: None)
        for _ in range(5):
            pair.channels[0].tell(b"x" * 100_000)
        self.assertEqual(pair.channels[0].waiting, 4)
        pair.pump()
        self.assertEqual(pair.channels[0].waiting, 0)

    def test_when_all_is_handled(self) -> None:
        got: list[Any] = []
        pair = Pair(None, got.append)
        channel = pair.channels[0]
        self.successResultOf(channel.done())
        channel.tell(b"x" * 100_000)
        channel.tell("second")
        done = channel.done()
        done.addCallback(lambda _: got.append("done"))
        channel.tell("third")
        self.assertNoResult(done)
        pair.pump()
        self.assertEqual(got[1:], ["second", "done", "third"])

    def test_nobody_waits_for_one_that_is_gone(self) -> None:
        pair = Pair(None, lambda _: None)
        channel = pair.channels[0]
        channel.tell("first")
        channel.tell("second")
        done = channel.done()
        channel.connectionLost(Failure(ConnectionDone()))
        self.successResultOf(done)
        self.successResultOf(channel.done())

    def test_questions(self) -> None:
        later: Deferred[str] = Deferred()

        def answer(message: str) -> Any:
            if message == "bad":
                raise ValueError("no such thing")
            return later if message == "later" else message.upper()

        pair = Pair(None, answer)
        slow, quick, bad = (pair.channels[0].ask(each) for each in ("later", "quick", "bad"))
        pair.pump()
        self.assertEqual(self.successResultOf(quick), "QUICK")
        self.assertEqual(str(self.failureResultOf(bad, NotDone).value), "no such thing")
        self.assertNoResult(slow)
        later.callback("done")
        pair.pump()
        self.assertEqual(self.successResultOf(slow), "done")

    def test_one_that_nobody_waits_for(self) -> None:
        pair = Pair(None, lambda message: message)
        asked = pair.channels[0].ask("x")
        asked.addErrback(lambda _: None)
        asked.cancel()
        pair.pump()

    def test_the_end(self) -> None:
        lost: list[str] = []
        channel = Channel(lambda _: None, lambda: lost.append("lost"))
        channel.makeConnection(StringTransport())  # type: ignore[no-untyped-call]
        asked = channel.ask("x")
        channel.connectionLost(Failure(ConnectionDone()))
        self.failureResultOf(asked, ConnectionDone)
        self.failureResultOf(channel.ask("y"), ConnectionDone)
        channel.tell("z")
        self.assertEqual((lost, channel.gone), (["lost"], True))

    def test_a_fault_ends_nothing(self) -> None:
        got: list[Any] = []

        def handle(message: Any) -> None:
            if message == "bad":
                raise ValueError("a fault")
            got.append(message)

        pair = Pair(None, handle)
        pair.channels[0].tell("bad")
        pair.channels[0].tell("good")
        pair.pump()
        self.assertEqual(got, ["good"])
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_one_of_another_skyproxy_reads_nothing(self) -> None:
        """It has other messages, or others of the same name that mean something else."""

        def cannot(_: bytes) -> Any:
            raise AttributeError("there is no Start")

        for other, read, told in (
            ("0.2.0, and not 0.1.0", decode, "0.2.0, and not 0.1.0"),
            ("", cannot, "AttributeError: there is no Start"),
        ):
            self.patch(protocol, "decode", read)
            got: list[Any] = []
            pair = Pair(None, got.append)
            pair.channels[1].other = other
            failures: list[Failure] = []
            pair.channels[0].ask("anything").addErrback(failures.append)
            pair.pump()
            self.assertEqual((got, pair.transports[0].disconnecting), ([], True))
            failures[0].trap(NotDone)
            self.assertEqual(
                failures[0].getErrorMessage(),
                f"another skyproxy is installed than the one that runs ({told}): `skyproxy upgrade` has it serve",
            )

    def test_mappings_of_a_configuration(self) -> None:
        self.assertEqual(decode(encode(frozen({"a": 1}))), {"a": 1})
