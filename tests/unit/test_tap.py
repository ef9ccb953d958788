from __future__ import annotations

import os
import socket
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import Any

from twisted.application.service import IService
from twisted.python import usage
from twisted.trial.unittest import TestCase

from skyproxy.service import SkyproxyService
from skyproxy.tap import Options, check_endpoint, check_log_file, makeService

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

    def make(self, *arguments: str) -> SkyproxyService:
        options = Options()
        options.parseOptions(arguments)
        service: Any = makeService(options)
        return service

    def assertRefused(self, expected: str, *arguments: str) -> None:
        """It ends with one clear message."""
        with self.assertRaises(SystemExit) as caught:
            self.make(*arguments)
        message = str(caught.exception.code)
        self.assertTrue(message.startswith("skyproxy: "), message)
        self.assertIn(expected, message)
        self.assertNotIn("Traceback", message)
        self.assertLessEqual(len(message.splitlines()), 2, message)
        self.assertIsNone(caught.exception.__cause__)

    def test_without_a_configuration(self) -> None:
        service = self.make("--listen", LOOPBACK)
        self.assertTrue(IService.providedBy(service))
        self.assertEqual(service._config.source, "embedded default")

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
        settings = service._config.proxy
        self.assertEqual(settings.listen, "tcp:0:interface=127.0.0.1:backlog=7")
        self.assertEqual((settings.log_level, settings.log_file), ("debug", self.folder / "a.log"))
        self.assertEqual(list(service._config.providers), ["guard"])
        self.assertTrue((self.folder / "a.log").exists())

    def test_what_the_file_says_stands_otherwise(self) -> None:
        (self.folder / "skyproxy.yaml").write_text(TEXT)
        settings = self.make()._config.proxy
        self.assertEqual((settings.listen, settings.log_level, settings.log_file), (LOOPBACK, "warn", None))

    def test_a_reload_reads_the_same_again(self) -> None:
        (self.folder / "mine.yaml").write_text(TEXT)
        service = self.make("--config", "mine.yaml", "--log-level", "error")
        (self.folder / "mine.yaml").write_text(TEXT.replace("guard", "watch"))
        again = service._reloading._load()
        self.assertEqual(list(again.providers), ["watch"])
        self.assertEqual(again.proxy.log_level, "error")

    def test_nothing_listens_yet(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as finder:
            port = finder.getsockname()[1]
        self.make("--listen", f"tcp:{port}:interface=127.0.0.1")
        socket.create_server(("127.0.0.1", port)).close()

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

    def test_the_checks_leave_nothing_behind(self) -> None:
        from twisted.internet import reactor

        before = len(reactor.getReaders())  # type: ignore[attr-defined]
        for _ in range(5):
            check_endpoint(LOOPBACK, reactor)
        self.assertEqual(len(reactor.getReaders()), before)  # type: ignore[attr-defined]
        check_log_file(None)
        self.assertEqual(list(self.folder.iterdir()), [])
