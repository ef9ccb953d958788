"""Histograms of /metrics."""

from __future__ import annotations

from math import inf, isnan

from twisted.trial.unittest import SynchronousTestCase

from tests.benchmarks.probe import Histogram, parse_histogram

METRICS = """\
# HELP skyproxy_lag_seconds How late a timer fires.
# TYPE skyproxy_lag_seconds histogram
skyproxy_lag_seconds_bucket{le="0.001"} 90
skyproxy_lag_seconds_bucket{le="0.01"} 99
skyproxy_lag_seconds_bucket{le="0.1"} 100.0
skyproxy_lag_seconds_bucket{le="+Inf"} 100
skyproxy_lag_seconds_sum 0.2
skyproxy_lag_seconds_count 100
skyproxy_other_seconds_bucket{slot="default",le="0.1"} 7
"""


class HistogramTests(SynchronousTestCase):
    def test_parsed(self) -> None:
        histogram = parse_histogram(METRICS, "skyproxy_lag_seconds")
        assert histogram is not None
        self.assertEqual(histogram, Histogram([0.001, 0.01, 0.1, inf], [90, 99, 100, 100]))
        self.assertEqual([histogram.quantile(part) for part in (0.5, 0.99, 1.0)], [0.001, 0.01, 0.1])

    def test_not_there(self) -> None:
        self.assertIsNone(parse_histogram(METRICS, "skyproxy_lag"))
        self.assertIsNone(parse_histogram(METRICS, "skyproxy_other_seconds"))

    def test_what_came_since(self) -> None:
        before, after = Histogram([0.01, inf], [10, 20]), Histogram([0.01, inf], [110, 120])
        self.assertEqual(after.since(before), Histogram([0.01, inf], [100, 100]))
        self.assertTrue(isnan(before.since(before).quantile(0.5)))
