from __future__ import annotations

import os
import shutil
import subprocess
from configparser import ConfigParser
from pathlib import Path
from tempfile import mkdtemp

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from skyproxy.command.service.own_files import MARKER, NotOurs
from skyproxy.command.service.program import Program
from skyproxy.command.service.systemd import SystemdService, unit_folder, unit_text
from skyproxy.command.service.tools import Done
from tests.unit.command.service.support import ODD, FakeTools

PLAIN = Program(("/opt/sky/bin/skyproxy", "run", "--config", "/home/me/skyproxy.yaml"), Path("/home/me"), 30)


class UnitTests(SynchronousTestCase):
    """unit_text"""

    def read(self, program: Program) -> ConfigParser:
        parser = ConfigParser(interpolation=None, strict=True, delimiters=("=",))
        parser.optionxform = str  # type: ignore[assignment, method-assign]
        parser.read_string(unit_text(program))
        return parser

    def test_plain(self) -> None:
        text = unit_text(PLAIN)
        self.assertEqual(text.splitlines()[0], f"# {MARKER}")
        unit = self.read(PLAIN)
        self.assertEqual(unit.sections(), ["Unit", "Service", "Install"])
        service = unit["Service"]
        self.assertEqual(service["ExecStart"], '"/opt/sky/bin/skyproxy" "run" "--config" "/home/me/skyproxy.yaml"')
        self.assertEqual((service["Type"], service["TimeoutStopSec"]), ("notify", "30"))
        self.assertEqual((service["WorkingDirectory"], unit["Install"]["WantedBy"]), ("/home/me", "default.target"))

    def test_odd_paths(self) -> None:
        service = self.read(ODD)["Service"]
        self.assertEqual(
            service["ExecStart"],
            '"/usr/bin/env" "/opt/my programs/100%%/sky\\"proxy$$HOME" "run" "--config" '
            '"/home/me/a $$b %%c \\\\d\'e;f" "--with-game" "Sky Rim.exe"',
        )
        self.assertEqual(service["WorkingDirectory"], "/home/me/a folder 100%%")
        plain = ODD._replace(command=("/opt/a b/$sky%", "run"))
        self.assertEqual(self.read(plain)["Service"]["ExecStart"], '"/opt/a b/$sky%%" "run"')

    def test_systemd_takes_it(self) -> None:
        if not shutil.which("systemd-analyze"):
            raise SkipTest("there is no systemd-analyze")
        folder = Path(mkdtemp())
        self.addCleanup(shutil.rmtree, folder)
        for number, name in enumerate(("plain", "sky$HOME 100%", 'a\'b "proxy"', "c:\\d")):
            program = ODD
            own = folder / f"{name} {number}"
            own.mkdir()
            executable = own / name
            executable.write_text("#!/bin/sh\n")
            executable.chmod(0o755)
            unit = folder / f"skyproxy{number}.service"
            unit.write_text(unit_text(program._replace(command=(str(executable), *program.command[1:]), folder=own)))
            told = subprocess.run(
                ["systemd-analyze", "--user", "verify", str(unit)], capture_output=True, text=True, check=False,
                env={**os.environ, "XDG_RUNTIME_DIR": str(folder)},
            )  # fmt: skip
            self.assertEqual((told.returncode, [x for x in told.stderr.splitlines() if "skyproxy" in x]), (0, []))

    def test_the_folder(self) -> None:
        home = Path("/home/me")
        self.assertEqual(unit_folder({}, home), home / ".config/systemd/user")
        self.assertEqual(unit_folder({"XDG_CONFIG_HOME": "relative"}, home), home / ".config/systemd/user")
        self.assertEqual(unit_folder({"XDG_CONFIG_HOME": "/x"}, home), Path("/x/systemd/user"))


class SystemdServiceTests(SynchronousTestCase):
    """SystemdService"""

    def setUp(self) -> None:
        self.folder = Path(mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        self.path = self.folder / "skyproxy.service"

    def test_install_status_uninstall(self) -> None:
        shown = "UnitFileState=enabled\nActiveState=active\nSubState=running\nStatusText=It waits: a=b"
        tools = FakeTools("systemctl", answers={"show": [Done(0, shown)]})
        service = SystemdService(tools, self.folder)
        self.assertFalse(service.status().installed)
        outcome = service.install(PLAIN)
        self.assertEqual(outcome.problems, ())
        self.assertIn(f"wrote {self.path}", outcome.done)
        self.assertEqual(
            tools.ran, ["systemctl --user daemon-reload", "systemctl --user enable --now skyproxy.service"]
        )
        self.assertEqual(self.path.read_text(), unit_text(PLAIN))
        state = service.status()
        self.assertEqual((state.installed, state.enabled, state.running), (True, True, True))
        self.assertEqual(state.note, "running: It waits: a=b")
        tools.ran.clear()
        self.assertEqual(service.install(ODD).problems, ())
        self.assertEqual(tools.ran[-1], "systemctl --user restart skyproxy.service")
        tools.ran.clear()
        self.assertEqual(service.uninstall().problems, ())
        self.assertEqual(tools.ran[0], "systemctl --user disable --now skyproxy.service")
        self.assertFalse(self.path.exists())
        tools.ran.clear()
        self.assertIn("nothing is installed", service.uninstall().done[0])
        self.assertEqual(tools.ran, [])

    def test_without_systemctl(self) -> None:
        tools = FakeTools()
        service = SystemdService(tools, self.folder)
        outcome = service.install(PLAIN)
        self.assertIn("type: systemctl --user daemon-reload && systemctl --user enable --now", outcome.done[1])
        self.assertEqual((outcome.problems, self.path.exists()), ((), True))
        state = service.status()
        self.assertEqual((state.installed, state.enabled, state.running), (True, None, None))
        outcome = service.uninstall()
        self.assertIn("skyproxy stop", outcome.done[1])
        self.assertEqual((self.path.exists(), tools.ran), (False, []))

    def test_no_manager_answers(self) -> None:
        bus = Done(1, "Failed to connect to bus: No medium found")
        tools = FakeTools("systemctl", answers={"--user": [bus]})
        service = SystemdService(tools, self.folder)
        outcome = service.install(PLAIN)
        self.assertIn("`systemctl --user daemon-reload` failed (exit code 1): Failed to connect", outcome.problems[0])
        self.assertIn("journalctl", outcome.problems[1])
        self.assertEqual((service.status().running, self.path.exists()), (None, True))
        wants = self.folder / "default.target.wants"
        wants.mkdir()
        (wants / "skyproxy.service").symlink_to(self.path)
        outcome = service.uninstall()
        self.assertIn("disable --now", outcome.problems[0])
        self.assertEqual((self.path.exists(), list(wants.iterdir())), (False, []))

    def test_links_to_other_units_stay(self) -> None:
        service = SystemdService(FakeTools(), self.folder)
        service.install(PLAIN)
        wants = self.folder / "default.target.wants"
        wants.mkdir()
        (wants / "skyproxy.service").symlink_to("/etc/systemd/user/skyproxy.service")
        service.uninstall()
        self.assertEqual(len(list(wants.iterdir())), 1)

    def test_the_unit_of_somebody_else(self) -> None:
        self.path.write_text("[Service]\nExecStart=/bin/true\n")
        tools = FakeTools("systemctl")
        service = SystemdService(tools, self.folder)
        for act in (lambda: service.install(PLAIN), service.uninstall, service.status):
            self.assertRaises(NotOurs, act)
        self.assertEqual((self.path.read_text(), tools.ran), ("[Service]\nExecStart=/bin/true\n", []))
