from __future__ import annotations

import zipfile
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp

from twisted.trial.unittest import SynchronousTestCase

from skyproxy.command.service.plan import plan
from skyproxy.command.service.program import Interpreter, arguments_of, executable_of
from skyproxy.config import ConfigError

LINUX = Interpreter(Path("/venv/bin/python"), "/venv/bin/skyproxy", False, False, Path("/usr/local/bin"))
WINDOWS = Interpreter(Path("/v/Scripts/python.exe"), "", False, True, Path("/p/Scripts"))

CONFIG = """
proxy: {stop_delay: 20, drain_timeout: 31}
providers:
  a: {base_url: "http://127.0.0.1:1/v1", api_key_env: A_API_KEY}
  b: {base_url: "http://127.0.0.1:1/v1", api_key_env: B_API_KEY}
"""


class ExecutableTests(SynchronousTestCase):
    """executable_of, arguments_of"""

    def of(self, this: Interpreter, *there: str) -> tuple[str, ...]:
        return executable_of(this, lambda path: str(path) in there)

    def test_where_it_is(self) -> None:
        self.assertEqual(self.of(LINUX), ("/venv/bin/python", "-m", "skyproxy"))
        self.assertEqual(self.of(LINUX, "/venv/bin/skyproxy", "/usr/local/bin/skyproxy"), ("/venv/bin/skyproxy",))
        self.assertEqual(self.of(LINUX, "/usr/local/bin/skyproxy"), ("/usr/local/bin/skyproxy",))
        self.assertEqual(self.of(WINDOWS, "/p/Scripts/skyproxyw.exe"), ("/p/Scripts/skyproxyw.exe",))
        self.assertEqual(self.of(WINDOWS, "/v/Scripts/pythonw.exe"), ("/v/Scripts/pythonw.exe", "-m", "skyproxy"))
        self.assertEqual(self.of(WINDOWS), ("/v/Scripts/python.exe", "-m", "skyproxy"))

    def test_frozen(self) -> None:
        this = LINUX._replace(executable=Path("/app/sky"), frozen=True)
        self.assertEqual(self.of(this), ("/app/sky",))
        windows = WINDOWS._replace(executable=Path("/app/skyproxy.exe"), frozen=True)
        self.assertEqual(self.of(windows, "/app/skyproxyw.exe"), ("/app/skyproxyw.exe",))
        self.assertEqual(self.of(windows), ("/app/skyproxy.exe",))

    def test_an_archive(self) -> None:
        folder = Path(mkdtemp())
        self.addCleanup(rmtree, folder)
        archive = folder / "skyproxy.pyz"
        with zipfile.ZipFile(archive, "w") as file:
            file.writestr("__main__.py", "")
        self.assertEqual(
            self.of(LINUX._replace(script=str(archive)), "/venv/bin/skyproxy"), ("/venv/bin/python", str(archive))
        )

    def test_arguments(self) -> None:
        self.assertEqual(arguments_of(None, None), ["run"])
        self.assertEqual(arguments_of(Path("/a b"), "S.exe"), ["run", "--config", "/a b", "--with-game", "S.exe"])


class PlanTests(SynchronousTestCase):
    """plan"""

    def setUp(self) -> None:
        self.home = Path(mkdtemp())
        self.addCleanup(rmtree, self.home)
        self.cwd = self.home / "here"
        self.cwd.mkdir()

    def test_what_is_found_here_is_named(self) -> None:
        path = self.cwd / "skyproxy.yaml"
        path.write_text(CONFIG)
        (self.cwd / ".env").write_text("A_API_KEY=sk-aaaaaaaa\n")
        environ = {"B_API_KEY": "sk-bbbbbbbb"}
        for given in (None, Path("skyproxy.yaml"), self.cwd):
            planned = plan(given, "S.exe", LINUX, environ=environ, cwd=self.cwd, home=self.home)
            self.assertEqual(planned.program.command[3:], ("run", "--config", str(path), "--with-game", "S.exe"))
            self.assertEqual((planned.program.folder, planned.program.stop_seconds), (self.cwd, 61))
            (note,) = planned.notes
            self.assertIn("into .env beside the configuration: B_API_KEY (provider b)", note)
            self.assertNotIn("sk-", note)
        self.assertEqual(plan(None, None, WINDOWS, environ=environ, cwd=self.cwd, home=self.home).notes, ())

    def test_a_folder_of_two_files(self) -> None:
        folder = self.cwd / "config"
        folder.mkdir()
        (folder / "providers.yaml").write_text('providers: {a: {base_url: "http://127.0.0.1:1/v1"}}\n')
        (folder / "routes.yaml").write_text("model_slots: {}\n")
        planned = plan(None, None, LINUX, environ={}, cwd=self.cwd, home=self.home)
        self.assertEqual(planned.program.command[3:], ("run", "--config", str(folder)))
        self.assertEqual((planned.program.folder, planned.notes, planned.program.stop_seconds), (folder, (), 30))

    def test_the_demo(self) -> None:
        planned = plan(None, None, LINUX, environ={}, cwd=self.cwd, home=self.home)
        self.assertEqual((planned.program.command[3:], planned.program.folder), (("run",), self.home))
        self.assertIn("skyproxy init", planned.notes[0])

    def test_what_cannot_be_used(self) -> None:
        path = self.cwd / "skyproxy.yaml"
        path.write_text("providers: {a: {base_ur: x}}\n")
        self.assertRaises(ConfigError, plan, None, None, LINUX, environ={}, cwd=self.cwd, home=self.home)
        path.write_text('providers: {a: {base_url: "http://127.0.0.1:1/v1", headers: {X: "${HERE}"}}}\n')
        planned = plan(None, None, LINUX, environ={"HERE": "1"}, cwd=self.cwd, home=self.home)
        self.assertIn("cannot use the configuration", planned.notes[0])
