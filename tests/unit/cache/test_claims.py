"""Who of several machines asks for an answer."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.cache.claims import FOLLOW_SECONDS, LEASE_SECONDS, LOOK_SECONDS, Claim
from skyproxy.cache.packing import pack
from skyproxy.cache.remote import RemoteStore
from skyproxy.cache.stored_answer import StoredAnswer
from tests.unit.cache.test_remote import ANSWER, KEY, FakeDatabase


class ClaimsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.database = FakeDatabase()
        self.stores = [RemoteStore(self.database, "redis://h", str, 1_000_000, self.clock) for _ in range(3)]
        for each in self.stores:
            each.start()
            self.database.usable()

    def claim(self, number: int) -> Deferred[StoredAnswer | Claim]:
        return Deferred.fromCoroutine(self.stores[number].claims.claim(KEY, "guard:large"))

    def held(self, number: int = 0) -> Claim:
        claim = self.successResultOf(self.claim(number))
        assert isinstance(claim, Claim)
        return claim

    def test_the_others_get_the_answer_of_the_first(self) -> None:
        claim = self.held()
        others = [self.claim(1), self.claim(2)]
        for _ in range(20):
            self.clock.advance(LOOK_SECONDS)
        for each in others:
            self.assertNoResult(each)
        self.stores[0].put(KEY, ANSWER, 60.0)
        claim.release()
        self.clock.advance(LOOK_SECONDS)
        for each in others:
            answer = self.successResultOf(each)
            assert isinstance(answer, StoredAnswer)
            self.assertEqual(answer.body, ANSWER.body)
        for each in self.stores:
            each.close()
        self.assertEqual((self.database.holders, self.clock.getDelayedCalls()), ({}, []))

    def test_a_claim_is_renewed_as_long_as_it_is_held(self) -> None:
        claim = self.held()
        for _ in range(9):
            self.clock.advance(LEASE_SECONDS / 3)
        self.assertEqual(self.database.asked.count("renew"), 9)
        claim.release()
        self.clock.advance(LEASE_SECONDS)
        self.assertEqual((self.database.asked.count("renew"), self.database.holders), (9, {}))

    def test_where_the_first_has_no_answer_the_others_ask(self) -> None:
        claim = self.held()
        second, third = self.claim(1), self.claim(2)
        claim.release()
        self.clock.advance(LOOK_SECONDS)
        # One of them has the claim now. The other does not wait once more.
        claims = [self.successResultOf(each) for each in (second, third)]
        for each in claims:
            assert isinstance(each, Claim)
            each.release()
        self.assertEqual(self.database.holders, {})

    def test_nobody_waits_for_one_that_takes_long(self) -> None:
        self.held()
        second = self.claim(1)
        self.database.age_ms = int(FOLLOW_SECONDS * 1000)
        self.clock.advance(LOOK_SECONDS)
        self.assertNoResult(second)
        self.database.age_ms += 1
        self.clock.advance(LOOK_SECONDS)
        claim = self.successResultOf(second)
        assert isinstance(claim, Claim)
        claim.release()
        # It was not this one's to give up.
        self.assertNotIn("release", self.database.asked)
        self.held(2)

    def test_how_long_one_is_waited_for_is_twice_as_long_as_its_answers_take(self) -> None:
        claims = self.stores[0].claims
        for seconds, patience in ((2.0, 4.0), (2.0, 4.0), (60.0, 10.0), (0.0, 10.0)):
            claim = self.held()
            self.clock.advance(seconds)
            claim.answered()
            claim.release()
            self.assertEqual((claims.patience("guard:large"), claims.patience("other")), (patience, FOLLOW_SECONDS))
        for _ in range(30):
            claim = self.held()
            claim.answered()
            claim.release()
        self.assertEqual(claims.patience("guard:large"), 1.0)
        # What did not ask, or was not answered, says nothing.
        self.database.error = "gone"
        claim = self.held()
        self.clock.advance(9.0)
        claim.answered()
        self.assertEqual(claims.patience("guard:large"), 1.0)

    def test_of_how_many_it_is_known_is_bounded(self) -> None:
        claims = self.stores[0].claims
        for number in range(300):
            claim = self.successResultOf(Deferred.fromCoroutine(claims.claim(b"%32d" % number, f"guard:{number}")))
            assert isinstance(claim, Claim)
            self.clock.advance(0.5)
            claim.answered()
            claim.release()
        known = [number for number in range(300) if claims.patience(f"guard:{number}") != FOLLOW_SECONDS]
        self.assertEqual(known, list(range(44, 300)))

    def test_a_lease_that_ends(self) -> None:
        self.held()
        second = self.claim(1)
        self.database.holders.clear()
        self.clock.advance(LOOK_SECONDS)
        self.assertIsInstance(self.successResultOf(second), Claim)
        self.assertEqual(len(self.database.holders), 1)

    def test_a_database_that_hangs_or_fails_keeps_nobody(self) -> None:
        self.database.hangs = True
        late = self.claim(0)
        self.clock.advance(0.1)
        self.clock.advance(0)
        claim = self.successResultOf(late)
        assert isinstance(claim, Claim)
        self.database.let_go()
        # It came through, and is given up.
        self.assertEqual(len(self.database.holders), 1)
        claim.release()
        self.assertEqual(self.database.holders, {})
        self.database.error = "gone"
        self.held().release()
        for each in self.stores:
            self.successResultOf(each.close())
        asked = len(self.database.asked)
        self.held().release()
        self.assertEqual(len(self.database.asked), asked)

    def test_a_database_that_fails_meanwhile(self) -> None:
        self.held()
        second = self.claim(1)
        self.database.error = "gone"
        self.clock.advance(LOOK_SECONDS)
        self.assertIsInstance(self.successResultOf(second), Claim)

    def test_whoever_waits_may_leave(self) -> None:
        self.held()
        second = self.claim(1)
        second.cancel()
        self.failureResultOf(second, CancelledError)
        self.assertNotIn("release", self.database.asked)
        self.database.holders.clear()
        self.database.hangs = True
        third = self.claim(2)
        third.cancel()
        self.failureResultOf(third, CancelledError)
        # What gives it up may not overtake what claims it, on another connection.
        self.assertEqual(self.database.asked[-1], "claim")
        self.database.let_go()
        self.assertEqual((self.database.asked[-1], self.database.holders), ("release", {}))
        self.database.hangs = True
        fourth = self.claim(2)
        fourth.cancel()
        self.failureResultOf(fourth, CancelledError)
        self.database.fail("gone")
        self.assertEqual(self.database.asked[-1], "release")
        self.clock.advance(0.1)

    def test_what_is_no_answer_is_not_waited_for(self) -> None:
        self.database.entries[KEY] = pack(b"o" * 32, ANSWER, 1000)
        self.assertIsInstance(self.successResultOf(self.claim(0)), Claim)
