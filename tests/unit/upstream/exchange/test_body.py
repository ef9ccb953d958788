from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionLost
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import ResponseDone, ResponseFailed
from twisted.web.http import PotentialDataLoss

from skyproxy.errors import UpstreamBroken, UpstreamTimeout
from skyproxy.http.h1.response_reader import BadResponse
from skyproxy.upstream.exchange.body import Body, End


class Transport:
    """What the HTTP client would give: notes what is asked of it."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def pauseProducing(self) -> None:
        self.asked.append("pause")

    def resumeProducing(self) -> None:
        self.asked.append("resume")

    def abortConnection(self) -> None:
        self.asked.append("abort")


DONE = Failure(ResponseDone())
CUT = Failure(ResponseFailed([Failure(ConnectionLost())]))


class BodyTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.expired: list[str] = []
        self.deadline = self.clock.callLater(60, self.expired.append, "deadline")
        self.body = Body(self.clock, self.deadline, idle_timeout=30)
        self.transport = Transport()
        self.body.makeConnection(self.transport)  # type: ignore[arg-type]
        self.got: list[bytes] = []

    def flow(self) -> Deferred[End | None]:
        return self.body.flow(self.got.append)

    def test_every_byte_in_order_then_a_framed_end(self) -> None:
        done = self.flow()
        for data in (b"a", b"bc", b"d"):
            self.body.dataReceived(data)
        self.assertNoResult(done)
        self.body.connectionLost(DONE)
        self.assertEqual(self.successResultOf(done), End.FRAMED)
        self.assertEqual(self.got, [b"a", b"bc", b"d"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_body_ended_by_closing_says_so(self) -> None:
        done = self.flow()
        self.body.connectionLost(Failure(PotentialDataLoss()))
        self.assertEqual(self.successResultOf(done), End.CLOSED)

    def test_a_cut_body_fails(self) -> None:
        done = self.flow()
        self.body.dataReceived(b"a")
        self.body.connectionLost(CUT)
        self.failureResultOf(done, UpstreamBroken)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_body_that_breaks_the_rules_says_which(self) -> None:
        done = self.flow()
        self.body.connectionLost(Failure(ResponseFailed([Failure(BadResponse("A chunk without a size."))])))
        self.assertIn("A chunk without a size.", self.failureResultOf(done, UpstreamBroken).value.message)

    def test_what_comes_before_flow_is_held_with_the_transport_paused(self) -> None:
        first = self.body.first()
        self.assertNoResult(first)
        self.body.dataReceived(b"early")
        self.assertIsNone(self.successResultOf(first))
        self.assertEqual(self.transport.asked, ["pause"])
        done = self.flow()
        self.assertEqual(self.got, [b"early"])
        self.assertEqual(self.transport.asked, ["pause", "resume"])
        self.body.connectionLost(DONE)
        self.assertEqual(self.successResultOf(done), End.FRAMED)

    def test_what_was_taken_does_not_flow(self) -> None:
        self.assertEqual(self.body.taken(), b"")
        self.body.first(lambda data: data == b"b")
        self.body.dataReceived(b"a")
        self.body.dataReceived(b"b")
        self.assertEqual((self.body.taken(), self.body.taken()), (b"ab", b""))
        done = self.flow()
        self.body.dataReceived(b"c")
        self.body.connectionLost(DONE)
        self.successResultOf(done)
        self.assertEqual(self.got, [b"c"])

    def test_a_reader_that_flows_at_the_first_byte_never_pauses(self) -> None:
        self.body.first().addCallback(lambda _: self.flow())
        self.body.dataReceived(b"a")
        self.assertEqual(self.got, [b"a"])
        self.assertNotIn("pause", self.transport.asked)

    def test_a_body_that_ends_while_held_is_still_delivered_whole(self) -> None:
        self.body.dataReceived(b"all")
        self.body.connectionLost(DONE)
        self.assertIsNone(self.successResultOf(self.body.first()))
        self.assertEqual(self.successResultOf(self.flow()), End.FRAMED)
        self.assertEqual(self.got, [b"all"])

    def test_an_empty_body_is_told_by_first(self) -> None:
        first = self.body.first()
        self.body.connectionLost(DONE)
        self.assertEqual(self.successResultOf(first), End.FRAMED)

    def test_a_failure_before_the_first_byte_fails_first(self) -> None:
        first = self.body.first()
        self.body.connectionLost(CUT)
        self.failureResultOf(first, UpstreamBroken)

    def test_idle_timeout_counts_from_the_last_read(self) -> None:
        self.body.stream()
        self.assertFalse(self.deadline.active())
        done = self.flow()
        self.clock.advance(29)
        self.body.dataReceived(b"a")
        self.clock.advance(29)
        self.assertNoResult(done)
        self.clock.advance(1)
        error = self.failureResultOf(done, UpstreamTimeout).value
        self.assertEqual(error.timer, "idle_timeout")
        self.assertEqual(self.transport.asked[-1], "abort")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_idle_timeout_does_not_run_while_the_client_reads_nothing(self) -> None:
        self.body.stream()
        done = self.flow()
        self.body.pauseProducing()
        self.clock.advance(29)
        self.clock.advance(29)
        self.clock.advance(29)
        self.assertNoResult(done)
        self.body.resumeProducing()
        self.clock.advance(29)
        self.assertNoResult(done)
        self.clock.pump([1] * 30)
        self.failureResultOf(done, UpstreamTimeout)

    def test_backpressure_reaches_the_transport(self) -> None:
        self.flow()
        self.body.pauseProducing()
        self.body.resumeProducing()
        self.assertEqual(self.transport.asked, ["resume", "pause", "resume"])

    def test_flow_does_not_resume_a_transport_that_the_client_has_paused(self) -> None:
        self.body.dataReceived(b"a")
        self.body.pauseProducing()
        self.flow()
        self.assertNotIn("resume", self.transport.asked)

    def test_cancelling_the_reader_aborts_the_connection(self) -> None:
        for wait in (self.body.first, self.flow):
            with self.subTest(wait=wait.__name__):
                self.setUp()
                done = getattr(self, "flow", wait)() if wait.__name__ == "flow" else self.body.first()
                done.cancel()
                self.failureResultOf(done, CancelledError)
                self.assertEqual(self.transport.asked[-1], "abort")
                self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_failing_it_from_outside_aborts_and_tells_the_reader(self) -> None:
        done = self.flow()
        self.body.fail(UpstreamTimeout("late", timer="default_timeout"))
        self.failureResultOf(done, UpstreamTimeout)
        self.assertEqual(self.transport.asked, ["resume", "abort"])

    def test_only_the_first_outcome_counts(self) -> None:
        done = self.flow()
        self.body.connectionLost(DONE)
        self.body.abort()
        self.body.fail(UpstreamBroken("no"))
        self.assertEqual(self.successResultOf(done), End.FRAMED)
        self.assertNotIn("abort", self.transport.asked)

    def test_nothing_is_delivered_after_it_was_given_up(self) -> None:
        done = self.flow()
        self.body.abort()
        self.failureResultOf(done, CancelledError)
        self.body.dataReceived(b"late")
        self.assertEqual(self.got, [])

    def test_first_waits_until_there_is_enough_and_keeps_it_all(self) -> None:
        seen: list[bytes] = []

        def enough(data: bytes) -> bool:
            seen.append(data)
            return len(seen) == 3

        first = self.body.first(enough)
        for data in (b"a", b"b"):
            self.body.dataReceived(data)
        self.assertNoResult(first)
        self.assertNotIn("pause", self.transport.asked)
        self.body.dataReceived(b"c")
        self.assertIsNone(self.successResultOf(first))
        self.assertEqual(self.transport.asked[-1], "pause")
        done = self.flow()
        self.body.dataReceived(b"d")
        self.body.connectionLost(DONE)
        self.successResultOf(done)
        self.assertEqual(self.got, [b"a", b"b", b"c", b"d"])

    def test_first_judges_what_is_there_already(self) -> None:
        self.body.dataReceived(b"a")
        self.assertIsNone(self.successResultOf(self.body.first(lambda data: data == b"a")))

    def test_a_body_that_ends_before_there_is_enough_says_so(self) -> None:
        first = self.body.first(lambda data: False)
        self.body.dataReceived(b"a")
        self.body.connectionLost(DONE)
        self.assertEqual(self.successResultOf(first), End.FRAMED)
        self.assertEqual(self.successResultOf(self.flow()), End.FRAMED)
        self.assertEqual(self.got, [b"a"])

    def test_first_may_ask_for_more_when_it_hears_of_the_first_byte(self) -> None:
        first = self.body.first()
        more: list[Deferred[End | None]] = []
        first.addCallback(lambda _: more.append(self.body.first(lambda data: data == b"b")))
        self.body.dataReceived(b"a")
        self.assertNotEqual(self.transport.asked[-1:], ["pause"])
        self.body.dataReceived(b"b")
        self.assertIsNone(self.successResultOf(more[0]))
