"""What a provider's key may be, and the name of the variable that holds it."""

from __future__ import annotations

import re

_VISIBLE_ASCII = re.compile(r"[\x21-\x7e]+")
_CURLY = "\u2018\u2019\u201a\u201c\u201d\u201e\u00ab\u00bb"
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_REFERENCE = re.compile(r"\$\{?[A-Za-z_]\w*\}?|%\w+%")

_HEADER = re.compile(r"(authorization\s*:\s*)?bearer[\s:]", re.IGNORECASE)

_BEGIN_KEYS = ("sk_", "gsk_", "hf_", "xai_", "nvapi_", "AIza")
"""How keys begin that have the letters of a variable's name."""


def variable(value: str) -> str:
    """The name of an environment variable.

    :raise ValueError: it cannot be one, or looks like the key itself.
    """
    if _REFERENCE.fullmatch(value):
        raise ValueError("must be the name of an environment variable alone: leave out $, { } and %")
    if "," in value and all(_VARIABLE.fullmatch(each.strip()) for each in value.split(",")):
        raise ValueError("must be the name of one environment variable: several go into a list, such as [ONE, TWO]")
    # Keys of Groq, Google and Mistral have the letters of a variable's name; the name is shown, a key never.
    looks_like_key = len(value) >= 20 and re.search("[0-9]", value) and re.search("[a-z]", value)
    if not _VARIABLE.fullmatch(value) or looks_like_key or value.startswith(_BEGIN_KEYS):
        raise ValueError("must be the name of an environment variable, not the key itself, which goes into .env")
    return value


def key(value: str) -> str:
    """A provider's key.

    :raise ValueError: it has characters that a header cannot hold, or more than the key.
    """
    header = _HEADER.match(value)
    if header is not None:
        before = "Authorization: and the word Bearer" if header[1] else "the word Bearer"
        raise ValueError(f"must be the key alone: leave out {before}")
    if value[0] in _CURLY or value[-1] in _CURLY:
        raise ValueError("must be the key alone: leave out the curly quotes")
    if value[-1] in ",;":
        raise ValueError("must be the key alone: leave out the comma or semicolon at its end")
    if not _VISIBLE_ASCII.fullmatch(value):
        raise ValueError("must be ASCII without spaces, line breaks and control characters")
    return value
