from __future__ import annotations

import errno
import json
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest import mock, skipUnless

from twisted.application.service import Application, IService
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import Deferred, execute, succeed
from twisted.internet.error import CannotListenError
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.logger import ILogObserver, LogEvent, Logger, formatEvent
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.access import access
from skyproxy.config import Config, ConfigError, Problem
from skyproxy.http import Wire
from skyproxy.log.live_lines import LiveLines
from skyproxy.log.redaction import Redactor
from skyproxy.pipeline.proxy import Runtime
from skyproxy.process import (
    announcement,
    building,
    configuration,
    draining,
    listening,
    parts,
    providers,
    reloading,
    stopping,
)
from skyproxy.process.building import build
from skyproxy.process.listening import NotListening
from skyproxy.process.service import SkyproxyService
from skyproxy.process.signals import Signals
from tests.unit.configs import config_of
from tests.unit.process.workers_at_hand import Held

TEXT = """
proxy: {listen: "tcp:1234:interface=127.0.0.1", drain_timeout: 5s, max_body: 1000}
providers:
  a: {base_url: "http://127.0.0.1:1001/v1", max_concurrent: 25}
  b: {base_url: "http://127.0.0.1:1002/v1", max_concurrent: 25}
model_slots:
  default: {provider: a, model: guard}
"""
BODY = json.dumps({"model": "default", "stream": True, "messages": []}).encode()
POST = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (len(BODY), BODY)
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
WORD = b'data: {"choices":[{"index":0,"delta":{"content":"Halt"},"finish_reason":null}]}\n\n'
END = WORD.replace(b"null", b'"stop"') + b"data: [DONE]\n\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


class FakeLogging:
    """In the place of the log files: notes what is asked of it."""

    observer: Any = None
    dropped = 0

    def __init__(self) -> None:
        self.asked: list[Any] = []

    def start(self) -> None:
        self.asked.append("start")

    def reconfigure(self, config: Config) -> None:
        self.asked.append(("reconfigure", config))

    def redactor(self) -> Redactor:
        return Redactor(())

    def live_lines(self) -> LiveLines:
        return LiveLines(lambda: Redactor(()), lambda: "info")

    def reopen(self) -> None:
        self.asked.append("reopen")

    def stop(self) -> Deferred[None]:
        self.asked.append("stop")
        return succeed(None)


class FakeNotifier:
    """In the place of what tells a supervisor: notes the words."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def ready(self) -> None:
        self.told.append("ready")

    def reloading(self) -> None:
        self.told.append("reloading")

    def stopping(self) -> None:
        self.told.append("stopping")

    def when_serving(self, call: Any) -> None:
        call()


class Port:
    """In the place of a port: stops listening when the test says so."""

    def __init__(self, address: Any) -> None:
        self._address = address
        self.stopped: Deferred[None] | None = None

    def getHost(self) -> Any:
        return self._address

    def stopListening(self) -> Deferred[None]:
        self.stopped = Deferred()
        return self.stopped


class Reactor(MemoryReactorClock):
    """Whose ports are :class:`Port`, and which notes that it is to stop."""

    def __init__(self) -> None:
        super().__init__()
        self.ports: list[Port] = []
        self.stops = 0
        self.refuses: Exception | None = None

    def listenTCP(self, port: int, factory: Any, backlog: int = 50, interface: str = "") -> Any:
        if self.refuses is not None:
            raise self.refuses
        super().listenTCP(port, factory, backlog, interface)  # type: ignore[no-untyped-call]
        self.ports.append(Port(IPv4Address("TCP", interface or "0.0.0.0", port or 54_321)))
        return self.ports[-1]

    def stop(self) -> None:
        self.stops += 1

    def callFromThread(self, *_: Any) -> None:
        """What the ledger's thread has done is of no interest here."""


class Case(SynchronousTestCase):
    """One service on a reactor in memory."""

    def setUp(self) -> None:
        self.reactor = Reactor()
        self.thread = Held()
        self.logging = FakeLogging()
        self.notifier = FakeNotifier()
        self.loaded: Config | Exception = config_of(TEXT)
        self.events: list[LogEvent] = []
        for each in (announcement, configuration, draining, providers, reloading, stopping):
            self.patch(each, "_log", Logger(namespace="test", observer=self.events.append))
        self.patch(building, "spare_the_collector", lambda: None)
        self.patch(reloading, "Worker", lambda reactor, name: self.thread)
        self.service = self.make(config_of(TEXT))

    def make(self, config: Config) -> SkyproxyService:
        logging: Any = self.logging
        notifier: Any = self.notifier
        return build(self.reactor, config, self.load, logging, Wire(), Signals(), notifier)

    def load(self) -> Config:
        if isinstance(self.loaded, Exception):
            raise self.loaded
        return self.loaded

    def start(self) -> None:
        self.service.listen()
        self.service.startService()

    def runtime(self) -> Runtime:
        """What serves now."""
        return self.service.parts.providers.runtime()

    @property
    def said(self) -> list[str]:
        return [formatEvent(event) for event in self.events]

    def connect(self, data: bytes = POST) -> StringTransport:
        """A client that has sent *data*."""
        transport = StringTransport(peerAddress=IPv4Address("TCP", "127.0.0.1", 50_000))
        factory = self.reactor.tcpServers[0][1]
        protocol = factory.buildProtocol(IPv4Address("TCP", "127.0.0.1", 50_000))
        protocol.makeConnection(transport)
        protocol.dataReceived(data)
        transport.protocol = protocol
        return transport

    def provider(self, data: bytes) -> tuple[Any, StringTransport]:
        """The provider takes the last connection that was asked for, and sends *data*."""
        _, _, factory, _, _ = self.reactor.tcpClients[-1]
        transport = StringTransport()
        protocol = factory.buildProtocol(IPv4Address("TCP", "127.0.0.1", 1001))
        protocol.makeConnection(transport)
        protocol.dataReceived(data)
        return protocol, transport


