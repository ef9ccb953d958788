"""What skyproxy costs prints."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from skyproxy.command.costs import lines


class LinesTests(SynchronousTestCase):
    """lines"""

    def test_of_hedging(self) -> None:
        for requests, avoided, text in (
            (1, 1, "Hedging: - for 1 request, 1 silence avoided, at least 0.5 s saved"),
            (3, 2, "Hedging: - for 3 requests, 2 silences avoided, at least 0.5 s saved"),
        ):
            nothing: dict[str, Any] = {"cost": {}, "estimated_cost": {}, "requests": requests}
            hedging = {**nothing, "silences_avoided": avoided, "seconds_saved_at_least": 0.5}
            spent = {**nothing, "period": "all", "from": 0.0, "by_slot": [], "by_deployment": [], "by_client": [],
                     "unpriced": [], "hedging": hedging, "file": None}  # fmt: skip
            told = lines(spent, {"ok": 0, "arrived": 0, "balances": True, **dict.fromkeys(_OUTCOMES, 0)})
            self.assertIn(text, list(told))


_OUTCOMES = ("client_error", "upstream_error", "failed", "refused", "cancelled", "under_way", "lost")
