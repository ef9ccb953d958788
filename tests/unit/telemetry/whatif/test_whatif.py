"""skyproxy.telemetry.whatif, against examples that were reckoned by hand."""

from __future__ import annotations

from math import inf
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from skyproxy.telemetry.prices.prices import Cost
from skyproxy.telemetry.requests.facts import AttemptFacts, Facts, Step
from skyproxy.telemetry.usage import Tokens
from skyproxy.telemetry.whatif.dispatch import AskedCandidate, course_of
from skyproxy.telemetry.whatif.hedging import HedgeAccount, hedging_of
from skyproxy.telemetry.whatif.reckoning import Configured, Otherwise, Reckoning, reckon
from skyproxy.telemetry.whatif.timings import Recorded, Timing, Timings, recorded_of

AS_IS = Otherwise()
SLOW, QUICK, THIRD = ("slow", "m"), ("quick", "m"), ("third", "m")


def facts_of(**fields: Any) -> Facts:
    """A stream of the slot ``talk`` that SLOW has answered after 1 s; QUICK was behind it."""
    given: dict[str, Any] = {
        "number": 1, "request_id": "r", "arrived": 1000.0, "slot": "talk", "model": "talk", "endpoint": "/x",
        "client": "127.0.0.1", "agent": "", "stream": True, "outcome": "ok", "status": 200, "error_code": None,
        "error": "", "provider": "slow", "upstream_model": "m", "key": None, "cache": None,
        "tokens": Tokens(1000, 100), "cost": 0.002, "currency": "USD", "price_source": "configuration",
        "hedge_cost": None, "seconds": 3.0, "queue": 0.0, "bytes_out": 1, "first_token": 1.0, "first_sentence": 2.0,
        "follows": None, "age": None, "deployments": (SLOW, QUICK), "attempts": (sending(SLOW, 0.0),), "steps": (),
    }  # fmt: skip
    return Facts(**{**given, **fields})


def sending(deployment: tuple[str, str], sent: float, won: bool = True) -> AttemptFacts:
    return AttemptFacts(*deployment, None, sent, 0.0, sent, 200, None, 0, won)


def plain(seconds: float, **fields: Any) -> Facts:
    return facts_of(first_token=seconds, seconds=seconds + 2, **fields)


def hedged(seconds: float = 2.9, after: float = 2.0, **fields: Any) -> Facts:
    """QUICK was asked too, and has won."""
    steps = (Step(after, "hedge", 0, seconds=after),)
    attempts = (sending(SLOW, 0.0, won=False), sending(QUICK, after))
    return plain(seconds, steps=steps, attempts=attempts, provider="quick", given_up_cost=(("USD", 0.001),), **fields)


def fell_back(at: float, seconds: float, code: str = "overloaded") -> Facts:
    """SLOW has failed, and QUICK answered."""
    steps = (Step(at, "failed", 0, 0, code=code), Step(at, "fallback", 0))
    return plain(seconds, steps=steps, attempts=(sending(SLOW, 0.0, won=False), sending(QUICK, at)), provider="quick")


def refused_as_too_long(*, third_is_open: bool = False) -> Facts:
    """SLOW has refused a request as too long; THIRD is known to read more, and went before QUICK."""
    steps = [Step(0.3, "failed", 0, 0, code="context_length"), Step(0.3, "fallback", 0)]
    if third_is_open:
        steps += [Step(0.3, "refused", 2, code="breaker_open"), Step(0.3, "fallback", 2)]
    attempts = (sending(SLOW, 0.0, won=False), sending(QUICK if third_is_open else THIRD, 0.3))
    provider = attempts[1].provider
    deployments = (SLOW, QUICK, THIRD)
    return plain(0.9, steps=tuple(steps), attempts=attempts, deployments=deployments, provider=provider)


def timings_of(*requests: Facts) -> Timings:
    timings = Timings()
    for each in requests:
        timings.add(each, recorded_of(each))
    return timings


def price(provider: str, model: str, tokens: Tokens) -> Cost:
    """A thousand tokens of QUICK's cost 0.01, of SLOW's 0.001; those of others nobody knows."""
    each = {"quick": 1e-5, "slow": 1e-6}.get(provider)
    return Cost() if each is None else Cost((tokens.prompt + tokens.completion) * each, "USD", "configuration")


