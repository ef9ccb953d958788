"""skyproxy's commands, as processes."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import yaml

from tests.e2e.processes import Process, environment, run_to_end

PROGRAM = [sys.executable, "-m", "skyproxy"]


def skyproxy(folder: Path, *arguments: str, typed: str = "", env: dict[str, str] | None = None) -> Any:
    """Run it to its end in *folder*, with no terminal."""
    given = environment(HOME=str(folder), XDG_CONFIG_HOME=str(folder / "none"), **(env or {}))
    return run_to_end([*PROGRAM, *arguments], folder, given, typed)


class Run(Process):
    """``skyproxy run``."""

    command: tuple[str, ...] = (*PROGRAM, "run", "--listen", "tcp:0:interface=127.0.0.1")

    def __init__(self, cwd: Path, *arguments: str, env: dict[str, str] | None = None) -> None:
        given = environment(HOME=str(cwd), XDG_CONFIG_HOME=str(cwd / "none"), **(env or {}))
        super().__init__([*self.command, *arguments], cwd, given)
        self.base_url = self.wait_for(r"serves at (http\S+)").group(1)
        host, _, port = self.base_url.removesuffix("/v1").rpartition("/")[2].rpartition(":")
        self.address = (host, int(port))


def written(folder: Path, config: dict[str, Any]) -> Path:
    path = folder / "skyproxy.yaml"
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    return path
