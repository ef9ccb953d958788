from __future__ import annotations

import os
import signal
import socket
import time
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import Any
from unittest import mock

from twisted.application.service import IService
from twisted.internet.task import Clock
from twisted.python import usage
from twisted.trial.unittest import TestCase

from skyproxy import tap
from skyproxy.config import ConfigError
from skyproxy.process.service import SkyproxyService
from skyproxy.tap import Options, makeService

LOOPBACK = "tcp:0:interface=127.0.0.1"
TEXT = """
proxy: {listen: "tcp:0:interface=127.0.0.1", log_level: warn}
providers: {guard: {base_url: "http://127.0.0.1:9/v1"}}
model_slots: {default: {provider: guard, model: m}}
"""


class TapTests(TestCase):
    """The command line, on the reactor that runs the tests: ports are bound for a moment."""

    def setUp(self) -> None:
        self.folder = Path(mkdtemp()).resolve()
        self.addCleanup(rmtree, self.folder)
        self.addCleanup(os.chdir, os.getcwd())
        os.chdir(self.folder)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("SKYPROXY_", "XDG_"))}
        self.patch(os, "environ", {**kept, "HOME": str(self.folder), "USERPROFILE": str(self.folder)})
        self.handlers: dict[int, Any] = {}
        self.patch(signal, "signal", self.handlers.__setitem__)

    def make(self, *arguments: str, **twistd: Any) -> SkyproxyService:
        options = Options()
        options.parent = twistd  # type: ignore[assignment]
        options.parseOptions(arguments)
        service: Any = makeService(options)
        self.addCleanup(service.stopService)
        return service

    def assertRefused(self, expected: str, *arguments: str, **twistd: Any) -> None:
        """It ends with one clear message."""
        with self.assertRaises(SystemExit) as caught:
            self.make(*arguments, **twistd)
        message = str(caught.exception.code)
        self.assertTrue(message.startswith("skyproxy: "), message)
        self.assertIn(expected, message)
        self.assertNotIn("Traceback", message)
        self.assertLessEqual(len(message.splitlines()), 2, message)
        self.assertIsNone(caught.exception.__cause__)

    def test_without_a_configuration(self) -> None:
        service = self.make("--listen", LOOPBACK)
        self.assertTrue(IService.providedBy(service))
        self.assertEqual(service.config.source, "embedded default")

    def test_options_pass_through(self) -> None:
        (self.folder / "mine.yaml").write_text(TEXT)
        service = self.make(
            "-c",
            "mine.yaml",
            "-l",
            "tcp:0:interface=127.0.0.1:backlog=7",
            "--log-file",
            "a.log",
            "--log-level",
            "debug",
        )
        settings = service.config.proxy
        self.assertEqual(settings.listen, ("tcp:0:interface=127.0.0.1:backlog=7",))
        self.assertEqual((settings.log_level, settings.log_file), ("debug", self.folder / "a.log"))
        self.assertEqual(list(service.config.providers), ["guard"])
        self.assertTrue((self.folder / "a.log").exists())

    def test_what_the_file_says_stands_otherwise(self) -> None:
        (self.folder / "skyproxy.yaml").write_text(TEXT)
        settings = self.make().config.proxy
        self.assertEqual((settings.listen, settings.log_level, settings.log_file), ((LOOPBACK,), "warn", None))

    def test_a_reload_reads_the_same_again(self) -> None:
        (self.folder / "mine.yaml").write_text(TEXT)
        service = self.make("--config", "mine.yaml", "--log-level", "error")
        (self.folder / "mine.yaml").write_text(TEXT.replace("guard", "watch"))
        again = service.parts.configuration.reloading._load()
        self.assertEqual(list(again.providers), ["watch"])
        self.assertEqual(again.proxy.log_level, "error")

    def test_it_listens_before_anything_is_started(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as finder:
            port = finder.getsockname()[1]
        service = self.make("--listen", f"tcp:{port}:interface=127.0.0.1")
        socket.create_connection(("127.0.0.1", port)).close()
        self.assertFalse(service.running)

    def test_signals_are_taken_before_it_listens(self) -> None:
        self.make("--listen", LOOPBACK)
        self.assertIn(signal.SIGTERM, self.handlers)

    def test_a_reload_never_falls_to_another_source(self) -> None:
        (self.folder / "config").mkdir()
        (self.folder / "config" / "providers.yaml").write_text(TEXT)
        (self.folder / "skyproxy.yaml").write_text(TEXT.replace("guard", "watch"))
        for _ in range(2):
            service = self.make()
            (self.folder / "skyproxy.yaml").rename(self.folder / "away")
            error = self.assertRaises(ConfigError, service.parts.configuration.reloading._load)
            self.assertIn("skyproxy.yaml: there is no such file", str(error))
            (self.folder / "away").rename(self.folder / "skyproxy.yaml")
            self.assertEqual(list(service.parts.configuration.reloading._load().providers), ["watch"])
            (self.folder / "config" / "providers.yaml").unlink(missing_ok=True)

    def test_a_folder_stays_the_files_that_it_began_with(self) -> None:
        folder = self.folder / "mine"
        folder.mkdir()
        (folder / "skyproxy.yaml").write_text(TEXT)
        service = self.make("--config", "mine")
        (folder / "skyproxy.yaml").rename(folder / "providers.yaml")
        self.assertRaises(ConfigError, service.parts.configuration.reloading._load)

    def test_the_demo_gives_way_to_a_configuration(self) -> None:
        service = self.make("--listen", LOOPBACK)
        self.assertEqual(service.parts.configuration.reloading._load().source, "embedded default")
        (self.folder / "skyproxy.yaml").write_text(TEXT)
        self.assertEqual(list(service.parts.configuration.reloading._load().providers), ["guard"])
        (self.folder / "skyproxy.yaml").unlink()
        self.assertRaises(ConfigError, service.parts.configuration.reloading._load)

    def test_answers_in_a_file_of_somebody_elses(self) -> None:
        (self.folder / "diary").write_text("my diary")
        (self.folder / "skyproxy.yaml").write_text(TEXT.replace("log_level", "cache: {path: diary}, log_level"))
        self.assertRefused("proxy.cache.path: ")
        self.assertEqual((self.folder / "diary").read_text(), "my diary")

    def test_answers_in_a_file_of_somebody_elses_when_read_again(self) -> None:
        (self.folder / "diary").write_text("my diary")
        (self.folder / "skyproxy.yaml").write_text(TEXT.replace("log_level", "cache: {path: answers}, log_level"))
        service = self.make()
        service.parts.configuration.reloading._load()
        (self.folder / "skyproxy.yaml").write_text(TEXT.replace("log_level", "cache: {path: diary}, log_level"))
        self.assertRaises(ConfigError, service.parts.configuration.reloading._load)

    def test_a_pid_file_that_cannot_be(self) -> None:
        (self.folder / "file").touch()
        self.assertRefused("file/x.pid", "--listen", LOOPBACK, pidfile="file/x.pid")
        self.make("--listen", LOOPBACK, pidfile="mine.pid")
        self.assertFalse((self.folder / "mine.pid").exists())

    def test_a_pid_file_that_nobody_asked_for(self) -> None:
        (self.folder / "twistd.pid").mkdir()
        twistd: dict[str, Any] = {"pidfile": "twistd.pid"}
        tap.see_to_pidfile(twistd, self.folder)
        self.assertEqual(twistd, {"pidfile": ""})

    def test_a_pid_file_of_before(self) -> None:
        file = self.folder / "x.pid"
        for number, stays in ((os.getpid(), False), (os.getppid(), True)):
            file.write_text(str(number))
            options = Options()
            options.parent = {"pidfile": str(file)}  # type: ignore[assignment]
            options.parseOptions([])
            self.assertEqual(file.exists(), stays)

    def test_a_reactor_that_cannot_be_used(self) -> None:
        class IOCPReactor:
            pass

        error = self.assertRaises(SystemExit, makeService, Options(), IOCPReactor())
        self.assertIn("iocp", str(error.code))

    def test_the_finest_clock_that_nobody_sets(self) -> None:
        for name, clock in (("nt", time.perf_counter), ("posix", time.monotonic)):
            reactor: Any = Clock()
            with mock.patch.object(tap.os, "name", name):
                tap.use_monotonic_time(reactor)
            self.assertIs(reactor.seconds, clock)

    def test_nobody_knows_a_home(self) -> None:
        def nowhere() -> Path:
            raise RuntimeError("Could not determine home directory.")

        self.patch(Path, "home", nowhere)
        self.assertEqual(self.make("--listen", LOOPBACK).config.source, "embedded default")

    def test_a_configuration_that_is_not_there(self) -> None:
        self.assertRefused("missing.yaml", "--config", "missing.yaml")

    def test_a_configuration_that_is_wrong(self) -> None:
        (self.folder / "skyproxy.yaml").write_text(TEXT.replace("log_level: warn", "log_level: loud"))
        self.assertRefused("skyproxy.yaml:2: proxy.log_level")

    def test_options_that_are_wrong(self) -> None:
        self.assertRefused("proxy.listen", "--listen", "nonsense")
        self.assertRefused("proxy.log_level", "--listen", LOOPBACK, "--log-level", "loud")
        for arguments in (["--no-such-option"], ["one", "too", "many"], ["--config"]):
            with self.assertRaises(usage.UsageError):
                Options().parseOptions(arguments)

    def test_a_port_in_use(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            self.assertRefused(str(port), "--listen", f"tcp:{port}:interface=127.0.0.1")

    def test_endpoints_that_cannot_be(self) -> None:
        for listen in (
            "tcp:99999", "tcp:http", "nosuch:1", "ssl:0:privateKey=missing.pem:certKey=missing.pem",
            "tcp:0:interface=192.0.2.1", "unix:/nowhere/at/all/x.sock", "tcp:0:nonsense=1",
        ):  # fmt: skip
            self.assertRefused(listen.partition(":")[0], "--listen", listen)

    def test_a_log_file_that_cannot_be(self) -> None:
        (self.folder / "folder").mkdir()
        (self.folder / "file").touch()
        for name in ("file/x.log", "folder"):
            self.assertRefused(name, "--listen", LOOPBACK, "--log-file", name)