class OrderTests(SynchronousTestCase):
    def test_one_that_was_passed_over_has_no_times(self) -> None:
        found = recorded_of(refused_as_too_long())
        self.assertEqual(list(found), [SLOW, THIRD])
        self.assertEqual((found[THIRD].start, found[THIRD].end), (0.3, "answered"))

    def test_one_that_a_breaker_kept_had_its_turn(self) -> None:
        found = recorded_of(refused_as_too_long(third_is_open=True))
        starts = {each: recorded.start for each, recorded in found.items()}
        self.assertEqual(starts, {SLOW: 0.0, THIRD: 0.3, QUICK: 0.3})


class RecordedTests(SynchronousTestCase):
    def test_who_answered_who_failed_and_who_was_cut(self) -> None:
        self.assertEqual(recorded_of(plain(1.0)), {SLOW: Recorded(0.0, 1.0, "answered")})
        self.assertEqual(
            recorded_of(hedged()), {SLOW: Recorded(0.0, 2.9, "cut"), QUICK: Recorded(2.0, 2.9 - 2.0, "answered")}
        )
        self.assertEqual(
            recorded_of(fell_back(0.4, 1.5)),
            {SLOW: Recorded(0.0, 0.4, "failed"), QUICK: Recorded(0.4, 1.1, "answered")},
        )
        late = recorded_of(fell_back(4.0, 5.0, "first_token_timeout"))
        self.assertEqual(late[SLOW], Recorded(0.0, 4.0, "cut"), "it might have answered later")

    def test_all_failed(self) -> None:
        steps = (
            Step(0.2, "failed", 0, 0, code="server"), Step(0.2, "fallback", 0),
            Step(0.5, "failed", 1, 1, code="server"),
        )  # fmt: skip
        attempts = (sending(SLOW, 0.0, won=False), sending(QUICK, 0.2))
        facts = facts_of(outcome="upstream_error", first_token=None, seconds=0.5, steps=steps, attempts=attempts)
        self.assertEqual(recorded_of(facts), {SLOW: Recorded(0.0, 0.2, "failed"), QUICK: Recorded(0.2, 0.3, "failed")})

    def test_an_answer_that_broke_off_had_its_first_word(self) -> None:
        self.assertEqual(recorded_of(facts_of(outcome="failed"))[SLOW], Recorded(0.0, 1.0, "answered"))

    def test_what_is_assumed(self) -> None:
        timings = timings_of(plain(1.0), plain(3.0), plain(5.0), plain(7.0), fell_back(0.5, 2.5))
        self.assertEqual(timings.of(SLOW, True, None), Timing(3.0, False, "assumed"))
        self.assertEqual([timings.of(SLOW, True, None, share).seconds for share in (25, 75)], [1.0, 5.0])
        # It had said nothing for 3 s: 5 and 7 are left.
        self.assertEqual(timings.of(SLOW, True, Recorded(0, 3.0, "cut")), Timing(5.0, False, "assumed"))
        self.assertEqual(timings.of(SLOW, True, Recorded(0, 7.0, "cut")), Timing(inf, False, "unknown"))
        self.assertEqual(timings.of(SLOW, False, None).basis, "unknown", "streams tell nothing of whole answers")
        self.assertEqual(timings.of(QUICK, True, Recorded(0, 9.0, "failed")), Timing(9.0, True, "measured"))
        failing = timings_of(fell_back(0.5, 2.5), fell_back(0.7, 2.5), plain(1.0))
        self.assertEqual(failing.of(SLOW, True, None), Timing(0.5, True, "assumed"), "it fails more often than not")


