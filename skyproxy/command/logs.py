"""``skyproxy logs``: the log in JSON lines, for the eye."""

from __future__ import annotations

import json
import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from datetime import date, datetime
from itertools import count
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import click

from skyproxy.command.output import fail, json_text, printable
from skyproxy.command.place import config_option, json_option, read_config
from skyproxy.command.telling import request_lines, request_of
from skyproxy.util.windows import open_shared

LEVELS = ("debug", "info", "warn", "error", "critical")

_COLOURS = {"DEBUG": "bright_black", "WARN": "yellow", "ERROR": "red", "CRITICAL": "red"}
_HEAD = frozenset({"timestamp", "level", "message", "logger", "traceback"})
_LOOK = 0.25
"""Seconds between two looks at a file that is followed."""
_LONGEST = 400
"""Characters that are shown of one value."""


@click.command()
@click.option("--follow", "-f", is_flag=True, help="Go on with what is written from now on.")
@click.option("--request", metavar="ID", help="Only the lines of this request (X-Request-Id).")
@click.option("--level", type=click.Choice(LEVELS), default="debug", help="Only lines of this level or above.")
@click.option(
    "-n",
    "--lines",
    type=click.IntRange(0),
    default=50,
    show_default=True,
    help="The number of lines, from the end; 0: all.",
)
@click.option("--file", "file", type=click.Path(path_type=Path), help="The log file; else the configuration's.")
@config_option
@json_option
def logs(
    follow: bool, request: str | None, level: str, lines: int, file: Path | None, config: Path | None, as_json: bool
) -> None:
    """Show the log of a skyproxy whose configuration has a log_file.

    With --request, and without --file, what a running skyproxy knows of that request comes first: what happened when,
    why, and what to change.
    """
    told = request_of(request) if request is not None and file is None and not as_json else None
    if told is not None:
        click.echo("\n".join([*request_lines(told), ""]))
        if read_config(config).proxy.log_file is None:
            return
    path = file or _file_of(config)
    wanted = Wanted(request, LEVELS.index(level))

    try:
        for record in _found(path, wanted, lines, follow):
            click.echo(json_text(record) if as_json else pretty(record))
    except KeyboardInterrupt:
        return


def _found(path: Path, wanted: Wanted, lines: int, follow: bool) -> Iterator[dict[str, Any]]:
    """The records that are shown. That they cannot be shown is no matter of the file's.

    :raise SystemExit: it cannot be read, and why was printed.
    """
    try:
        with open_shared(path) as opened:
            last, rest = _read(opened, wanted, lines or None)
            yield from _before(path, wanted, lines - len(last) if lines else None)
            yield from last
            if not last and not follow:
                _say_why(path, opened.tell(), wanted.request)
            for line in followed(path, opened, rest) if follow else ():
                found = wanted.record(line)
                if found is not None:
                    yield found
    except FileNotFoundError:
        fail(f"there is no log file {path} yet: it is made when skyproxy starts")
    except OSError as error:
        fail(f"the log file {path} cannot be read: {error.strerror}")


def _say_why(path: Path, size: int, request: str | None) -> None:
    """Say on the error stream why nothing is shown."""
    if not size:
        why = f"{path} is empty: nothing has been logged yet"
    elif request is not None:
        why = f"{path} has no line of request {request} of that level: is it an older one, in a file that was rotated?"
    else:
        why = f"{path} has no line in JSON of that level"
    click.echo(f"skyproxy: {why}", err=True)


class Wanted(NamedTuple):
    """Which records are shown.

    :ivar request: of this request only; None: of all.
    :ivar rank: of the lowest level, in :data:`LEVELS`.
    """

    request: str | None
    rank: int

    def record(self, line: bytes) -> dict[str, Any] | None:
        """The record in *line*; None if there is none, or it is not wanted."""
        record = parse(line)
        if record is None or (self.request is not None and record.get("request_id") != self.request):
            return None
        level = str(record.get("level", "")).lower()
        return record if level not in LEVELS or LEVELS.index(level) >= self.rank else None


