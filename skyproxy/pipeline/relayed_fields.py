"""Which fields of a provider's header section go down, and those that skyproxy adds."""

from __future__ import annotations

import re
from functools import lru_cache
from urllib.parse import quote

from skyproxy.http.common.headers import Field, Fields

# What a client can use. A list of what may pass, not of what may not: a provider's cookies, hop-by-hop headers
# (RFC 9110 section 7.6.1) and whatever it names in Connection have no way through.
_PASSED = frozenset(
    {b"content-type", b"content-disposition", b"retry-after", b"retry-after-ms", b"x-should-retry", b"cf-ray"}
)
_PASSED_PREFIXES = (b"x-ratelimit-", b"ratelimit", b"openai-")
_PROVIDER_IDS = frozenset({b"x-request-id", b"request-id", b"x-generation-id"})

_LONGEST_NAME = 100
"""Bytes of a field's name: none that means something to a client is longer, and names are remembered."""

_LONGEST_VALUE = 1024
"""Bytes of a field's value, likewise."""

_runs = re.compile(rb"^[^;]*(?:html|xml|svg)", re.IGNORECASE).search

_MOST = 64
"""Fields of one answer: OpenAI sends eight, and nobody more than thirty."""


def relayed_fields(headers: Fields) -> list[Field]:
    """Those of a provider's *headers* that go down. Its request id goes by a name of its own, beside skyproxy's."""
    passed = [
        (name_below, value)
        for name, value in headers
        if len(name) <= _LONGEST_NAME and (name_below := _passed_as(name)) is not None and len(value) <= _LONGEST_VALUE
    ]
    return passed if len(passed) <= _MOST else passed[:_MOST]


def retyped(fields: Fields, content_type: Field) -> list[Field]:
    """*fields* with *content_type* in the place of the provider's own: clients go by that."""
    return [*(field for field in fields if field[0].lower() != b"content-type"), content_type]


def typed(fields: list[Field], said: bytes, content_type: Field) -> list[Field]:
    """*fields*, with *content_type* where the provider has *said* none, or one by which a browser that is led here runs
    what is in the answer, as if it were skyproxy's own page.
    """
    return fields if said and not _runs(said) else retyped(fields, content_type)


@lru_cache(maxsize=64)
def _passed_as(name: bytes) -> bytes | None:
    """The name by which the field *name* goes down; None if it does not. The same few come with every answer."""
    low = name.lower()
    if low in _PROVIDER_IDS:
        return b"X-Upstream-Request-Id"
    return name if low in _PASSED or low.startswith(_PASSED_PREFIXES) else None


@lru_cache(maxsize=256)
def who_answered(provider: str, model: str) -> tuple[Field, ...]:
    """The fields that tell a client which provider and model answered it."""
    return (
        (b"X-Skyproxy-Provider", _as_field(provider)),
        (b"X-Skyproxy-Model", _as_field(model)),
    )


def _as_field(name: str) -> bytes:
    if name.isascii() and name.isprintable():
        return name.encode()
    return quote(name, safe=" !#$&'()*+,/:;=?@[]", errors="replace").encode()
