"""The file of bodies, :mod:`skyproxy.telemetry.bodies.body_file`."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from skyproxy.log.redaction import Redactor
from skyproxy.telemetry.bodies.body_file import (
    BODIES,
    FIND,
    LIST,
    LIST_OF_OUTCOME,
    OF_ONE,
    OLDER,
    BodyFile,
    masked,
)
from skyproxy.telemetry.bodies.entry import Entry, Text
from skyproxy.util.own_database import NotUsable


def entry(
    number: int = 1,
    request: bytes = b'{"model":"default"}',
    answer: bytes | None = b"{}",
    *,
    request_id: str = "",
    at: float = 1000.0,
    outcome: str = "ok",
) -> Entry:
    return Entry(
        "run", number, request_id or f"r-{number}", at, "default", "default", "openrouter", "mistral", "/chat", outcome,
        200, 1.5, Text(request, len(request)), None if answer is None else Text(answer, len(answer)),
    )  # fmt: skip


class FileCase(SynchronousTestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.path = self.folder / "state" / "bodies.sqlite"

    def file(self, max_size: int = 4 * 1024 * 1024, *paths: Path) -> BodyFile:
        file = BodyFile(paths or (self.path,), max_size)
        self.addCleanup(file.close)
        return file


class BodyFileTests(FileCase):
    def test_what_was_kept_is_found(self) -> None:
        file = self.file()
        file.add([entry(1), entry(2, answer=None), entry(3, b'{"model":"memory"}')])
        found = file.find("r-3", "run", None)
        assert found is not None
        self.assertEqual(found.request, Text(b'{"model":"memory"}', 18))
        self.assertEqual(found.answer, Text(b"{}", 2))
        without = file.find("r-2", "run", None)
        assert without is not None
        self.assertIsNone(without.answer)
        self.assertIsNone(file.find("r-4", "run", None))
        self.assertEqual(file.count, 3)

    def test_it_is_there_after_a_restart_and_for_its_owner_alone(self) -> None:
        first = self.file()
        self.assertFalse(first.exists)
        first.add([entry()])
        first.close()
        if os.name == "posix":
            self.assertEqual(self.path.stat().st_mode & 0o777, 0o600)
            self.assertEqual(self.path.parent.stat().st_mode & 0o777, 0o700)
        second = self.file()
        self.assertTrue(second.exists)
        self.assertIsNotNone(second.find("r-1", "another run", None))
        self.assertEqual(second.count, 1)

    def test_one_id_twice(self) -> None:
        file = self.file()
        file.add([entry(7, b"first", request_id="mine"), entry(9, b"second", request_id="mine")])
        for number, said in ((None, b"second"), (7, b"first"), (9, b"second")):
            found = file.find("mine", "run", number)
            assert found is not None
            self.assertEqual(found.request.data, said)
        # The number of another process's request says nothing.
        self.assertIsNone(file.find("mine", "another", 7))

    def test_one_of_a_worker_which_has_its_own_numbers(self) -> None:
        file = self.file()
        file.add([entry(each, b"%d" % each, request_id="same", at=1_796_034_302.25 + each) for each in range(3)])
        for number in range(3):
            latency = 1.1 + number / 7
            found = file.find("same", "parent", 40, (1_796_034_302.25 + number - latency) + latency)
            assert found is not None
            self.assertEqual(found.request.data, b"%d" % number)
        self.assertIsNone(file.find("same", "parent", 40, 1_796_034_302.0))
        self.assertIsNone(file.find("same", "parent", 40))

    def test_pages(self) -> None:
        file = self.file()
        file.add([entry(number, outcome="failed" if number % 3 == 0 else "ok") for number in range(1, 11)])
        first = file.page(None, "", 4)
        self.assertEqual([row.number for row in first], [10, 9, 8, 7])
        self.assertEqual([row.number for row in file.page(first[-1].id, "", 4)], [6, 5, 4, 3])
        self.assertEqual([row.number for row in file.page(None, "failed", 10)], [9, 6, 3])

    def test_every_question_goes_by_an_index(self) -> None:
        self.file().add([entry()])
        database = sqlite3.connect(self.path)
        self.addCleanup(database.close)
        for question, values in (
            (LIST, (1, 1)),
            (LIST_OF_OUTCOME, ("ok", 1, 1)),
            (FIND, ("r",)),
            (OF_ONE, (1,)),
            (OLDER, (1.0,)),
        ):
            plan = [each[3] for each in database.execute(f"EXPLAIN QUERY PLAN {question}", values)]
            self.assertEqual(len(plan), 1, plan)
            self.assertRegex(plan[0], r"^SEARCH (TABLE )?\w+ USING (COVERING )?(INDEX|INTEGER PRIMARY KEY)")

    def test_the_oldest_go_when_it_is_full(self) -> None:
        size = 2 * 1024 * 1024
        file = self.file(size)
        for number in range(100):
            file.add([entry(number, os.urandom(50_000), os.urandom(50_000))])
        self.assertLess(self.path.stat().st_size, size + 1)
        kept = [row.number for row in file.page(None, "", 200)]
        self.assertEqual(kept, list(range(99, 99 - len(kept), -1)))
        self.assertGreater(len(kept), 10)
        self.assertIsNone(file.find("r-0", "run", None))

    def test_two_processes_fill_one_file(self) -> None:
        one, other = self.file(1024 * 1024), self.file(1024 * 1024)
        one.add([entry(1)])
        other.add([entry(2)])
        for number in range(3, 43):
            one.add([entry(number, os.urandom(50_000), os.urandom(50_000))])
        for number in range(43, 83):
            # Neither counts what the other one has added.
            other.add([entry(number, os.urandom(50_000), os.urandom(50_000))])
            self.assertEqual(other.page(None, "", 1)[0].number, number)
        self.assertLess(self.path.stat().st_size, 1024 * 1024 + 1)

    def test_one_that_is_as_large_as_the_file(self) -> None:
        file = self.file(1024 * 1024)
        file.add([entry(1)])
        self.assertRaises(sqlite3.OperationalError, file.add, [entry(2, bytes(2 * 1024 * 1024))])
        file.add([entry(3)])
        self.assertEqual([row.number for row in file.page(None, "", 9)], [3])

    def test_a_smaller_limit_counts_at_once(self) -> None:
        file = self.file(8 * 1024 * 1024)
        file.add([entry(number, os.urandom(100_000)) for number in range(40)])
        file.limit(1024 * 1024)
        self.assertLess(file.total, 1024 * 1024)
        self.assertEqual(file.page(None, "", 1)[0].number, 39)

    def test_old_ones_go_and_leave_no_trace(self) -> None:
        file = self.file()
        file.add([entry(1, b"a secret of Whiterun " * 50, at=100.0), entry(2, at=200.0)])
        self.assertEqual(file.forget_before(150.0), 1)
        self.assertEqual(file.forget_before(150.0), 0)
        self.assertEqual([row.number for row in file.page(None, "", 9)], [2])
        file.close()
        self.assertNotIn(b"a secret of Whiterun", self.path.read_bytes())

    def test_a_file_that_is_not_ours_is_left_alone(self) -> None:
        self.path.parent.mkdir()
        self.path.write_bytes(b"my save game")
        file = self.file()
        self.assertFalse(file.exists)
        self.assertRaises(NotUsable, file.add, [entry()])
        self.assertEqual(self.path.read_bytes(), b"my save game")
        beside = self.folder / "b.sqlite"
        other = self.file(4 * 1024 * 1024, self.path, beside)
        other.add([entry()])
        self.assertEqual(other.path, beside)

    def test_nowhere(self) -> None:
        with self.assertRaisesRegex(NotUsable, "name one in bodies"):
            BodyFile((), 1024 * 1024).add([entry()])

    def test_a_damaged_one_is_put_aside(self) -> None:
        first = self.file()
        first.add([entry()])
        first.close()
        data = bytearray(self.path.read_bytes())
        data[100:] = b"\xff" * (len(data) - 100)
        self.path.write_bytes(data)
        second = self.file()
        try:
            second.add([entry(2)])
        except sqlite3.DatabaseError:
            second.add([entry(2)])
        self.assertEqual([row.number for row in second.page(None, "", 9)], [2])
        self.assertTrue(self.path.with_name("bodies.sqlite.aside-1").exists())
        self.assertIn("put aside", second.notes[0][0])

    def test_another_versions(self) -> None:
        first = self.file()
        first.add([entry()])
        first.close()
        with sqlite3.connect(self.path) as database:
            database.execute(f"PRAGMA user_version = {BODIES.version + 1}")
        database.close()
        second = self.file()
        second.add([entry(2)])
        self.assertEqual(second.count, 1)
        self.assertTrue(self.path.with_name("bodies.sqlite.aside-1").exists())


class MaskTests(SynchronousTestCase):
    redactor = Redactor(["hidden-word"])

    def test_secrets(self) -> None:
        made = masked(entry(1, b'{"key":"hidden-word"}', b"it is hidden-word \xff"), self.redactor)
        self.assertEqual(made.request, Text(b'{"key":"[redacted]"}', 20))
        assert made.answer is not None
        self.assertEqual(made.answer.data, "it is [redacted] \ufffd".encode())
        self.assertIsNone(masked(entry(answer=None), self.redactor).answer)
        form = entry()._replace(request=Text(b"", 100, False))
        self.assertEqual(masked(form, self.redactor).request, Text(b"", 100, False))

    def test_one_that_the_cut_goes_through(self) -> None:
        for data, left in (
            (b"hidden-wor", b"[redacted]"),
            (b"it is hidden", b"it is [redacted]"),
            (b"hidden-word and hidden-w", b"[redacted] and [redacted]"),
            (b"it is hid", b"it is hid"),
        ):
            made = masked(entry()._replace(request=Text(data, len(data) + 100)), self.redactor)
            self.assertEqual(made.request, Text(left, len(left) + 100))
        self.assertEqual(masked(entry(1, b"it is hidden"), self.redactor).request.data, b"it is hidden")