class StartTests(Case):
    def test_the_port_is_bound_before_anything_is_built(self) -> None:
        self.service.listen()
        (port, _, _, interface) = self.reactor.tcpServers[0]
        self.assertEqual((port, interface), (1234, "127.0.0.1"))
        self.assertEqual(self.logging.asked, [])
        self.assertFalse(self.service.running)
        self.service.startService()
        self.assertEqual(self.logging.asked, ["start"])
        self.assertEqual(list(self.runtime().providers), ["a", "b"])
        self.assertTrue(self.service.running)

    def test_started_by_what_knows_no_privileged_start(self) -> None:
        self.service.startService()
        self.assertEqual([each[0] for each in self.reactor.tcpServers], [1234])
        self.assertIn("skyproxy listens at http://127.0.0.1:1234/v1", self.said)

    def test_what_it_says(self) -> None:
        self.start()
        self.assertIn("skyproxy listens at http://127.0.0.1:1234/v1", self.said)
        self.assertTrue(any(said.startswith("Configuration: ") for said in self.said))
        command = next(said for said in self.said if said.startswith("Try: curl"))
        self.assertIn("http://127.0.0.1:1234/v1/chat/completions", command)
        self.assertIn('"model":"default"', command)

    def test_a_model_to_try_without_slots(self) -> None:
        self.service = self.make(config_of("providers: {a: {base_url: 'http://127.0.0.1:1001/v1'}}"))
        self.start()
        self.assertTrue(any('"model":"a:MODEL"' in said for said in self.said))

    def test_where_it_can_be_reached(self) -> None:
        for address, base_url, where in (
            (IPv4Address("TCP", "0.0.0.0", 80), "http://127.0.0.1:80/v1", "http://127.0.0.1:80/v1"),
            (IPv4Address("TCP", "10.0.0.7", 80), "http://10.0.0.7:80/v1", "http://10.0.0.7:80/v1"),
            (IPv6Address("TCP", "::", 80), "http://[::1]:80/v1", "http://[::1]:80/v1"),
            (IPv6Address("TCP", "fe80::1", 80), "http://[fe80::1]:80/v1", "http://[fe80::1]:80/v1"),
            (UNIXAddress("/run/a b"), "unix:/run/a b", "--unix-socket '/run/a b' http://localhost/v1"),
        ):
            self.setUp()
            self.service.listen()
            self.reactor.ports[0]._address = address
            self.service.startService()
            self.assertIn(f"skyproxy listens at {base_url}", self.said)
            self.assertTrue(any(said.startswith(f"Try: curl -N {where}/chat/completions ") for said in self.said))

    def test_warnings_of_the_configuration(self) -> None:
        self.service = self.make(config_of(TEXT).model_copy(update={"warnings": ("mind this",)}))
        self.start()
        warned = [event for event in self.events if event.get("warning") == "mind this"]
        self.assertEqual(len(warned), 1)

    def test_a_port_that_cannot_be_had(self) -> None:
        self.reactor.refuses = CannotListenError("127.0.0.1", 1234, OSError("taken"))
        with self.assertRaises(NotListening):
            self.service.listen()
        self.assertIsNone(self.successResultOf(self.service.stopService()))

    def test_an_endpoint_that_takes_its_time(self) -> None:
        class Slow:
            def listen(self, factory: Any) -> Deferred[Any]:
                return Deferred()

        self.patch(listening, "serverFromString", lambda reactor, text: Slow())
        with self.assertRaises(NotListening):
            self.service.listen()

    def test_twistds_own_log_is_taken_over(self) -> None:
        application: Any = Application("test")
        self.service.setServiceParent(application)
        self.assertIsNone(application.getComponent(ILogObserver, None))
        self.logging.observer = lambda event: None
        application = Application("test")
        self.make(config_of(TEXT)).setServiceParent(application)
        self.assertIs(application.getComponent(ILogObserver), self.logging.observer)
        self.assertEqual(len(list(IService(application))), 1)

    def test_the_embedded_demo(self) -> None:
        self.service = self.make(config_of("providers: {a: {base_url: 'embedded:demo'}}"))
        self.start()
        # One more than skyproxy's own, at 127.0.0.1 and ::1.
        self.assertEqual(len(self.reactor.tcpServers), 3)
        self.assertRegex(self.runtime().providers["a"].config.base_url, r"^http://127\.0\.0\.1:\d+/v1$")

    def test_a_request(self) -> None:
        self.start()
        client = self.connect()
        _, upstream = self.provider(HEAD + chunk(END) + b"0\r\n\r\n")
        self.assertTrue(upstream.value().startswith(b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:1001\r\n"))
        self.assertTrue(client.value().endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n"), client.value())


class ReloadTests(Case):
    def test_what_cannot_be_read_changes_nothing(self) -> None:
        self.start()
        before = self.runtime()
        self.loaded = ConfigError([Problem("skyproxy.yaml", 3, "proxy.listen", "is no endpoint")])
        self.service.parts.configuration.reload()
        self.assertIs(self.runtime(), before)
        self.assertEqual(self.logging.asked, ["start"])
        problems = [event["problems"] for event in self.events if "problems" in event]
        self.assertIn("proxy.listen", problems[0])

    def test_what_cannot_be_built_changes_nothing(self) -> None:
        self.start()
        before = self.runtime()
        self.loaded = config_of(TEXT.replace("1002", "2002"))
        self.patch(parts, "build_provider", mock.Mock(side_effect=ZeroDivisionError))
        self.service.parts.configuration.reload()
        self.assertIs(self.runtime(), before)
        self.assertIn("Configuration not reloaded, the old one serves on", self.said)
        self.flushLoggedErrors(ZeroDivisionError)

    def test_a_demo_for_which_there_is_no_descriptor_comes_later(self) -> None:
        self.start()
        self.loaded = config_of(TEXT.replace("http://127.0.0.1:1002/v1", "embedded:demo"))
        self.reactor.refuses = CannotListenError("127.0.0.1", 0, OSError(errno.EMFILE, "Too many open files"))
        self.service.parts.configuration.reload()
        self.assertEqual(self.runtime().providers["b"].config.base_url, "http://127.0.0.1:1002/v1")
        self.reactor.refuses = None
        self.reactor.advance(1.0)
        self.assertIn("Configuration reloaded", self.said)
        self.assertEqual(len(self.reactor.tcpServers), 2)

    def test_how_it_went_is_counted_and_told(self) -> None:
        self.start()
        self.assertTrue(self.service.parts.reloads.successful)
        since = self.service.parts.reloads.succeeded_at
        self.loaded = ConfigError([Problem("skyproxy.yaml", 3, "proxy.listen", "is no endpoint")])
        self.service.parts.configuration.reload()
        self.assertFalse(self.service.parts.reloads.successful)
        self.assertEqual(self.service.parts.reloads.succeeded_at, since)
        self.loaded = config_of(TEXT.replace("guard", "knight"))
        self.service.parts.configuration.reload()
        self.assertTrue(self.service.parts.reloads.successful)
        self.assertGreater(self.service.parts.reloads.succeeded_at, since)
        told = next(event for event in self.events if event["log_format"] == "Configuration reloaded")
        self.assertEqual(told["changes"], ["slot default: model guard → knight"])
        self.assertEqual(self.notifier.told, ["reloading", "ready"] * 2)

    def test_whoever_asks_hears_of_what_was_read_after_that(self) -> None:
        self.start()
        settings = self.service.parts.configuration
        self.thread.holds = True
        first = settings.reload_now("one")
        second, third = settings.reload_now("another"), settings.reload_now("a third")
        self.loaded = config_of(TEXT.replace("guard", "knight"))
        self.thread.release()
        self.assertEqual(self.successResultOf(first).changed, {"changes": ["slot default: model guard → knight"]})
        self.assertNoResult(second)
        # Whoever supervises the process hears nothing of the first: it would be taken for the answer to the second.
        self.assertEqual(self.notifier.told, ["reloading"] * 3)
        self.loaded = ConfigError([Problem("skyproxy.yaml", 3, "proxy.listen", "is no endpoint")])
        self.thread.release()
        for each in (second, third):
            self.assertIn("is no endpoint", self.successResultOf(each).problems or "")
        self.assertEqual(self.notifier.told, ["reloading"] * 3 + ["ready"])
        self.assertEqual(settings.current.model_slots["default"].model, "knight")

    def test_what_takes_long_is_done_in_the_thread(self) -> None:
        self.start()
        self.loaded = config_of(TEXT.replace("guard", "knight"))

        def done(job: Callable[[], Any]) -> Any:
            read = job()
            # From here on it is the event loop that works.
            self.patch(configuration, "changes", None)
            self.patch(access, "directory_of", None)
            return read

        self.patch(self.thread, "do", partial(execute, done))
        asked = self.service.parts.configuration.reload_now("one")
        self.assertEqual(self.successResultOf(asked).changed, {"changes": ["slot default: model guard → knight"]})

    def test_what_was_kept_while_it_was_read_stays(self) -> None:
        self.start()
        settings = self.service.parts.configuration
        self.thread.holds = True
        settings.reload()
        kept = config_of(TEXT.replace("guard", "knight"))
        settings.adopt(kept)
        self.thread.release()
        self.assertIs(settings.current, kept)

    def test_a_provider_that_stays_the_same_stays_the_same_object(self) -> None:
        self.start()
        before = dict(self.runtime().providers)
        self.loaded = config_of(TEXT.replace("1002", "2002"))
        self.service.parts.configuration.reload()
        after = self.runtime().providers
        self.assertIs(after["a"], before["a"])
        self.assertIsNot(after["b"], before["b"])
        self.assertEqual(after["b"].config.base_url, "http://127.0.0.1:2002/v1")
        self.assertIn(("reconfigure", self.loaded), self.logging.asked)
        self.assertIn("Configuration reloaded", self.said)

    def test_slots_and_settings_are_the_new_ones(self) -> None:
        self.start()
        self.loaded = config_of(TEXT + "  combat: {provider: b, model: fast}\n")
        self.service.parts.configuration.reload()
        self.assertEqual(self.runtime().router.model_ids(), ["default", "combat"])
        self.assertIs(self.runtime().config, self.loaded)

    def test_names_that_came_and_went_are_told(self) -> None:
        self.start()
        self.loaded = config_of(TEXT.replace("default:", "combat:"))
        self.service.parts.configuration.reload()
        told = next(event for event in self.events if event["log_format"] == "Configuration reloaded")
        self.assertEqual((told["slots_added"], told["slots_removed"]), (["combat"], ["default"]))
        self.assertNotIn("providers_added", told)

    def test_answers_are_kept_in_the_new_place(self) -> None:
        self.start()
        stores = self.service.parts.stores
        self.assertNotIn("sqlite", stores.by_name)
        self.loaded = config_of(TEXT.replace("max_body", "cache: {path: answers.sqlite}, max_body"))
        self.service.parts.configuration.reload()
        self.assertIn("sqlite", stores.by_name)

    def test_files_that_are_still_written_are_waited_for(self) -> None:
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        path = Path(folder.name) / "skyproxy.yaml"
        path.touch()
        self.patch(
            self.service.parts.configuration.reloading, "_wall", lambda: path.stat().st_mtime + self.reactor.seconds()
        )
        self.loaded = config_of(TEXT).model_copy(update={"paths": (path,)})
        self.service.parts.configuration.current = self.loaded
        self.start()
        self.service.parts.configuration.reload()
        self.assertNotIn("Configuration reloaded", self.said)
        self.reactor.advance(1.0)
        self.assertEqual(self.said.count("Configuration reloaded"), 1)
        # Written again, and stopped before that is over.
        self.patch(self.service.parts.configuration.reloading, "_wall", lambda: path.stat().st_mtime)
        self.service.parts.configuration.reload()
        self.service.stopService()
        self.reactor.advance(1.0)
        self.assertEqual(self.said.count("Configuration reloaded"), 1)

    def test_limits_are_for_the_connections_to_come(self) -> None:
        self.start()
        self.loaded = config_of(TEXT.replace("1000", "10"))
        self.service.parts.configuration.reload()
        self.assertIn(b" 413 ", self.connect().value())
        self.loaded = config_of(TEXT.replace("1000", "2000"))
        self.service.parts.configuration.reload()
        self.assertEqual(self.connect().value(), b"")

    def test_a_new_address_takes_a_restart(self) -> None:
        self.start()
        self.loaded = config_of(TEXT.replace("tcp:1234", "tcp:4321"))
        self.service.parts.configuration.reload()
        self.assertIn("A new listen address takes a restart", self.said)
        self.assertEqual(len(self.reactor.tcpServers), 1)

    def test_what_only_a_start_reads_takes_one(self) -> None:
        self.start()
        for more, told in (("workers: 3", 1), ("workers: 3, max_clients: 9", 1), ("workers: 3, costs: off", 2)):
            self.loaded = config_of(TEXT.replace("proxy: {", f"proxy: {{{more}, "))
            self.service.parts.configuration.reload()
            self.assertEqual(self.said.count("What only a start reads takes a restart, or `skyproxy upgrade`"), told)

    def test_who_asks_is_told_what_waits_for_a_restart(self) -> None:
        self.start()
        self.loaded = config_of(TEXT.replace("tcp:1234", "tcp:4321").replace("proxy: {", "proxy: {workers: 3, "))
        outcome = self.successResultOf(self.service.parts.configuration.reload_now("somebody"))
        self.assertEqual(outcome.changed["waits_for_a_restart"], ["proxy.listen", "proxy.workers"])
        self.loaded = config_of(TEXT.replace("tcp:1234", "tcp:4321").replace("1000", "10"))
        self.loaded = self.loaded.model_copy(update={"proxy": self.loaded.proxy.model_copy(update={"workers": 3})})
        outcome = self.successResultOf(self.service.parts.configuration.reload_now("somebody"))
        self.assertNotIn("waits_for_a_restart", outcome.changed)

    def test_who_asks_after_the_files_were_seen_to_change_is_told_all(self) -> None:
        self.start()
        configuration = self.service.parts.configuration
        for limit in ("10", "2000"):
            self.loaded = config_of(TEXT.replace("1000", limit))
            configuration.reload()
        told = self.successResultOf(configuration.reload_now("somebody")).changed["changes"]
        self.assertEqual([line.rpartition("→")[2].strip() for line in told], ["10", "2000"])
        self.assertEqual(self.successResultOf(configuration.reload_now("somebody")).changed, {})
        self.loaded = config_of(TEXT)
        configuration.reload()
        self.reactor.advance(61)
        self.assertEqual(self.successResultOf(configuration.reload_now("somebody")).changed, {}, "that was long ago")

    def test_the_embedded_demo_may_come_later(self) -> None:
        self.start()
        self.loaded = config_of(TEXT.replace("http://127.0.0.1:1002/v1", "embedded:demo"))
        for _ in range(2):
            self.service.parts.configuration.reload()
        self.assertEqual(len(self.reactor.tcpServers), 2)
        self.assertNotIn("embedded", self.runtime().providers["b"].config.base_url)

    def test_requests_under_way_keep_what_they_have(self) -> None:
        self.start()
        client = self.connect()
        protocol, upstream = self.provider(HEAD + chunk(WORD))
        self.loaded = config_of(TEXT.replace("1001", "2001"))
        self.service.parts.configuration.reload()
        self.assertFalse(upstream.disconnecting)
        protocol.dataReceived(chunk(END) + b"0\r\n\r\n")
        self.assertTrue(client.value().endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n"))
        # Nobody uses its connection again.
        self.assertTrue(upstream.disconnecting)

    def test_requests_under_way_count_at_a_provider_that_is_made_anew(self) -> None:
        alone = TEXT.replace("25", "1")
        self.service = self.make(config_of(alone))
        self.start()
        self.connect()
        protocol, _ = self.provider(HEAD + chunk(WORD))
        waiting = self.connect()
        before = self.runtime().providers["a"]
        for pending in (0, 1, 0):
            self.loaded = config_of(alone.replace("max_concurrent", f"max_pending: {pending}, max_concurrent"))
            self.service.parts.configuration.reload()
        after = self.runtime().providers["a"]
        self.assertIsNot(after, before)
        # The first, and the two that this reload has retired.
        self.assertEqual(len(self.service.parts.providers.retired), 3)
        self.assertIn(b" 503 ", self.connect().value())
        limits = after.limits()
        self.assertEqual((limits.in_use, limits.queued, limits.max_pending), (1, 1, 0))
        connections = len(self.reactor.tcpClients)
        protocol.dataReceived(chunk(END) + b"0\r\n\r\n")
        # The one that waited is the next.
        self.assertEqual(len(self.reactor.tcpClients), connections + 1)
        self.provider(HEAD + chunk(END) + b"0\r\n\r\n")
        self.assertTrue(waiting.value().endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n"))
        # Another server has nothing to do with it.
        self.connect()
        self.loaded = config_of(alone.replace("1001", "2001"))
        self.service.parts.configuration.reload()
        self.assertEqual(self.runtime().providers["a"].limits().in_use, 0)

    def test_retired_providers_are_forgotten_when_they_are_idle(self) -> None:
        self.start()
        client = self.connect()
        protocol, _ = self.provider(HEAD + chunk(WORD))
        for port in ("2001", "3001", "4001"):
            self.loaded = config_of(TEXT.replace("1001", port))
            self.service.parts.configuration.reload()
        # The first, whose request is under way, and the one that this reload has retired.
        self.assertEqual(len(self.service.parts.providers.retired), 2)
        protocol.dataReceived(chunk(END) + b"0\r\n\r\n")
        protocol.connectionLost(Failure(ConnectionError()))
        self.loaded = config_of(TEXT)
        self.service.parts.configuration.reload()
        self.assertEqual(len(self.service.parts.providers.retired), 1)
        self.assertTrue(client.value())


class InstrumentTests(Case):
    """What it counts, on the page where it is read."""

    def get(self, path: bytes) -> bytes:
        answer = self.connect(b"GET %b HTTP/1.1\r\nHost: localhost\r\n\r\n" % path).value()
        self.assertTrue(answer.startswith(b"HTTP/1.1 200 "), answer)
        return answer.partition(b"\r\n\r\n")[2]

    def request(self) -> None:
        self.connect()
        self.provider(HEAD + chunk(END) + b"0\r\n\r\n")

    def test_counts_outlive_the_provider_that_they_are_of(self) -> None:
        self.start()
        answered = b'skyproxy_upstream_answers_total{provider="a",status="200"} %d.0\n'
        ended = b'skyproxy_requests_total{model="guard",outcome="ok",provider="a",slot="default"} %d.0\n'
        self.request()
        for number, text in enumerate((TEXT.replace("1001", "2001"), TEXT.replace("1001", "3001"), TEXT), 2):
            self.loaded = config_of(text)
            self.service.parts.configuration.reload()
            self.request()
            page = self.get(b"/metrics")
            self.assertIn(answered % number, page)
            self.assertIn(ended % number, page)

    def test_a_provider_that_was_left_out_and_came_back(self) -> None:
        self.start()
        self.request()
        without = "providers: {b: {base_url: 'http://127.0.0.1:1002/v1'}}"
        for text, expected in ((without, None), (TEXT, {"200": 1})):
            self.loaded = config_of(text)
            self.service.parts.configuration.reload()
            provider = json.loads(self.get(b"/api/stats"))["providers"].get("a")
            self.assertEqual(provider and provider["responses"], expected)

    def test_lag(self) -> None:
        self.start()
        self.reactor.pump([0.1] * 5)
        self.assertEqual(json.loads(self.get(b"/api/stats"))["event_loop_lag"]["count"], 5)

    def test_lag_is_told_by_the_clock_of_the_timers(self) -> None:
        """Not by one that goes in larger steps, as Windows' monotonic clock does."""
        self.start()
        self.reactor.advance(0.3)
        self.assertAlmostEqual(json.loads(self.get(b"/api/stats"))["event_loop_lag"]["max"], 0.2, 3)

    def test_a_machine_that_slept(self) -> None:
        asleep = 0.0
        self.patch(parts, "seconds_since_boot", lambda: self.reactor.seconds() + asleep)
        self.service = self.make(config_of(TEXT))
        self.start()
        self.connect()
        _, transport = self.provider(HEAD + chunk(END) + b"0\r\n\r\n")
        self.reactor.pump([0.1] * 5)
        self.assertFalse(transport.disconnecting)
        asleep = 3600.0
        self.reactor.pump([0.1] * 5)
        self.assertTrue(transport.disconnecting)
        self.assertIn(b"skyproxy_suspensions_total 1.0\n", self.get(b"/metrics"))
        self.assertIn("The machine slept", self.said[-1])
        self.connect()
        self.assertEqual(len(self.reactor.tcpClients), 2)

    def test_lines_that_the_log_lost(self) -> None:
        self.start()
        self.logging.dropped = 7
        self.assertIn(b"skyproxy_log_dropped_total 7.0\n", self.get(b"/metrics"))


class StopTests(Case):
    def stop(self) -> Deferred[None]:
        stopped: Deferred[None] = self.service.stopService()
        port = self.reactor.ports[0]
        assert port.stopped is not None
        port.stopped.callback(None)
        return stopped

    def test_order(self) -> None:
        self.start()
        stopped = self.service.stopService()
        self.assertNotIn("Draining", self.said)
        port = self.reactor.ports[0]
        assert port.stopped is not None
        port.stopped.callback(None)
        self.assertIn("Draining", self.said)
        self.reactor.advance(0)
        self.assertIsNone(self.successResultOf(stopped))
        self.assertEqual(self.said[-1], "All connection pools closed")
        self.assertEqual(self.logging.asked, ["start", "stop"])
        self.assertFalse(self.service.running)

    def test_a_step_that_fails_does_not_spare_the_others(self) -> None:
        def broken(*arguments: Any) -> Any:
            raise RuntimeError("no")

        self.start()
        client = self.connect()
        protocol, upstream = self.provider(HEAD + chunk(WORD))
        providers = self.runtime().providers
        self.patch(providers["b"], "close", broken)
        names = ["watched files", "idle connections", "caches", "event loop lag", "records"]
        for name in names:
            self.patch(self.service.getServiceNamed(name), "_stop", broken)
        stopped = self.stop()
        self.assertEqual(self.logging.asked, ["start"])
        protocol.dataReceived(chunk(END) + b"0\r\n\r\n")
        self.assertTrue(client.value().endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n"))
        self.reactor.advance(0)
        self.assertTrue(upstream.disconnecting)
        protocol.connectionLost(Failure(ConnectionError()))
        self.assertIsNone(self.successResultOf(stopped))
        self.assertEqual(self.logging.asked, ["start", "stop"])
        failed = [line for line in self.said if line.startswith("A step of the stop failed")]
        self.assertEqual(failed, [f"A step of the stop failed: {name}" for name in names])
        self.assertIn("Connections to a provider could not be closed", self.said)
        self.flushLoggedErrors(RuntimeError)

    def test_children_are_stopped_one_after_the_other_from_the_last(self) -> None:
        self.start()
        waiting: list[tuple[str, Deferred[None]]] = []

        def stop(name: str) -> Deferred[None]:
            waiting.append((name, Deferred()))
            return waiting[-1][1]

        children = list(self.service)
        for child in children:
            self.patch(child, "_stop", partial(stop, child.name))
        stopped = self.service.stopService()
        for number in range(len(children)):
            self.assertEqual(len(waiting), number + 1)
            self.assertNoResult(stopped)
            waiting[-1][1].callback(None)
        self.assertEqual([name for name, _ in waiting], [child.name for child in reversed(children)])
        self.assertIsNone(self.successResultOf(stopped))

    def test_what_cannot_be_ended_is_not_waited_for(self) -> None:
        self.start()
        self.patch(self.service.parts.proxy, "drain", Deferred)
        stopped = self.stop()
        self.reactor.pump([0.5] * 20)
        self.assertIsNone(self.successResultOf(stopped))
        self.assertEqual(self.logging.asked, ["start", "stop"])

    def test_all_its_ports_are_closed(self) -> None:
        self.service = self.make(
            config_of(
                TEXT.replace('"tcp:1234:interface=127.0.0.1"', "[1234, 10.0.0.7:80]") + "access: {required: false}"
            )
        )
        self.start()
        self.assertIn("skyproxy listens at http://127.0.0.1:1234/v1", self.said)
        self.assertEqual([each[3] for each in self.reactor.tcpServers], ["127.0.0.1", "::1", "10.0.0.7"])
        stopped = self.service.stopService()
        for port in self.reactor.ports:
            assert port.stopped is not None
            port.stopped.callback(None)
        self.reactor.advance(0)
        self.assertIsNone(self.successResultOf(stopped))

    def test_before_it_has_started(self) -> None:
        self.service.listen()
        self.assertIsNone(self.successResultOf(self.stop()))
        self.assertEqual(self.logging.asked, ["stop"])

    def test_idle_connections_are_closed_at_once(self) -> None:
        self.start()
        client = self.connect(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        self.assertFalse(client.disconnecting)
        self.stop()
        self.assertTrue(client.disconnecting)

    def test_who_has_just_connected_is_heard(self) -> None:
        self.start()
        self.connect(b"")
        stopped = self.stop()
        self.reactor.pump([0.01] * 90)
        self.assertNoResult(stopped)
        self.reactor.pump([0.01] * 20)
        self.assertIsNone(self.successResultOf(stopped))

    def test_what_is_under_way_is_finished(self) -> None:
        self.start()
        client = self.connect()
        protocol, upstream = self.provider(HEAD + chunk(WORD))
        stopped = self.stop()
        self.reactor.advance(4)
        self.assertNoResult(stopped)
        protocol.dataReceived(chunk(END) + b"0\r\n\r\n")
        self.assertTrue(client.value().endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n"))
        self.assertTrue(client.disconnecting)
        self.reactor.advance(0)
        self.assertNoResult(stopped)
        self.assertTrue(upstream.disconnecting)
        protocol.connectionLost(Failure(ConnectionError()))
        self.assertIsNone(self.successResultOf(stopped))

    def test_the_rest_is_given_up_at_the_deadline(self) -> None:
        self.start()
        client = self.connect()
        protocol, upstream = self.provider(HEAD + chunk(WORD))
        waiting = self.connect()
        stopped = self.stop()
        self.reactor.advance(4.9)
        self.assertNotIn(b"shutting_down", client.value())
        self.reactor.advance(0.2)
        self.assertIn(b'"shutting_down"', client.value())
        self.assertNotIn(b"0\r\n\r\n", client.value())
        self.assertIn(b" 503 ", waiting.value())
        self.assertTrue(upstream.disconnected)
        protocol.connectionLost(Failure(ConnectionError()))
        self.reactor.pump([0.1] * 20)
        self.assertIsNone(self.successResultOf(stopped))

    def test_new_requests_are_refused(self) -> None:
        self.start()
        busy = self.connect()
        protocol, _ = self.provider(HEAD + chunk(WORD))
        late = self.connect(b"")
        late.protocol.dataReceived(POST[:20])
        self.stop()
        self.reactor.pump([0.01] * 52)
        late.protocol.dataReceived(POST[20:])
        self.assertIn(b" 503 ", late.value())
        self.assertIn(b"Retry-After: 1", late.value())
        self.assertNotIn(b"503", busy.value())
        protocol.connectionLost(Failure(ConnectionError()))

    def test_a_request_that_was_on_its_way_is_served(self) -> None:
        self.start()
        client = self.connect(b"")
        client.protocol.dataReceived(POST[:20])
        stopped = self.stop()
        client.protocol.dataReceived(POST[20:])
        protocol, _ = self.provider(HEAD + chunk(WORD))
        protocol.dataReceived(chunk(END) + b"0\r\n\r\n")
        self.assertTrue(client.value().endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n"))
        protocol.connectionLost(Failure(ConnectionError()))
        self.reactor.pump([0.01] * 20)
        self.assertIsNone(self.successResultOf(stopped))

    def test_while_a_configuration_is_read(self) -> None:
        self.start()
        before = self.runtime()
        self.thread.holds = True
        asked = self.service.parts.configuration.reload_now("one")
        stopped = self.stop()
        self.reactor.pump([0.1] * 20)
        self.assertEqual(self.successResultOf(asked).problems, "skyproxy is stopping")
        # A process that ended now would be aborted.
        self.assertNoResult(stopped)
        for _ in range(2):
            self.thread.release()
        self.assertIsNone(self.successResultOf(stopped))
        self.assertIs(self.runtime(), before)

    def test_while_a_disk_does_not_answer(self) -> None:
        self.start()
        self.thread.holds = True
        self.service.parts.configuration.reload()
        stopped = self.stop()
        self.reactor.pump([0.1] * 60)
        self.assertIsNone(self.successResultOf(stopped))

    def test_no_reload_any_more(self) -> None:
        self.start()
        self.stop()
        before = self.runtime()
        self.service.parts.configuration.reload()
        self.assertIs(self.runtime(), before)

    def test_retired_providers_are_closed_too(self) -> None:
        self.start()
        closed: list[str] = []

        def note(name: str) -> Deferred[None]:
            closed.append(name)
            return succeed(None)

        for name in ("a", "b"):
            provider: Any = self.runtime().providers[name]
            provider.close = partial(note, name)
        self.loaded = config_of(TEXT.replace("1002", "2002"))
        self.service.parts.configuration.reload()
        self.stop()
        self.reactor.advance(0)
        self.assertEqual(sorted(closed), ["a", "b"])

    def test_waits_for_the_last_bytes_but_not_for_ever(self) -> None:
        self.start()
        self.reactor.addWriter("a socket with something left")  # type: ignore[no-untyped-call]
        stopped = self.stop()
        self.reactor.pump([0.01] * 50)
        self.assertNoResult(stopped)
        self.reactor.pump([0.1] * 10)
        self.assertIsNone(self.successResultOf(stopped))


class DelayedStopTests(Case):
    """stop_delay: whoever chooses among servers finds out before the port is closed."""

    def setUp(self) -> None:
        super().setUp()
        self.service = self.make(config_of(TEXT.replace("max_body", "stop_delay: 3s, max_body")))
        self.start()

    def ready(self) -> bytes:
        return self.connect(b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n").value()[:12]

    def test_requests_are_served_meanwhile(self) -> None:
        self.assertEqual(self.ready(), b"HTTP/1.1 200")
        stopped = self.service.stopService()
        self.assertEqual(self.ready(), b"HTTP/1.1 503")
        client = self.connect()
        protocol, _ = self.provider(HEAD + chunk(WORD))
        self.reactor.advance(2.9)
        protocol.dataReceived(chunk(END) + b"0\r\n\r\n")
        self.assertTrue(client.value().endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n"))
        self.assertFalse(client.disconnecting)
        self.assertIsNone(self.reactor.ports[0].stopped)
        self.reactor.advance(0.1)
        self.assertIsNotNone(self.reactor.ports[0].stopped)
        self.assertNoResult(stopped)

    def test_a_second_signal_does_not_wait(self) -> None:
        self.service.stopService()
        client = self.connect()
        self.provider(HEAD + chunk(WORD))
        self.service.terminate()
        self.assertIn(b"shutting_down", client.value())
        port = self.reactor.ports[0]
        assert port.stopped is not None
        late = self.connect()
        port.stopped.callback(None)
        self.reactor.advance(0)
        self.assertIn(b"shutting_down", late.value())


class SupervisorTests(Case):
    def test_it_is_told(self) -> None:
        self.start()
        self.assertEqual(self.notifier.told, [])
        for call, arguments, named in self.reactor.whenRunningHooks:
            if call == self.notifier.ready:
                call(*arguments, **named)
        self.service.stopService()
        self.assertEqual(self.notifier.told, ["ready", "stopping"])


class SignalTests(Case):
    def setUp(self) -> None:
        super().setUp()
        self.handlers: dict[int, Callable[[int, Any], None]] = {}
        self.patch(signal, "signal", self.handlers.__setitem__)
        self.start()
        for call, arguments, named in self.reactor.whenRunningHooks:
            call(*arguments, **named)
        self.reactor.callFromThread = lambda call: call()  # type: ignore[method-assign]

    def test_a_second_signal_ends_what_is_under_way(self) -> None:
        client = self.connect()
        self.provider(HEAD + chunk(WORD))
        self.handlers[signal.SIGTERM](signal.SIGTERM, None)
        self.assertEqual(self.reactor.stops, 1)
        self.service.stopService()
        self.assertNotIn(b"shutting_down", client.value())
        self.handlers[signal.SIGINT](signal.SIGINT, None)
        self.assertEqual(self.reactor.stops, 1)
        self.assertIn(b"shutting_down", client.value())

    @skipUnless(hasattr(signal, "SIGHUP"), "there is no such signal here")
    def test_reload_and_reopen(self) -> None:
        self.handlers[signal.SIGHUP](signal.SIGHUP, None)
        self.assertIn("Configuration reloaded", self.said)
        self.handlers[signal.SIGUSR1](signal.SIGUSR1, None)
        self.assertIn("reopen", self.logging.asked)
