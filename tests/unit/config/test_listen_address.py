from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from skyproxy.config.listen_address import ListenAddress, address_in


class AddressTests(SynchronousTestCase):
    """address_in"""

    def test_addresses(self) -> None:
        for endpoint, address, url in (
            ("tcp:80", ("tcp", 80, ""), "http://127.0.0.1:80/v1"),
            ("tcp:port=80", ("tcp", 80, ""), "http://127.0.0.1:80/v1"),
            ("tcp:80:interface=127.0.0.2:backlog=7", ("tcp", 80, "127.0.0.2"), "http://127.0.0.2:80/v1"),
            ("tcp:80:127.0.0.2", ("tcp", 80, "127.0.0.2"), "http://127.0.0.2:80/v1"),
            (r"tcp:80:interface=\:\:1", ("tcp", 80, "::1"), "http://[::1]:80/v1"),
            (r"tcp6:80:interface=\:\:", ("tcp6", 80, "::"), "http://[::1]:80/v1"),
            ("haproxy:tcp:0:interface=0.0.0.0", ("tcp", 0, "0.0.0.0"), "http://127.0.0.1:0/v1"),
            (r"ssl:443:privateKey=C\:\\a=b:interface=tower", ("ssl", 443, "tower"), "https://tower:443/v1"),
            ("ssl:443:k:c:m:tower", ("ssl", 443, "tower"), "https://tower:443/v1"),
        ):
            found = address_in(endpoint)
            self.assertEqual(found, address, endpoint)
            assert found is not None
            self.assertEqual(found.url, url)

    def test_others(self) -> None:
        for endpoint in ("unix:/run/x.sock", "systemd:domain=INET:index=0", "tcp:http", "tcp:", "", "80", "tcp:²"):
            self.assertIsNone(address_in(endpoint), endpoint)
        self.assertEqual(ListenAddress("tcp", 1, "x").url, "http://x:1/v1")
