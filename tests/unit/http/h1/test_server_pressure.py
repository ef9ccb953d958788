"""Clients that do not read, and clients that leave."""

from __future__ import annotations

import socket
from typing import Any
from unittest import skipUnless

from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import NOT_DONE_YET

from skyproxy.errors import ClientStalled
from skyproxy.http.common import pull_producer
from tests.unit.http.server_support import PIPE, Served, channel_of, get, wait

BIG = b"x" * (PIPE + 1)
SMALL = b"y"


class Producer:
    """Counts what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def pauseProducing(self) -> None:
        self.told.append("pause")

    def resumeProducing(self) -> None:
        self.told.append("resume")

    def stopProducing(self) -> None:
        self.told.append("stop")


class Pull:
    """Produces one piece whenever it is asked to."""

    def __init__(self, request: Any, pieces: int) -> None:
        self.request = request
        self.left = pieces

    def resumeProducing(self) -> None:
        self.request.write(b"piece")
        self.left -= 1
        if not self.left:
            self.request.unregisterProducer()
            self.request.finish()

    def stopProducing(self) -> None:
        self.left = 0


class Streaming(SynchronousTestCase):
    """A stream is under way to a client that does not read."""

    def setUp(self) -> None:
        self.served = Served(wait, stall_timeout=10.0)
        self.client = self.served.connect()
        self.client.send(get())
        self.request = self.served.requests[0]
        self.request.startedWriting = 1
        self.channel: Any = channel_of(self.request)
        self.producer = Producer()
        self.request.registerProducer(self.producer, True)
        self.channel.start_stream(200, [])
        self.client.transport.clogged = True

    def clog(self) -> None:
        self.channel.write_part(BIG)

    def end(self) -> None:
        self.request.unregisterProducer()
        self.request.finish()


class PauseTests(Streaming):
    """Pause and resume."""

    def test_reach_the_producer(self) -> None:
        self.channel.write_part(SMALL)
        self.assertEqual(self.producer.told, [])
        self.clog()
        self.assertEqual(self.producer.told, ["pause"])
        self.client.transport.take(100)
        self.assertEqual(self.producer.told, ["pause"])
        self.client.transport.take()
        self.assertEqual(self.producer.told, ["pause", "resume"])

    def test_once(self) -> None:
        self.clog()
        self.clog()
        self.client.transport.take()
        self.assertEqual(self.producer.told, ["pause", "resume"])

    def test_late_producer_is_paused(self) -> None:
        self.request.unregisterProducer()
        self.clog()
        late = Producer()
        self.request.registerProducer(late, True)
        self.client.transport.take()
        self.assertEqual((late.told, self.producer.told), (["pause", "resume"], []))

    def test_only_one_producer(self) -> None:
        self.assertRaises(RuntimeError, self.channel.registerProducer, Producer(), True)

    def test_resumed_producer_ends_the_answer(self) -> None:
        self.producer.resumeProducing = self.end  # type: ignore[method-assign]
        self.clog()
        self.served.handler = lambda request: b"second"
        self.client.send(get())
        self.client.transport.take()
        self.client.transport.take()
        self.assertEqual([answer.body for answer in self.client.answers("GET", "GET")], [BIG, b"second"])

    def test_resumed_producer_fills_the_pipe_and_ends_the_answer(self) -> None:
        def resume() -> None:
            self.clog()
            self.end()

        self.producer.resumeProducing = resume  # type: ignore[method-assign]
        self.clog()
        self.client.send(get())
        self.client.transport.take()
        self.assertEqual(len(self.served.requests), 1)
        self.client.transport.take()
        self.assertEqual(len(self.served.requests), 2)

    def test_next_request_waits_for_the_client_to_read(self) -> None:
        self.clog()
        self.end()
        self.client.send(get())
        self.served.pass_time(5)
        self.assertEqual(len(self.served.requests), 1)
        self.client.transport.take()
        self.assertEqual(len(self.served.requests), 2)

    def test_who_takes_no_answers_gets_no_requests_in(self) -> None:
        self.clog()
        self.end()
        self.client.send(BIG)
        self.assertEqual(self.client.transport.producerState, "paused")

    def test_reading_goes_on_while_the_answer_waits(self) -> None:
        self.clog()
        self.assertEqual(self.client.transport.producerState, "producing")

    def test_pull_producer(self) -> None:
        self.end()
        self.client.transport.take()
        self.client.transport.clogged = False
        self.client.transport.clear()

        def pull(request: Any) -> Any:
            request.registerProducer(Pull(request, 3), False)
            return NOT_DONE_YET

        self.served.handler = pull
        steps: list[Any] = []
        self.patch(
            pull_producer,
            "cooperate",
            lambda work: steps.append(work) or Task(),
        )
        self.client.send(get())
        for _ in range(3):
            next(steps[0])
        self.assertEqual(self.client.answers("GET")[0].body, b"piece" * 3)


class Task:
    """Stands in for a task of a cooperator that the test drives itself."""

    def stop(self) -> None:
        self.stopped = True


class StallTests(Streaming):
    """A client that reads nothing is given up after stall_timeout."""

    def setUp(self) -> None:
        super().setUp()
        self.finished = self.request.notifyFinish()

    def test_given_up(self) -> None:
        self.clog()
        self.served.pass_time(9)
        self.assertNoResult(self.finished)
        self.served.pass_time(2)
        self.failureResultOf(self.finished, ClientStalled)
        self.assertTrue(self.client.transport.aborted)

    def test_more_writes_do_not_extend_it(self) -> None:
        for _ in range(11):
            self.clog()
            self.served.pass_time(1)
        self.failureResultOf(self.finished, ClientStalled)

    def test_reading_slowly_is_reading(self) -> None:
        self.clog()
        for _ in range(10):
            self.served.pass_time(8)
            self.client.transport.take(1)
        self.assertNoResult(self.finished)
        self.served.pass_time(12)
        self.failureResultOf(self.finished, ClientStalled)

    def test_an_idle_stream_is_not_a_stall(self) -> None:
        self.clog()
        self.client.transport.take()
        self.served.pass_time(1000)
        self.assertNoResult(self.finished)

    def test_after_the_answer_was_written(self) -> None:
        self.clog()
        self.end()
        self.successResultOf(self.finished)
        self.served.pass_time(9)
        self.assertFalse(self.client.transport.aborted)
        self.served.pass_time(2)
        self.assertTrue(self.client.transport.aborted)

    def test_after_the_last_answer(self) -> None:
        self.clog()
        self.channel.persistent = False
        self.end()
        self.assertTrue(self.client.transport.disconnecting)
        self.served.pass_time(12)
        self.assertTrue(self.client.transport.aborted)


class UnreadTests(SynchronousTestCase):
    """How much waits for clients to read it."""

    def test_counts_until_it_is_read_or_the_client_has_left(self) -> None:
        served = Served(lambda request: BIG)
        clients = [served.connect() for _ in range(3)]
        for client in clients:
            client.transport.clogged = True
            client.send(get())
        each = served.connections.unread // 3
        self.assertGreaterEqual(each, len(BIG))
        clients[0].transport.take(len(BIG) // 2)
        served.pass_time(2)
        self.assertEqual(served.connections.unread, 3 * each - len(BIG) // 2)
        clients[0].transport.take()
        self.assertEqual(served.connections.unread, 2 * each)
        for client in clients[1:]:
            client.leave()
        self.assertEqual(served.connections.unread, 0)


class LeavingTests(Streaming):
    """A client that leaves."""

    def setUp(self) -> None:
        super().setUp()
        self.finished = self.request.notifyFinish()

    def test_while_it_is_answered(self) -> None:
        self.client.leave()
        self.failureResultOf(self.finished)
        self.assertEqual(self.producer.told, ["stop"])
        self.assertEqual(len(self.served.connections), 0)
        self.assertEqual(self.served.clock.getDelayedCalls(), [])

    def test_while_it_does_not_read(self) -> None:
        self.clog()
        self.client.leave()
        self.failureResultOf(self.finished)

    def test_before_the_request_was_complete(self) -> None:
        client = self.served.connect()
        client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab")
        client.leave()
        client.send(b"cde")
        self.assertEqual(len(self.served.requests), 1)

    def test_what_it_had_sent_ahead_is_dropped(self) -> None:
        self.client.send(get())
        self.client.leave()
        self.failureResultOf(self.finished)
        self.assertEqual(len(self.served.requests), 1)


@skipUnless(hasattr(__import__("select"), "POLLRDHUP"), "only Linux tells")
class LeavingUnreadTests(SynchronousTestCase):
    """A client that leaves after it has sent so much ahead that nobody reads from it."""

    def setUp(self) -> None:
        self.here, self.there = socket.socketpair()
        self.addCleanup(self.here.close)
        self.addCleanup(self.there.close)
        self.served = Served(wait)
        self.client = self.served.connect()
        self.client.transport.fileno = self.here.fileno  # type: ignore[attr-defined]
        self.client.send(get())
        self.client.send(BIG)
        self.assertEqual(self.client.transport.producerState, "paused")

    def test_is_noticed_within_a_second(self) -> None:
        self.served.pass_time(30)
        self.assertFalse(self.client.transport.aborted)
        self.there.close()
        self.served.pass_time(1)
        self.assertTrue(self.client.transport.aborted)

    def test_also_while_it_does_not_read(self) -> None:
        self.client.transport.clogged = True
        self.served.requests[0].write(BIG)
        self.there.close()
        self.served.pass_time(1)
        self.assertTrue(self.client.transport.aborted)

    def test_one_that_stays_is_left_alone(self) -> None:
        self.client.transport.clogged = True
        self.served.requests[0].write(BIG)
        self.client.transport.take()
        self.served.pass_time(100)
        self.assertFalse(self.client.transport.aborted)
