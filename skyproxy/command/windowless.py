"""The program ``skyproxyw``: ``skyproxy run`` for those who start it without a terminal, from a shortcut say."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from skyproxy.command.main import COMMANDS, skyproxy
from skyproxy.util.file_stream import FileStream
from skyproxy.util.user_folders import place_for_others, text_log, user_home
from skyproxy.util.windows import show_error


def main() -> None:
    """Run the command line of this process: that of ``skyproxy run``, or any other."""
    raise SystemExit(run(sys.argv[1:], text_log(os.environ, user_home()), show_error))


def run(arguments: Sequence[str], path: Path | None, show: Callable[[str], object]) -> int:
    """Run the command *arguments*, ``run`` if they name none.

    :param path: gets what a terminal would show.
    :param show: brings an error before the user's eyes.
    :return: the exit code.
    """
    # Whatever streams there are: who starts a program with a window of its own rarely looks there.
    sys.stdout, errors = FileStream(path), FileStream(path)
    sys.stderr = errors
    given = list(arguments) if arguments and arguments[0] in COMMANDS else ["run", *arguments]
    if given[0] == "run" and path is not None:
        given[1:1] = ["--text-log", str(path)]
    code = _ended(given)
    if code:
        where = "" if path is None else f"\n\nThe log: {place_for_others(path)}"
        show(f"{errors.recent.strip() or f'skyproxy has ended with code {code}.'}{where}")
    return code


def _ended(arguments: Sequence[str]) -> int:
    """The exit code of the command; its last words are on the error stream."""
    try:
        skyproxy(arguments, prog_name="skyproxyw")
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
            return 1
        return end.code or 0
    except BaseException:
        traceback.print_exc()
        return 1
    return 0
