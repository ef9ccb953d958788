"""Which browser pages may use skyproxy (Fetch standard, section 3.2: CORS protocol)."""

from __future__ import annotations

import re
from collections.abc import Iterable

from skyproxy.errors import OriginNotAllowed

_LOOPBACK = re.compile(rb"https?://(localhost|127\.0\.0\.1|\[::1\])(:[0-9]{1,5})?")

_PREFLIGHT = [
    (b"Access-Control-Allow-Methods", b"GET, POST, OPTIONS"),
    (b"Access-Control-Max-Age", b"600"),
]
_EXPOSED = (
    b"Access-Control-Expose-Headers",
    b"X-Request-Id, X-Upstream-Request-Id, X-Skyproxy-Provider, X-Skyproxy-Model, Retry-After",
)


class Cors:
    """The origins that may ask: pages served from this machine, and those that the configuration lists.

    A browser sends ``Origin`` with every request of a page to another origin, and with some to its own. One that is not
    listed is refused outright, not merely kept from reading the answer, for the answer has a price.

    :param origins: such as ``https://chat.example.org``; ``*`` allows all.
    """

    def __init__(self, origins: Iterable[str]) -> None:
        self._origins = frozenset(origin.encode("ascii") for origin in origins)

    def headers(self, origin: bytes, *, own: bool = False) -> list[tuple[bytes, bytes]]:
        """What the answer to a request from *origin* says besides.

        :param own: the page is skyproxy's, wherever its browser runs: to such a one the answer needs to say nothing.
        :raise OriginNotAllowed: the page may not ask.
        """
        if not self._allows(origin):
            if own:
                return []
            raise OriginNotAllowed(
                "Pages of this origin may not use skyproxy; list it under cors_origins to allow them."
            )
        return [(b"Access-Control-Allow-Origin", origin), (b"Vary", b"Origin"), _EXPOSED]

    def _allows(self, origin: bytes) -> bool:
        return b"*" in self._origins or origin in self._origins or _LOOPBACK.fullmatch(origin) is not None


def preflight(asked_headers: bytes | None) -> list[tuple[bytes, bytes]]:
    """What the answer to a preflight says, besides what every answer to that origin does."""
    return [*_PREFLIGHT, (b"Access-Control-Allow-Headers", asked_headers or b"*")]
