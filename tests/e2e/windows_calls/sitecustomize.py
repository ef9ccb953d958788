"""Imported by any Python that has this folder in PYTHONPATH: ctypes has Windows' libraries. What is asked of them is
appended to the file that WINDOWS_CALLS names, a line of JSON each. At SIGALRM the console's window is closed, or, if
WINDOWS_SESSION is set, the user logs off: as on Windows, a thread of its own calls the handler, or the hidden window's
thread its procedure, and the process is ended when that returns, or after 50 s: ten times as long as Windows waits, and
so as skyproxy waits at most, for a machine that is ten times slower.
"""

import atexit
import ctypes
import json
import os
import queue
import signal
import sys
import threading
import time
from typing import Any

CLOSED = 2
ENDED_BY_WINDOWS = 58  # the low byte of STATUS_CONTROL_C_EXIT

SLOWER = 10
WAITS = 5.0 * SLOWER

QUERY_END, END = 0x11, 0x16
PROCEDURE = ctypes.CFUNCTYPE(ctypes.c_ssize_t, ctypes.c_void_p, ctypes.c_uint32, ctypes.c_size_t, ctypes.c_ssize_t)

_handlers: list[Any] = []
_procedures: list[Any] = []
_messages: "queue.Queue[tuple[int, int]]" = queue.Queue()


def _note(*what: Any) -> None:
    with open(os.environ["WINDOWS_CALLS"], "a") as file:
        file.write(json.dumps([each if isinstance(each, (int, str, float)) else None for each in what]) + "\n")


class _Function:
    restype = argtypes = None

    def __init__(self, name: str) -> None:
        self._name = name

    def __call__(self, *arguments: Any) -> int:
        _note(self._name, *(getattr(each, "value", each) for each in arguments))
        if self._name == "SetConsoleCtrlHandler" and arguments[1]:
            _handlers.append(arguments[0])
        if self._name == "RegisterClassW":
            _procedures.append(PROCEDURE(arguments[0]._obj.procedure))
        if self._name == "GetMessageW":
            _take_message()
        return 1


class _Library:
    def __init__(self, name: str, use_last_error: bool = False) -> None:
        self._functions: dict[str, _Function] = {}

    def __getattr__(self, name: str) -> _Function:
        return self._functions.setdefault(name, _Function(name))


def _take_message() -> None:
    number, first = _messages.get()
    began = time.monotonic()
    answer = _procedures[0](1, number, first, 0)
    _note("message", number, answer)
    if number == END:
        _note("handled", time.monotonic() - began)
        os._exit(ENDED_BY_WINDOWS)


def _end_session() -> None:
    for message in ((QUERY_END, 0), (END, 1)):
        _messages.put(message)
    time.sleep(WAITS + 1)


def _close() -> None:
    began = time.monotonic()
    for handler in reversed(_handlers):
        if handler(CLOSED):
            break
    _note("handled", time.monotonic() - began)
    os._exit(ENDED_BY_WINDOWS)


def _end() -> None:
    time.sleep(WAITS)
    _note("killed")
    os._exit(1)


def _window_closed(number: int, frame: Any) -> None:
    sys.modules["skyproxy.process.console"].END_SECONDS *= SLOWER  # type: ignore[attr-defined]
    for work in (_end_session if os.environ.get("WINDOWS_SESSION") else _close, _end):
        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        # Registered last, called first: the handler has its say, though the process may be quicker.
        atexit.register(thread.join, WAITS + 1)


ctypes.WinDLL = _Library  # type: ignore[attr-defined]
ctypes.WINFUNCTYPE = ctypes.CFUNCTYPE  # type: ignore[attr-defined]
signal.signal(signal.SIGALRM, _window_closed)
