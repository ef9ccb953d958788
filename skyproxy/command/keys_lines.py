"""The lines that ``skyproxy keys create --for-file`` prints, and where they belong."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import click
import yaml

from skyproxy.command.output import fail
from skyproxy.config.document import parse
from skyproxy.config.files import read_text


def print_lines(section: str, name: str, written: Mapping[str, Any], paths: Iterable[Path]) -> None:
    """Print *name* with what is *written* of it, in its *section*.

    :param paths: the files of the configuration. YAML takes a section once.
    :raise SystemExit: the lines would go to the end of one of them that has the section already.
    """
    place = _place(section, paths)
    if place is not None and _is_written_to(place[0]):
        fail(
            f"{_told(section, *place)}, and a section can stand there once only: type this without >>, and put the "
            "lines below that one"
        )
    if not sys.stdout.isatty():
        click.echo()  # the file that they are appended to may end without a line's end
    lines = yaml.safe_dump({section: {name: dict(written)}}, sort_keys=False, default_flow_style=None, width=200)
    click.echo(lines, nl=False)
    if place is not None:
        click.echo(f"{_told(section, *place)}: put the lines below that one, without the first.", err=True)


def _told(section: str, path: Path, line: int) -> str:
    return f"{path} has {section}: already, in line {line}"


def _place(section: str, paths: Iterable[Path]) -> tuple[Path, int] | None:
    """The file that has *section*, and its line there."""
    for path in paths:
        text = read_text(path, [])
        line = None if text is None else parse(str(path), text, []).lines.get((section,))
        if line is not None:
            return path, line
    return None


def _is_written_to(path: Path) -> bool:
    """Whether what is printed goes into *path*."""
    try:
        return os.path.samestat(os.fstat(sys.stdout.fileno()), path.stat())
    except (OSError, ValueError):
        return False
