"""A provider's keys, taken out of what goes down to a client."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import AnyStr
from urllib.parse import quote

MASK = "***"

_SHORTEST = 6
"""Characters of a secret. Shorter ones would blot out words by chance."""

_TELLING = 8
"""Characters, beyond what all keys of a provider begin with, that are too much to show of either end of one."""

_SCHEME = re.compile(r"(?:[A-Za-z0-9]{1,6}[-_]){0,3}")


class Masker:
    """Replaces secrets by ``***``: whole, as JSON and URLs write them, and all but short pieces of their ends.

    What providers leave of a key themselves (``sk-proj-***wxyz``) stays.
    """

    __slots__ = ("_ends", "_forms")

    def __init__(self, secrets: Iterable[str]) -> None:
        known = {secret for secret in secrets if len(secret) >= _SHORTEST}
        # The longest first: one secret may be the beginning of another.
        self._forms = sorted({form for secret in known for form in _forms(secret)}, key=lambda form: (-len(form), form))
        self._ends: list[tuple[str, str, str]] = []
        for secret in sorted(known):
            scheme = _SCHEME.match(secret)
            least = (scheme.end() if scheme else 0) + _TELLING
            if least + _TELLING <= len(secret):
                self._ends.append((secret, secret[:least], secret[-_TELLING:]))

    def __call__(self, text: AnyStr) -> AnyStr:
        """*text* without the secrets."""
        if isinstance(text, bytes):
            # Whatever is not UTF-8 comes back as it was.
            return self._masked(text.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")
        return self._masked(text)

    def _masked(self, text: str) -> str:
        for form in self._forms:
            if form in text:
                text = text.replace(form, MASK)
        for secret, beginning, end in self._ends:
            text = _without_beginning(text, secret, beginning)
            text = _without_end(text, secret, end)
        return text


def masker(secrets: Iterable[str]) -> Masker:
    """Takes *secrets*, the keys of a provider, out of texts and bytes."""
    return Masker(secrets)


def _without_beginning(text: str, secret: str, beginning: str) -> str:
    while (start := text.find(beginning)) >= 0:
        size = len(beginning)
        while size < len(secret) and text.startswith(secret[size], start + size):
            size += 1
        text = text[:start] + MASK + text[start + size :]
    return text


def _without_end(text: str, secret: str, end: str) -> str:
    while (start := text.find(end)) >= 0:
        size = len(end)
        after = start + size
        while size < len(secret) and after > size and text[after - size - 1] == secret[-size - 1]:
            size += 1
        text = text[: after - size] + MASK + text[after:]
    return text


def _forms(secret: str) -> set[str]:
    plain = {secret, quote(secret, safe="")}
    once = plain | {written for form in plain for written in _in_json(form)}
    # Twice: a message may hold JSON, and is then written as JSON.
    return once | {written for form in once for written in _in_json(form)}


def _in_json(text: str) -> tuple[str, str, str]:
    written = json.dumps(text)[1:-1]
    return written, written.replace("/", r"\/"), json.dumps(text, ensure_ascii=False)[1:-1]
