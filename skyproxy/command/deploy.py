"""``skyproxy deploy``: files with which others start skyproxy."""

from __future__ import annotations

import os
import sys
from importlib.resources import files
from pathlib import Path

import click

from skyproxy.command.output import fail

KINDS = {
    "start": "start.bat" if os.name == "nt" else "start.sh",
    "start.bat": "start.bat",
    "start.sh": "start.sh",
    "systemd": "skyproxy.service",
    "systemd-socket": "skyproxy.socket",
    "container": "Containerfile",
    "compose": "compose.yaml",
    "kubernetes": "kubernetes.yaml",
    "pyinstaller": "skyproxy.spec",
    "grafana": "grafana.json",
    "alerts": "alerts.yaml",
    "haproxy": "haproxy.cfg",
    "nginx": "nginx.conf",
}
"""What can be asked for, and the file in ``skyproxy/deploy`` that is printed."""

_KINDS_IN_WORDS = f"{', '.join(list(KINDS)[:-1])} or {list(KINDS)[-1]}"


@click.command(
    short_help="Print a file: for systemd, containers, Prometheus and others.", epilog=f"KIND is {_KINDS_IN_WORDS}."
)
@click.argument("kind", type=click.Choice(list(KINDS)), metavar="KIND")
@click.option("--output", "-o", type=click.Path(path_type=Path), help="Write it to this new file.")
def deploy(kind: str, output: Path | None) -> None:
    """Print the file KIND. Its first lines say what to do with it, and how far it was tried."""
    data = contents(KINDS[kind])
    if output is None:
        # As bytes: a terminal's line ends are not always the file's. Where there is no output, a log takes its place.
        click.echo(data if hasattr(sys.stdout, "buffer") else data.decode(), nl=False)
        return
    try:
        with output.open("xb") as file:
            file.write(data)
        if data.startswith(b"#!"):
            output.chmod(output.stat().st_mode | 0o111)
    except FileExistsError:
        fail(f"{output} is there already, and is not replaced: name another")
    except OSError as error:
        fail(f"cannot write {output}: {error.strerror}")
    click.echo(f"wrote {output}")


def contents(name: str) -> bytes:
    """The file *name*, with the line ends that its reader needs: cmd loses its way among labels without CRLF."""
    text = files("skyproxy.deploy").joinpath(name).read_text("utf-8").replace("\r\n", "\n")
    return (text.replace("\n", "\r\n") if name.endswith(".bat") else text).encode()
