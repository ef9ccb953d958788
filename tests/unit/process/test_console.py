"""skyproxy.process.console and skyproxy.process.priority."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any
from unittest import TestCase
from unittest.mock import patch

from twisted.logger import Logger, formatEvent

from skyproxy.process import console, priority
from skyproxy.process.console import ConsoleEvents
from skyproxy.process.priority import ProcessPriority


class FakeReactor:
    """Notes what is to be called in its thread."""

    def __init__(self) -> None:
        self.called = threading.Event()
        self.calls: list[tuple[Any, ...]] = []

    def callFromThread(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.calls.append((function, *arguments))
        self.called.set()


class ConsoleTests(TestCase):
    def setUp(self) -> None:
        self.reactor = FakeReactor()
        self.handlers: list[Callable[[int], bool]] = []
        self.stop = lambda seconds: None
        self.unregistered = 0
        self.events = ConsoleEvents(self.reactor, self.stop, [self.register])
        self.events.listen()
        (self.handler,) = self.handlers

    def register(self, handler: Callable[[int], bool]) -> Callable[[], None]:
        self.handlers.append(handler)
        return self.unregister

    def unregister(self) -> None:
        self.unregistered += 1

    def test_after_the_stop_nothing_is_heard(self) -> None:
        self.events.stopped()
        self.assertEqual(self.unregistered, 1)
        other = ConsoleEvents(self.reactor, self.stop, [lambda handler: None])
        other.listen()
        other.stopped()

    def test_the_handler_returns_when_all_is_done(self) -> None:
        for event in (console.CLOSE, console.LOGOFF, console.SHUTDOWN):
            self.reactor.called.clear()
            self.events._stopped.clear()
            answers: list[bool] = []
            thread = threading.Thread(target=lambda: answers.append(self.handler(event)))  # noqa: B023
            thread.start()
            self.assertTrue(self.reactor.called.wait(10))
            self.assertEqual(self.reactor.calls.pop(), (self.stop, console.DRAIN_SECONDS))
            thread.join(0.05)
            self.assertTrue(thread.is_alive())
            self.events.stopped()
            thread.join(10)
            self.assertEqual(answers, [True])

    def test_windows_is_not_kept_waiting(self) -> None:
        with patch.object(console, "END_SECONDS", 0.01):
            self.assertTrue(self.handler(console.CLOSE))
        self.assertLess(console.DRAIN_SECONDS + 1, console.END_SECONDS)
        self.assertLess(console.END_SECONDS, 5)

    def test_ctrl_c_is_none_of_its_business(self) -> None:
        self.assertFalse(self.handler(0))
        self.assertFalse(self.handler(1))
        self.assertEqual(self.reactor.calls, [])


class PriorityTests(TestCase):
    def setUp(self) -> None:
        self.said: list[str] = []
        logger = Logger(namespace="test", observer=lambda event: self.said.append(formatEvent(event)))
        patched = patch.object(priority, "_log", logger)
        patched.start()
        self.addCleanup(patched.stop)
        self.told: list[bool] = []
        self.answer: tuple[str, ...] | Exception | None = ()

    def tell(self, *, raised: bool) -> tuple[str, ...] | None:
        self.told.append(raised)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def test_only_changes_are_told_to_the_system(self) -> None:
        follower = ProcessPriority(self.tell)
        for wanted in ("normal", "raised", "raised", "normal", "normal"):
            follower.use(wanted)
        self.assertEqual(self.told, [True, False])
        self.assertEqual(self.said, [])

    def test_what_fails_is_told(self) -> None:
        for answer in (("SetPriorityClass",), OSError("no such library")):
            self.answer = answer
            ProcessPriority(self.tell).use("raised")
        self.assertEqual(len(self.said), 2)
        self.answer = None
        ProcessPriority(self.tell).use("raised")
        self.assertEqual(len(self.said), 2)
