"""How many sockets there may be, and who goes without when they run short."""

from __future__ import annotations

import os
import sys
from typing import Any
from unittest import skipIf

from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectBindError
from twisted.internet.selectreactor import SelectReactor
from twisted.internet.task import Clock
from twisted.logger import LogLevel, capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.http.loop import socket_budget
from skyproxy.http.loop.socket_budget import RationedEndpoint, Sockets, count_of, lowest_free, raise_limit, sockets_of


class SocketsTests(SynchronousTestCase):
    """Bounds and warnings."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.used = 0
        self.sockets = Sockets(512, lambda: self.used, self.clock.seconds)

    def test_clients_wait_first_then_providers_are_asked_no_more(self) -> None:
        for used, expected in ((0, (True, True)), (399, (True, True)), (400, (False, True)), (480, (False, False))):
            self.used = used
            self.assertEqual((self.sockets.room_for_client(), self.sockets.room_for_provider()), expected, used)

    def test_few_descriptors_of_which_most_are_taken_before_any_client_comes(self) -> None:
        few = Sockets(40, lambda: self.used, self.clock.seconds, base=20)
        for used, expected in ((28, (True, True)), (29, (False, True)), (38, (False, False))):
            self.used = used
            self.assertEqual((few.room_for_client(), few.room_for_provider()), expected, used)

    def test_one_warning_an_hour(self) -> None:
        self.used = 500
        with capturedLogs() as logged:
            for _ in range(100):
                self.sockets.room_for_client()
                self.sockets.room_for_provider()
            self.assertEqual([event["log_level"] for event in logged], [LogLevel.warn])
            self.clock.advance(3600)
            self.used = sys.maxsize  # so it is when no descriptor can be had at all
            self.sockets.room_for_client()
            self.assertEqual([event["used"] for event in logged], [500, 512])

    def test_providers_that_may_want_too_many_are_told_of_at_the_start(self) -> None:
        with capturedLogs() as logged:
            self.sockets.check(480)
            self.assertEqual(logged, [])
            self.sockets.check(481)
        self.assertEqual((logged[0]["connections"], logged[0]["sockets"]), (481, 480))

    def test_no_connection_to_a_provider_without_room(self) -> None:
        class Endpoint:
            """Always connects."""

            def connect(self, factory: Any) -> Deferred[Any]:
                return succeed(factory)

        rationed = RationedEndpoint(Endpoint(), self.sockets)  # type: ignore[arg-type]
        self.assertEqual(self.successResultOf(rationed.connect("connected")), "connected")
        self.used = 480
        self.failureResultOf(rationed.connect("connected"), ConnectBindError)

    def test_what_is_open_is_counted_also_while_nobody_reads_from_it(self) -> None:
        class Reactor:
            """Takes readers."""

            def addReader(self, reader: Any) -> None:
                """Take *reader*."""

        class Reader:
            """Open until number is -1."""

            number = 3

            def fileno(self) -> int:
                return self.number

        reactor, readers = Reactor(), [Reader() for _ in range(3)]
        count = count_of(reactor)
        for reader in readers * 2:
            reactor.addReader(reader)
        self.assertEqual(count(), 3)
        readers[0].number = -1
        self.assertEqual(count(), 2)


@skipIf(sys.platform == "win32", "Windows has no such limit")
class Limits(SynchronousTestCase):
    """Of the process."""

    def setUp(self) -> None:
        self.limits: Any = [256, 4096]
        self.refused: tuple[int, ...] = ()
        self.patch(socket_budget.resource, "getrlimit", lambda _: tuple(self.limits))
        self.patch(socket_budget.resource, "setrlimit", self._set)
        self.reactor = Clock()
        self.selecting: Any = object.__new__(SelectReactor)

    def _set(self, _: int, limits: tuple[int, int]) -> None:
        if limits[0] in self.refused:
            raise ValueError("not allowed to raise maximum limit")
        self.limits = list(limits)

    def raised(self, soft: int, hard: int, reactor: Any = None) -> int:
        self.limits = [soft, hard]
        raise_limit(reactor or self.reactor)
        self.assertEqual(self.limits[1], hard)
        return int(self.limits[0])

    def test_the_soft_limit_is_raised_to_the_hard_one(self) -> None:
        self.assertEqual(self.raised(256, 4096), 4096)
        self.assertEqual(self.raised(64, 64), 64)
        self.assertEqual(self.raised(1024, 1_048_576), 65_536)
        self.assertEqual(self.raised(1_000_000, 1_048_576), 1_000_000)
        self.assertEqual(self.raised(256, socket_budget.resource.RLIM_INFINITY), 65_536)

    def test_select_has_no_larger_numbers(self) -> None:
        self.assertEqual(self.raised(256, 4096, self.selecting), 1_023)
        self.assertEqual(self.raised(256, 512, self.selecting), 512)
        self.assertEqual(self.raised(4096, 4096, self.selecting), 1_023)

    def test_a_kernel_that_gives_less_than_it_says(self) -> None:
        self.refused = (65_536,)
        self.assertEqual(self.raised(256, socket_budget.resource.RLIM_INFINITY), 10_240)
        self.refused = (65_536, 10_240)
        self.assertEqual(self.raised(256, socket_budget.resource.RLIM_INFINITY), 256)

    def test_the_next_number(self) -> None:
        first = lowest_free()
        descriptor = os.open(os.sep, os.O_RDONLY)
        self.addCleanup(os.close, descriptor)
        self.assertEqual(descriptor, first)
        self.assertGreater(lowest_free(), first)

    def test_without_any_descriptor(self) -> None:
        def refuse(*_: Any) -> int:
            raise OSError(24, "Too many open files")

        self.patch(os, "open", refuse)
        self.assertEqual(lowest_free(), sys.maxsize)

    def test_of_this_process(self) -> None:
        self.assertEqual(sockets_of(self.reactor).most, 256)
        self.selecting.seconds = self.reactor.seconds
        self.limits = [1023, 1023]
        self.assertEqual(sockets_of(self.selecting).most, 512)
        self.limits = [socket_budget.resource.RLIM_INFINITY] * 2
        self.assertEqual(sockets_of(self.reactor).most, 65_536)
