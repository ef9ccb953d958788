"""Imported by any Python that has this folder in PYTHONPATH: the names in KNOWN_NAMES, parted by commas, stand for
127.0.0.1, and no other name but that of this machine for anything.
"""

import os
import socket
from typing import Any

_getaddrinfo = socket.getaddrinfo
_known = frozenset(os.environ["KNOWN_NAMES"].split(","))


def _look_up(host: Any, *arguments: Any, **options: Any) -> Any:
    if host in _known:
        host = "127.0.0.1"
    elif isinstance(host, str) and host.strip("0123456789.") and ":" not in host and host != "localhost":
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    return _getaddrinfo(host, *arguments, **options)


socket.getaddrinfo = _look_up
