from __future__ import annotations

from typing import Any

from twisted.application.service import Application
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.logger import ILogObserver
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.process.game.service import GameService, GameSession, LogSwitch


class FakeReactor(Clock):
    """A reactor that runs."""

    def __init__(self) -> None:
        super().__init__()
        self.stops = 0

    def callWhenRunning(self, function: Any, *arguments: Any) -> None:
        function(*arguments)

    def stop(self) -> None:
        self.stops += 1


class Logging:
    """Of a session."""

    observer = None

    def finish(self) -> None:
        """Nothing."""


class Session:
    """In place of a GameSession."""

    base_url = "http://127.0.0.1:1/v1"
    fails = False

    def __init__(self, calls: list[str]) -> None:
        self.calls = calls
        self.logging = Logging()
        self.parts = self
        self.stopped: Deferred[None] = succeed(None)

    def startService(self) -> None:
        self.calls.append("start")
        if self.fails:
            raise RuntimeError("can't start new thread")

    def stopService(self) -> Deferred[None]:
        self.calls.append("stop")
        return self.stopped


class GameServiceTests(SynchronousTestCase):
    """GameService"""

    def setUp(self) -> None:
        self.calls: list[str] = []
        self.said: list[str] = []
        self.reactor = FakeReactor()
        self.session: Any = Session(self.calls)
        self.handlers: dict[str, Any] = {}
        self.log = LogSwitch(lambda event: None)
        self.service = GameService(
            self.reactor, self.make, lambda end: self, self, self, self, self.log,  # type: ignore[arg-type]
        )  # fmt: skip
        self.service.watch = self  # type: ignore[assignment]
        self.closing: Deferred[None] = succeed(None)

    def make(self, end: Any) -> Any:
        self.calls.append("make")
        if isinstance(self.session, str):
            raise SystemExit(self.session)
        return self.session

    # The admin socket.

    def listen(self) -> None:
        self.calls.append("listen")

    async def close(self) -> None:
        self.calls.append("close")
        await self.closing

    # Signals, the watch, the teller, the supervisor.

    def serve(self, reactor: Any, handlers: dict[str, Any]) -> None:
        self.handlers = handlers

    def start(self) -> None:
        """Nothing."""

    stop = ready = stopping = start

    def status(self, text: str) -> None:
        """Nothing."""

    def waits(self) -> None:
        self.said.append("waits")

    def serves(self, service: Any) -> None:
        self.said.append("serves")

    def cannot(self, reason: str) -> None:
        self.said.append(reason)

    def test_sessions(self) -> None:
        self.service.startService()
        for _ in range(2):
            self.service.follow(False)
            self.service.follow(True)
            self.service.follow(True)
            self.service.follow(False)
        self.assertEqual(self.calls, ["listen", *["close", "make", "start", "stop", "listen"] * 2])
        self.assertEqual(self.said, ["waits", "serves", "waits", "serves", "waits"])

    def test_it_cannot_serve(self) -> None:
        self.session = "skyproxy: the port is in use"
        self.service.startService()
        for _ in range(3):
            self.service.follow(True)
        self.assertEqual(self.said, ["waits", "skyproxy: the port is in use"])
        self.assertEqual(self.calls, ["listen", *["close", "make", "listen"] * 3])
        self.session = Session(self.calls)
        self.service.follow(True)
        self.assertEqual(self.said[2:], ["serves"])

    def test_a_session_that_cannot_be_started(self) -> None:
        self.session.fails = True
        self.service.startService()
        self.service.follow(True)
        self.assertEqual(self.calls, ["listen", "close", "make", "start", "stop", "listen"])
        self.assertIn("can't start new thread", self.said[-1])
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_while_one_ends_no_other_begins(self) -> None:
        self.service.startService()
        self.service.follow(True)
        self.session.stopped = Deferred()
        self.service.follow(False)
        self.service.follow(True)
        self.assertEqual(self.calls.count("make"), 1)
        self.session.stopped.callback(None)
        self.service.follow(True)
        self.assertEqual(self.calls.count("make"), 2)

    def test_the_end_while_it_waits(self) -> None:
        self.service.startService()
        self.handlers["SIGHUP"]()
        self.handlers["SIGINT"]()
        self.handlers["SIGTERM"]()
        self.assertEqual(self.reactor.stops, 1)
        self.successResultOf(self.service.stopService())
        self.service.follow(True)
        self.assertEqual(self.calls, ["listen", "close"])

    def test_the_end_while_it_serves(self) -> None:
        self.service.startService()
        self.service.follow(True)
        self.session.stopped = Deferred()
        stopping = self.service.stopService()
        self.assertNoResult(stopping)
        self.session.stopped.callback(None)
        self.successResultOf(stopping)
        self.assertEqual(self.said, ["waits", "serves"])

    def test_the_end_while_a_session_ends(self) -> None:
        self.service.startService()
        self.service.follow(True)
        self.session.stopped = Deferred()
        self.service.follow(False)
        stopping = self.service.stopService()
        self.assertNoResult(stopping)
        self.session.stopped.callback(None)
        self.successResultOf(stopping)
        self.assertEqual(self.calls.count("stop"), 1)
        self.assertEqual(self.said, ["waits", "serves"])

    def test_the_end_before_a_session_has_begun(self) -> None:
        self.service.startService()
        self.closing = Deferred()
        self.service.follow(True)
        stopping = self.service.stopService()
        self.closing.callback(None)
        self.successResultOf(stopping)
        self.assertNotIn("make", self.calls)

    def test_the_log(self) -> None:
        application: Any = Application("x")
        self.service.setServiceParent(application)
        self.assertIs(application.getComponent(ILogObserver), self.log)
        seen: list[Any] = []
        switch = LogSwitch(lambda event: seen.append(("otherwise", event)))
        switch({"a": 1})
        switch.to = seen.append
        switch({"a": 2})
        self.assertEqual(seen, [("otherwise", {"a": 1}), {"a": 2}])

    def test_who_ends_a_session(self) -> None:
        ends = [True, False]
        self.drain = self
        session = GameSession(self.reactor, self, lambda: ends.pop(0))  # type: ignore[arg-type]
        session.terminate()
        self.assertEqual(self.calls, [])
        session.terminate()
        self.assertEqual(self.calls, ["hurry"])

    def test_windows_announces_the_end(self) -> None:
        self.service.startService()
        self.service.end_within(2.5)
        self.assertEqual((self.reactor.stops, self.calls), (1, ["listen"]))
        self.successResultOf(self.service.stopService())
        self.assertTrue(self.service._console._stopped.is_set())

    def test_windows_announces_the_end_of_one_that_serves(self) -> None:
        self.service.startService()
        self.service.follow(True)
        self.session.drain = self
        self.service.end_within(2.5)
        self.assertEqual((self.reactor.stops, self.calls[-1]), (1, "limit 2.5"))

    def limit(self, seconds: float) -> None:
        self.calls.append(f"limit {seconds}")

    def hurry(self) -> None:
        self.calls.append("hurry")
