from __future__ import annotations

import os
import sys
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from unittest import mock

from twisted.trial.unittest import SynchronousTestCase

from skyproxy.command.service.command import _manager
from skyproxy.command.service.launchd import LaunchdService
from skyproxy.command.service.startup import StartupService
from skyproxy.command.service.systemd import SystemdService


class ManagerTests(SynchronousTestCase):
    """Which manager each system has, and where its file is."""

    def test_each_system(self) -> None:
        folder = Path(mkdtemp())
        self.addCleanup(rmtree, folder)
        environ = {
            "HOME": str(folder), "USERPROFILE": str(folder), "APPDATA": str(folder / "Roaming"),
            "LOCALAPPDATA": str(folder / "Local"), "XDG_CONFIG_HOME": str(folder / "config"), "PATH": "",
            "XDG_RUNTIME_DIR": str(folder),
        }  # fmt: skip
        for system, kind, path in (
            ("linux", SystemdService, "config/systemd/user/skyproxy.service"),
            ("darwin", LaunchdService, "Library/LaunchAgents/skyproxy.plist"),
            ("win32", StartupService, "Roaming/Microsoft/Windows/Start Menu/Programs/Startup/skyproxy.lnk"),
        ):
            with mock.patch.object(sys, "platform", system), mock.patch.dict(os.environ, environ, clear=True):
                manager = _manager()
                self.assertIsInstance(manager, kind)
                state = manager.status()
                self.assertEqual((state.path, state.installed, state.running), (folder / path, False, False))
