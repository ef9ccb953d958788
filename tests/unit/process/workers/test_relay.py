"""What the parent answers for its workers, :mod:`skyproxy.process.workers.relay`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from skyproxy.process.workers.relay import is_relayed


class RelayedTests(SynchronousTestCase):
    def test_what_is_about_all_workers(self) -> None:
        # One slash at the end means nothing: a scrape would have the figures of one worker alone.
        for path in (b"/", b"/metrics", b"/metrics/", b"/api/stats", b"/api/stats/", b"/a/page.js", b"/guide/"):
            self.assertTrue(is_relayed(path), path)
        for path in (b"/v1/chat/completions", b"/health", b"/metrics2", b"/apis"):
            self.assertFalse(is_relayed(path), path)
