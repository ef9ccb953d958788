"""skyproxy.command.windowless."""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import TestCase
from unittest.mock import patch

import click

from skyproxy.command import windowless


class WindowlessTests(TestCase):
    def setUp(self) -> None:
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = Path(folder.name) / "skyproxyw.log"
        self.shown: list[str] = []
        self.given: list[list[str]] = []
        for name in ("stdout", "stderr"):
            replaced = patch.object(sys, name, None)
            replaced.start()
            self.addCleanup(replaced.stop)

    def run_it(self, *arguments: str, path: bool = True, raises: BaseException | None = None) -> int:
        def command(given: list[str], prog_name: str) -> None:
            self.given.append(given)
            if raises is not None:
                raise raises

        with patch.object(windowless, "skyproxy", command):
            return windowless.run(arguments, self.path if path else None, self.shown.append)

    def test_it_runs_run(self) -> None:
        self.assertEqual(self.run_it(), 0)
        self.run_it("--config", "x")
        self.run_it("run", "-v")
        self.run_it("check")
        self.run_it(path=False)
        log = ["--text-log", str(self.path)]
        expected = [["run", *log], ["run", *log, "--config", "x"], ["run", *log, "-v"], ["check"], ["run"]]
        self.assertEqual(self.given, expected)
        self.assertEqual(self.shown, [])

    def test_an_error_is_shown_and_written(self) -> None:
        self.assertEqual(self.run_it(raises=SystemExit("the port is in use")), 1)
        self.assertIn("the port is in use", self.path.read_text())
        self.assertEqual(self.shown, [f"the port is in use\n\nThe log: {self.path}"])

    def test_where_others_find_the_log(self) -> None:
        with patch.object(windowless, "place_for_others", lambda path: Path("/real", path.name)):
            self.run_it(raises=SystemExit("the port is in use"))
        self.assertEqual(self.shown, ["the port is in use\n\nThe log: /real/skyproxyw.log"])

    def test_a_failure(self) -> None:
        self.assertEqual(self.run_it(raises=ValueError("unforeseen")), 1)
        self.assertIn("Traceback", self.path.read_text())
        self.assertIn("unforeseen", self.shown[0])

    def test_without_words_or_file(self) -> None:
        self.assertEqual(self.run_it(raises=SystemExit(3), path=False), 3)
        self.assertEqual(self.shown, ["skyproxy has ended with code 3."])

    def test_a_proper_end_shows_nothing(self) -> None:
        self.assertEqual(self.run_it(raises=SystemExit(0)), 0)
        self.assertEqual(self.run_it(raises=SystemExit(None)), 0)
        self.assertEqual(self.shown, [])

    def test_click_itself(self) -> None:
        self.assertEqual(windowless.run(["--lisen", "1"], self.path, self.shown.append), 2)
        self.assertIn("--listen", self.shown[0])
        self.assertIn("--listen", self.path.read_text())
        click.echo("later")
        self.assertIn("later", self.path.read_text())
