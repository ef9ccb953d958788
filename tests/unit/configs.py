"""Configurations for tests, from the text that a person would write."""

from __future__ import annotations

import tempfile
from pathlib import Path

from skyproxy.config import Config, load


def config_of(text: str, **environ: str) -> Config:
    """The configuration in *text*, as one file with *environ* around it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "skyproxy.yaml"
        path.write_text(text)
        return load(path, environ=environ, cwd=Path(folder), home=Path(folder))
