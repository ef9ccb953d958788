"""Who has something done, in words for the log."""

from __future__ import annotations

import socket
import struct
from typing import Any

_CREDENTIALS = struct.Struct("3i")
"""Of SO_PEERCRED: process, user and group (unix(7))."""


def who_at_socket(request: Any) -> str:
    """The user behind a request at the admin socket, as the system tells it."""
    option = getattr(socket, "SO_PEERCRED", None)
    connected = getattr(request.transport, "socket", None)
    if option is None or connected is None or connected.family != getattr(socket, "AF_UNIX", None):
        return "this user, by the admin socket"
    try:
        _, user, _ = _CREDENTIALS.unpack(connected.getsockopt(socket.SOL_SOCKET, option, _CREDENTIALS.size))
    except OSError:
        return "this user, by the admin socket"
    return f"{_name_of(user)}, by the admin socket"


def _name_of(user: int) -> str:
    try:
        import pwd

        return f"user {pwd.getpwuid(user).pw_name}"
    except (ImportError, KeyError):
        return f"user {user}"
