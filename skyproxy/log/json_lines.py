"""A log event as one line of JSON."""

from __future__ import annotations

import re
from typing import Any

import orjson
from twisted.logger import LogEvent
from twisted.python.reflect import safe_repr

from skyproxy.log.events import (
    PLAIN,
    VALUE_LIMIT,
    Timestamps,
    error_of,
    failure_of,
    fields_of,
    message_of,
    traceback_of,
)
from skyproxy.log.redaction import REDACTED, Redactor
from skyproxy.log.severity import NAMES, severity_of

# Of Unicode's second set (ISO 6429), which JSON may have as they are, and by which terminals move their cursor, too.
_CONTROLS = re.compile(rb"\xc2[\x80-\x9f]")

_END_OF_LINE = orjson.OPT_APPEND_NEWLINE


class JsonLines:
    """Writes events as JSON: ``timestamp``, ``level``, ``message``, ``logger``, then the fields.

    A field that has the name of one of these four is left out. A failure adds ``error`` and ``traceback``.

    :param redactor: applied to everything but the names of those four.
    """

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._timestamps = Timestamps()
        # Of events in PLAIN: what follows the timestamp and is the same for many. None: not fit to be written.
        self._heads: dict[tuple[Any, str, str], bytes | None] = {}

    def line(self, event: LogEvent) -> bytes:
        """*event*, with the end of the line. It does not raise."""
        line = self._line(event)
        # Of few letters beyond ASCII the first byte is this one.
        return _CONTROLS.sub(_escaped, line) if b"\xc2" in line else line

    def _line(self, event: LogEvent) -> bytes:
        fields = event.get(PLAIN)
        if not fields:
            return self._any_line(event)
        try:
            kind = event["log_level"], event["log_format"], event["log_namespace"]
            try:
                head = self._heads[kind]
            except KeyError:
                head = self._heads[kind] = self._head(*kind)
            written = orjson.dumps(fields, None, _END_OF_LINE)
            # No value is longer than all of them.
            if head is None or len(written) > VALUE_LIMIT or self._redactor.found(written.decode()):
                return self._any_line(event)
            return b'{"timestamp":"%b",%b,%b' % (self._timestamps.of(event).encode(), head, written[1:])
        except Exception:
            return self._any_line(event)

    def _head(self, level: Any, message: str, namespace: str) -> bytes | None:
        head = orjson.dumps({"level": level.name.upper(), "message": message, "logger": namespace})[1:-1]
        return None if self._redactor.found(head.decode()) else head

    def _any_line(self, event: LogEvent) -> bytes:
        try:
            record = self._record(event)
            line = _encode(record)
            if self._redactor.found(line.decode()):
                line = _encode({key: self._redacted(value) for key, value in record.items()})
            return line
        except Exception as error:
            return _encode(
                {
                    "timestamp": self._timestamps.of({}),
                    "level": "ERROR",
                    "message": "Log event could not be written",
                    "logger": __name__,
                    "error": type(error).__name__,
                }
            )

    def _record(self, event: LogEvent) -> dict[str, Any]:
        record = {
            "timestamp": self._timestamps.of(event),
            "level": NAMES[severity_of(event)],
            "message": message_of(event, self._redactor),
            "logger": event.get("log_namespace"),
        }
        # The first decides the place, the last the value.
        record = {**record, **fields_of(event, self._redactor), **record}
        failure = failure_of(event)
        if failure is not None:
            record.setdefault("error", error_of(failure, self._redactor))
            record["traceback"] = traceback_of(failure, self._redactor)
        return record

    def _redacted(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._redactor.redact(value)
        if isinstance(value, list):
            return [self._redacted(item) for item in value]
        if isinstance(value, dict):
            return {self._redactor.redact(key): self._redacted(item) for key, item in value.items()}
        written = str(value)
        return value if self._redactor.redact(written) == written else REDACTED


def _escaped(letter: re.Match[bytes]) -> bytes:
    return b"\\u%04x" % letter[0][1]


def _encode(record: dict[str, Any]) -> bytes:
    try:
        return orjson.dumps(record, option=_END_OF_LINE)
    except TypeError:  # a lone surrogate, or a number of more than 64 bits within a list
        encodable = {key: _encodable(value) for key, value in record.items()}
        return orjson.dumps(encodable, option=_END_OF_LINE)


def _encodable(value: Any) -> str:
    text = value if isinstance(value, str) else safe_repr(value)
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
