"""The processes of Windows: CreateToolhelp32Snapshot.

``tasklist`` would tell them, too, but each look would start a process, whose window may flash up over the game.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from typing import Any, ClassVar

_PROCESSES = 2  # TH32CS_SNAPPROCESS
_NO_HANDLE = ctypes.c_void_p(-1).value


class Entry(ctypes.Structure):
    """PROCESSENTRY32W."""

    _fields_: ClassVar = [
        ("dwSize", ctypes.c_uint32),
        ("cntUsage", ctypes.c_uint32),
        ("th32ProcessID", ctypes.c_uint32),
        ("th32DefaultHeapID", ctypes.c_void_p),
        ("th32ModuleID", ctypes.c_uint32),
        ("cntThreads", ctypes.c_uint32),
        ("th32ParentProcessID", ctypes.c_uint32),
        ("pcPriClassBase", ctypes.c_int32),
        ("dwFlags", ctypes.c_uint32),
        ("szExeFile", ctypes.c_wchar * 260),
    ]


def process_names(kernel: Any = None) -> Iterator[str]:
    """The names of their programs.

    :param kernel: the system's library, kernel32.
    :raise OSError: the system does not tell.
    """
    if kernel is None:
        kernel = _kernel()
    snapshot = kernel.CreateToolhelp32Snapshot(_PROCESSES, 0)
    if snapshot in (None, _NO_HANDLE):
        raise OSError("Windows does not tell its processes")
    try:
        entry = Entry()
        entry.dwSize = ctypes.sizeof(Entry)
        more = kernel.Process32FirstW(snapshot, ctypes.byref(entry))
        while more:
            yield entry.szExeFile
            more = kernel.Process32NextW(snapshot, ctypes.byref(entry))
    finally:
        kernel.CloseHandle(snapshot)


def _kernel() -> Any:
    # Of its own, so that the types of arguments are not those that other modules have set.
    kernel = ctypes.WinDLL("kernel32", use_last_error=True)  # type: ignore[attr-defined]
    handle = ctypes.c_void_p
    kernel.CreateToolhelp32Snapshot.argtypes = [ctypes.c_uint32, ctypes.c_uint32]
    kernel.CreateToolhelp32Snapshot.restype = handle
    for function in (kernel.Process32FirstW, kernel.Process32NextW):
        function.argtypes = [handle, ctypes.POINTER(Entry)]
        function.restype = ctypes.c_int
    kernel.CloseHandle.argtypes = [handle]
    return kernel
