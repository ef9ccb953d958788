"""Which of a provider's keys carries a request."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr
from twisted.internet.task import Clock
from twisted.logger import LogLevel, capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.config import ApiKeyConfig
from skyproxy.errors import ErrorKind
from skyproxy.upstream.guards.keys import KeyRing, Lease
from skyproxy.upstream.guards.refusals import KeysResting
from skyproxy.upstream.guards.statistics import KeyStatistics


def ring_of(clock: Clock, *variables: str) -> KeyRing:
    keys = [ApiKeyConfig(variable=name, secret=SecretStr(f"sk-secret-{name}")) for name in variables]
    return KeyRing(clock, keys, "some")


class KeyRingTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.ring = ring_of(self.clock, "A", "B", "C")

    def take(self, count: int) -> list[Lease]:
        return [self.ring.take() for _ in range(count)]

    def taken(self, count: int) -> str:
        return "".join(lease.variable for lease in self.take(count))


class TurnTests(KeyRingTestCase):
    """Who is next."""

    def test_least_busy_first(self) -> None:
        leases = self.take(6)
        self.assertEqual("".join(lease.variable for lease in leases), "ABCABC")
        leases[4].release()
        leases[2].release()
        leases[5].release()
        self.assertEqual(self.taken(4), "CBCA")

    def test_one_that_fails_comes_last_though_it_is_never_busy(self) -> None:
        for number in range(6):
            lease = self.ring.take()
            self.assertEqual(lease.variable, "A" if number == 0 else "BC"[(number - 1) % 2], number)
            if lease.variable == "A":
                lease.failed()
                lease.release()
        self.clock.advance(1)
        self.assertEqual(self.taken(3), "AAA")

    def test_where_all_fail_it_is_the_least_busy(self) -> None:
        for lease in self.take(3):
            lease.failed()
        self.assertEqual(self.taken(3), "ABC")
        self.assertTrue(self.ring.usable())

    def test_one_after_the_other_it_is_always_the_first(self) -> None:
        for _ in range(3):
            lease = self.ring.take()
            self.assertEqual(lease.variable, "A")
            lease.release()

    def test_release_is_once(self) -> None:
        lease, _ = self.take(2)
        self.ring.take()
        lease.release()
        lease.release()
        self.assertEqual([key.busy for key in self.ring.statistics()], [0, 1, 1])

    def test_secret(self) -> None:
        lease = self.ring.take()
        self.assertEqual(lease.secret.get_secret_value(), "sk-secret-A")

    def test_a_ring_has_a_key(self) -> None:
        self.assertRaises(ValueError, KeyRing, self.clock, [], "some")


class RestTests(KeyRingTestCase):
    """Keys that met a rate limit."""

    def test_rests_as_long_as_it_is_told(self) -> None:
        self.ring.take().limited(20.0)
        self.assertEqual(self.taken(4), "BCBC")
        self.clock.advance(20)
        self.assertEqual(self.ring.take().variable, "A")

    def test_rests_a_second_if_it_is_not_told(self) -> None:
        self.ring.take().limited(None)
        self.clock.advance(0.9)
        self.assertEqual(self.taken(2), "BC")
        self.clock.advance(0.1)
        self.assertEqual(self.taken(2), "AB")

    def test_rests_longer_each_time_until_it_works(self) -> None:
        lease = self.ring.take()

        def rests() -> float:
            lease.limited(None)
            resting = self.ring.statistics()[0].resting
            self.clock.advance(resting)
            return resting

        self.assertEqual([rests() for _ in range(6)], [1.0, 2.0, 4.0, 8.0, 10.0, 10.0])
        lease.worked()
        self.assertEqual(rests(), 1.0)

    def test_several_answers_to_one_burst_are_one_rest(self) -> None:
        for lease in [self.ring.take() for _ in range(9)][::3]:
            lease.limited(None)
        self.assertEqual(self.ring.statistics()[0].resting, 1.0)

    def test_rest_is_how_long_no_key_may_be_used(self) -> None:
        for lease, rest in zip(self.take(3), (0.0, 0.0, 5.0), strict=True):
            lease.limited(5.0)
            self.assertEqual(self.ring.rest(), rest)
        self.clock.advance(9)
        self.assertEqual(self.ring.rest(), 0.0)

    def test_rests_an_hour_at_most(self) -> None:
        self.ring.take().limited(86400.0)
        self.assertEqual(self.ring.statistics()[0].resting, 3600.0)

    def test_the_longer_rest_counts(self) -> None:
        lease = self.ring.take()
        lease.limited(30.0)
        lease.limited(2.0)
        self.assertEqual(self.ring.statistics()[0].resting, 30.0)

    def test_all_rest(self) -> None:
        a, b, c = self.take(3)
        a.limited(30.0)
        b.limited(5.0)
        c.limited(7.0)
        error = self.assertRaises(KeysResting, self.ring.take)
        self.assertEqual(
            (error.status, error.code, error.retry_after, error.retryable), (503, "keys_resting", 5.0, True)
        )
        self.clock.advance(5)
        self.assertEqual(self.ring.take().variable, "B")

    def test_a_rest_of_no_time_is_none_that_is_told(self) -> None:
        lease = self.ring.take()
        self.assertEqual([lease.limited(seconds) for seconds in (0.0, 0.0)], [1.0, 1.0])
        self.assertEqual(self.taken(2), "BC")

    def test_the_only_key_does_not_rest(self) -> None:
        ring = ring_of(self.clock, "A")
        ring.take().limited(None)
        ring.take().limited(3.0)
        self.assertTrue(ring.usable())
        ring.take().rejected(401, 1)
        self.assertEqual(ring.take().variable, "A")


class RejectionTests(KeyRingTestCase):
    """Keys that the provider refuses."""

    def test_put_aside(self) -> None:
        self.ring.take().rejected(401, 1)
        self.assertEqual(self.taken(4), "BCBC")
        self.clock.advance(300)
        self.assertEqual(self.ring.take().variable, "A")

    def test_the_log_tells_which_it_is(self) -> None:
        empty, refused = ErrorKind.NO_CREDIT, ErrorKind.KEY_INVALID
        with capturedLogs() as events:
            for status, kind in ((402, empty), (403, empty), (400, refused)):
                self.ring.take().rejected(status, 1, kind)
        self.assertEqual(
            [(each["log_format"], each["variable"], each["status"]) for each in events],
            [
                ("Provider has no credit for the key of this variable", "A", 402),
                ("Provider has no credit for the key of this variable", "B", 403),
                ("Provider refuses the key of this variable", "C", 400),
            ],
        )

    def test_put_aside_when_two_requests_are_forbidden(self) -> None:
        lease = self.ring.take()
        for _ in range(2):
            lease.rejected(403, 1)
            self.clock.advance(1)
            self.assertFalse(self.ring.statistics()[0].rejected)
        lease.rejected(403, 2)
        self.assertTrue(self.ring.statistics()[0].rejected)
        self.clock.advance(299.9)
        self.assertEqual(self.taken(4), "BCBC")
        self.clock.advance(0.1)
        self.assertEqual(self.ring.take().variable, "A")

    def test_a_success_between_speaks_for_the_key(self) -> None:
        lease = self.ring.take()
        for request in range(3):
            lease.rejected(403, request)
            lease.worked()
        self.assertFalse(self.ring.statistics()[0].rejected)

    def test_what_is_forbidden_with_two_keys_is_no_fault_of_theirs(self) -> None:
        leases = self.take(3)
        for request in range(5):
            for lease in leases:
                lease.rejected(403, request)
        self.assertEqual([key.rejected for key in self.ring.statistics()], [False] * 3)

    def test_a_forbidden_request_tries_each_key_once(self) -> None:
        tried = ""
        while self.ring.usable():
            lease = self.ring.take()
            tried += lease.variable
            lease.rejected(403, 1)
            lease.release()
        self.assertEqual(tried, "ABC")
        self.assertEqual(self.ring.take().variable, "A")
        self.clock.advance(1)
        self.assertTrue(self.ring.usable())

    def test_the_last_one_is_not_put_aside(self) -> None:
        for lease in self.take(3):
            lease.rejected(401, 1)
        self.assertEqual(self.taken(2), "CC")

    def test_one_that_was_refused_is_used_when_the_last_other_is_put_aside_by_hand(self) -> None:
        a, b, _ = self.take(3)
        for lease in (a, b):
            lease.rejected(401, 1)
        self.ring.put_aside({"C"})
        self.assertEqual(self.taken(2), "AB")
        self.ring.put_aside(())
        self.assertEqual(self.taken(2), "CC")
        a.rejected(401, 1)
        self.ring.put_aside({"B"})
        self.assertEqual(self.taken(1), "C")
        self.assertEqual([key.rejected for key in self.ring.statistics()], [True, False, False])

    def test_the_last_one_promises_nothing_once_it_was_refused(self) -> None:
        leases = self.take(3)
        for lease, usable in zip(leases, (True, True, False), strict=True):
            lease.rejected(401, 1)
            self.assertEqual(self.ring.usable(), usable)
        self.assertEqual(self.taken(1), "C")
        self.clock.advance(300)
        self.assertTrue(self.ring.usable())

    def test_one_that_works_promises_something_again(self) -> None:
        # A request may have asked for more than was left, and others not.
        for keys, refused in (("A", 401), ("A", 403), ("AB", 403)):
            ring = ring_of(self.clock, *keys)
            leases = [ring.take() for _ in keys]
            for lease in leases:
                lease.rejected(refused, 1)
            self.assertFalse(ring.usable())
            leases[0].worked()
            self.assertEqual(ring.promising(), ["A"])

    def test_one_that_is_put_aside_promises_nothing_though_an_earlier_request_was_answered(self) -> None:
        a, b, c = self.take(3)
        for lease in (a, b, c):
            lease.rejected(401, 1)
            lease.worked()
        self.assertEqual(self.ring.promising(), ["C"])

    def test_some_rest_and_the_others_are_put_aside(self) -> None:
        a, b, c = self.take(3)
        a.rejected(401, 1)
        b.limited(30.0)
        c.rejected(401, 1)
        self.assertEqual(self.assertRaises(KeysResting, self.ring.take).retry_after, 30.0)

    def test_said_once(self) -> None:
        a, b, _ = self.take(3)
        with capturedLogs() as events:
            a.rejected(401, 1)
            a.rejected(401, 1)
            b.rejected(403, 1)
            b.rejected(403, 2)
            self.clock.advance(300)
            self.ring.take().rejected(401, 1)
        told = [(event["log_level"], event["provider"], event["variable"], event["status"]) for event in events]
        self.assertEqual(told, [(LogLevel.warn, "some", "A", 401), (LogLevel.warn, "some", "B", 403)])
        self.assertNotIn("sk-secret", repr(events))


class StatisticsTests(KeyRingTestCase):
    """KeyRing.statistics."""

    def test_statistics(self) -> None:
        a, b, _ = self.take(3)
        a.release()
        a.limited(30.0)
        b.rejected(401, 1)
        self.clock.advance(10)
        self.assertEqual(
            self.ring.statistics(),
            (
                KeyStatistics(variable="A", busy=0, resting=20.0, rejected=False, requests=1),
                KeyStatistics(variable="B", busy=1, resting=0.0, rejected=True, requests=1),
                KeyStatistics(variable="C", busy=1, resting=0.0, rejected=False, requests=1),
            ),
        )

    def test_never_the_key(self) -> None:
        lease = self.ring.take()
        lease.rejected(401, 1)
        for shown in (self.ring.statistics(), lease.secret, self.ring, lease):
            self.assertNotIn("sk-secret", f"{shown!r} {shown}")
        for lease in self.take(2):
            lease.limited(5.0)
        self.assertNotIn("sk-secret", str(self.assertRaises(KeysResting, self.ring.take)))

    @given(st.lists(st.tuples(st.sampled_from(["take", "release", "limited", "rejected", "wait"]), st.integers(0, 50))))
    def test_no_key_is_lost(self, steps: list[tuple[str, int]]) -> None:
        clock = Clock()
        ring = ring_of(clock, "A", "B")
        leases: list[Lease] = []
        for step, number in steps:
            if step == "wait":
                clock.advance(number)
            elif step == "take":
                try:
                    leases.append(ring.take())
                except KeysResting as error:
                    self.assertGreater(error.retry_after or 0, 0)
            elif leases:
                lease = leases[number % len(leases)]
                lease.release()
                if step == "limited":
                    lease.limited(float(number) if number % 2 else None)
                elif step == "rejected":
                    lease.rejected(401 if number % 2 else 403, number)
        for lease in leases:
            lease.release()
        clock.advance(3600)
        self.assertEqual([(key.busy, key.resting, key.rejected) for key in ring.statistics()], [(0, 0.0, False)] * 2)
        self.assertEqual(ring.take().variable, "A")
