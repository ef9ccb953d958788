from __future__ import annotations

import json
import os
import queue
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from twisted.internet.task import Clock
from twisted.logger import ILogObserver, LogEvent, Logger, LogLevel, LogPublisher
from twisted.trial.unittest import SkipTest, SynchronousTestCase
from zope.interface.verify import verifyObject

from skyproxy.log.channel import SHOWN
from skyproxy.log.logging import Logging, build_logging
from skyproxy.log.sinks import FileSink, Sink, StreamSink
from tests.unit.log.events import failure_of, folder_of

KEY = "planted-key-0001"
PATIENCE = 30.0


class Reactor(Clock):
    """A clock to which threads can hand work."""

    def __init__(self) -> None:
        super().__init__()
        self.handed: queue.Queue[Callable[[], object]] = queue.Queue()

    def callFromThread(self, call: Callable[..., object], *arguments: object) -> None:
        self.handed.put(lambda: call(*arguments))

    def turn(self) -> None:
        self.handed.get(timeout=PATIENCE)()


class Blocked:
    """A sink that takes nothing and never comes back, until it is let go."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.free = threading.Event()

    def write(self, batch: bytes) -> None:
        self.entered.set()
        assert self.free.wait(PATIENCE)

    def reopen(self) -> None:
        self.free.set()

    def close(self) -> None:
        self.free.set()


def settings(log_file: Path | None = None, log_level: str = "info", **keys: str | None) -> Any:
    """As much of a configuration as a log wants."""
    providers = {name: SimpleNamespace(secrets=() if key is None else (key,)) for name, key in keys.items()}
    proxy = SimpleNamespace(log_file=log_file, log_level=log_level, log_max_size=None, log_keep=3)
    proxy.secrets = ()
    return SimpleNamespace(proxy=proxy, providers=providers, profile_token=None)


def warning(message: str, at: float, **fields: Any) -> LogEvent:
    """An event that happened *at* seconds since the epoch."""
    place = {"log_level": LogLevel.warn, "log_namespace": "skyproxy.test"}
    return {"log_format": message, "log_time": at, **place, **fields}


class LoggingTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = folder_of(self) / "log"
        self.reactor = Reactor()
        self.publisher = LogPublisher()
        self.log = Logger("skyproxy.test", observer=self.publisher)

    def logging(
        self,
        *,
        log_file: str | None = "skyproxy.log",
        text: Sink | None = None,
        level: str = "info",
        brief: bool = False,
    ) -> Logging:
        logging = Logging(
            self.reactor,
            log_file=None if log_file is None else Path(log_file),
            text=text,
            level=level,
            secrets=[KEY],
            cwd=self.folder,
            publisher=self.publisher,
            brief=brief,
        )
        if logging.observer is not None:
            self.publisher.addObserver(logging.observer)  # as twistd does
        return logging

    def stop(self, logging: Logging, files: int) -> None:
        stopped = logging.stop()
        for _ in range(files):
            self.assertNoResult(stopped)
            self.reactor.turn()
        self.assertIsNone(self.successResultOf(stopped))
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def records(self, name: str = "skyproxy.log") -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.folder / name).read_bytes().splitlines()]

    def messages(self, name: str = "skyproxy.log") -> list[str]:
        return [record["message"] for record in self.records(name)]

    def text(self) -> str:
        return (self.folder / "twistd.log").read_text()

    def twistd(self) -> FileSink:
        return FileSink(self.folder / "twistd.log")


class LoggingTests(LoggingTestCase):
    def test_both_logs(self) -> None:
        logging = self.logging(text=self.twistd())
        logging.start()
        self.log.info("Upstream request completed", provider="demo", model="talk", status=200, latency_ms=12.3)
        self.stop(logging, 2)
        (record,) = self.records()
        self.assertEqual(
            (record["message"], record["provider"], record["latency_ms"]),
            ("Upstream request completed", "demo", 12.3),
        )
        self.assertIn("INFO skyproxy.test  Upstream request completed provider=demo model=talk", self.text())

    def test_what_comes_before_the_start_waits(self) -> None:
        """No file is opened and no thread runs until then: twistd forks."""
        before = threading.active_count()
        logging = self.logging(text=self.twistd())
        self.log.info("Early")
        self.assertFalse(self.folder.exists())
        self.assertEqual(threading.active_count(), before)
        logging.start()
        self.log.info("Later")
        self.stop(logging, 2)
        self.assertEqual([line.split("  ")[1] for line in self.text().splitlines()], ["Early", "Later"])

    def test_levels(self) -> None:
        for level, told in (
            ("debug", ["Debug", "Info", "Warn", "Error", "Critical"]),
            ("info", ["Info", "Warn", "Error", "Critical"]),
            ("warn", ["Warn", "Error", "Critical"]),
            ("error", ["Error", "Critical"]),
        ):
            with self.subTest(level):
                logging = self.logging(log_file=f"{level}.log", level=level)
                logging.start()
                self.log.debug("Debug")
                self.log.info("Info")
                self.log.warn("Warn")
                self.log.error("Error")
                self.log.critical("Critical")
                self.stop(logging, 1)
                self.assertEqual(self.messages(f"{level}.log"), told)

    def test_secrets_are_in_neither(self) -> None:
        logging = self.logging(text=self.twistd())
        logging.start()
        self.log.info("Told {key}", key=KEY)
        self.log.failure("Failed", failure_of(ValueError(KEY)))
        self.stop(logging, 2)
        self.assertIn("[redacted]", self.text())
        for name in ("skyproxy.log", "twistd.log"):
            self.assertNotIn(KEY, (self.folder / name).read_text())

    def test_the_observer_is_one(self) -> None:
        self.assertTrue(verifyObject(ILogObserver, self.logging(text=self.twistd()).observer))

    def test_no_log_at_all(self) -> None:
        logging = self.logging(log_file=None)
        self.assertIsNone(logging.observer)
        logging.start()
        self.log.info("Told")
        self.stop(logging, 0)
        self.assertFalse(self.folder.exists())

    def test_a_brief_text(self) -> None:
        """What the JSON file has of requests is not told again, unless something is wrong."""
        logging = self.logging(text=self.twistd(), level="debug", brief=True)
        logging.start()
        self.log.info("Configuration reloaded")
        self.log.debug("Dropped fields", request_id="a")
        self.log.info("Completed", request_id="a")
        self.log.warn("Refused", request_id="b")
        self.log.failure("Fault", failure_of(ValueError("why")), request_id="c")
        self.stop(logging, 2)
        told = [line.split("  ")[1].split()[0] for line in self.text().splitlines() if line.startswith("20")]
        self.assertEqual(told, ["Configuration", "Refused", "Fault"])
        self.assertEqual(len(self.records()), 5)

    def test_a_brief_text_of_many_that_fail(self) -> None:
        """Some of each second, and that there are more: twistd's own log is not to grow by megabytes."""
        logging = self.logging(text=self.twistd(), brief=True)
        logging.start()
        for second in (100, 101):
            for number in range(SHOWN + 5):
                self.publisher(warning("Refused", second + number / 100, request_id=number))
            self.publisher({**warning("Fault", second + 0.9, request_id="c"), "log_level": LogLevel.critical})
        self.publisher(warning("Rests", 101.9))
        self.stop(logging, 2)
        told = [line.split("  ")[1].split()[0] for line in self.text().splitlines()]
        self.assertEqual(told, [*(["Refused"] * SHOWN + ["More", "Fault"]) * 2, "Rests"])
        self.assertEqual(self.messages().count("Refused"), 2 * SHOWN + 10)

    def test_a_brief_text_of_faults_only(self) -> None:
        logging = self.logging(text=self.twistd(), level="error", brief=True)
        logging.start()
        for number in range(SHOWN + 5):
            self.publisher(warning("Refused", 100.0, request_id=number))
        self.publisher({**warning("Fault", 100.5, request_id="c"), "log_level": LogLevel.critical})
        self.stop(logging, 2)
        self.assertEqual([line.split("  ")[1].split()[0] for line in self.text().splitlines()], ["Fault"])

    def test_a_text_alone_has_the_requests(self) -> None:
        logging = self.logging(log_file=None, text=self.twistd(), brief=True)
        logging.start()
        self.log.info("Completed", request_id="a")
        logging.reconfigure(settings(Path("skyproxy.log")))
        self.log.info("Completed", request_id="b")
        logging.reconfigure(settings(None))
        self.log.info("Completed", request_id="c")
        self.stop(logging, 2)
        self.assertEqual([line.split("=")[1] for line in self.text().splitlines()], ["a", "c"])

    def test_reopen(self) -> None:
        logging = self.logging(text=self.twistd())
        logging.start()
        self.log.info("One")
        logging.finish()
        names = ("skyproxy.log", "twistd.log")
        again = self.logging(text=self.twistd())
        again.start()
        for name in names:
            (self.folder / name).rename(self.folder / f"{name}.1")
        again.reopen()
        self.stop(again, 2)
        self.assertEqual([(self.folder / name).read_text() for name in names], ["", ""])

    def test_lines_lost_are_told_in_the_form_of_each(self) -> None:
        logging = self.logging(text=self.twistd())
        for number in range(10_005):
            self.log.info("Told", number=number)
        self.assertEqual(logging.dropped, 5)
        logging.start()
        self.stop(logging, 2)
        last = self.text().splitlines()[-1]
        self.assertTrue(last.endswith("WARN skyproxy.telemetry  Log lines were lost count=5"), last)

    # Trouble.

    def test_trouble_with_the_file_is_told_in_the_other_log(self) -> None:
        (self.folder / "skyproxy.log").mkdir(parents=True)
        logging = self.logging(text=self.twistd())
        logging.start()
        self.log.info("Told")
        self.stop(logging, 2)
        logging.finish()
        (line,) = [line for line in self.text().splitlines() if "cannot be written" in line]
        self.assertIn("ERROR skyproxy.telemetry  The log cannot be written, trying again file=", line)
        self.assertIn("reason=", line)

    def test_trouble_without_another_log_is_told_on_standard_error(self) -> None:
        (self.folder / "skyproxy.log").mkdir(parents=True)
        with (self.folder / "stderr").open("wb") as stream:
            self.patch(sys, "__stderr__", stream)
            logging = self.logging()
            logging.start()
            self.log.info("Told")
            self.stop(logging, 1)
        self.assertEqual((self.folder / "stderr").read_text().count("The log cannot be written"), 1)

    def test_trouble_without_a_standard_error(self) -> None:
        (self.folder / "skyproxy.log").mkdir(parents=True)
        self.patch(sys, "__stderr__", None)
        logging = self.logging()
        logging.start()
        self.log.info("Told")
        self.stop(logging, 1)
        self.assertEqual(logging.dropped, 0)

    # The end.

    def test_twistds_log_goes_on_after_the_stop(self) -> None:
        logging = self.logging(text=self.twistd())
        logging.start()
        self.stop(logging, 2)
        logging.finish()
        self.log.info("Server Shut Down.")
        self.assertIn("Server Shut Down.", self.text())

    def test_the_file_takes_nothing_after_the_stop(self) -> None:
        logging = self.logging()
        logging.start()
        self.log.info("One")
        self.stop(logging, 1)
        self.log.info("Two")
        self.assertEqual(self.messages(), ["One"])

    def test_a_stop_waits_for_two_seconds_at_most(self) -> None:
        sink = Blocked()
        logging = self.logging(log_file=None, text=sink)
        logging.start()
        self.log.info("Told")
        self.assertTrue(sink.entered.wait(PATIENCE))
        stopped = logging.stop()
        self.reactor.advance(1.99)
        self.assertNoResult(stopped)
        self.reactor.advance(0.01)
        self.assertIsNone(self.successResultOf(stopped))
        sink.free.set()
        self.reactor.turn()  # the end, when nobody waits for it any more

    def test_a_stop_without_a_start(self) -> None:
        logging = self.logging(text=self.twistd())
        self.log.info("Cannot listen")
        self.assertIsNone(self.successResultOf(logging.stop()))
        self.assertIn("Cannot listen", self.text())

    def test_the_exit_of_a_process_that_did_not_start(self) -> None:
        logging = self.logging(text=self.twistd())
        self.log.info("Cannot listen")
        logging.finish()
        self.assertIn("Cannot listen", self.text())


