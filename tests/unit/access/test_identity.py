"""What a client may, as a request carries it."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from skyproxy.access.identity import ALL, UNLIMITED, ClientIdentity, Limits, identity_of
from skyproxy.config.access import ClientSettings


class IdentityTests(SynchronousTestCase):
    """ClientIdentity"""

    def test_of_nothing_said(self) -> None:
        identity = identity_of("lydia", ClientSettings())
        self.assertEqual(identity, ClientIdentity("lydia"))
        self.assertEqual(identity.limits, UNLIMITED)
        self.assertIs(identity.slots, ALL)
        self.assertIs(identity.limits, UNLIMITED)
        self.assertTrue(identity.may_ask_for("openai:gpt-4.1"))

    def test_patterns(self) -> None:
        identity = identity_of(
            "lydia", ClientSettings(slots=["default", "mem*", "lm:*"], concurrent=3, priority="background")
        )
        for name in ("default", "memory", "lm:llama3.1:8b"):
            self.assertTrue(identity.may_ask_for(name), name)
        for name in ("Default", "combat", "openai:gpt-4.1", "x-mem"):
            self.assertFalse(identity.may_ask_for(name), name)
        self.assertEqual(identity.limits, Limits(concurrent=3))
        self.assertEqual(identity.priority, "background")
