"""What goes wrong with requests, whatever version of HTTP they go by, beyond what twisted.web has names for."""

from __future__ import annotations


class RequestNotSent(Exception):
    """The connection that was to carry a request takes none: nothing of the request has gone out."""