class CourseTests(SynchronousTestCase):
    """The dispatcher's rules."""

    def course(
        self, *times: float, hedge: float | None = None, timeout: float | None = None
    ) -> tuple[float, int | None]:
        """Of candidates with these times; those below zero fail after as many seconds."""
        timings = [Timing(abs(each), each < 0, "measured") for each in times]
        course = course_of(timings, hedge, timeout)
        return round(course.at, 6), course.winner

    def test_one_after_the_other(self) -> None:
        self.assertEqual(self.course(3.0, 1.0), (3.0, 0))
        self.assertEqual(self.course(-0.5, 1.0), (1.5, 1))
        self.assertEqual(self.course(-0.5, -1.0, 2.0), (3.5, 2))
        self.assertEqual(self.course(-0.5, -1.0), (1.5, None))

    def test_two_at_once(self) -> None:
        self.assertEqual(self.course(5.0, 1.0, hedge=2.0), (3.0, 1))
        self.assertEqual(self.course(2.5, 1.0, hedge=2.0), (2.5, 0))
        self.assertEqual(self.course(1.5, 0.1, hedge=2.0), (1.5, 0))
        self.assertEqual(self.course(-0.5, 1.0, hedge=2.0), (1.5, 1), "who fails does not wait for the second")
        self.assertEqual(self.course(-2.5, 1.0, hedge=2.0), (3.0, 1))
        self.assertEqual(self.course(5.0, -0.1, hedge=2.0), (5.0, 0), "a second that fails wins over nobody")
        self.assertEqual(self.course(-5.0, -0.1, hedge=2.0), (5.0, None))
        self.assertEqual(self.course(9.0, 9.0, 1.0, hedge=2.0), (5.0, 2), "and so on behind it")

    def test_a_timeout_is_not_for_the_last(self) -> None:
        self.assertEqual(self.course(6.0, 9.0, timeout=4.0), (13.0, 1))
        self.assertEqual(self.course(6.0, 1.0, timeout=4.0, hedge=2.0), (3.0, 1))
        self.assertEqual(self.course(6.0, timeout=4.0), (6.0, 0))

    def test_who_was_asked_and_for_how_long(self) -> None:
        timings = [Timing(5.0, False, "measured"), Timing(1.0, False, "measured")]
        self.assertEqual(
            course_of(timings, 2.0, None).asked,
            (AskedCandidate(0, 0.0, 3.0, False), AskedCandidate(1, 2.0, 3.0, False)),
        )
        self.assertEqual(
            course_of(timings, 4.5, None).asked,
            (AskedCandidate(0, 0.0, 5.0, False), AskedCandidate(1, 4.5, 5.0, False)),
        )
        self.assertEqual(course_of(timings, None, None).asked, (AskedCandidate(0, 0.0, 5.0, False),))


