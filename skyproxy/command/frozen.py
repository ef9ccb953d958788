"""The entry of the frozen programs, in which twistd would find no plugins: ``skyproxy`` and ``skyproxyw`` without a
Python around them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from skyproxy.command import main, windowless
from skyproxy.util.windows import owns_console


def start(arguments: list[str], command: Callable[[], None], own_window: bool, wait: Callable[[], object]) -> None:
    """Run *command* for *arguments*, which are those of the process; without any it serves, as a double click asks.

    :param own_window: the terminal closes as soon as this process ends.
    :param wait: for the user to have read what went wrong.
    """
    if not arguments[1:]:
        arguments.append("run")
    try:
        command()
    except SystemExit as error:
        if own_window and error.code not in (0, None):
            if isinstance(error.code, str):
                print(error.code, file=sys.stderr)
            print("Press Enter to close this window.", file=sys.stderr)
            wait()
            raise SystemExit(error.code if isinstance(error.code, int) else 1) from None
        raise


if __name__ == "__main__":
    if Path(sys.executable).stem.lower() == "skyproxyw":
        windowless.main()
    start(sys.argv, main.main, owns_console(), sys.stdin.readline)
