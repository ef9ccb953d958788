"""How many tokens a model reads at once, as the error says that refuses a longer request."""

from __future__ import annotations

import re

from skyproxy.formats.error_body import ErrorBody
from skyproxy.formats.error_words import words_of_error

_NUMBER = r"(?P<tokens{}>\d[\d,]*)"
# The words, and their sources, are those of the rows in skyproxy/formats/length_rows.py.
_PATTERNS = (
    r"maximum context (?:length|limit) (?:is |of |\()" + _NUMBER,
    r"tokens? > " + _NUMBER + r" maximum",
    r"maximum number of (?:input )?tokens allowed \(?" + _NUMBER,
    r"model only supports up to " + _NUMBER,
    r"exceed context window of " + _NUMBER,
    r"context length (?:is|of) only " + _NUMBER,
    r"reached context length of " + _NUMBER,
    r"n_ctx \(" + _NUMBER,
    r"maximum prompt length is " + _NUMBER,
    r"model with " + _NUMBER + r" maximum context",
    r"exceeded model token limit: " + _NUMBER,
    r"input length should be \[\d+, ?" + _NUMBER,
    r"token count of \d+ exceeds the limit of " + _NUMBER,
    r"greater than max_seq_len " + _NUMBER,
    r"context window limit \(" + _NUMBER,
    r"exceeds maximum input length " + _NUMBER,
    r"configured context size is " + _NUMBER,
    r"must be less than (?:or equal to )?max_seq_len \(" + _NUMBER,
)
_TOLD = re.compile("|".join(each.format(number) for number, each in enumerate(_PATTERNS)), re.IGNORECASE)

_LONGEST = 2000
"""Characters of what a provider says that are looked at."""
_LEAST, _MOST = 64, 10**9


def told_window(error: ErrorBody) -> int | None:
    """The tokens that *error* tells, which says that a request is too long; None: it does not tell them."""
    # llama.cpp: https://github.com/ggml-org/llama.cpp/pull/15780
    tokens = (error.value or {}).get("n_ctx")
    if not isinstance(tokens, int):
        found = _TOLD.search(words_of_error(error)[:_LONGEST])
        if found is None or found.lastgroup is None:
            return None
        tokens = int(found[found.lastgroup].replace(",", ""))
    return tokens if _LEAST <= tokens <= _MOST else None
