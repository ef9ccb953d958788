"""Where a configuration is said to be, where Windows shows its files to the Python of Microsoft's Store alone."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp

from click.testing import CliRunner
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.command.main import skyproxy
from skyproxy.command.run import announcement
from skyproxy.config import load

ORIGINAL = {
    "providers.yaml": "providers: {a: {base_url: 'http://127.0.0.1:1/v1'}}\n",
    "routes.yaml": "model_slots: {default: {provider: a, model: m}}\n",
    ".env": "A_API_KEY=k\n",
}


class PlaceTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(mkdtemp())
        self.addCleanup(rmtree, self.folder)
        for name, text in ORIGINAL.items():
            (self.folder / name).write_text(text)
        self.target = self.folder / "skyproxy"

    def init(self) -> str:
        arguments = ["init", "--import", str(self.folder), "--dir", str(self.target)]
        done = CliRunner().invoke(skyproxy, arguments, catch_exceptions=False)
        self.assertEqual(done.exit_code, 0, done.output)
        return done.output

    def announced(self) -> str:
        config = load(self.target, environ={}, cwd=self.folder, home=None)
        return "\n".join(announcement(config, "http://127.0.0.1:1/v1"))

    def move(self) -> None:
        for module in ("skyproxy.command.init.command", "skyproxy.command.place"):
            self.patch(import_module(module), "place_for_others", lambda path: Path("/store", path.name))

    def test_where_others_see_the_files(self) -> None:
        told = self.init() + self.announced()
        self.assertIn(f"wrote {self.target / '.env'}\n", told)
        self.assertIn(f"Configuration:  {self.target}", told)
        self.assertNotIn("Store", told)

    def test_where_others_do_not(self) -> None:
        self.move()
        told = self.init()
        self.assertIn("wrote /store/.env\n", told)
        self.assertIn(f"other programs find nothing of this in {self.target}", told)
        self.assertIn("Configuration:  /store/skyproxy", self.announced())
