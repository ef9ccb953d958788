"""The first lines of ``skyproxy run``."""

from __future__ import annotations

from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp

from twisted.trial.unittest import SynchronousTestCase

from skyproxy.command.run import missing
from skyproxy.config import load


class FirstLinesTests(SynchronousTestCase):
    """What is missing."""

    def test_a_configuration_is_missing_where_the_demo_serves(self) -> None:
        folder = Path(mkdtemp())
        self.addCleanup(rmtree, folder)
        config = load(None, environ={}, cwd=folder, home=None)
        self.assertTrue(config.is_demo)
        self.assertIn("skyproxy init", missing(config))
        self.assertIn("`skyproxy init` writes one", " ".join(config.warnings))
        (folder / "skyproxy.yaml").write_text("providers: {demo: {base_url: 'embedded:demo'}}\n")
        self.assertEqual(missing(load(None, environ={}, cwd=folder, home=None)), "")
