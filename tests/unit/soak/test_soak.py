"""The command's own parts: its rows, what it reads of pytest, and the table that it keeps."""

from __future__ import annotations

from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp

from twisted.trial.unittest import SynchronousTestCase

from tests.fuzz.__main__ import SEEDS
from tests.fuzz.targets import TARGETS
from tests.soak import table
from tests.soak.__main__ import main, named, rest_of
from tests.soak.rows import ROWS, Row
from tests.soak.running import FAILS, HOLDS, ROOT, Found, read

REPORT = """<testsuites><testsuite>
<testcase name="a"><properties><property name="figure" value="7 of 7"/></properties></testcase>
<testcase name="b"/>
<testcase name="c"><failure message="assert 1 ==&#10; 2">long</failure></testcase>
<testcase name="d"><skipped message="no browser"/></testcase>
<testcase name="e"><properties><property name="figure" value="3 s"/><property name="missed" value="time"/></properties>
</testcase></testsuite></testsuites>"""


def found(name: str, seen: str, holds: str = HOLDS) -> Found:
    row = next(row for row in ROWS if row.name == name)
    return Found(row, holds, seen, [], 1.2, 0.5)


class RowsTests(SynchronousTestCase):
    def test_each_has_tests_that_are_there(self) -> None:
        for row in ROWS:
            for test in row.tests:
                file, *names = test.split("::")
                text = (ROOT / "tests" / file).read_text("utf-8")
                for name in names:
                    self.assertRegex(text, rf"(def|class) {name}\b", test)

    def test_names(self) -> None:
        names = [row.name for row in ROWS]
        self.assertEqual(names, sorted(set(names), key=lambda name: int(name[1:])))
        self.assertEqual([row.name for row in named("t5, T1")], ["T5", "T1"])
        self.assertEqual(named(None), list(ROWS))

    def test_the_rest(self) -> None:
        rest = rest_of(named("T15,T2"))
        self.assertEqual([(row.name, row.tests) for row in rest], [("T15", ("soak/test_smuggling.py",))])

    def test_usage(self) -> None:
        for arguments in (["--rows", "T99"], ["--quick", "--write"], ["--rest", "--write"], ["--jobs", "many"]):
            with self.assertRaises(SystemExit) as raised:
                main(arguments)
            self.assertEqual(raised.exception.code, 2)


class ReportTests(SynchronousTestCase):
    def test_counts_figures_and_troubles(self) -> None:
        folder = Path(mkdtemp())
        self.addCleanup(rmtree, folder)
        file = folder / "report.xml"
        file.write_text(REPORT)
        report = read(file)
        self.assertEqual(report.told(), "7 of 7; 3 s; 2 checks passed; 2 did not; 1 skipped: no browser")
        self.assertEqual(report.troubles, ["c: assert 1 == 2", "e: time"])
        self.assertEqual(read(file, bounds=False).troubles, ["c: assert 1 == 2"])


class SeedsTests(SynchronousTestCase):
    def test_each_target_has_seeds_that_it_takes(self) -> None:
        self.assertEqual(set(SEEDS), set(TARGETS))
        for name, target in TARGETS.items():
            for seed in SEEDS[name]:
                target(seed, [0.3, 0.6])


class TableTests(SynchronousTestCase):
    def test_rows_that_were_not_tried_stay(self) -> None:
        facts = [("date", "today")]
        first = table.document("", facts, [found("T5", "a | b"), found("T1", "one")])
        second = table.document(first, facts, [found("T1", "two", FAILS)])
        kept = table.kept(second)
        self.assertEqual(list(kept), ["T1", "T5"])
        self.assertEqual([kept["T1"][3:5], kept["T5"][3:5]], [("two", "NO"), ("a / b", "yes")])
        self.assertEqual({len(cells) for cells in kept.values()}, {len(table.COLUMNS)})
        self.assertEqual(second.count("Made by"), 1)

    def test_a_note_is_told(self) -> None:
        row = Row("T1", "x", "y", (), "as far as it can be tried here")
        self.assertIn("ok. As far as it can", " ".join(table.cells(Found(row, HOLDS, "ok", [], 1.0, 1.0))))
