from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.telemetry.records import GivenUp
from skyproxy.telemetry.statistics import Statistics
from skyproxy.telemetry.usage import Tokens
from tests.unit.telemetry.test_records import record_of


class Case(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1000)
        self.statistics = Statistics(self.clock)

    def count(self, times: int = 1, **fields: Any) -> None:
        for _ in range(times):
            self.statistics.completed(record_of(**fields))


class OutcomeTests(Case):
    def test_by_provider_and_slot(self) -> None:
        self.count(3)
        self.count(2, outcome="failed")
        self.count(1, slot="memory")
        self.count(4, provider="other", outcome="refused")
        outcomes = {names: tally.outcomes for names, tally in self.statistics.tallies.items()}
        self.assertEqual(
            outcomes,
            {
                ("demo", "talk"): {"ok": 3, "failed": 2},
                ("demo", "memory"): {"ok": 1},
                ("other", "talk"): {"refused": 4},
            },
        )
        self.assertEqual(self.statistics.of_provider("demo").outcomes, {"ok": 4, "failed": 2})
        self.assertEqual(self.statistics.of_slot("talk").outcomes, {"ok": 3, "failed": 2, "refused": 4})
        self.assertEqual(self.statistics.of_slot("nobody").outcomes, {})

    def test_what_a_client_wrote_is_no_name(self) -> None:
        for number in range(500):
            self.count(slot=None, upstream_model=f"m{number}", model=f"demo:m{number}")
            self.count(
                slot=None, provider=None, upstream_model=None, model=f"x{number}", outcome="client_error", attempts=0
            )
        outcomes = {names: tally.outcomes for names, tally in self.statistics.tallies.items()}
        self.assertEqual(outcomes, {("demo", "direct"): {"ok": 500}, ("none", "none"): {"client_error": 500}})
        self.assertEqual(list(self.statistics.providers), ["demo"])
        self.assertEqual(list(self.statistics.slots), ["direct", "none"])


class UsageTests(Case):
    def test_tokens_and_cost(self) -> None:
        self.count(2, tokens=Tokens(100, 50, 30, 20), cost=0.25)
        self.count(1, tokens=Tokens(7, 5, estimated=True), cost=1.0, currency="EUR")
        self.count(1, tokens=Tokens(1, 1), slot="memory")
        self.count(1)
        talk = self.statistics.tallies["demo", "talk"].usage
        self.assertEqual(
            talk.tokens(), {"prompt": 207, "completion": 105, "cached": 60, "reasoning": 40, "estimated": 12}
        )
        self.assertEqual(talk.cost, {"USD": 0.5, "EUR": 1.0})
        of_all = self.statistics.of_provider("demo").usage
        self.assertEqual((of_all.prompt, of_all.completion, of_all.cost), (208, 106, {"USD": 0.5, "EUR": 1.0}))

    def test_by_key(self) -> None:
        self.count(2, tokens=Tokens(10, 5), cost=0.5, key="KEY_A")
        self.count(1, tokens=Tokens(10, 5), key="KEY_B", slot="memory")
        self.count(1, key="KEY_B")
        self.assertEqual(
            {name: (usage.prompt, usage.cost) for name, usage in self.statistics.keys.items()},
            {("demo", "KEY_A"): (20, {"USD": 1.0}), ("demo", "KEY_B"): (10, {})},
        )

    def test_attempts_that_were_given_up(self) -> None:
        lost = GivenUp("other", "large", 8.0, "KEY_A", Tokens(100, 0, estimated=True), 0.5, "EUR")
        refused = GivenUp("other", "small", 1.0)
        self.count(2, tokens=Tokens(10, 5), cost=0.25, given_up=(lost, refused))
        demo, other = self.statistics.of_provider("demo"), self.statistics.of_provider("other")
        self.assertEqual((demo.given_up, demo.usage.prompt, demo.usage.cost), (0, 20, {"USD": 0.5}))
        self.assertEqual((other.given_up, other.given_up_seconds, other.outcomes), (4, 18.0, {}))
        self.assertEqual((other.usage.prompt, other.usage.estimated, other.usage.cost), (200, 200, {"EUR": 1.0}))
        talk = self.statistics.of_slot("talk")
        self.assertEqual((talk.outcomes, talk.given_up, talk.usage.prompt), ({"ok": 2}, 4, 220))
        by_model = {model: tally for model, (tally, _) in self.statistics.deployments("other").items()}
        self.assertEqual(
            {model: tally.given_up_seconds for model, tally in by_model.items()}, {"large": 16, "small": 2}
        )
        self.assertEqual((by_model["large"].usage.prompt, by_model["small"].usage.prompt), (200, 0))
        self.assertEqual(self.statistics.keys["other", "KEY_A"].prompt, 200)

    def test_reading_changes_nothing(self) -> None:
        self.count(2, tokens=Tokens(10, 5), cost=0.5)
        for _ in range(3):
            total = self.statistics.of_provider("demo")
        self.assertEqual((total.outcomes, total.usage.prompt, total.usage.cost), ({"ok": 2}, 20, {"USD": 1.0}))


