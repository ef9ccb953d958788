from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from skyproxy.command.service.program import Program
from skyproxy.command.service.tools import Done

GOOD = Done(0, "")

ODD = Program(
    (
        '/opt/my programs/100%/sky"proxy$HOME',
        "run",
        "--config",
        "/home/me/a $b %c \\d'e;f",
        "--with-game",
        "Sky Rim.exe",
    ),
    Path("/home/me/a folder 100%"),
    42,
)
"""A program whose paths have all that some system has a meaning for."""


class FakeTools:
    """Records what is run. *answers* gives the answer to a command by its text, one after the other; else all is well.

    :param has: the commands that there are.
    """

    def __init__(self, *has: str, answers: Mapping[str, Sequence[Done]] | None = None) -> None:
        self._has = has
        self._answers = {text: list(each) for text, each in (answers or {}).items()}
        self.ran: list[str] = []
        self.environs: list[Mapping[str, str]] = []
        self.started: list[tuple[tuple[str, ...], str]] = []
        self.act: Callable[[Sequence[str], Mapping[str, str]], Done | None] = lambda command, environ: None

    def has(self, name: str) -> bool:
        return name in self._has

    def run(self, command: Sequence[str], environ: Mapping[str, str] | None = None) -> Done:
        text = " ".join(command)
        self.ran.append(text)
        self.environs.append(environ or {})
        acted = self.act(command, environ or {})
        if acted is not None:
            return acted
        for part, left in self._answers.items():
            if part in text and left:
                return left.pop(0) if len(left) > 1 else left[0]
        return GOOD

    def start(self, command: Sequence[str], folder: str) -> None:
        self.started.append((tuple(command), folder))
