"""What the log tells of doors."""

from __future__ import annotations

from typing import Any

from twisted.logger import Logger
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.access.audit import Audit


class AuditTests(SynchronousTestCase):
    """Audit"""

    def setUp(self) -> None:
        self.now = 0.0
        self.events: list[dict[str, Any]] = []
        self.audit = Audit(lambda: self.now, Logger(namespace="skyproxy.audit", observer=self.events.append))

    def test_a_flood_makes_no_flood_of_lines(self) -> None:
        for _ in range(100_000):
            self.audit.refuse("unknown key", "10.0.0.9", "/v1/models")
        self.assertEqual(len(self.events), 1)
        self.now = 61
        self.audit.refuse("unknown key", "10.0.0.9", "/v1/models")
        self.assertEqual([each["others"] for each in self.events], [0, 99_999])
        self.assertEqual(self.audit.refused, {"unknown key": 100_001})

    def test_others_are_told_apart_but_not_without_bound(self) -> None:
        for number in range(10_000):
            self.audit.refuse("no key", f"10.0.{number // 256}.{number % 256}", "/")
        self.assertEqual(len(self.events), 101)
        self.assertEqual(self.events[-1]["address"], "others")
        self.now = 61
        self.audit.refuse("no key", "10.9.9.9", "/")
        self.assertEqual(self.events[-1]["address"], "10.9.9.9")

    def test_who_where_and_why(self) -> None:
        self.audit.refuse("no key", "10.0.0.9", "/v1/models", "lydia")
        event = self.events[0]
        self.assertEqual(event["log_namespace"], "skyproxy.audit")
        self.assertEqual(
            [event[key] for key in ("reason", "address", "path", "client")],
            ["no key", "10.0.0.9", "/v1/models", "lydia"],
        )
        self.audit.acted("Client lydia has a key now.", "user root, by the admin socket")
        self.assertEqual(self.events[1]["by"], "user root, by the admin socket")
