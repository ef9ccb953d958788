"""Keys of clients: how they are made, what is kept of them, and what can be told of one that is wrong.

A key is ``sky-``, 32 random bytes as 43 letters and digits, and a checksum as 6 more, so that a key that was typed
wrong can be told from one that is not known. Only digests are kept, and a key that is presented is found by its digest:
how long that takes depends on no secret. A fast digest is enough, since nobody can guess 32 random bytes.
"""

from __future__ import annotations

import secrets
import string
from hashlib import sha256
from zlib import crc32

PREFIX = "sky-"
RANDOM_BYTES = 32

_LETTERS = string.digits + string.ascii_uppercase + string.ascii_lowercase
_OF_SECRET, _OF_SUM = 43, 6
LENGTH = len(PREFIX) + _OF_SECRET + _OF_SUM
"""Characters of a key."""


def new_key() -> str:
    """A key that nobody has."""
    body = PREFIX + _written(int.from_bytes(secrets.token_bytes(RANDOM_BYTES), "big"), _OF_SECRET)
    return body + _checksum(body)


def digest(key: bytes) -> bytes:
    """What is kept of *key*, as it came in a header."""
    return sha256(key).digest()


def hash_of(key: str) -> str:
    """What stands for *key* in a configuration: ``sha256:…``."""
    return f"sha256:{digest(key.encode()).hex()}"


def digest_of(key_hash: str) -> bytes:
    """The digest that *key_hash*, ``sha256:…``, writes."""
    return bytes.fromhex(key_hash.removeprefix("sha256:"))


def trouble_with(key: str) -> str | None:
    """What is wrong with *key* as it was typed, if it was made here; None: nothing that can be seen. The key is not
    repeated.
    """
    if not key.startswith(PREFIX):
        return None
    if len(key) != LENGTH:
        return f"it has {len(key)} characters instead of {LENGTH}: a part of it is missing, or there is more than it"
    if any(letter not in _LETTERS for letter in key[len(PREFIX) :]):
        return "it has a character in it that no key has"
    if _checksum(key[:-_OF_SUM]) != key[-_OF_SUM:]:
        return "it was typed wrong: its last characters do not fit the others"
    return None


def _checksum(body: str) -> str:
    return _written(crc32(body.encode()), _OF_SUM)


def _written(number: int, length: int) -> str:
    digits = []
    for _ in range(length):
        number, digit = divmod(number, len(_LETTERS))
        digits.append(_LETTERS[digit])
    return "".join(reversed(digits))
