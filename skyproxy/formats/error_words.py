"""What people are told of a provider's error."""

from __future__ import annotations

from typing import Any

from skyproxy.formats.error_body import ErrorBody, error_of_object, read_error

_LONGEST_RAW = 4096
"""Characters that are looked at of what another provider said."""


def told_within(error: ErrorBody) -> ErrorBody | None:
    """What the message of *error* says, where it is an error in JSON, as gateways pass on what they were told
    (https://github.com/ericc-ch/copilot-api/issues/208); None if it is none.
    """
    if not error.message.lstrip().startswith("{"):
        return None
    inner = read_error(error.message[:_LONGEST_RAW].encode("utf-8", "replace"), b"")
    return None if inner.value is None else inner


def words_of_error(error: ErrorBody) -> str:
    """The message of *error*, and in brackets what another provider told the one that passes it on.

    OpenRouter's message is "Provider returned error" then, which helps nobody; the reason is in ``metadata``, as text
    or as that provider's own body (https://openrouter.ai/docs/api-reference/errors).
    """
    metadata = (error.value or {}).get("metadata")
    if not isinstance(metadata, dict):
        within = told_within(error)
        return error.message if within is None or not within.message else within.message
    inner = _inner(metadata.get("raw"))
    if not inner or inner in error.message:
        return error.message
    name = metadata.get("provider_name")
    by = f"{name}: " if isinstance(name, str) and name else ""
    return f"{error.message} ({by}{inner})"


def _inner(raw: Any) -> str:
    if isinstance(raw, dict):
        message = error_of_object(raw).message
        if message:
            return message
        raw = raw.get("data")
    return read_error(raw[:_LONGEST_RAW].encode("utf-8", "replace"), b"").message if isinstance(raw, str) else ""
