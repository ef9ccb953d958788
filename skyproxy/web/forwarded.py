"""The headers of a client's request that go on to the provider."""

from __future__ import annotations

from collections.abc import Mapping

from skyproxy.http.common.headers import Field

# Those that mean something to a provider: who asks, in OpenRouter's words, and what for. Never the client's key or its
# cookies.
_FORWARDED = ((b"http-referer", b"HTTP-Referer"), (b"x-title", b"X-Title"), (b"accept", b"Accept"))


def forwarded(fields: Mapping[bytes, bytes]) -> tuple[Field, ...]:
    """What of a request's *fields* goes on to the provider: none that Connection names, which are for this hop only."""
    own = fields.get(b"connection", b"").lower()
    named = {name.strip() for name in own.split(b",")} if b"-" in own or b"accept" in own else ()
    return tuple([(name, fields[low]) for low, name in _FORWARDED if low in fields and low not in named])
