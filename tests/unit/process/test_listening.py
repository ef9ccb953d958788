"""Ports: which are bound, how, and what is said of those that cannot be had."""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import Any
from unittest import SkipTest

from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IReactorTCP, IReactorUNIX
from twisted.internet.protocol import Factory
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from skyproxy.process.listening import NotListening, _ExclusivePort, exclusive, listen_at, why_not

BOTH = ("tcp:80:interface=127.0.0.1", r"tcp:80:interface=\:\:1")


@implementer(IReactorTCP, IReactorUNIX)
class Reactor(MemoryReactorClock):
    """Which has no place for some addresses.

    :ivar refused: the system's error, by the address.
    """

    def __init__(self) -> None:
        super().__init__()
        self.refused: dict[str, OSError] = {}
        self.bound: list[str] = []
        self.stopped: list[str] = []

    def listenTCP(self, port: int, factory: Any, backlog: int = 50, interface: str = "") -> Any:
        if interface in self.refused:
            raise CannotListenError(interface, port, self.refused[interface])
        self.bound.append(interface)
        listening = super().listenTCP(port, factory, backlog, interface)  # type: ignore[no-untyped-call]
        listening.stopListening = lambda: self.stopped.append(interface)
        return listening


def on_windows(number: int) -> OSError:
    error = OSError(errno.EACCES, "An attempt was made to access a socket in a way forbidden by its access permissions")
    error.winerror = number  # type: ignore[attr-defined, unused-ignore]
    return error


class ListenTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = Reactor()

    def listen(self, *endpoints: str) -> int:
        return len(listen_at(self.reactor, endpoints, Factory(), lambda endpoint, port: None))

    def refused(self, *endpoints: str) -> str:
        return str(self.assertRaises(NotListening, self.listen, *endpoints))

    def test_a_socket_that_a_killed_process_has_left(self) -> None:
        """Its lock names a process that lives, as it does in a container that was started again."""
        if not hasattr(socket, "AF_UNIX") or os.name == "nt":
            raise SkipTest("there are no such sockets")
        folder = Path(mkdtemp(prefix="left"))
        self.addCleanup(rmtree, folder)
        path, lock = folder / "s", folder / "s.lock"
        left = socket.socket(socket.AF_UNIX)
        left.bind(str(path))
        left.listen()
        lock.symlink_to(str(os.getpid()))
        self.listen(f"unix:{path}")
        self.assertTrue(path.exists() and lock.is_symlink(), "somebody listens there")
        left.close()
        self.listen(f"unix:{path}")
        self.assertFalse(path.exists() or lock.is_symlink())
        self.assertEqual(len(self.reactor.unixServers), 2)

    def test_a_file_that_is_no_socket_stays(self) -> None:
        folder = Path(mkdtemp(prefix="file"))
        self.addCleanup(rmtree, folder)
        path, lock = folder / "s", folder / "s.lock"
        path.write_text("somebody's")
        try:
            lock.symlink_to(str(os.getpid()))
        except OSError as error:
            raise SkipTest("there are no symbolic links") from error
        self.listen(f"unix:{path}")
        self.assertEqual((path.read_text(), lock.is_symlink()), ("somebody's", True))

    def test_a_socket_that_is_locked(self) -> None:
        locked = CannotListenError(None, "/s", "Cannot acquire lock")
        self.assertIn("another process listens there", why_not("unix:/s", locked))

    def test_both(self) -> None:
        self.assertEqual(self.listen(*BOTH), 2)
        self.assertEqual(self.reactor.bound, ["127.0.0.1", "::1"])

    def test_a_file_in_the_place_of_a_socket(self) -> None:
        taken = CannotListenError(None, "/s", OSError(errno.EADDRINUSE, "Address already in use"))
        told = why_not("unix:/s", taken)
        self.assertIn("something of this name is there already", told)
        self.assertNotIn("port", told)

    def test_a_machine_without_ipv6(self) -> None:
        for error in (OSError(errno.EADDRNOTAVAIL, ""), OSError(errno.EAFNOSUPPORT, ""), on_windows(10049)):
            self.reactor.refused = {"::1": error}
            self.assertEqual(self.listen(*BOTH), 1)
            # Who wants that address alone is told.
            self.assertIn("interface=\\:\\:1", self.refused(BOTH[1]))
            self.assertIn("interface=\\:\\:1", self.refused("tcp:81:interface=127.0.0.1", BOTH[1]))

    def test_one_in_use_takes_all(self) -> None:
        self.reactor.refused = {"::1": OSError(errno.EADDRINUSE, "Address already in use")}
        told = self.refused(*BOTH)
        self.assertIn(f"cannot listen at {BOTH[1]}: the port is in use", told)
        self.assertIn("--listen", told)
        self.assertEqual(self.reactor.stopped, ["127.0.0.1"])

    def test_what_is_said(self) -> None:
        for error, part in (
            (OSError(errno.EADDRINUSE, "Address already in use"), "Is another skyproxy running?"),
            (on_windows(10048), "Is another skyproxy running?"),
            (on_windows(10013), "netsh interface ipv4 show excludedportrange protocol=tcp"),
            (OSError(errno.EACCES, "Permission denied"), "Permission denied. Ports below 1024"),
            (OSError(errno.EINVAL, "Invalid argument"), "Invalid argument"),
        ):
            self.reactor.refused = {"127.0.0.1": error}
            self.assertIn(part, self.refused(BOTH[0]))
        self.assertIn(".socket unit", self.refused("systemd:domain=INET:index=0"))
        self.assertIn(".socket unit", self.refused("systemd:domain=INET:name=sky"))
        self.assertIn("nonsense", self.refused("nonsense:80"))


class ExclusiveTests(SynchronousTestCase):
    """SO_EXCLUSIVEADDRUSE, which Windows alone has: another option stands for it."""

    def test_where_there_is_no_such_option(self) -> None:
        reactor = Reactor()
        self.assertIs(exclusive(reactor, None), reactor)

    def test_it_is_set_before_the_port_is_bound(self) -> None:
        from twisted.internet import reactor

        calls: list[tuple[Any, ...]] = []

        class Noting(socket.socket):
            def setsockopt(self, *arguments: Any) -> None:
                calls.append(("set", *arguments))

            def bind(self, address: Any) -> None:
                calls.append(("bind",))
                super().bind(address)

        self.patch(socket, "socket", Noting)
        made = exclusive(reactor, -5)
        self.assertTrue(IReactorTCP.providedBy(made))
        port = made.listenTCP(0, Factory(), interface="127.0.0.1")
        self.assertIsInstance(port, _ExclusivePort)
        port.connectionLost(None)
        self.assertEqual(calls.index(("set", socket.SOL_SOCKET, -5, 1)) + 1, calls.index(("bind",)))
