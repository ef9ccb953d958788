from __future__ import annotations

import plistlib
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp

from twisted.trial.unittest import SynchronousTestCase

from skyproxy.command.service.launchd import LaunchdService, agent_plist
from skyproxy.command.service.own_files import MARKER, NotOurs
from skyproxy.command.service.tools import Done
from tests.unit.command.service.support import ODD, FakeTools

PRINTED = "gui/501/skyproxy = {\n\tactive count = 1\n\tstate = running\n\tpid = 12\n}"


class PlistTests(SynchronousTestCase):
    """agent_plist"""

    def test_it_says_what_is_to_be_run(self) -> None:
        data = agent_plist(ODD, Path("/Users/me/Library/Logs/skyproxy.log"))
        self.assertIn(f"<!-- {MARKER} -->", data.decode())
        self.assertTrue(data.startswith(b"<?xml"))
        self.assertEqual(
            plistlib.loads(data),
            {
                "Label": "skyproxy",
                "ProgramArguments": list(ODD.command),
                "WorkingDirectory": str(ODD.folder),
                "EnvironmentVariables": {"PYTHONUNBUFFERED": "1"},
                "RunAtLoad": True,
                "KeepAlive": {"SuccessfulExit": False},
                "ThrottleInterval": 10,
                "ExitTimeOut": 42,
                "ProcessType": "Interactive",
                "StandardOutPath": "/Users/me/Library/Logs/skyproxy.log",
                "StandardErrorPath": "/Users/me/Library/Logs/skyproxy.log",
            },
        )


class LaunchdServiceTests(SynchronousTestCase):
    """LaunchdService"""

    def setUp(self) -> None:
        self.home = Path(mkdtemp())
        self.addCleanup(rmtree, self.home)
        self.path = self.home / "Library/LaunchAgents/skyproxy.plist"
        self.slept: list[float] = []

    def service(self, tools: FakeTools) -> LaunchdService:
        return LaunchdService(tools, self.home, 501, self.slept.append)

    def test_install_status_uninstall(self) -> None:
        tools = FakeTools("launchctl", answers={"print": [Done(0, PRINTED)]})
        service = self.service(tools)
        self.assertFalse(service.status().installed)
        self.assertEqual(service.install(ODD).problems, ())
        self.assertEqual(tools.ran, ["launchctl enable gui/501/skyproxy", f"launchctl bootstrap gui/501 {self.path}"])
        state = service.status()
        self.assertEqual((state.installed, state.enabled, state.running), (True, True, True))
        self.assertEqual(state.log, str(self.home / "Library/Logs/skyproxy.log"))
        tools.ran.clear()
        self.assertEqual(service.uninstall().problems, ())
        self.assertEqual(tools.ran, ["launchctl print gui/501/skyproxy", "launchctl bootout gui/501/skyproxy"])
        self.assertFalse(self.path.exists())
        self.assertIn("nothing is installed", service.uninstall().done[0])

    def test_one_that_runs_is_replaced_when_it_has_ended(self) -> None:
        busy = Done(5, "Bootstrap failed: 5: Input/output error")
        tools = FakeTools("launchctl", answers={"bootstrap": [Done(0, ""), busy, busy, Done(0, "")]})
        service = self.service(tools)
        service.install(ODD)
        tools.ran.clear()
        self.assertEqual(service.install(ODD).problems, ())
        self.assertEqual(tools.ran[0], "launchctl bootout gui/501/skyproxy")
        self.assertEqual(self.slept, [0.5, 0.5])

    def test_what_does_not_work(self) -> None:
        tools = FakeTools("launchctl", answers={"launchctl": [Done(125, "Domain does not support specified action")]})
        service = self.service(tools)
        outcome = service.install(ODD)
        self.assertIn("Domain does not support", outcome.problems[0])
        self.assertEqual(service.status().running, False)
        self.assertEqual(service.uninstall().problems, ())
        service = self.service(FakeTools())
        self.assertIn("type: launchctl bootstrap gui/501", service.install(ODD).done[1])
        self.assertEqual(service.status().running, None)

    def test_the_agent_of_somebody_else(self) -> None:
        self.path.parent.mkdir(parents=True)
        self.path.write_bytes(plistlib.dumps({"Label": "skyproxy"}))
        tools = FakeTools("launchctl")
        service = self.service(tools)
        for act in (lambda: service.install(ODD), service.uninstall, service.status):
            self.assertRaises(NotOurs, act)
        self.assertEqual((tools.ran, self.path.exists()), ([], True))
