"""A window that nobody sees, by which Windows tells a process of its end.

A process that has loaded user32.dll, as Python's ctypes may make it do, gets no event of the console when the user logs
off or the machine shuts down: Windows sends messages to its window in their place
(https://learn.microsoft.com/windows/console/setconsolectrlhandler). ``taskkill`` sends one, too.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from typing import Any

from skyproxy.util.windows import library

CLOSED, ENDED = 2, 6
"""What the messages mean, in the numbers that events of the console have: CTRL_CLOSE_EVENT, CTRL_SHUTDOWN_EVENT."""

# https://learn.microsoft.com/windows/win32/winmsg/about-messages-and-message-queues
_DESTROY, _CLOSE, _QUERY_END, _END, _LEAVE = 0x2, 0x10, 0x11, 0x16, 0x8000

_HANDLE, _NUMBER = ctypes.c_void_p, ctypes.c_uint32
_FIRST, _SECOND = ctypes.c_size_t, ctypes.c_ssize_t
"""Parameters of a message."""


class _WindowClass(ctypes.Structure):
    _fields_ = (
        ("style", _NUMBER),
        ("procedure", ctypes.c_void_p),
        ("extra", ctypes.c_int * 2),
        ("instance", _HANDLE),
        ("looks", _HANDLE * 3),
        ("menu", ctypes.c_wchar_p),
        ("name", ctypes.c_wchar_p),
    )


class _Message(ctypes.Structure):
    _fields_ = (
        ("window", _HANDLE),
        ("number", _NUMBER),
        ("first", _FIRST),
        ("second", _SECOND),
        ("time", _NUMBER),
        ("point", ctypes.c_int32 * 2),
        ("private", _NUMBER),
    )


def on_window_messages(handle: Callable[[int], object]) -> Callable[[], object] | None:
    """Have *handle* called, in a thread of its own, with :data:`CLOSED` and :data:`ENDED`. Windows waits for it.

    :return: ends that. None: there are no such messages.
    """
    user32 = library("user32")
    if user32 is None:
        return None
    window = _HiddenWindow(user32, handle)
    threading.Thread(target=window.run, name="hidden window", daemon=True).start()
    return window.leave


class _HiddenWindow:
    """See :func:`on_window_messages`. A window belongs to the thread that makes it: only :meth:`leave` is for others.

    :param user32: the library.
    """

    def __init__(self, user32: Any, handle: Callable[[int], object]) -> None:
        self._user32 = user32
        self._handle = handle
        self._window: Any = None
        for function, result, arguments in (
            (user32.DefWindowProcW, _SECOND, (_HANDLE, _NUMBER, _FIRST, _SECOND)),
            (user32.RegisterClassW, ctypes.c_uint16, (ctypes.c_void_p,)),
            (
                user32.CreateWindowExW,
                _HANDLE,
                (_NUMBER, ctypes.c_wchar_p, ctypes.c_wchar_p, _NUMBER, *(ctypes.c_int,) * 4, *(_HANDLE,) * 4),
            ),
            (user32.GetMessageW, ctypes.c_int, (ctypes.c_void_p, _HANDLE, _NUMBER, _NUMBER)),
            (user32.DispatchMessageW, _SECOND, (ctypes.c_void_p,)),
            (user32.PostMessageW, ctypes.c_int, (_HANDLE, _NUMBER, _FIRST, _SECOND)),
            (user32.DestroyWindow, ctypes.c_int, (_HANDLE,)),
            (user32.PostQuitMessage, None, (ctypes.c_int,)),
            (user32.UnregisterClassW, ctypes.c_int, (ctypes.c_wchar_p, _HANDLE)),
        ):
            function.restype, function.argtypes = result, arguments

    def run(self) -> None:
        """Make the window, and take its messages until :meth:`leave`."""
        user32 = self._user32
        make: Any = getattr(ctypes, "WINFUNCTYPE")(_SECOND, _HANDLE, _NUMBER, _FIRST, _SECOND)  # noqa: B009
        procedure = make(self.take)
        # Of its own, for a class of windows keeps the first procedure that it got.
        name = f"skyproxy-{id(self)}"
        kind = _WindowClass(procedure=ctypes.cast(procedure, ctypes.c_void_p), name=name)
        if not user32.RegisterClassW(ctypes.byref(kind)):
            return
        self._window = user32.CreateWindowExW(0, name, "skyproxy", 0, 0, 0, 0, 0, None, None, None, None)
        message = _Message()
        while self._window and user32.GetMessageW(ctypes.byref(message), None, 0, 0) > 0:
            user32.DispatchMessageW(ctypes.byref(message))
        user32.UnregisterClassW(name, None)

    def take(self, window: Any, number: int, first: int, second: int) -> int:
        """The window's procedure."""
        if number == _QUERY_END:
            return 1
        if number == _END:
            if first:  # the others did not object
                self._handle(ENDED)
        elif number == _CLOSE:
            self._handle(CLOSED)
        elif number == _LEAVE:
            self._user32.DestroyWindow(window)
        elif number == _DESTROY:
            self._user32.PostQuitMessage(0)
        else:
            answer: int = self._user32.DefWindowProcW(window, number, first, second)
            return answer
        return 0

    def leave(self) -> None:
        """Have the window go. From any thread."""
        if self._window:
            self._user32.PostMessageW(self._window, _LEAVE, 0, 0)
