"""What each system's services have in common."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from skyproxy.command.service.program import Program
from skyproxy.command.service.tools import Done, Tools

NAME = "skyproxy"


class Outcome(NamedTuple):
    """How it went.

    :ivar done: what was done, and what is to be done by hand, in lines.
    :ivar problems: what did not work.
    """

    done: tuple[str, ...]
    problems: tuple[str, ...] = ()


class State(NamedTuple):
    """What there is of the service.

    :ivar path: of its file.
    :ivar enabled: whether the system starts it by itself; None: nobody can tell.
    :ivar running: whether it runs; None: nobody can tell.
    :ivar log: where its log is, or the command that shows it.
    :ivar note: what the system says of it besides.
    """

    path: Path
    installed: bool
    enabled: bool | None
    running: bool | None
    log: str
    note: str = ""


class Manager(Protocol):
    """The services of one user on one kind of system. A file that skyproxy did not write is neither replaced nor
    removed: :class:`~skyproxy.command.service.own_files.NotOurs` is raised.
    """

    def install(self, program: Program) -> Outcome:
        """Have *program* started at each login, and now.

        :raise NotOurs: somebody else's file is in the way.
        :raise OSError: its file cannot be written.
        """

    def uninstall(self) -> Outcome:
        """Have it ended, and started no more.

        :raise NotOurs: the file is somebody else's.
        :raise OSError: its file cannot be removed.
        """

    def status(self) -> State:
        """What there is of it.

        :raise NotOurs: the file is somebody else's.
        """


def run_each(tools: Tools, commands: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """Run *commands* in their order, up to the first that fails.

    :return: what that says; nothing if none fails.
    """
    for command in commands:
        done = tools.run(command)
        if done.code:
            return (failure(command, done),)
    return ()


def failure(command: Sequence[str], done: Done) -> str:
    """A sentence about a command that failed."""
    return f"`{shlex.join(command)}` failed (exit code {done.code}): {done.output or 'it says nothing'}"
