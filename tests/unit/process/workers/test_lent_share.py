"""What a machine lends its workers of what it shares with others: :mod:`skyproxy.process.workers.lent_share`."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.process.workers.lent_share import ENDED_SECONDS, ENDS_SECONDS, NONE_SECONDS, AskingShare


class AskingShareTests(SynchronousTestCase):
    """:class:`AskingShare`, of which somebody wants more."""

    def share(self, *, ends: bool) -> AskingShare:
        self.clock = Clock()
        allotting: Any = SimpleNamespace(renew=lambda keys: None)
        share = AskingShare(
            self.clock, allotting, ("concurrent", "lydia"), lambda: 2, lambda: True, parts=True, ends=ends
        )
        share.keep_to(1)
        self.assertEqual(share.hope(), 2)
        return share

    def test_what_others_have_told_of_what_only_grows_is_true(self) -> None:
        share = self.share(ends=False)
        share.told(2, 1)
        self.assertEqual(share.hope(), 0)
        self.clock.advance(NONE_SECONDS)
        self.assertEqual(share.hope(), 2)
        share.stop()

    def test_what_others_use_may_have_ended_before_they_tell(self) -> None:
        share = self.share(ends=True)
        share.told(2, 1)
        self.assertEqual(share.hope(), 2)
        self.clock.advance(ENDS_SECONDS)
        share.told(2, 1)
        self.assertEqual(share.hope(), 0)
        self.clock.advance(ENDED_SECONDS)
        # Who comes now waits as long again.
        self.assertEqual(share.hope(), 2)
        self.clock.advance(ENDS_SECONDS / 2)
        share.told(2, 1)
        self.assertEqual(share.hope(), 2)
        # Who gets less of it has waited for something else.
        self.clock.advance(ENDS_SECONDS)
        share.keep_to(0)
        share.told(1, 0)
        self.assertEqual(share.hope(), 2)
        share.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])
