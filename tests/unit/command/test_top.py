"""What ``skyproxy top`` shows of one look, and of the look before."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from skyproxy.command.top import lines

STATUS = {"base_url": "http://127.0.0.1:35791/v1"}


def figures(uptime: float, **outcomes: int) -> dict[str, Any]:
    return {
        "uptime": uptime, "event_loop_lag": {"p50": 0.001, "p99": 0.002}, "providers": {},
        "slots": {"default": {"outcomes": outcomes}},
    }  # fmt: skip


class RateTests(SynchronousTestCase):
    def first(self, now: dict[str, Any], before: dict[str, Any] | None) -> str:
        return next(iter(lines(STATUS, now, before)))

    def test_of_the_time_that_passed(self) -> None:
        first = self.first(figures(14.0, ok=25, failed=15), figures(10.0, ok=20))
        self.assertEqual(first, "skyproxy at http://127.0.0.1:35791/v1, up 14 s, 5.0 requests/s")

    def test_there_is_none_of_the_first_look_and_of_another_process(self) -> None:
        for before in (None, figures(3600.0, ok=1000)):
            self.assertNotIn("requests/s", self.first(figures(1.0, ok=1), before))