class ReconfigureTests(LoggingTestCase):
    def test_the_size_of_files(self) -> None:
        logging = self.logging(text=self.twistd())
        logging.start()
        smaller = settings(Path("skyproxy.log"))
        smaller.proxy.log_max_size = 1
        logging.reconfigure(smaller)
        for number in range(3):
            self.log.info("Line {number}", number=number)
            self.wait_for(f"Line {number}")
        self.stop(logging, 2)
        kept = [f"{name}{end}" for name in ("skyproxy.log", "twistd.log") for end in ("", ".1", ".2")]
        self.assertEqual(sorted(each.name for each in self.folder.iterdir()), kept)
        self.assertEqual(self.messages("skyproxy.log.2"), ["Line 0"])

    def wait_for(self, text: str) -> None:
        """Both logs have *text*."""
        until = time.monotonic() + PATIENCE
        paths = (self.folder / "skyproxy.log", self.folder / "twistd.log")
        while not all(path.exists() and text in path.read_text() for path in paths):
            self.assertLess(time.monotonic(), until)
            time.sleep(0.01)

    def test_level(self) -> None:
        logging = self.logging(text=self.twistd())
        logging.start()
        self.log.debug("One")
        logging.reconfigure(settings(Path("skyproxy.log"), "debug"))
        self.log.debug("Two")
        self.stop(logging, 2)
        self.assertEqual(self.messages(), ["Two"])
        self.assertNotIn("One", self.text())
        self.assertIn("DEBUG skyproxy.test  Two", self.text())

    def test_secrets(self) -> None:
        """Those before are kept for once: their requests are still under way."""
        logging = self.logging()
        logging.start()
        logging.reconfigure(settings(Path("skyproxy.log"), demo="the-second-key", other=None))
        self.log.info("Told", one=KEY, two="the-second-key", three="the-third-key")
        logging.reconfigure(settings(Path("skyproxy.log"), demo="the-third-key"))
        self.log.info("Told", one=KEY, two="the-second-key", three="the-third-key")
        self.stop(logging, 1)
        first, second = self.records()
        self.assertEqual(
            [first[name] for name in ("one", "two", "three")], ["[redacted]", "[redacted]", "the-third-key"]
        )
        self.assertEqual([second[name] for name in ("one", "two", "three")], [KEY, "[redacted]", "[redacted]"])

    def test_a_key_that_is_its_providers_name(self) -> None:
        logging = self.logging()
        logging.start()
        logging.reconfigure(settings(Path("skyproxy.log"), ollama="Ollama"))
        self.log.info("Told", provider="ollama")
        self.stop(logging, 1)
        self.assertEqual(self.records()[0]["provider"], "ollama")

    def test_another_file(self) -> None:
        logging = self.logging()
        logging.start()
        self.log.info("One")
        logging.reconfigure(settings(Path("other.log")))
        self.log.info("Two")
        self.stop(logging, 2)
        self.assertEqual(self.messages("other.log"), ["Two"])
        self.assertEqual(self.messages(), ["One"])

    def replaced(self, log_file: Path | None) -> tuple[Path, Logging]:
        """A pipe, which cannot be opened to be written before somebody reads it, and a log that went there, and now
        goes to *log_file*, with a line still to be written to the pipe."""
        if sys.platform == "win32":
            raise SkipTest("no named pipes")
        self.folder.mkdir()
        os.mkfifo(self.folder / "pipe")
        logging = self.logging(log_file="pipe")
        logging.start()
        self.log.info("One")
        logging.reconfigure(settings(log_file))
        return self.folder / "pipe", logging

    def test_the_file_before_has_its_lines_by_the_end(self) -> None:
        pipe, logging = self.replaced(Path("other.log"))
        stopped = logging.stop()
        self.reactor.turn()
        self.assertNoResult(stopped)
        with pipe.open("rb") as reader:
            self.reactor.turn()
            self.assertIsNone(self.successResultOf(stopped))
            self.assertIn(b'"One"', reader.read())

    def test_the_file_before_is_waited_for_at_the_exit(self) -> None:
        pipe, logging = self.replaced(None)
        reading = threading.Timer(0.1, pipe.read_bytes)
        reading.daemon = True  # where nobody writes, it waits for ever
        reading.start()
        self.addCleanup(reading.join, PATIENCE)
        logging.finish()
        self.assertNotIn("pipe", {thread.name.rpartition(os.sep)[2] for thread in threading.enumerate()})

    def test_the_file_before_takes_too_long(self) -> None:
        pipe, logging = self.replaced(None)
        stopped = logging.stop()
        self.reactor.advance(2.0)
        self.assertIsNone(self.successResultOf(stopped))
        self.assertIn(b'"One"', pipe.read_bytes())
        self.reactor.turn()  # nothing more comes of it

    def test_a_file_where_there_was_none_and_none_again(self) -> None:
        logging = self.logging(log_file=None)
        logging.start()
        self.log.info("One")
        logging.reconfigure(settings(Path("skyproxy.log")))
        self.log.info("Two")
        self.stop(logging, 1)
        logging.reconfigure(settings(None))
        self.log.info("Three")
        self.assertEqual(self.messages(), ["Two"])

    def test_before_the_start(self) -> None:
        logging = self.logging()
        logging.reconfigure(settings(Path("other.log")))
        logging.start()
        self.log.info("One")
        self.stop(logging, 1)
        self.assertEqual(self.messages("other.log"), ["One"])
        self.assertFalse((self.folder / "skyproxy.log").exists())


