from __future__ import annotations

import os
from pathlib import Path
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

from skyproxy.config.listen_address import ListenAddress, address_in, below


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

    def test_files_that_are_named_by_a_relative_path(self) -> None:
        if os.sep != "/":
            raise SkipTest("paths have another form")
        for endpoint, expected in (
            ("ssl:443:privateKey=key.pem:certKey=/etc/c.pem", "ssl:443:privateKey=/c\\:d/key.pem:certKey=/etc/c.pem"),
            ("ssl:443:k.pem:c.pem:m", "ssl:443:/c\\:d/k.pem:/c\\:d/c.pem:m"),
            (r"ssl:443:privateKey=a\:b.pem", r"ssl:443:privateKey=/c\:d/a\:b.pem"),
            ("unix:sky.sock:mode=600", "unix:/c\\:d/sky.sock:mode=600"),
            ("unix:address=sky.sock", "unix:address=/c\\:d/sky.sock"),
            ("haproxy:unix:sky.sock", "haproxy:unix:/c\\:d/sky.sock"),
            *((same, same) for same in ("tcp:80:interface=tower", "systemd:domain=INET:index=0", "ssl:443", "unix:/s")),
        ):
            self.assertEqual(below(endpoint, Path("/c:d")), expected)
