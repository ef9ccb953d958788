"""What is wrong with a configuration: all of it at once, each with its place."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass

_SHOWN_KEY = 120

_HIDDEN = re.compile(
    r"(?i:(?<=key[:=])|(?<=token[:=])|(?<=secret[:=])|(?<=password[:=])|(?<=bearer ))\S.*"
    r"|(?<![A-Za-z0-9])(?:(?:sk|sky)-|AIza)[A-Za-z0-9_-]{8,}|(?<![A-Za-z0-9])(?:gsk|hf|xai|nvapi|csk)[-_][A-Za-z0-9]{20,}"
    r"|(?=[A-Za-z]*[0-9])[A-Za-z0-9]{32,}"
)
"""What may be a key of a provider's in the place of a key of a mapping: a space was forgotten behind its colon."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing to mend.

    :ivar file: the file's path, or ``environment`` or ``command line``.
    :ivar line: counted from 1; None if the place has no lines.
    :ivar key: path such as ``providers.openai.max_concurrent``; empty if the whole file is meant.
    :ivar message: what is wrong and what would be right; never a value from the file, which may be a secret.
    :ivar suggestion: the nearest name that would be right.
    :ivar passing: whether it may be over at another try, with nothing changed.
    """

    file: str
    line: int | None
    key: str
    message: str
    suggestion: str | None = None
    passing: bool = False

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        key = f"{named(self.key)[:_SHOWN_KEY]}: " if self.key else ""
        hint = f" (did you mean {named(self.suggestion)!r}?)" if self.suggestion else ""
        return f"{place}: {key}{self.message}{hint}"


class ConfigError(Exception):
    """The configuration cannot be used.

    :ivar problems: all that was found, never empty. As text: one line for each.
    """

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


_PASSING = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS})


def may_pass(error: BaseException | None, system: str = os.name) -> bool:
    """Whether *error* says that descriptors, memory or threads have run out, as they do for a while; or on Windows,
    that a file may not be opened, as while a scanner or OneDrive has it for itself.
    """
    # Twisted wraps what a port could not be opened for.
    error = getattr(error, "socketError", error)
    if isinstance(error, PermissionError) and system == "nt":
        return True
    if isinstance(error, RuntimeError):
        return str(error) == "can't start new thread"
    return isinstance(error, OSError) and error.errno in _PASSING


def named(text: str) -> str:
    """*text*, which has names of the configuration's, on one line and without what may be a key among them."""
    return printable(_HIDDEN.sub("***", text))


def printable(text: str) -> str:
    """*text* on one line, whatever it holds."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)
