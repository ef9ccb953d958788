from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp

from twisted.trial.unittest import SynchronousTestCase

from skyproxy.command.service.own_files import MARKER, NotOurs
from skyproxy.command.service.program import Program
from skyproxy.command.service.startup import SCRIPT, StartupService, startup_folder
from skyproxy.command.service.tools import Done
from tests.unit.command.service.support import GOOD, FakeTools

PROGRAM = Program(
    (r"C:\Users\Jörg O'Neil\skyproxyw.exe", "run", "--config", r"C:\Users\Jörg O'Neil\my dir", "--with-game", "S.exe"),
    Path(r"C:\Users\Jörg O'Neil\my dir"),
    30,
)


def as_windows(command: Sequence[str], environ: Mapping[str, str]) -> Done | None:
    """Make the shortcut, as WScript.Shell does: its strings are in UTF-16."""
    if command[0] != "powershell":
        return None
    Path(environ["SKYPROXY_LINK"]).write_bytes(b"L\0\0\0" + environ["SKYPROXY_DESCRIPTION"].encode("utf-16-le"))
    return GOOD


class StartupServiceTests(SynchronousTestCase):
    """StartupService"""

    def setUp(self) -> None:
        self.folder = Path(mkdtemp())
        self.addCleanup(rmtree, self.folder)
        self.path = self.folder / "Startup" / "skyproxy.lnk"
        self.tools = FakeTools("powershell", answers={"reg query": [Done(1, "ERROR: not found")]})
        self.tools.act = as_windows
        self.runs = False
        self.service = StartupService(self.tools, self.path.parent, Path("w.log"), lambda: self.runs)

    def test_the_folder(self) -> None:
        self.assertEqual(startup_folder("/r"), Path("/r/Microsoft/Windows/Start Menu/Programs/Startup"))

    def test_install_status_uninstall(self) -> None:
        self.assertFalse(self.service.status().installed)
        self.tools.ran.clear()
        outcome = self.service.install(PROGRAM)
        self.assertEqual(outcome.problems, ())
        self.assertEqual(self.tools.ran, [f"powershell -NoProfile -NonInteractive -Command {SCRIPT}"])
        self.assertEqual(
            self.tools.environs[-1],
            {
                "SKYPROXY_LINK": str(self.path),
                "SKYPROXY_TARGET": PROGRAM.command[0],
                "SKYPROXY_ARGUMENTS": 'run --config "C:\\Users\\Jörg O\'Neil\\my dir" --with-game S.exe',
                "SKYPROXY_FOLDER": str(PROGRAM.folder),
                "SKYPROXY_DESCRIPTION": MARKER,
            },
        )
        self.assertEqual(self.tools.started, [(PROGRAM.command, str(PROGRAM.folder))])
        self.runs = True
        state = self.service.status()
        self.assertEqual((state.installed, state.enabled, state.running), (True, True, True))
        self.assertIn("`skyproxy stop` ends it", self.service.install(PROGRAM).done[-1])
        self.assertEqual(len(self.tools.started), 1, "a second one would find the port taken")
        outcome = self.service.uninstall()
        self.assertEqual((outcome.done[0], self.path.exists()), (f"removed {self.path}", False))
        self.assertIn("`skyproxy stop` ends it", outcome.done[1])
        self.assertIn("nothing is installed", self.service.uninstall().done[0])

    def test_one_that_the_user_has_switched_off(self) -> None:
        self.service.install(PROGRAM)
        for first, enabled in (("02", True), ("03", False), ("06", True), ("07", False), ("zz", True)):
            told = f"\nHKEY_CURRENT_USER\\...\n    skyproxy.lnk    REG_BINARY    {first}0000000000000000000000\n"
            self.tools = FakeTools(answers={"reg query": [Done(0, told)]})
            service = StartupService(self.tools, self.path.parent, Path("w.log"), lambda: False)
            self.assertEqual(service.status().enabled, enabled, first)

    def test_powershell_may_not(self) -> None:
        self.tools.act = lambda command, environ: Done(1, "Cannot create type. Only core types are supported")
        outcome = self.service.install(PROGRAM)
        self.assertIn("Only core types", outcome.problems[0])
        self.assertIn('shell:startup, and in that folder make a new shortcut to: "C:\\Users', outcome.problems[1])
        self.assertEqual((self.tools.started, self.path.exists()), ([], False))

    def test_powershell_says_nothing_and_makes_nothing(self) -> None:
        self.tools.act = lambda command, environ: GOOD
        self.assertEqual(len(self.service.install(PROGRAM).problems), 2)

    def test_where_windows_does_not_look(self) -> None:
        real = Path(r"C:\Users\j\AppData\Local\Packages\Python\LocalCache\Roaming\skyproxy.lnk")
        service = StartupService(self.tools, self.path.parent, None, lambda: False, lambda path: real)
        outcome = service.install(PROGRAM)
        self.assertIn(str(real), outcome.problems[0])
        self.assertIn("shell:startup", outcome.problems[1])
        self.assertEqual((outcome.done, self.tools.started, self.path.exists()), ((), [], False))

    def test_where_others_find_the_log(self) -> None:
        moved = StartupService(self.tools, self.path.parent, Path("w.log"), lambda: False, lambda path: "real" / path)
        self.assertEqual((moved.status().log, self.service.status().log), ("real/w.log", "w.log"))

    def test_the_program_is_gone(self) -> None:
        def start(command: Sequence[str], folder: str) -> None:
            raise FileNotFoundError(2, "The system cannot find the file specified")

        self.tools.start = start  # type: ignore[method-assign]
        outcome = self.service.install(PROGRAM)
        self.assertIn("skyproxyw.exe cannot be started: The system cannot find", outcome.problems[0])

    def test_the_shortcut_of_somebody_else(self) -> None:
        self.path.parent.mkdir()
        self.path.write_bytes(b"L\0\0\0")
        for act in (lambda: self.service.install(PROGRAM), self.service.uninstall, self.service.status):
            self.assertRaises(NotOurs, act)
        self.assertEqual((self.tools.ran, self.path.read_bytes()), ([], b"L\0\0\0"))
