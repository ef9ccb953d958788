"""skyproxy.deploy.pyz, and the start that it gives the archive."""

from __future__ import annotations

import ast
import io
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import Any
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

from skyproxy.deploy import pyz

BOOTSTRAP = """
import os, pathlib
def extract_site_packages(archive, folder, compile_pyc):
    pathlib.Path(folder, "site-packages").mkdir(parents=True)
    print("unpacked")
def bootstrap():
    print("started")
"""


class FloorTests(SynchronousTestCase):
    """The glibc that wheels ask for"""

    def test_the_newest_of_what_wheels_ask_for(self) -> None:
        wheels = [
            "Wheel-Version: 1.0\nTag: py3-none-any\n",
            "Tag: cp311-cp311-manylinux_2_17_x86_64\nTag: cp311-cp311-manylinux2014_x86_64\n",
            "Tag: cp39-abi3-manylinux_2_34_x86_64\n",
        ]
        self.assertEqual(pyz.glibc_of(wheels, (2, 36)), [2, 34])
        self.assertEqual(pyz.glibc_of(wheels[:2], (2, 36)), [2, 17])
        self.assertEqual(pyz.glibc_of(wheels[:1], (2, 36)), [0, 0])

    def test_a_wheel_of_several_tags_runs_where_the_most_modest_does(self) -> None:
        wheel = "Tag: cp311-cp311-manylinux_2_28_x86_64\nTag: cp311-cp311-manylinux2010_x86_64\n"
        self.assertEqual(pyz.glibc_of([wheel], (2, 36)), [2, 12])

    def test_what_was_compiled_here_needs_what_is_here(self) -> None:
        self.assertEqual(pyz.glibc_of(["Tag: cp311-cp311-linux_x86_64\n"], (2, 36)), [2, 36])

    def test_other_systems_have_none(self) -> None:
        self.assertIsNone(pyz.glibc_of(["Tag: cp311-cp311-win_amd64\n"], None))


class StartTests(SynchronousTestCase):
    """An archive as shiv makes it, with the start of our own"""

    def setUp(self) -> None:
        self.folder = Path(mkdtemp())
        self.addCleanup(rmtree, self.folder)
        self.archive = self.folder / "skyproxy.pyz"
        plain = self.folder / "plain.pyz"
        with zipfile.ZipFile(plain, "w") as archive:
            archive.writestr("environment.json", '{"build_id": "abc"}')
            archive.writestr("_bootstrap/__init__.py", BOOTSTRAP)
            archive.writestr("__main__.py", "raise AssertionError('the start of shiv')")
            archive.writestr("site-packages/x-1.dist-info/WHEEL", "Tag: py3-none-any\n")
            archive.writestr("site-packages/x-1.dist-info/direct_url.json", '{"url": "file:///home/somebody"}')
            archive.writestr("site-packages/bin/x", "#!/home/somebody/python")
            archive.writestr("site-packages/x/tests/test_x.py", "")
            archive.writestr("site-packages/x/testing.py", "")
        self.needs = pyz.with_a_start_of_its_own(plain, self.archive)

    def start(self, *arguments: str, **needs: Any) -> subprocess.CompletedProcess[str]:
        """Start it, with other *needs* than it has."""
        if needs:
            with zipfile.ZipFile(self.archive) as archive:
                members = {name: archive.read(name) for name in archive.namelist()}
            members["needs.json"] = json.dumps({**self.needs, **needs}).encode()
            with zipfile.ZipFile(self.archive, "w") as archive:
                for name, data in members.items():
                    archive.writestr(name, data)
        return subprocess.run(
            [sys.executable, "-I", str(self.archive), *arguments], capture_output=True, text=True, check=False,
            env={**os.environ, "SHIV_ROOT": str(self.folder / "root"), "HOME": str(self.folder)},
        )  # fmt: skip

    def test_it_starts_where_it_was_built(self) -> None:
        done = self.start()
        self.assertEqual((done.stdout.split(), done.returncode), (["unpacked", "started"], 0), done.stderr)
        self.assertEqual(self.start().stdout.split(), ["started"])

    def test_the_version_tells_what_it_is_for(self) -> None:
        self.assertTrue(self.start("--version").stdout.startswith(f"skyproxy.pyz for {self.needs['python']} on "))

    def test_others_are_refused_in_one_sentence(self) -> None:
        for needs in ({"python": "CPython 3.2"}, {"platform": "win-amd64"}, {"bits": 16}, {"threading": "none"}):
            done = self.start(**needs)
            self.assertEqual((done.returncode, done.stdout), (1, ""))
            self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
            self.assertIn("and this is " + str(self.needs["python"]), done.stderr)
        self.assertIn("for CPython 3.2 on ", self.start(python="CPython 3.2").stderr)

    def test_an_older_library_is_refused(self) -> None:
        if self.needs["glibc"] is None:
            raise SkipTest("this system has no glibc")
        done = self.start(glibc=[2, 999])
        self.assertEqual(done.returncode, 1)
        self.assertIn("with glibc 2.999 or newer, and this is ", done.stderr)

    def test_a_folder_that_cannot_be_made(self) -> None:
        (self.folder / "root").touch()
        done = self.start()
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
        self.assertIn("SHIV_ROOT", done.stderr)

    def test_nothing_tells_where_it_was_built(self) -> None:
        with zipfile.ZipFile(self.archive) as archive:
            names = [name for name in archive.namelist() if name.startswith("site-packages/")]
        self.assertEqual(names, ["site-packages/x-1.dist-info/WHEEL", "site-packages/x/testing.py"])

    def test_the_start_is_for_old_pythons_too(self) -> None:
        source = Path(pyz.__file__).with_name("pyz_main.py").read_text("utf-8")
        tree = ast.parse(source, feature_version=(3, 4))
        self.assertFalse([node for node in ast.walk(tree) if isinstance(node, (ast.JoinedStr, ast.AnnAssign))])
        self.assertTrue(source.isascii())


class BuildTests(SynchronousTestCase):
    """The command line"""

    def test_a_folder_that_is_no_checkout(self) -> None:
        folder = Path(mkdtemp())
        self.addCleanup(rmtree, folder)
        self.patch(pyz, "find_spec", lambda name: object())
        self.patch(sys, "stderr", told := io.StringIO())
        self.assertRaises(SystemExit, pyz.main, [str(folder)])
        self.assertIn("is no checkout of skyproxy", told.getvalue())

    def test_without_shiv(self) -> None:
        self.patch(pyz, "find_spec", lambda name: None)
        self.patch(sys, "stderr", told := io.StringIO())
        self.assertRaises(SystemExit, pyz.main, [])
        self.assertIn("-m pip install", told.getvalue())
