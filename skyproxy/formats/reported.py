"""Errors that a provider reports in an answer whose status says that all is well."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from skyproxy.errors import ErrorKind, UpstreamReported
from skyproxy.formats.error_body import error_of_object
from skyproxy.formats.error_kinds import ACTIONS, kind_of, stated_status
from skyproxy.formats.error_words import words_of_error


def reported(value: Mapping[str, Any], dialect: str = "openai") -> UpstreamReported:
    """The error that *value*, a provider's error object, is.

    Its status is what it states, as a number or as digits, or else that of its kind.
    """
    error = error_of_object(dict(value))
    kind, status = kind_of(200, error, dialect), stated_status(error)
    if kind is ErrorKind.CLIENT and error.type is None and error.message and not value.get("message"):
        # A number beside words of any shape, after all was said to be well, does not say that the request is wrong.
        kind, status = ErrorKind.BROKEN, None
    action = ACTIONS[kind]
    return UpstreamReported(
        value,
        said=words_of_error(error),
        kind=kind,
        status=status or action.status,
        retryable=action.same_again,
        for_the_next=action.next_candidate,
        retry_delay=error.retry_delay,
    )
