"""``skyproxy deploy``: files with which others start skyproxy."""

from __future__ import annotations

import os
from importlib.resources import files

import click

KINDS = {
    "start": "start.bat" if os.name == "nt" else "start.sh",
    "start.bat": "start.bat",
    "start.sh": "start.sh",
    "systemd": "skyproxy.service",
    "systemd-socket": "skyproxy.socket",
    "container": "Containerfile",
    "compose": "compose.yaml",
    "kubernetes": "kubernetes.yaml",
}
"""What can be asked for, and the file in ``skyproxy/deploy`` that is printed."""


@click.command()
@click.argument("kind", type=click.Choice(list(KINDS)))
def deploy(kind: str) -> None:
    """Print the file KIND. Its first lines say what to do with it, and how far it was tried."""
    click.echo(files("skyproxy.deploy").joinpath(KINDS[kind]).read_text("utf-8"), nl=False)
