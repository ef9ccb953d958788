"""No key in the log, however it came there."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from urllib.parse import quote, quote_plus

REDACTED = "[redacted]"

_SHORTEST_SECRET = 6
"""Characters. Shorter ones would blot out words by chance."""

_BEARER = r"(?i:(bearer(?:\s|\+|%20|\\t)+))[A-Za-z0-9._~+/=%-]{8,}"
_KEY = r"(?<![A-Za-z0-9])(?:sk-|sky-|gsk_|AIza)[A-Za-z0-9_-]{8,}"


class Redactor:
    """Replaces secrets by ``[redacted]``: those given, bearer tokens, what looks like a known provider's key.

    :param secrets: as they are; found as they are and as JSON, ``repr`` or a URL writes them. Those of less
        than 6 characters are not looked for.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        forms = {form for secret in secrets if len(secret) >= _SHORTEST_SECRET for form in _forms(secret)}
        # The longest first: one secret may be the beginning of another.
        self._forms = sorted(forms, key=lambda form: (-len(form), form))
        self._pattern = re.compile("|".join([*map(re.escape, self._forms), _BEARER, _KEY]))

    def found(self, text: str) -> bool:
        """Whether *text* may hold a secret.

        Searches for constant strings: on a line without any, several times as fast as the pattern.
        """
        for form in self._forms:
            if form in text:
                return True
        if "sk-" in text or "sky-" in text or "gsk_" in text or "bearer" in text.lower():
            return True
        # One rare letter is found, or not, many times as fast as a word.
        return "z" in text and "AIza" in text

    def redact(self, text: str) -> str:
        """*text* without its secrets."""
        return self._pattern.sub(_replacement, text) if self.found(text) else text

    def redact_beginning(self, text: str) -> str:
        """The same of *text* that was cut: what it ends with may be the beginning of a secret, too."""
        text = self.redact(text)
        for form in self._forms:
            for size in range(min(len(form) - 1, len(text)), _SHORTEST_SECRET - 1, -1):
                if text.endswith(form[:size]):
                    return text[:-size] + REDACTED
        return text


def _replacement(match: re.Match[str]) -> str:
    return (match.group(1) or "") + REDACTED


def _forms(secret: str) -> set[str]:
    """*secret* in every way in which it may be written; most keys have one."""
    percent = {quote(secret, safe=""), quote(secret), quote_plus(secret)}
    plain = {secret, repr(secret)[1:-1], *percent, *(_lower_escapes(form) for form in percent)}
    # Twice: a field may hold JSON, and is then written as JSON.
    escaped = plain | {written for form in plain for written in _in_json(form)}
    return escaped | {written for form in escaped for written in _in_json(form)}


def _lower_escapes(text: str) -> str:
    return re.sub("%[0-9A-F]{2}", lambda match: match.group().lower(), text)


def _in_json(text: str) -> tuple[str, str, str]:
    written = json.dumps(text)[1:-1]
    return written, written.replace("/", r"\/"), json.dumps(text, ensure_ascii=False)[1:-1]