class BuildLoggingTests(LoggingTestCase):
    def sink(self, **options: object) -> Sink | None:
        """Where the observer of what *options* of twistd ask for writes."""
        self.at_exit: list[Callable[[], None]] = []
        built = build_logging(settings(), options, self.folder, self.reactor, self.at_exit.append)
        return None if built.observer is None else built.observer._sink  # type: ignore[attr-defined,no-any-return]

    def test_the_foreground_shows_it(self) -> None:
        for options in (
            {"nodaemon": 1},
            {"nodaemon": True, "logfile": "-"},
            {"nodaemon": 1, "logfile": None},
        ):
            with self.subTest(options):
                self.assertIsInstance(self.sink(**options), StreamSink)

    def test_a_file_by_name(self) -> None:
        for nodaemon in (0, 1):
            self.assertEqual(str(self.sink(nodaemon=nodaemon, logfile="x.log")), str(self.folder / "x.log"))

    def test_a_daemon(self) -> None:
        if not hasattr(os, "fork"):
            raise SkipTest("no daemons here")
        self.assertEqual(str(self.sink(nodaemon=0, logfile=None)), str(self.folder / "twistd.log"))
        self.assertIsNone(self.sink(nodaemon=0, logfile="-"))

    def test_twistd_sees_to_it_itself(self) -> None:
        self.assertIsNone(self.sink(nodaemon=1, syslog=True))
        self.assertIsNone(self.sink(nodaemon=1, logger=lambda: None))

    def test_without_a_standard_output(self) -> None:
        self.patch(sys, "__stdout__", None)
        self.assertIsNone(self.sink(nodaemon=1))

    def test_what_is_left_is_written_at_the_exit(self) -> None:
        self.patch(sys, "__stdout__", None)
        config = settings(Path("skyproxy.log"), "debug", demo=KEY)
        at_exit: list[Callable[[], None]] = []
        logging = build_logging(config, {"logfile": "twistd.log"}, self.folder, self.reactor, at_exit.append)
        assert logging.observer is not None
        Logger("skyproxy.test", observer=logging.observer).debug("Told", key=KEY)
        (finish,) = at_exit
        finish()
        self.assertIn("DEBUG skyproxy.test  Told key=[redacted]", self.text())