def _read(opened: BinaryIO, wanted: Wanted, most: int | None) -> tuple[deque[dict[str, Any]], bytes]:
    """The last *most* records that are *wanted*, and the line that is still being written."""
    last: deque[dict[str, Any]] = deque(maxlen=most)
    for line in opened:
        if not line.endswith(b"\n"):
            return last, line
        if record := wanted.record(line):
            last.append(record)
    return last, b""


def _before(path: Path, wanted: Wanted, most: int | None) -> deque[dict[str, Any]]:
    """The last *most* records that are *wanted* of the full files that *path* was renamed to."""
    found: deque[dict[str, Any]] = deque()
    for number in count(1):
        left = None if most is None else most - len(found)
        if left == 0:
            break
        try:
            with open_shared(path.with_name(f"{path.name}.{number}")) as opened:
                found.extendleft(reversed(_read(opened, wanted, left)[0]))
        except OSError:
            break
    return found


def _file_of(config: Path | None) -> Path:
    found = read_config(config).proxy.log_file
    if found is None:
        fail("the configuration has no log_file: write proxy: {log_file: skyproxy.log}, or name one with --file")
    return Path.cwd() / found


def parse(line: bytes) -> dict[str, Any] | None:
    """The record in *line*; None if it is none, such as a torn line of a process that was killed."""
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) else None


def pretty(record: dict[str, Any]) -> str:
    """One line for the eye, a traceback below it."""
    level = str(record.get("level", "INFO"))
    when = _local(str(record.get("timestamp", "")))
    fields = " ".join(
        f"{click.style(printable(key), dim=True)}={_value(value)}" for key, value in record.items() if key not in _HEAD
    )
    severity = click.style(f"{printable(level):5}", fg=_COLOURS.get(level))
    line = f"{printable(when)} {severity} {_value(record.get('message', ''))}  {fields}".rstrip()
    traceback = record.get("traceback")
    return line if not traceback else line + "\n" + printable(str(traceback), keep="\n")


def _local(timestamp: str) -> str:
    """The time of day here, as the page and other commands tell times, of a *timestamp* in UTC; of another day with its
    date.
    """
    try:
        when = datetime.fromisoformat(timestamp.replace("Z", "+00:00")).astimezone()
    except (ValueError, OverflowError, OSError):
        return timestamp
    day = "" if when.date() == date.today() else f"{when.date()} "
    return f"{day}{when:%H:%M:%S}.{when.microsecond // 1000:03}"


def _value(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = printable(text)
    return f"{text[:_LONGEST]}…" if len(text) > _LONGEST else text


def followed(
    path: Path, opened: BinaryIO, rest: bytes = b"", sleep: Callable[[float], object] = time.sleep
) -> Iterator[bytes]:
    """The whole lines that are written to *path* from now on, also after it was rotated or emptied.

    :param rest: of a line whose end is not there yet.
    :param sleep: waits between two looks.
    """
    current = opened
    # Where the number of a file is another at each look, as on mapped drives of Windows, it tells nothing.
    numbered = not _is_another(path, current)
    try:
        while True:
            moved = numbered and _is_another(path, current)
            # What was written before the file was moved is there by now.
            data = current.read()
            if data:
                *lines, rest = (rest + data).split(b"\n")
                yield from (line + b"\n" for line in lines)
            if moved:
                if current is not opened:
                    current.close()
                current, rest = open_shared(path), b""
            elif not data:
                sleep(_LOOK)
                if os.fstat(current.fileno()).st_size < current.tell():
                    current.seek(0)
                    rest = b""
    finally:
        if current is not opened:
            current.close()


def _is_another(path: Path, opened: BinaryIO) -> bool:
    try:
        return not os.path.samestat(path.stat(), os.fstat(opened.fileno()))
    except OSError:
        return False
