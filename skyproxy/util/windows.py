"""What is asked of Windows itself. Elsewhere nothing happens, and what cannot be had there is done without."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

# https://learn.microsoft.com/windows/win32/api/winuser/nf-winuser-messageboxw
_ERROR_ICON, _TO_FRONT = 0x10, 0x10000

# https://learn.microsoft.com/windows/console/setconsolemode
_STANDARD_OUTPUT = -11
_VIRTUAL_TERMINAL = 0x4

# https://learn.microsoft.com/windows/win32/api/processthreadsapi/nf-processthreadsapi-setpriorityclass
_NORMAL, _ABOVE_NORMAL = 0x20, 0x8000

# https://learn.microsoft.com/windows/win32/api/processthreadsapi/ns-processthreadsapi-process_power_throttling_state
_POWER_THROTTLING = 4
_EXECUTION_SPEED, _TIMER_RESOLUTION = 0x1, 0x4

# https://learn.microsoft.com/windows/win32/procthread/process-security-and-access-rights
_QUERY_LIMITED_INFORMATION = 0x1000
_STILL_ACTIVE = 259
_ACCESS_DENIED = 5

# https://learn.microsoft.com/windows/win32/api/processthreadsapi/ns-processthreadsapi-startupinfow
_TITLE_IS_LINK_NAME = 0x800
_DRIVE_REMOTE = 4

# https://learn.microsoft.com/windows/win32/api/fileapi/nf-fileapi-createfilew
_GENERIC_READ = 0x80000000
_SHARE_ALL = 0x7  # reading, writing, renaming
_OPEN_EXISTING = 3
_NO_HANDLE = ctypes.c_void_p(-1).value


def library(name: str) -> Any:
    """A library of Windows; None: this is another system."""
    load = getattr(ctypes, "WinDLL", None)
    return None if load is None else load(name, use_last_error=True)


def show_error(text: str) -> bool:
    """Show *text* in a message box, until the user closes it.

    :return: whether that could be.
    """
    user32 = library("user32")
    if user32 is None:
        return False
    show = user32.MessageBoxW
    show.argtypes = (ctypes.c_void_p, ctypes.c_wchar_p, ctypes.c_wchar_p, ctypes.c_uint)
    return bool(show(None, text, "skyproxy", _ERROR_ICON | _TO_FRONT))


def owns_console() -> bool:
    """Whether the terminal was opened for this process, and closes with it, as after a double click."""
    kernel32 = library("kernel32")
    processes = (ctypes.c_uint32 * 2)()
    # https://learn.microsoft.com/windows/console/getconsoleprocesslist: how many are attached to the console.
    return kernel32 is not None and bool(kernel32.GetConsoleProcessList(processes, 2) == 1)


def takes_escapes() -> bool:
    """Have the console understand escape sequences, which it does only if it is asked, and old ones not even then.

    :return: whether the terminal does.
    """
    kernel32 = library("kernel32")
    if kernel32 is None:
        return True
    kernel32.GetStdHandle.restype = ctypes.c_void_p
    console = ctypes.c_void_p(kernel32.GetStdHandle(ctypes.c_int32(_STANDARD_OUTPUT)))
    mode = ctypes.c_uint32()
    if not kernel32.GetConsoleMode(console, ctypes.byref(mode)):
        return False
    return bool(kernel32.SetConsoleMode(console, ctypes.c_uint32(mode.value | _VIRTUAL_TERMINAL)))


def on_console_events(handle: Callable[[int], bool]) -> Callable[[], object] | None:
    """Have *handle* called with each event of the console, in a thread that Windows makes for it. It returns whether no
    other handler is to have the event (https://learn.microsoft.com/windows/console/handlerroutine).

    :return: ends that; to be kept as long as events may come. None: there are none.
    """
    kernel32 = library("kernel32")
    if kernel32 is None:
        return None
    make: Any = getattr(ctypes, "WINFUNCTYPE")(ctypes.c_int, ctypes.c_uint32)  # noqa: B009 - only Windows has it
    made = make(lambda event: int(handle(event)))
    return partial(kernel32.SetConsoleCtrlHandler, made, 0) if kernel32.SetConsoleCtrlHandler(made, 1) else None


class _PowerThrottling(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("control", ctypes.c_uint32), ("state", ctypes.c_uint32))


def set_priority(*, raised: bool) -> tuple[str, ...] | None:
    """Have this process go before others, and not be slowed down where it has no window in front; or as any other.

    :return: the calls that failed; None: this is another system.
    """
    kernel32 = library("kernel32")
    if kernel32 is None:
        return None
    current = kernel32.GetCurrentProcess
    current.restype = ctypes.c_void_p
    process, failed = ctypes.c_void_p(current()), []
    if not kernel32.SetPriorityClass(process, ctypes.c_uint32(_ABOVE_NORMAL if raised else _NORMAL)):
        failed.append("SetPriorityClass")
    # Windows 10 knows the first only, and refuses both together. Nothing under control is left to the system.
    for control in (_EXECUTION_SPEED | _TIMER_RESOLUTION, _EXECUTION_SPEED) if raised else (0,):
        wanted = _PowerThrottling(1, control, 0)
        size = ctypes.c_uint32(ctypes.sizeof(wanted))
        if kernel32.SetProcessInformation(process, _POWER_THROTTLING, ctypes.byref(wanted), size):
            break
    else:
        failed.append("SetProcessInformation")
    return tuple(failed)


def process_runs(number: int) -> bool:
    """Whether there may be a process of this *number*, on Windows."""
    kernel32 = library("kernel32")
    if kernel32 is None:
        return True
    kernel32.OpenProcess.restype = ctypes.c_void_p
    process = kernel32.OpenProcess(_QUERY_LIMITED_INFORMATION, 0, ctypes.c_uint32(number))
    if not process:
        last_error: Any = getattr(ctypes, "get_last_error")  # noqa: B009 - only Windows has it
        return bool(last_error() == _ACCESS_DENIED)
    code = ctypes.c_uint32()
    known = kernel32.GetExitCodeProcess(ctypes.c_void_p(process), ctypes.byref(code))
    kernel32.CloseHandle(ctypes.c_void_p(process))
    return not known or code.value == _STILL_ACTIVE


class _StartupInfo(ctypes.Structure):
    _fields_ = (
        ("size", ctypes.c_uint32),
        ("names", ctypes.c_void_p * 3),
        ("numbers", ctypes.c_uint32 * 7),
        ("flags", ctypes.c_uint32),
        ("window", ctypes.c_ushort * 2),
        ("handles", ctypes.c_void_p * 4),
    )


def started_from_shortcut() -> bool:
    """Whether a shortcut of Windows' started this process."""
    kernel32 = library("kernel32")
    if kernel32 is None:
        return False
    info = _StartupInfo(ctypes.sizeof(_StartupInfo))
    kernel32.GetStartupInfoW(ctypes.byref(info))
    return bool(info.flags & _TITLE_IS_LINK_NAME)


def is_of_network(root: str) -> bool:
    """Whether Windows has the drive *root*, such as ``Z:\\``, from another machine."""
    kernel32 = library("kernel32")
    return kernel32 is not None and kernel32.GetDriveTypeW(ctypes.c_wchar_p(root)) == _DRIVE_REMOTE


def open_shared(path: Path) -> BinaryIO:
    """*path*, to be read, so that others may rename it meanwhile: what Python opens on Windows they may not.

    :raise OSError: it cannot be opened.
    """
    kernel32 = library("kernel32")
    if kernel32 is None:
        return path.open("rb")
    import msvcrt

    create = kernel32.CreateFileW
    create.restype = ctypes.c_void_p
    name = ctypes.c_wchar_p(str(path))
    sharing = ctypes.c_uint32(_SHARE_ALL)
    handle = create(name, ctypes.c_uint32(_GENERIC_READ), sharing, None, ctypes.c_uint32(_OPEN_EXISTING), 0, None)
    if handle in (None, _NO_HANDLE):
        return path.open("rb")  # which says why, or can
    descriptor: int = getattr(msvcrt, "open_osfhandle")(handle, os.O_RDONLY)  # noqa: B009 - only Windows has it
    return open(descriptor, "rb")
