"""Imported by any Python that has this folder in PYTHONPATH: ctypes has Windows' libraries. What is asked of them is
appended to the file that WINDOWS_CALLS names, a line of JSON each. At SIGUSR2 the console's window is closed: as on
Windows, a thread of its own calls the handler, and the process is ended when that returns, or after 5 s.
"""

import atexit
import ctypes
import json
import os
import signal
import threading
import time
from typing import Any

CLOSED = 2
ENDED_BY_WINDOWS = 58  # the low byte of STATUS_CONTROL_C_EXIT

_handlers: list[Any] = []


def _note(*what: Any) -> None:
    with open(os.environ["WINDOWS_CALLS"], "a") as file:
        file.write(json.dumps([each if isinstance(each, (int, str, float)) else None for each in what]) + "\n")


class _Function:
    restype = argtypes = None

    def __init__(self, name: str) -> None:
        self._name = name

    def __call__(self, *arguments: Any) -> int:
        _note(self._name, *(getattr(each, "value", each) for each in arguments))
        if self._name == "SetConsoleCtrlHandler":
            _handlers.append(arguments[0])
        return 1


class _Library:
    def __init__(self, name: str, use_last_error: bool = False) -> None:
        self._functions: dict[str, _Function] = {}

    def __getattr__(self, name: str) -> _Function:
        return self._functions.setdefault(name, _Function(name))


def _close() -> None:
    began = time.monotonic()
    for handler in reversed(_handlers):
        if handler(CLOSED):
            break
    _note("handled", time.monotonic() - began)
    os._exit(ENDED_BY_WINDOWS)


def _end() -> None:
    time.sleep(5)
    _note("killed")
    os._exit(1)


def _window_closed(number: int, frame: Any) -> None:
    for work in (_close, _end):
        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        # Registered last, called first: the handler has its say, though the process may be quicker.
        atexit.register(thread.join, 6)


ctypes.WinDLL = _Library  # type: ignore[attr-defined]
ctypes.WINFUNCTYPE = ctypes.CFUNCTYPE  # type: ignore[attr-defined]
signal.signal(signal.SIGUSR2, _window_closed)
