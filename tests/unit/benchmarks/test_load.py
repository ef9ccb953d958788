"""What the load generators say."""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.benchmarks.load import Load, WrongOutput, middle, parse_autocannon, parse_wrk

WRK = """\
Running 4s test @ http://127.0.0.1:19002/v1/chat/completions
  1 threads and 100 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.85ms    0.61ms  12.07ms   91.83%
    Req/Sec    54.01k     2.10k   57.11k    75.00%
  215000 requests in 4.00s, 148.25MB read
  Non-2xx or 3xx responses: 15000
Requests/sec:  53750.00
Transfer/sec:     37.06MB
measured: {"requests": 215000, "seconds": 4.000000, "mean": 1.85, "p50": 1.7, "p99": 3.5, "status": 15000, "socket": 3}
"""

AUTOCANNON: dict[str, Any] = {
    "duration": 2.0,
    "errors": 1,
    "timeouts": 2,
    "2xx": 19000,
    "non2xx": 1000,
    "latency": {"average": 9.5, "p50": 9, "p99": 21},
    "requests": {"average": 10000, "total": 20000},
}


class WrkTests(SynchronousTestCase):
    def test_figures(self) -> None:
        self.assertEqual(parse_wrk(WRK), Load(50_000.0, 1.85, 1.7, 3.5, 215_000, 15_000, 3))

    def test_a_failure(self) -> None:
        failure = self.assertRaises(WrongOutput, parse_wrk, "unable to connect to 127.0.0.1:1 Connection refused\n")
        self.assertIn("Connection refused", str(failure))


class AutocannonTests(SynchronousTestCase):
    def test_figures(self) -> None:
        self.assertEqual(parse_autocannon(json.dumps(AUTOCANNON)), Load(9500.0, 9.5, 9, 21, 20_000, 1000, 3))

    def test_a_failure(self) -> None:
        for output in ("", "Error: connect", "{}", json.dumps({**AUTOCANNON, "latency": {}})):
            self.assertRaises(WrongOutput, parse_autocannon, output)


class MiddleTests(SynchronousTestCase):
    def test_each_figure_for_itself(self) -> None:
        rounds = [
            Load(100.0, 5.0, 1.0, 9.0, 10, 1, 0),
            Load(300.0, 4.0, 3.0, 8.0, 30, 0, 2),
            Load(200.0, 6.0, 2.0, 7.0, 20, 4, 1),
        ]
        self.assertEqual(middle(rounds), Load(200.0, 5.0, 2.0, 8.0, 60, 5, 3))
