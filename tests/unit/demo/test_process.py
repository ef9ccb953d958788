from __future__ import annotations

import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[3])}


class ProcessTests(SynchronousTestCase):
    def test_it_says_where_it_listens_and_ends_when_told(self) -> None:
        command = [sys.executable, "-m", "skyproxy.demo", "--listen", "tcp:0:interface=127.0.0.1"]
        child = subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True)
        self.addCleanup(child.wait)
        self.addCleanup(child.kill)
        assert child.stdout is not None
        self.addCleanup(child.stdout.close)
        line = child.stdout.readline()
        self.assertRegex(
            line, r"^skyproxy's demo, a provider without a model, listening on http://127\.0\.0\.1:\d+/v1\n$"
        )
        with urllib.request.urlopen(line.split()[-1] + "/models", timeout=60) as answer:
            self.assertIn(b"guard", answer.read())
        child.send_signal(signal.SIGTERM)
        self.assertEqual(child.wait(60), 0)

    def test_it_says_why_it_cannot(self) -> None:
        command = [sys.executable, "-m", "skyproxy.demo", "--listen", "nonsense:1"]
        ended = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=60)
        self.assertEqual((ended.returncode, ended.stdout), (1, ""))
        self.assertIn("nonsense", ended.stderr)
