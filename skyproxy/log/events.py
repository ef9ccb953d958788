"""What a log event holds, as plain values of bounded size: what every form of the log shares.

For the keys of an event see https://docs.twisted.org/en/stable/core/howto/logger.html.
"""

from __future__ import annotations

import reprlib
import time
from collections.abc import Collection, Mapping
from datetime import datetime, timezone
from typing import Any

from twisted.logger import LogEvent, LogLevel, formatEvent
from twisted.python.failure import Failure
from twisted.python.reflect import safe_repr

from skyproxy.log.redaction import Redactor

VALUE_LIMIT = 2048
"""Characters of a field's value, and of a message, that are kept."""

PLAIN = "log_plain"
"""Key of an event whose other fields are also here, as a dict: for a form of the log that has a short way for them.

Each is a str, int, float or bool, and none has the name of what every line has. The message is a constant.
"""

_TRACEBACK_LIMIT = 16 * 1024
_REDACTED_AHEAD = 4 * VALUE_LIMIT
"""Characters searched for secrets before a value is cut: a secret cut in two would not be found."""

_LEGACY_KEYS = frozenset({"format", "time", "system", "isError", "failure", "why", "printed", "message"})
_MOST_ITEMS = 50
_SIZES: dict[type, int] = {int: 20, float: 20, bool: 5, type(None): 4}

# Whole strings as far as they are searched: otherwise reprlib cuts in their middle, and maybe in a secret's.
_repr = reprlib.Repr()
_repr.maxstring = _repr.maxother = 2 * _REDACTED_AHEAD
_repr.maxlist = _repr.maxtuple = _repr.maxset = _repr.maxfrozenset = _repr.maxdict = _MOST_ITEMS


def notice(level: LogLevel, message: str, **fields: Any) -> LogEvent:
    """An event of the log's own, which is not published: it is for one file."""
    return {
        "log_time": time.time(),
        "log_level": level,
        "log_namespace": "skyproxy.telemetry",
        "log_format": message,
        **fields,
    }


class Timestamps:
    """ISO 8601, UTC, with milliseconds and Z. Keeps what is the same for all events of one second."""

    def __init__(self) -> None:
        self._last: tuple[float, str] = (0, "1970-01-01T00:00:00")

    def of(self, event: LogEvent) -> str:
        """When *event* happened; now, if it does not tell."""
        when = event.get("log_time")
        milliseconds = (time.time() if when is None else when) * 1000
        begin, text = self._last
        if not begin <= milliseconds < begin + 1000:
            second = int(milliseconds) // 1000
            begin, text = second * 1000, datetime.fromtimestamp(second, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S")
            self._last = begin, text
        return f"{text}.{int(milliseconds - begin):03d}Z"


def failure_of(event: LogEvent) -> Failure | None:
    """The failure that *event* tells of, in Twisted's new manner or in the old one."""
    failure = event.get("log_failure") or event.get("failure")
    return failure if isinstance(failure, Failure) else None


def message_of(event: LogEvent, redactor: Redactor) -> str:
    """The message, formatted."""
    template = event.get("log_format")
    if "log_failure" not in event and isinstance(event.get("failure"), Failure):
        # The old manner puts the traceback into the text.
        return bounded(str(event.get("why") or "Unhandled Error"), redactor)
    if type(template) is str and "{" not in template and "}" not in template:
        return template
    return bounded(formatEvent(event), redactor)


def fields_of(event: LogEvent, redactor: Redactor) -> dict[str, Any]:
    """The fields, as values that JSON knows."""
    fields: dict[str, Any] = {}
    for key, value in event.items():
        if key.startswith("log_") or key in _LEGACY_KEYS:
            continue
        kind = type(value)
        if kind is str:
            fields[key] = value if len(value) <= VALUE_LIMIT else bounded(value, redactor)
        elif kind is float or kind is bool or value is None or (kind is int and -(2**63) <= value < 2**63):
            fields[key] = value
        else:
            fields[key] = _plain(value, redactor)
    return fields


def traceback_of(failure: Failure, redactor: Redactor) -> str:
    """The traceback. A long one loses its middle."""
    try:
        text = redactor.redact(failure.getTraceback())
    except Exception:
        return "(no traceback could be made)"
    if len(text) <= _TRACEBACK_LIMIT:
        return text
    half = _TRACEBACK_LIMIT // 2
    return f"{text[:half]}\n...\n{text[-half:]}"


def error_of(failure: Failure, redactor: Redactor) -> str:
    """The kind of error, and what it says."""
    name = getattr(failure.type, "__name__", "Error")
    try:
        text = failure.getErrorMessage()
    except Exception:
        return str(name)
    return bounded(f"{name}: {text}", redactor)


def bounded(text: str, redactor: Redactor) -> str:
    """*text*, cut. No part of a secret stays where the cut goes through it."""
    if len(text) <= VALUE_LIMIT:
        return text
    text = redactor.redact(text[:_REDACTED_AHEAD])
    return text if len(text) <= VALUE_LIMIT else text[: VALUE_LIMIT - 3] + "..."


def _plain(value: Any, redactor: Redactor) -> Any:
    """A small flat collection as it is, anything else as its bounded ``repr``."""
    if isinstance(value, str):
        return bounded(str.__str__(value), redactor)
    if isinstance(value, (bytes, bytearray)):
        return bounded(repr(bytes(value[:_REDACTED_AHEAD])), redactor)
    if isinstance(value, (list, tuple, set, frozenset)):
        return list(value) if _is_small(value) else bounded(_repr.repr(value), redactor)
    if isinstance(value, Mapping):
        small = len(value) <= _MOST_ITEMS and _is_small([*value, *value.values()])
        if small and all(type(key) is str for key in value):
            return dict(value)
        return bounded(_repr.repr(value), redactor)
    return bounded(safe_repr(value), redactor)


def _is_small(values: Collection[Any]) -> bool:
    if len(values) > 2 * _MOST_ITEMS:
        return False
    sizes = (len(item) if type(item) is str else _SIZES.get(type(item), VALUE_LIMIT) for item in values)
    return sum(sizes) < VALUE_LIMIT