class ReckoningTests(SynchronousTestCase):
    def reckon(self, requests: list[Facts], otherwise: Otherwise, **configured: Any) -> Reckoning:
        return reckon(requests, otherwise, {"talk": Configured(**configured)}, price)

    def test_nothing_else_gives_what_was(self) -> None:
        requests = [plain(1.0), plain(3.9), hedged(), fell_back(0.4, 1.5), fell_back(4.0, 5.0, "first_token_timeout")]
        found = self.reckon(requests, AS_IS, first_token_timeout=4.0)
        self.assertEqual((found.requests, found.assumed, found.unknown), (5, {}, 0))
        for each in (found.otherwise, found.low, found.high):
            self.assertAlmostEqual(each.silence, found.recorded.silence)
            self.assertEqual(each._replace(silence=0), found.recorded._replace(silence=0))

    def test_a_hedge(self) -> None:
        # QUICK's known times are 0.9, 0.9 and 1.1. SLOW takes 1, 5 and 9 s: with a hedge after 2 s that is 1, 2.9, 2.9.
        requests = [plain(1.0), plain(5.0), plain(9.0), hedged(), hedged(), fell_back(0.4, 1.5)]
        found = self.reckon(requests, Otherwise(hedge_after=2.0))
        self.assertAlmostEqual(found.recorded.silence, 1 + 5 + 9 + 2.9 + 2.9 + 1.5)
        self.assertAlmostEqual(found.otherwise.silence, 1 + 2.9 + 2.9 + 2.9 + 2.9 + 1.5)
        self.assertEqual((found.recorded.asked_twice, found.otherwise.asked_twice), (2, 4))
        self.assertAlmostEqual(found.low.silence, found.otherwise.silence)
        self.assertAlmostEqual(found.high.silence, found.otherwise.silence + 0.2 * 2, msg="with 1.1 s of QUICK's")
        self.assertEqual(found.assumed, {QUICK: 2})
        # Two answers of QUICK's (1,100 tokens, 0.011) in place of SLOW's, whose prompts (0.001) are paid for as well.
        self.assertAlmostEqual(found.recorded.cost["USD"], 6 * 0.002 + 2 * 0.001)
        self.assertAlmostEqual(found.otherwise.cost["USD"], 6 * 0.002 + 2 * 0.001 + 2 * (0.011 + 0.001 - 0.002))

    def test_no_hedge(self) -> None:
        # SLOW had been silent for 2.9 s when it was given up. Of its known times only 8 s is longer.
        found = self.reckon([plain(1.0), plain(8.0), hedged()], Otherwise(hedge_after=None))
        self.assertAlmostEqual(found.otherwise.silence, 1 + 8 + 8)
        self.assertAlmostEqual(found.otherwise.cost["USD"], 0.002 + 0.002 + 0.0011)
        self.assertEqual((found.otherwise.asked_twice, found.assumed), (0, {SLOW: 1}))
        others = reckon([hedged()], Otherwise(hedge_after=None), {}, price, [plain(3.5)])
        self.assertEqual(
            (others.otherwise.silence, others.requests), (3.5, 1), "another slot's time is better than none"
        )
        nobody_knows = self.reckon([plain(1.0), hedged()], Otherwise(hedge_after=None))
        self.assertEqual((nobody_knows.requests, nobody_knows.unknown, nobody_knows.untimed), (1, 1, {SLOW: 1}))
        self.assertEqual(nobody_knows.recorded.silence, 1.0, "only what can be told is compared")

    def test_another_order(self) -> None:
        found = self.reckon([plain(4.0), fell_back(0.5, 1.5), fell_back(0.5, 1.5)], Otherwise(order=(QUICK, SLOW)))
        self.assertAlmostEqual(found.otherwise.silence, 3 * 1.0)
        self.assertEqual(found.assumed, {QUICK: 1})
        elsewhere = self.reckon([plain(4.0)], Otherwise(order=(THIRD,)))
        self.assertEqual((elsewhere.requests, elsewhere.unknown, elsewhere.untimed), (0, 1, {THIRD: 1}))

    def test_a_timeout(self) -> None:
        requests = [plain(9.0), fell_back(0.4, 1.4), plain(2.0)]
        found = self.reckon(requests, Otherwise(first_token_timeout=3.0))
        self.assertAlmostEqual(found.otherwise.silence, 3 + 1 + 1.4 + 2)
        whole = self.reckon([facts_of(stream=False, first_token=None, seconds=9.0)], Otherwise(first_token_timeout=3.0))
        self.assertAlmostEqual(whole.otherwise.silence, 9.0, msg="it is for streams alone")

    def test_failures_that_would_not_have_been(self) -> None:
        steps = (Step(0.2, "failed", 0, 0, code="server"),)
        failed = facts_of(
            outcome="upstream_error", first_token=None, seconds=0.2, steps=steps, deployments=(SLOW,), tokens=None,
            cost=None,
        )  # fmt: skip
        found = self.reckon([failed, fell_back(0.4, 1.4)], Otherwise(order=(SLOW, QUICK)))
        self.assertEqual((found.recorded.failed, found.otherwise.failed), (1, 0))
        self.assertAlmostEqual(found.otherwise.silence, 0.2 + 1.0 + 1.4)

    def test_what_no_price_is_known_of(self) -> None:
        elsewhere = plain(1.0, deployments=(THIRD,), attempts=(sending(THIRD, 0.0),), cost=None, slot="other")
        found = self.reckon([plain(4.0), elsewhere], Otherwise(order=(THIRD,)))
        self.assertEqual(found.recorded.unpriced, 1)
        self.assertEqual((found.otherwise.unpriced, found.otherwise.cost), (2, {}), "and never 0")

    def test_what_it_does_not_concern(self) -> None:
        for fields in (
            {"cache": "hit"}, {"cache": "coalesced"}, {"outcome": "cancelled"}, {"outcome": "refused", "attempts": ()},
            {"outcome": "client_error"}, {"deployments": ()},
        ):  # fmt: skip
            found = self.reckon([plain(1.0), facts_of(**fields)], AS_IS)
            self.assertEqual((found.requests, found.left_out), (1, 1), fields)
        nothing = self.reckon([], AS_IS)
        self.assertEqual((nothing.requests, nothing.since, nothing.otherwise.p50), (0, None, None))


class HedgingTests(SynchronousTestCase):
    def test_the_account(self) -> None:
        lost = plain(2.2, steps=(Step(2.0, "hedge", 0, seconds=2.0),), slot="talk")
        other = hedged(slot="other")
        found = hedging_of([plain(1.0), hedged(), hedged(3.5), lost, other])
        self.assertEqual([each.slot for each in found], ["talk", "other"])
        # 0.9 s and 1.5 s from the second one's sending to its first word.
        self.assertEqual(found[0]._replace(saved=0), HedgeAccount("talk", 3, 2, 0, {"USD": 0.002}, 1))
        self.assertAlmostEqual(found[0].saved, 0.9 + 1.5)
        self.assertEqual(hedging_of([plain(1.0)]), [])
