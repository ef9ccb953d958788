"""skyproxy.util.file_stream."""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import TestCase
from unittest.mock import patch

import click

from skyproxy.util.file_stream import FileStream, replace_missing_streams


class FileStreamTests(TestCase):
    def setUp(self) -> None:
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = Path(folder.name) / "made" / "skyproxyw.log"
        self.stream = FileStream(self.path, lambda: 0.0)

    def test_lines_are_dated(self) -> None:
        print("one\ntwo", file=self.stream)
        self.stream.write("th")
        self.stream.write("ree\n")
        when = "1970-01-01T00:00:00Z "
        self.assertEqual(self.path.read_text(), f"{when}one\n{when}two\n{when}three\n")
        self.assertEqual(self.stream.recent, "one\ntwo\nthree\n")
        self.assertEqual(self.path.stat().st_mode & 0o777, 0o600)

    def test_it_is_not_kept_open(self) -> None:
        print("one", file=self.stream)
        self.path.rename(self.path.with_name("moved"))
        print("two", file=self.stream)
        self.assertIn("two", self.path.read_text())

    def test_what_cannot_be_encoded_or_written(self) -> None:
        self.stream.write("\ud800\n")
        self.assertIn("\\ud800", self.path.read_text())
        for path in (None, self.path.parent, self.path / "file"):
            stream = FileStream(path)
            self.assertEqual(stream.write("lost"), 4)
            self.assertEqual(stream.recent, "lost")

    def test_click_prints_to_it(self) -> None:
        click.echo("Šárka", file=self.stream)
        self.assertIn("Šárka", self.path.read_text("utf-8"))

    def test_memory_is_bounded(self) -> None:
        for _ in range(10):
            self.stream.write("x" * 1000 + "\n")
        self.assertEqual(len(self.stream.recent), 4000)

    def test_missing_streams(self) -> None:
        with patch.object(sys, "stdout", None), patch.object(sys, "stderr", None):
            replace_missing_streams(self.path)
            print("out")
            print("err", file=sys.stderr)
        self.assertEqual([line.split()[1] for line in self.path.read_text().splitlines()], ["out", "err"])
        before = sys.stdin, sys.stdout, sys.stderr
        replace_missing_streams(self.path)
        self.assertEqual((sys.stdin, sys.stdout, sys.stderr), before)

    def test_a_missing_input_is_an_empty_one(self) -> None:
        with patch.object(sys, "stdin", None):
            replace_missing_streams(None)
            with sys.stdin as found:
                self.assertEqual((found.isatty(), found.read(), found.buffer.readline()), (False, "", b""))
