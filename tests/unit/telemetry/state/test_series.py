"""Requests over time."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from skyproxy.telemetry.state.samples import Sample
from skyproxy.telemetry.state.series import STEPS, series_of

NOW = 1_800_000_000.0


def sample(ago: float, **fields: Any) -> Sample:
    given: dict[str, Any] = {
        "number": 1, "request_id": "r", "at": NOW - ago, "slot": "default", "provider": "p", "good": True,
        "rescued": False, "code": "", "text": "", "stream": True, "seconds": 3.0, "first_token": 0.5,
        "first_sentence": None, "costs": (), "words": (),
    }  # fmt: skip
    return Sample(**{**given, **fields})


class SeriesTests(SynchronousTestCase):
    def test_each_request_is_in_its_step(self) -> None:
        points = series_of([sample(0), sample(59, good=False), sample(60, rescued=True), sample(3600)], NOW + 59, 3600)
        self.assertEqual(len(points), STEPS)
        self.assertEqual([point.at for point in points[-2:]], [NOW - 60, NOW])
        self.assertEqual((points[-1].answered, points[-1].failed), (1, 0))
        self.assertEqual((points[-2].answered, points[-2].rescued, points[-2].failed), (0, 1, 1))
        # What is older, or not counted, is in none.
        self.assertEqual(sum(point.answered + point.rescued + point.failed for point in points), 3)

    def test_a_request_stays_in_its_step_as_time_goes_on(self) -> None:
        for late in (0, 20, 59):
            (point,) = [each for each in series_of([sample(0)], NOW + late, 3600) if each.answered]
            self.assertEqual(point.at, NOW)

    def test_waits_are_those_of_streams_that_somebody_waits_for(self) -> None:
        samples = [
            sample(1, first_token=0.5, first_sentence=1.0), sample(1, first_token=2.0), sample(1, stream=False),
            sample(1, slot="memory"), sample(1, good=False), sample(1, first_token=None),
        ]  # fmt: skip
        point = series_of(samples, NOW, 3600, {"memory"})[-2]
        self.assertEqual((point.samples, point.p50, point.p95), (2, 1.0, 2.0))

    def test_nothing_is_no_zero(self) -> None:
        point = series_of([], NOW, 900)[0]
        self.assertEqual((point.p50, point.p95, point.cost), (None, None, {}))

    def test_costs_by_currency(self) -> None:
        samples = [
            sample(0, costs=(("USD", 0.25),)),
            sample(0, costs=(("USD", 0.5),)),
            sample(0, costs=(("EUR", 1.0),), good=None),
        ]
        point = series_of(samples, NOW, 900)[-1]
        self.assertEqual(point.cost, {"USD": 0.75, "EUR": 1.0})
        sums = [sum(each.get(currency, 0) for each in point.cost_by_slot.values()) for currency in point.cost]
        self.assertEqual(sums, list(point.cost.values()))
        self.assertEqual(point.tokens, 0)
        self.assertEqual(series_of([samples[0]._replace(tokens=7), samples[0]], NOW, 900)[-1].tokens, 7)
