"""A folder to write configurations in."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from textwrap import dedent

from twisted.trial.unittest import SynchronousTestCase

from skyproxy.config import Config, ConfigError, load

PROVIDERS = """
providers:
  openai:
    base_url: https://api.openai.com/v1
    api_key_env: OPENAI_API_KEY
  lm:
    base_url: http://127.0.0.1:1234/v1
"""


class ConfigTestCase(SynchronousTestCase):
    """Writes files below ``self.cwd`` and loads them with an environment of its own."""

    def setUp(self) -> None:
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = Path(folder.name).resolve()
        self.cwd = self.root / "cwd"
        self.home = self.root / "home"
        self.cwd.mkdir(parents=True)
        self.home.mkdir()
        self.environ: dict[str, str] = {}

    def write(self, path: str, text: str) -> Path:
        file = self.cwd / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(dedent(text), encoding="utf-8")
        return file

    def load(self, path: str | None = None, **overrides: str) -> Config:
        return load(
            Path(path) if path is not None else None,
            environ=self.environ,
            cwd=self.cwd,
            home=self.home,
            **overrides,
        )

    def load_text(self, text: str, **overrides: str) -> Config:
        self.write("proxy.yaml", text)
        return self.load("proxy.yaml", **overrides)

    def problems(self, path: str, **overrides: str) -> list[str]:
        """The lines of the error that loading *path* raises, with file names relative to ``self.cwd``."""
        error = self.assertRaises(ConfigError, self.load, path, **overrides)
        self.assertEqual(len(error.problems), len(str(error).splitlines()))
        return str(error).replace(f"{self.cwd}/", "").splitlines()

    def problems_of(self, text: str, files: Mapping[str, str] | None = None) -> list[str]:
        """As :meth:`problems`, of a file ``proxy.yaml`` with *text*."""
        for name, content in (files or {}).items():
            self.write(name, content)
        self.write("proxy.yaml", text)
        return self.problems("proxy.yaml")
