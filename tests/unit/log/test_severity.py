from __future__ import annotations

from twisted.internet.protocol import Factory
from twisted.logger import LogEvent, Logger, LogLevel, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.log.severity import CRITICAL, DEBUG, ERROR, INFO, WARN, severity_of


class SeverityTests(SynchronousTestCase):
    def test_levels(self) -> None:
        events: list[LogEvent] = []
        log = Logger("skyproxy.x", observer=events.append)
        for level in (LogLevel.debug, LogLevel.info, LogLevel.warn, LogLevel.error, LogLevel.critical):
            log.emit(level, "Told")
        self.assertEqual([severity_of(event) for event in events], [DEBUG, INFO, WARN, ERROR, CRITICAL])

    def test_an_event_without_a_level(self) -> None:
        self.assertEqual(severity_of({}), INFO)

    def test_what_twisted_tells_is_debug(self) -> None:
        for namespace in ("twisted.web.http.HTTPChannel", "twisted.internet.tcp.Port", "log_legacy"):
            with self.subTest(namespace):
                self.assertEqual(severity_of({"log_level": LogLevel.info, "log_namespace": namespace}), DEBUG)
                self.assertEqual(severity_of({"log_level": LogLevel.warn, "log_namespace": namespace}), WARN)

    def test_the_start_and_end_of_twistd_is_told(self) -> None:
        for namespace in ("twisted.scripts._twistd_unix.UnixAppLogger", "twisted.internet.base"):
            with self.subTest(namespace):
                self.assertEqual(severity_of({"log_level": LogLevel.info, "log_namespace": namespace}), INFO)

    def test_factories_of_our_own(self) -> None:
        events: list[LogEvent] = []
        globalLogPublisher.addObserver(events.append)
        self.addCleanup(globalLogPublisher.removeObserver, events.append)

        class Ours(Factory):
            pass

        Ours().doStart()
        self.assertEqual([severity_of(event) for event in events if event.get("factory")], [DEBUG])
