"""The entry of the frozen programs, in which twistd would find no plugins: ``skyproxy`` and ``skyproxyw`` without a
Python around them.
"""

from __future__ import annotations

import sys
import traceback
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
        if not own_window or error.code in (0, None):
            raise
        if isinstance(error.code, str):
            print(error.code, file=sys.stderr)
        code = error.code if isinstance(error.code, int) else 1
    except Exception:
        if not own_window:
            raise
        traceback.print_exc()
        code = 1
    else:
        return
    print("Press Enter to close this window.", file=sys.stderr)
    wait()
    raise SystemExit(code)


if __name__ == "__main__":
    if Path(sys.executable).stem.lower() == "skyproxyw":
        windowless.main()
    start(sys.argv, main.main, owns_console(), sys.stdin.readline)
