"""A worker takes connections as long as it has descriptors for them."""

from __future__ import annotations

import gc
import os
import socket
import sys
from typing import Any
from unittest import SkipTest

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.http.loop.socket_budget import Sockets, lowest_free
from skyproxy.process.endpoints import ListenOptions
from skyproxy.process.workers.adopting import AdoptedEndpoints
from skyproxy.process.workers.passing import pair, send


class AdoptingReactor(Clock):
    """Which serves nobody, but has a descriptor of its own for each connection, as a reactor has."""

    def __init__(self) -> None:
        super().__init__()
        self.adopted: list[int] = []

    def addReader(self, reader: Any) -> None: ...

    def removeReader(self, reader: Any) -> None: ...

    def removeWriter(self, writer: Any) -> None: ...

    def adoptStreamConnection(self, number: int, family: Any, factory: Any) -> None:
        self.adopted.append(os.dup(number))


class AdoptedEndpointsTests(SynchronousTestCase):
    """:class:`AdoptedEndpoints`."""

    def test_clients_wait_while_descriptors_are_short(self) -> None:
        if sys.platform == "win32":
            raise SkipTest("Windows cannot pass them so")
        gc.collect()  # what other tests have left open is closed now, not in between
        reactor, base = AdoptingReactor(), lowest_free()
        own, theirs = pair()
        self.addCleanup(own.close)
        self.addCleanup(theirs.close)
        sockets = Sockets(base + 64, lowest_free, reactor.seconds, base)
        site: Any = None
        endpoints = AdoptedEndpoints(
            ListenOptions(reactor, ["systemd:domain=INET:index=0"], site, sockets, list, list),
            theirs,
            ("a", "a"),
            [],
            list,
        )
        endpoints.listen()
        passage = endpoints.passage
        assert passage is not None
        for _ in range(40):
            with socket.socket() as connection:
                self.assertTrue(send(own, 0, connection.fileno()))
        for _ in range(4):
            passage.doRead()
        self.assertTrue(reactor.adopted)
        # Of 64 a client may have the first 28.
        self.assertLess(max(reactor.adopted), base + 29)
        for each in reactor.adopted:
            os.close(each)
        reactor.advance(1.0)
        taken = len(reactor.adopted)
        passage.doRead()
        self.assertGreater(len(reactor.adopted), taken, "there is room again")
        for each in reactor.adopted[taken:]:
            os.close(each)
        passage.close()
