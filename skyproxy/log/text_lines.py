"""A log event as a line for the eye."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from operator import itemgetter
from string import Formatter
from typing import Any

from twisted.logger import LogEvent

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
from skyproxy.log.redaction import Redactor
from skyproxy.log.severity import NAMES, severity_of

_INDENT = "    "
_PRINTED_AS_IT_IS = re.compile(r"[!#-&(-<>-\[\]-~]+").fullmatch
"""What is written as it is: what ASCII can show, but nothing that wants quotes."""
_MOST_FORMS = 64
_BARE = re.compile(r"[^\s\"'=\\]+").fullmatch


class TextLines:
    """Writes events as ``2026-01-01T12:00:00.123Z INFO skyproxy.pipeline.proxy  Message field=value …``.

    A field that the message itself shows is not repeated. Tracebacks follow, indented. What cannot be
    printed is escaped: nobody outside can make a line, or move a reader's cursor.

    :param redactor: applied to the whole line.
    """

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._timestamps = Timestamps()
        self._bare_fields = _BareFields()
        self._middles: dict[tuple[Any, str, str], str] = {}
        """Of events in PLAIN: what stands between the time and the fields, and is the same for many."""

    def line(self, event: LogEvent) -> bytes:
        """*event*, with the end of the line. It does not raise."""
        try:
            text = self._redactor.redact(self._plain_text(event) or self._text(event))
        except Exception as error:
            when = self._timestamps.of({})
            text = f"{when} ERROR {__name__}  Log event could not be written error={type(error).__name__}"
        return f"{text}\n".encode("utf-8", "backslashreplace")

    def _plain_text(self, event: LogEvent) -> str | None:
        """The text of an event with fields in PLAIN; None: it has none, or they are long. Requests are the events of
        which there are many: this takes them two thirds of the time.
        """
        fields = event.get(PLAIN)
        if not fields:
            return None
        kind = event["log_level"], event["log_format"], event["log_namespace"]
        try:
            middle = self._middles[kind]
        except KeyError:
            middle = self._middles[kind] = _escaped(f"{NAMES[severity_of(event)]} {kind[2]}  {kind[1]}")
        written = self._bare_fields.written(fields)
        if written is None:
            written = _escaped(" ".join([f"{key}={_written(value)}" for key, value in fields.items()]))
        # No value is longer than all of them.
        return None if len(written) > VALUE_LIMIT else f"{self._timestamps.of(event)} {middle} {written}"

    def _text(self, event: LogEvent) -> str:
        shown = _shown(event.get("log_format"))
        parts = [
            self._timestamps.of(event),
            NAMES[severity_of(event)],
            f"{event.get('log_namespace')} ",
            message_of(event, self._redactor),
        ]
        for key, value in fields_of(event, self._redactor).items():
            if key not in shown:
                parts.append(f"{key}={_written(value)}")
        failure = failure_of(event)
        if failure is None:
            return _escaped(" ".join(parts))
        parts.append(f"error={_written(error_of(failure, self._redactor))}")
        traceback = traceback_of(failure, self._redactor).splitlines()
        return "\n".join([_escaped(" ".join(parts)), *(_INDENT + _escaped(line) for line in traceback)])


def _shown(template: Any) -> frozenset[str]:
    """The names of the fields that *template* has."""
    if type(template) is not str or "{" not in template:
        return frozenset()
    try:
        return frozenset(name for _, name, _, _ in Formatter().parse(template) if name)
    except ValueError:
        return frozenset()


class _BareFields:
    """Writes fields that need no quotes, in one go for all that have the same names, with values of the same types."""

    def __init__(self) -> None:
        self._forms: dict[tuple[tuple[str, ...], tuple[type, ...]], tuple[str, Callable[..., Any], list[int]]] = {}

    def written(self, fields: Mapping[str, Any]) -> str | None:
        """*fields*, with spaces between them; None: there may be one that needs quotes."""
        values = [*fields.values()]
        kind = tuple(fields), tuple(map(type, values))
        form = self._forms.get(kind)
        if form is None:
            if len(self._forms) >= _MOST_FORMS:
                self._forms.clear()
            form = self._forms[kind] = _form(*kind)
        template, texts_of, truths = form
        texts = texts_of(values)
        if "" in texts or not _PRINTED_AS_IT_IS("".join(texts)):
            return None
        for place in truths:
            values[place] = "true" if values[place] else "false"
        return template % tuple(values)


def _form(names: tuple[str, ...], types: tuple[type, ...]) -> tuple[str, Callable[..., Any], list[int]]:
    """What values of these *types* are put into, what gives the texts among them, and where truths are."""
    places = [place for place, each in enumerate(types) if each is str]
    template = _escaped(" ".join([name.replace("%", "%%") + "=%s" for name in names]))
    texts_of = itemgetter(*places) if len(places) > 1 else lambda values: [values[place] for place in places]
    return template, texts_of, [place for place, each in enumerate(types) if each is bool]


def _written(value: Any) -> str:
    kind = type(value)
    if kind is str:
        return value if value.isalnum() else _written_text(value)
    elif kind is int or kind is float:
        return repr(value)
    elif kind is bool:
        return "true" if value else "false"
    return json.dumps(value, ensure_ascii=False)


@lru_cache(maxsize=512)
def _written_text(value: str) -> str:
    """The names of slots, models, providers are the same all the time."""
    return value if _BARE(value) else json.dumps(value, ensure_ascii=False)


def _escaped(text: str) -> str:
    return text if text.isprintable() else "".join(map(_escape, text))


def _escape(character: str) -> str:
    return character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
