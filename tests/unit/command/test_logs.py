from __future__ import annotations

import errno
import json
import os
import time
from datetime import datetime, timezone
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from unittest import SkipTest

import click
from click.testing import CliRunner
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.command import logs
from skyproxy.command.logs import followed, parse, pretty


class PrettyTests(SynchronousTestCase):
    """parse and pretty"""

    def test_times_are_those_of_the_clock_here(self) -> None:
        if not hasattr(time, "tzset"):
            raise SkipTest("there is no tzset here")
        self.addCleanup(time.tzset)
        before = os.environ.get("TZ")
        self.addCleanup(os.environ.pop, "TZ") if before is None else self.addCleanup(os.environ.update, TZ=before)
        os.environ["TZ"] = "Europe/Berlin"
        time.tzset()
        for timestamp, told in (
            ("2020-11-29T23:26:33.077Z", "2020-11-30 00:26:33.077"),
            ("2020-07-01T09:26:33.077Z", "2020-07-01 11:26:33.077"),
            ("", ""), ("2026-11-29Tno time", "2026-11-29Tno time"),
            ("9999-12-31T23:59:59.000Z", "9999-12-31T23:59:59.000Z"),
        ):  # fmt: skip
            self.assertEqual(_plain(pretty({"timestamp": timestamp, "message": "x"})), f"{told} INFO  x")
        now = datetime.now().astimezone()
        record = {"timestamp": now.astimezone(timezone.utc).isoformat(timespec="milliseconds"), "message": "x"}
        self.assertEqual(_plain(pretty(record)), f"{now:%H:%M:%S}.{now.microsecond // 1000:03} INFO  x")

    def test_a_record(self) -> None:
        record = parse(
            b'{"timestamp":"2026-11-29T09:26:33.077Z","level":"WARN","message":"It failed","a":1,"b":"c d"}\n'
        )
        assert record is not None
        self.assertEqual(_plain(pretty(record)).partition(".")[2], "077 WARN  It failed  a=1 b=c d")

    def test_nothing_moves_the_readers_cursor(self) -> None:
        told = _plain(pretty({"level": "INFO", "message": "x", "a": "\x1b[2J\r\nforged", "traceback": "one\n\x07two"}))
        self.assertNotIn("\x07", told)
        self.assertEqual(told.count("\n"), 2)
        self.assertIn("a=\\x1b[2J\\r\\nforged", told)

    def test_long_values_are_cut(self) -> None:
        self.assertLess(len(pretty({"message": "x", "a": "y" * 10_000})), 600)

    def test_what_is_no_record(self) -> None:
        for line in (b"", b"{", b"[1]\n", b"\xff\xfe\n", b'{"a": "torn'):
            self.assertIsNone(parse(line))


class FollowTests(SynchronousTestCase):
    """followed"""

    def setUp(self) -> None:
        folder = Path(mkdtemp())
        self.addCleanup(rmtree, folder)
        self.path = folder / "x.log"
        self.path.write_bytes(b"")
        self.steps: list[tuple[str, bytes]] = []

    def sleep(self, seconds: float) -> None:
        if not self.steps:
            raise KeyboardInterrupt
        kind, data = self.steps.pop(0)
        if kind == "rotate late":
            with self.path.open("ab") as file:
                file.write(b"last\n")
        if kind.startswith("rotate"):
            os.replace(self.path, self.path.with_suffix(".1"))
        elif kind == "empty":
            os.truncate(self.path, 0)
        if kind != "gone":
            with self.path.open("ab") as file:
                file.write(data)

    def lines(self) -> list[bytes]:
        found = []
        with self.path.open("rb") as opened:
            try:
                for line in followed(self.path, opened, b"", self.sleep):
                    found.append(line)
            except KeyboardInterrupt:
                pass
        return found

    def test_whole_lines_only(self) -> None:
        self.steps = [("write", b"one\ntw"), ("write", b"o\n"), ("write", b"thr")]
        self.assertEqual(self.lines(), [b"one\n", b"two\n"])

    def test_rotation_and_emptying(self) -> None:
        self.steps = [("write", b"one\n"), ("rotate", b"two\n"), ("write", b"three\n"), ("empty", b"4\n")]
        self.assertEqual(self.lines(), [b"one\n", b"two\n", b"three\n", b"4\n"])

    def test_what_came_before_a_rotation_is_not_lost(self) -> None:
        self.steps = [("write", b"one\n"), ("rotate late", b"two\n")]
        self.assertEqual(self.lines(), [b"one\n", b"last\n", b"two\n"])

    def test_where_numbers_of_files_tell_nothing(self) -> None:
        self.patch(logs, "_is_another", lambda path, opened: True)
        self.steps = [("write", b"one\n"), ("write", b"two\n"), ("empty", b"3\n")]
        self.assertEqual(self.lines(), [b"one\n", b"two\n", b"3\n"])


class RotatedTests(SynchronousTestCase):
    """Lines of full files, before those of the current one."""

    def setUp(self) -> None:
        folder = Path(mkdtemp())
        self.addCleanup(rmtree, folder)
        self.path = folder / "x.log"
        for number, name in enumerate(("x.log.2", "x.log.1", "x.log")):
            lines = [{"level": "INFO", "message": f"{2 * number + each}", "request_id": f"r{each}"} for each in (0, 1)]
            (folder / name).write_text("".join(json.dumps(line) + "\n" for line in lines))
        (folder / "x.log.4").write_text('{"message": "behind a gap"}\n')

    def shown(self, *arguments: str) -> str:
        done = CliRunner().invoke(logs.logs, ["--file", str(self.path), "--json", *arguments])
        self.assertEqual(done.exit_code, 0)
        return "".join(json.loads(line)["message"] for line in done.output.splitlines())

    def test_as_many_as_are_wanted(self) -> None:
        for most, expected in (("1", "5"), ("2", "45"), ("3", "345"), ("5", "12345"), ("9", "012345"), ("0", "012345")):
            self.assertEqual(self.shown("-n", most), expected)

    def test_of_one_request(self) -> None:
        self.assertEqual(self.shown("--request", "r1"), "135")

    def test_nobody_reads_what_is_shown(self) -> None:
        def pretty(record: object) -> str:
            raise BrokenPipeError(errno.EPIPE, "Broken pipe")  # as click.echo does then

        self.patch(logs, "pretty", pretty)
        done = CliRunner().invoke(logs.logs, ["--file", str(self.path)])
        self.assertEqual((done.exit_code, done.output), (1, ""))


def _plain(text: str) -> str:
    return click.unstyle(text)
