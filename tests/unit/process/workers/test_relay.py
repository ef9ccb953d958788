"""What the parent answers for its workers, :mod:`skyproxy.process.workers.relay`."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.process.workers.messages import FIGURES, Refresh
from skyproxy.process.workers.relay import RefreshedRoutes, is_relayed


class RelayedTests(SynchronousTestCase):
    def test_what_is_about_all_workers(self) -> None:
        # One slash at the end means nothing: a scrape would have the figures of one worker alone.
        for path in (b"/", b"/metrics", b"/metrics/", b"/api/stats", b"/api/stats/", b"/a/page.js", b"/guide/"):
            self.assertTrue(is_relayed(path), path)
        for path in (b"/v1/chat/completions", b"/health", b"/metrics2", b"/apis"):
            self.assertFalse(is_relayed(path), path)

    def test_what_workers_are_asked_for(self) -> None:
        asked: list[Refresh] = []

        def refresh(wanted: Refresh) -> Deferred[None]:
            asked.append(wanted)
            return Deferred()

        routes = RefreshedRoutes(None, refresh)
        for method, path in (
            (b"GET", b"/metrics"), (b"GET", b"/api/costs"), (b"GET", b"/api/bodies/x"), (b"POST", b"/api/cancel/x"),
        ):  # fmt: skip
            request: Any = SimpleNamespace(method=method, path=path)
            routes.render(request)
        kept = Refresh(files=True, every=True)
        self.assertEqual(asked, [FIGURES, kept, kept, Refresh(every=True)], "to end one writes no files")
