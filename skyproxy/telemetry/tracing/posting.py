"""The sending of spans to a receiver, by the thread that does nothing else."""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Callable, Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

from skyproxy import __version__

TIMEOUT_SECONDS = 10.0
_MOST_ANSWER_BYTES = 65536
_AGAIN = frozenset({429, 502, 503, 504})
"""Statuses after which the same is sent again: https://opentelemetry.io/docs/specs/otlp/#retryable-response-codes"""

_TRACES = "/v1/traces"


class Posted(NamedTuple):
    """What came of it.

    :ivar status: of the answer; None: there was none.
    :ivar body: of the answer.
    :ivar problem: why there was no answer.
    """

    status: int | None
    body: bytes = b""
    problem: str = ""

    @property
    def taken(self) -> bool:
        """Whether the receiver has taken it."""
        return self.status is not None and 200 <= self.status < 300

    @property
    def again(self) -> bool:
        """Whether the same may be taken later."""
        return self.status is None or self.status in _AGAIN


class Receiver:
    """Where spans go. Its connection is kept.

    :param endpoint: a URL; without a path, that of OTLP is added.
    :param headers: of each request.
    :param tls: makes what an https receiver's certificate is checked by.
    """

    def __init__(self, endpoint: str, headers: Mapping[str, str], tls: Callable[[], ssl.SSLContext]) -> None:
        parts = urlsplit(endpoint)
        self._secure = parts.scheme == "https"
        self._host, self._port = parts.hostname or "", parts.port
        path = parts.path.rstrip("/")
        self._path = path or _TRACES
        self._headers = {"User-Agent": f"skyproxy/{__version__}", **headers}
        self._tls = tls
        self._connection: http.client.HTTPConnection | None = None

    def post(self, body: bytes, content_type: str) -> Posted:
        """Send *body*. It does not fail. A kept connection may have been closed meanwhile: then once more."""
        kept = self._connection is not None
        posted = self._try(body, content_type)
        return self._try(body, content_type) if kept and posted.status is None else posted

    def close(self) -> None:
        """Close the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _try(self, body: bytes, content_type: str) -> Posted:
        try:
            if self._connection is None:
                self._connection = self._connect()
            self._connection.request("POST", self._path, body, {**self._headers, "Content-Type": content_type})
            response = self._connection.getresponse()
            answer = response.read(_MOST_ANSWER_BYTES)
            if not response.isclosed():
                self.close()
            return Posted(response.status, answer)
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.close()
            return Posted(None, problem=f"{type(error).__name__}: {error}")

    def _connect(self) -> http.client.HTTPConnection:
        if self._secure:
            return http.client.HTTPSConnection(self._host, self._port, timeout=TIMEOUT_SECONDS, context=self._tls())
        return http.client.HTTPConnection(self._host, self._port, timeout=TIMEOUT_SECONDS)
