"""How many connections clients may have: :mod:`skyproxy.http.server.bounds`."""

from __future__ import annotations

from ipaddress import ip_network

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.http.server.bounds import Admission, Bounds, is_in

HERE = [ip_network("127.0.0.1"), ip_network("10.0.0.0/8")]


class BoundsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.open = {"192.168.1.5": 3, "127.0.0.1": 40, "": 5}
        self.admission = Admission(self.clock.seconds, lambda: self.open)

    def test_without_bounds_all_may(self) -> None:
        self.assertTrue(self.admission.admits("192.168.1.5"))
        self.assertEqual(self.admission.refused, 0)

    def test_of_one_address(self) -> None:
        self.admission.bound(Bounds(of_one=3, exempt=HERE))
        self.assertFalse(self.admission.admits("192.168.1.5"))
        self.assertTrue(self.admission.admits("192.168.1.6"))
        # The balancers bring others, and a UNIX socket has rights.
        self.assertTrue(self.admission.admits("127.0.0.1"))
        self.assertTrue(self.admission.admits(""))
        self.assertEqual(self.admission.refused, 1)

    def test_in_all(self) -> None:
        self.admission.bound(Bounds(most=48, exempt=HERE))
        self.assertFalse(self.admission.admits("127.0.0.1"))
        self.open["127.0.0.1"] = 39
        self.assertTrue(self.admission.admits("127.0.0.1"))

    def test_addresses_in_any_form(self) -> None:
        self.assertTrue(is_in("::ffff:10.1.2.3", HERE))
        self.assertTrue(is_in("fe80::1%eth0", [ip_network("fe80::/10")]))
        for host in ("11.0.0.1", "::1", "", "no address"):
            self.assertFalse(is_in(host, HERE))
