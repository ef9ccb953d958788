"""Answers as bytes, for stores outside of the process."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from struct import Struct, error

import orjson

from skyproxy.cache.stored_answer import StoredAnswer
from skyproxy.http.common.headers import Field


def headers_as_text(headers: tuple[Field, ...]) -> bytes:
    """*headers* as JSON."""
    return orjson.dumps([(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers])


def headers_of(text: bytes) -> tuple[Field, ...]:
    """What :func:`headers_as_text` was given."""
    return tuple((name.encode("latin-1"), value.encode("latin-1")) for name, value in orjson.loads(text))


def digest_of(key: bytes, status: int, stream: bool, headers: bytes, body: bytes) -> bytes:
    """Of an entry, so that one that went wrong where it was kept gives no request another's answer."""
    digest = blake2b(key, digest_size=16)
    digest.update(b"%d %d %d " % (status, stream, len(headers)))
    digest.update(headers)
    digest.update(body)
    return digest.digest()


_HEAD = Struct(">16sQHBI")
"""The digest, the time to live in milliseconds, the status, whether it is a stream, and the length of the headers."""


@dataclass(frozen=True, slots=True)
class Unpacked:
    """An answer, and the milliseconds for which it was to be kept when it was stored."""

    answer: StoredAnswer
    ttl_ms: int


def pack(key: bytes, answer: StoredAnswer, ttl_ms: int) -> bytes:
    """*answer* as bytes, with a digest over them and *key*."""
    headers = headers_as_text(answer.headers)
    digest = digest_of(_with_time(key, ttl_ms), answer.status, answer.stream, headers, answer.body)
    return b"".join((_HEAD.pack(digest, ttl_ms, answer.status, answer.stream, len(headers)), headers, answer.body))


def unpack(key: bytes, packed: bytes) -> Unpacked | None:
    """What :func:`pack` was given with *key*; None if these are other bytes."""
    try:
        digest, ttl_ms, status, stream, length = _HEAD.unpack_from(packed)
    except error:
        return None
    headers, body = packed[_HEAD.size : _HEAD.size + length], packed[_HEAD.size + length :]
    if len(headers) != length or digest != digest_of(_with_time(key, ttl_ms), status, stream, headers, body):
        return None
    return Unpacked(StoredAnswer(status, headers_of(headers), body, bool(stream)), ttl_ms)


def _with_time(key: bytes, ttl_ms: int) -> bytes:
    return key + ttl_ms.to_bytes(8, "big")
