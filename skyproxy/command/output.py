"""What commands print: tables, JSON, and complaints; and what is piped into them."""

from __future__ import annotations

import codecs
import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from traceback import walk_tb
from typing import Any, NoReturn

import click

WRONG = 1
"""The exit code when something is wrong; click itself ends with 2 when a command was typed wrong."""


NEW_LINE = "\n"
"""What may stay of what moves a reader's cursor, in lines that are put together here."""


def show_json(value: Any) -> None:
    """Print *value* as one JSON document."""
    click.echo(json_text(value, indent=2))


def json_text(value: Any, indent: int | None = None) -> str:
    """*value* as JSON for the standard output. Where that is not in UTF-8, as pipes on Windows are not, all letters
    beyond ASCII are escaped: its code page does not have all of them, and who reads JSON does not expect one.
    """
    encoding = getattr(sys.stdout, "encoding", None) or "ascii"
    return json.dumps(value, indent=indent, ensure_ascii=codecs.lookup(encoding).name != "utf-8")


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Columns as wide as their longest cell, two spaces apart. Without rows it is the head alone."""
    lines = [list(head), *([printable(str(cell)) for cell in row] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def seconds(value: float | None) -> str:
    """A time for people: ``4.12 ms``, ``412 ms``, ``3.20 s``; ``-`` for None."""
    if value is None:
        return "-"
    if value >= 1:
        return f"{value:.2f} s"
    return f"{value * 1000:.2f} ms" if value < 0.01 else f"{value * 1000:.0f} ms"


def piped_key() -> str:
    """A key: the first line of the standard input, in whatever encoding. PowerShell may begin it with a mark."""
    line = sys.stdin.buffer.readline()
    for mark in (codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        line = line.removeprefix(mark)
    return line.replace(b"\0", b"").decode("utf-8", "replace").strip()


def piped_lines() -> Iterator[str]:
    """The lines of the standard input as they come: in UTF-8, else in the code page of the system."""
    for line in iter(sys.stdin.buffer.readline, b""):
        try:
            yield line.decode("utf-8-sig")
        except UnicodeDecodeError:
            yield line.decode(sys.stdin.encoding or "utf-8", "replace")


def printable(text: str, keep: str = "") -> str:
    """*text* without what moves a reader's cursor.

    :param keep: such letters as are to stay.
    """
    return "".join(letter if letter.isprintable() or letter in keep else ascii(letter)[1:-1] for letter in text)


def was_printing(error: OSError) -> bool:
    """Whether *error* came of printing, as on a full disk."""
    *_, (frame, _) = walk_tb(error.__traceback__)
    return frame.f_code is click.echo.__code__


def print_no_more() -> None:
    """Drop what is printed from now on, and what is left of what was: the interpreter tries that again at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def fail(message: str, code: int = WRONG) -> NoReturn:
    """End with *message* on the error stream."""
    click.echo(f"skyproxy: {printable(message, keep=NEW_LINE)}", err=True)
    raise SystemExit(code)
