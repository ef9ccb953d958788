"""The system's own commands, as the services use them."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

_SECONDS = 180.0
"""That one may take: the start of a service is waited for."""


class Done(NamedTuple):
    """How a command went.

    :ivar output: what it printed, errors too.
    """

    code: int
    output: str


class Tools(Protocol):
    """Runs commands."""

    def has(self, name: str) -> bool:
        """Whether there is a command of this name."""

    def run(self, command: Sequence[str], environ: Mapping[str, str] | None = None) -> Done:
        """Run it to its end.

        :param environ: variables that it gets besides those of this process.
        """

    def start(self, command: Sequence[str], folder: str) -> None:
        """Start it in *folder*, and leave it alone.

        :raise OSError: it cannot be started.
        """


class SystemTools:
    """Those of this system."""

    def has(self, name: str) -> bool:
        return shutil.which(name) is not None

    def run(self, command: Sequence[str], environ: Mapping[str, str] | None = None) -> Done:
        try:
            done = subprocess.run(
                list(command), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                env={**os.environ, **(environ or {})}, text=True, errors="replace", timeout=_SECONDS, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return Done(124, f"did not end within {_SECONDS:.0f} s")
        except OSError as error:
            return Done(127, error.strerror or str(error))
        return Done(done.returncode, done.stdout.strip())

    def start(self, command: Sequence[str], folder: str) -> None:
        flags = getattr(subprocess, "DETACHED_PROCESS", 0) | getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)
        subprocess.Popen(
            list(command), cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            creationflags=flags, start_new_session=os.name != "nt",
        )  # fmt: skip
