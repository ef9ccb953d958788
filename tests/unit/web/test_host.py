from __future__ import annotations

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.errors import HostNotAllowed
from skyproxy.web import host as host_module
from skyproxy.web.host import check_host, is_loopback

HERE = IPv4Address("TCP", "127.0.0.1", 35791)


class HostTests(SynchronousTestCase):
    """check_host"""

    def test_names_of_this_machine(self) -> None:
        for host in (
            b"localhost", b"localhost:35791", b"LOCALHOST:1", b"127.0.0.1", b"127.0.0.1:35791", b"127.8.8.8:80",
            b"[::1]:35791", b"[::1]", b"localhost:", None, b"sky.localhost:1", b"Host.Docker.Internal:35791",
        ):  # fmt: skip
            for local in (HERE, IPv6Address("TCP", "::1", 35791), IPv6Address("TCP", "::ffff:127.0.0.1", 1)):
                check_host(host, local)

    def test_names_that_a_page_may_have(self) -> None:
        for host in (
            b"evil.example", b"evil.example:35791", b"localhost.evil.example", b"127.0.0.1.evil.example:35791",
            b"evil.example:127.0.0.1", b"192.168.0.7", b"0.0.0.0:35791", b"", b":35791", b"localhost@evil.example",
            b"localhost:35791.evil.example", b"127.1", b"2130706433", b"\xff\xfe", b"[::1]x", b"localhost:1:2",
        ):  # fmt: skip
            with self.assertRaises(HostNotAllowed, msg=repr(host)) as caught:
                check_host(host, HERE)
            self.assertEqual((caught.exception.status, caught.exception.code), (403, "host_not_allowed"))

    def test_names_that_the_configuration_lists(self) -> None:
        check_host(b"My.Box:1", HERE, ("my.box",))
        check_host(b"[::2]:1", HERE, ("::2",))
        check_host(b"anything", HERE, ("*",))
        with self.assertRaisesRegex(HostNotAllowed, "allowed_hosts"):
            check_host(b"other.box", HERE, ("my.box",))

    def test_few_names_are_remembered_and_no_long_ones(self) -> None:
        remembered = host_module._named
        for number in range(2000):
            for host in (b"box%d.localhost" % number, b"x" * 5000 + b"%d.localhost" % number):
                check_host(host, HERE)
        self.assertEqual(remembered.cache_info().currsize, remembered.cache_info().maxsize)
        before = remembered.cache_info().misses
        check_host(b"x" * 5000 + b".localhost", HERE)
        self.assertEqual(remembered.cache_info().misses, before)

    def test_connections_that_come_from_elsewhere(self) -> None:
        for local in (
            IPv4Address("TCP", "192.168.0.7", 1), IPv6Address("TCP", "fe80::1%eth0", 1), UNIXAddress("/run/x"), None,
        ):  # fmt: skip
            check_host(b"skyproxy.lan:35791", local)


class LoopbackTests(SynchronousTestCase):
    """is_loopback"""

    def test_addresses(self) -> None:
        for address in ("127.0.0.1", "127.255.0.3", "::1", "::ffff:127.0.0.1"):
            self.assertTrue(is_loopback(address))
        for address in ("10.0.0.1", "::", "0.0.0.0", "::ffff:10.0.0.1", "localhost", "", "x", "fe80::1%lo"):
            self.assertFalse(is_loopback(address))
