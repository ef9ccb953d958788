"""What is asked of Windows itself. Elsewhere nothing happens, and what cannot be had there is done without."""

from __future__ import annotations

import ctypes
from typing import Any

_ERROR_ICON, _TO_FRONT = 0x10, 0x10000


def _library(name: str) -> Any:
    """A library of Windows; None: this is another system."""
    return getattr(getattr(ctypes, "windll", None), name, None)


def show_error(text: str) -> bool:
    """Show *text* in a message box, until the user closes it.

    :return: whether that could be.
    """
    user32 = _library("user32")
    return user32 is not None and bool(user32.MessageBoxW(None, text, "skyproxy", _ERROR_ICON | _TO_FRONT))


def owns_console() -> bool:
    """Whether the terminal was opened for this process, and closes with it, as after a double click."""
    kernel32 = _library("kernel32")
    processes = (ctypes.c_uint32 * 2)()
    # https://learn.microsoft.com/windows/console/getconsoleprocesslist: how many are attached to the console.
    return kernel32 is not None and bool(kernel32.GetConsoleProcessList(processes, 2) == 1)
