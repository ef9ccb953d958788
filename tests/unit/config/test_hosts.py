"""Where a host is, by its name or address."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from skyproxy.config.hosts import is_localhost, is_loopback, is_private


class HostTests(SynchronousTestCase):
    def test_where_a_host_is(self) -> None:
        for host, localhost, loopback, private in (
            ("localhost", True, True, True),
            ("LocalHost.", True, True, True),
            ("a.localhost", True, True, True),
            ("localhost.example", False, False, False),
            ("mylocalhost", False, False, True),
            ("127.0.0.1", False, True, True),
            ("127.9.9.9", False, True, True),
            ("::1", False, True, True),
            ("::ffff:127.0.0.1", False, True, True),
            ("192.168.1.20", False, False, True),
            ("10.0.0.1", False, False, True),
            ("fd00::1", False, False, True),
            ("fe80::1", False, False, True),
            ("::ffff:8.8.8.8", False, False, False),
            ("8.8.8.8", False, False, False),
            ("api.example", False, False, False),
            ("my_host", False, False, True),
            ("tower.local", False, False, True),
            ("gateway.corp.internal.", False, False, True),
            ("notlocal.example", False, False, False),
        ):
            found = is_localhost(host), is_loopback(host), is_private(host)
            self.assertEqual(found, (localhost, loopback, private), host)
