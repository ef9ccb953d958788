"""What makes two requests the same."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from skyproxy.errors import InvalidRequest
from skyproxy.formats import json_body

_FORM = b"skyproxy answer 3"
"""Says what is hashed and how. Another way to build keys takes another number, so that stores have none of the old."""


def canonical(body: dict[str, Any]) -> bytes | None:
    """*body* as JSON, the same for any order of its fields; None if others would be written the same (an integer beyond
    64 bits is read as the nearest float), or it has too many levels.

    Within a field the order stays as it is: a model writes the properties of an answer in the order of its schema.
    """
    if not json_body.is_exact(body):
        return None
    try:
        return json_body.encode({name: body[name] for name in sorted(body)})
    except InvalidRequest:
        return None


def cache_key(
    *,
    path: str,
    provider: str,
    base_url: str,
    model: str,
    requested_model: str,
    changed: str,
    body: bytes,
    identity: bytes,
) -> bytes:
    """The SHA-256 of all that decides on an answer. Requests that differ in any of it have different keys.

    :param path: of the endpoint, below the provider's base_url.
    :param provider: its name.
    :param base_url: where it is: the servers of one's own are often called alike, and so are their models.
    :param model: as the provider calls it.
    :param requested_model: as the client calls it; whole answers carry this name.
    :param changed: what skyproxy does to the answer before it is kept; empty if nothing.
    :param body: as the provider gets it, :func:`canonical`.
    :param identity: what distinguishes the client from others; may be empty. It is hashed and not kept.
    """
    key = sha256()
    texts = (path, provider, base_url, model, requested_model, changed)
    for part in (_FORM, *(text.encode("utf-8", "surrogatepass") for text in texts), body, identity):
        # Its length before each part: what ends one and begins the next cannot be moved.
        key.update(len(part).to_bytes(8, "big"))
        key.update(part)
    return key.digest()


def is_deterministic(fields: Mapping[str, Any]) -> bool:
    """Whether equal requests are meant to get equal answers."""
    # The second is Mistral's name for the seed, see dialects.
    seeded = fields.get("seed") is not None or fields.get("random_seed") is not None
    return seeded or fields.get("temperature") == 0