class TimeTests(Case):
    def test_of_answers_that_were_well(self) -> None:
        self.count(3, latency=2.0, time_to_first_byte=0.5)
        for outcome in ("client_error", "upstream_error", "failed", "refused", "cancelled"):
            self.count(5, outcome=outcome, latency=0.001, time_to_first_byte=0.001)
        for times in (self.statistics.providers["demo"], self.statistics.slots["talk"]):
            latency, first = times.latency.summary(1000), times.first_token.summary(1000)
            self.assertEqual((latency.count, latency.max), (3, 2.0))
            self.assertEqual((first.count, first.max), (3, 0.5))
        demo = self.statistics.providers["demo"]
        self.assertEqual((sum(demo.seconds.counts), demo.seconds.sum), (3, 6.0))
        self.assertEqual((sum(demo.first_tokens.counts), demo.first_tokens.sum), (3, 1.5))

    def test_a_whole_answer_has_no_first_token(self) -> None:
        self.count(stream=False, latency=2.0, time_to_first_byte=2.0)
        demo = self.statistics.providers["demo"]
        self.assertEqual(demo.latency.summary(1000).count, 1)
        self.assertEqual((demo.first_token.summary(1000).count, sum(demo.first_tokens.counts)), (0, 0))

    def test_answers_that_no_provider_was_asked_for(self) -> None:
        self.count(latency=2.0)
        for cache in ("hit", "coalesced"):
            self.count(cache=cache, attempts=0, latency=0.001, time_to_first_byte=0.001)
        self.assertEqual(self.statistics.slots["talk"].latency.summary(1000).count, 3)
        self.assertEqual(self.statistics.providers["demo"].latency.summary(1000).count, 1)
        self.assertEqual(sum(self.statistics.providers["demo"].seconds.counts), 1)

    def test_thoughts_count_where_they_come_in_the_stream(self) -> None:
        for thought, came in ((True, 110), (False, 11)):
            self.setUp()
            times = {"latency": 109.5, "own_latency": 109.5, "own_time_to_first_byte": 0.5}
            self.count(tokens=Tokens(9, 110, 0, 99), thought=thought, time_to_first_byte=0.5, **times)
            gaps = self.statistics.providers["demo"].gaps
            self.assertAlmostEqual(gaps.sum, 109 / (came - 1))

    def test_what_was_lost_before_is_not_the_providers_own(self) -> None:
        self.count(latency=9.0, time_to_first_byte=8.5, own_latency=1.0, own_time_to_first_byte=0.5)
        self.count(slot="memory", upstream_model="large", latency=3.0, own_latency=2.0, own_time_to_first_byte=0.25)
        self.count(slot=None, upstream_model="whatever", latency=5.0, own_latency=5.0, stream=False)
        demo, talk = self.statistics.providers["demo"], self.statistics.slots["talk"]
        self.assertEqual((demo.seconds.sum, demo.first_tokens.sum), (8.0, 0.75))
        self.assertEqual(talk.first_tokens.sum, 8.5)
        self.assertEqual((talk.latency.summary(1000).max, talk.first_token.summary(1000).max), (9.0, 8.5))
        deployments = self.statistics.deployments("demo")
        self.assertEqual(
            {model: times.latency.summary(1000).max for model, (_, times) in deployments.items()},
            {"guard": 1.0, "large": 2.0},
        )
        self.assertEqual(self.statistics.deployments("other"), {})

    def test_the_window_slides(self) -> None:
        self.count(latency=9.0)
        self.clock.advance(200)
        self.count(latency=1.0)
        self.clock.advance(150)
        demo = self.statistics.providers["demo"]
        summary = demo.latency.summary(self.statistics.now())
        self.assertEqual((summary.count, summary.max), (1, 1.0))
        self.assertEqual(sum(demo.seconds.counts), 2)
        self.assertEqual(self.statistics.now() - self.statistics.since, 350)

    def test_reading_between(self) -> None:
        for count in (1, 2, 3):
            self.count(latency=1.0)
            self.count(latency=1.0, slot="memory")
            demo, talk = self.statistics.providers["demo"], self.statistics.slots["talk"]
            self.assertEqual((demo.latency.summary(1000).count, sum(demo.seconds.counts)), (2 * count, 2 * count))
            self.assertEqual(talk.latency.summary(1000).count, count)

    def test_slots_over_several_providers(self) -> None:
        self.count(latency=1.0)
        self.count(latency=3.0, provider="other")
        self.assertEqual(self.statistics.slots["talk"].latency.summary(1000).count, 2)
        self.assertEqual(self.statistics.providers["other"].latency.summary(1000).max, 3.0)
