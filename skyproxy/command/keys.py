"""``skyproxy keys``: the keys of clients."""

from __future__ import annotations

import sys

import click

from skyproxy.access.keys import hash_of, new_key, trouble_with
from skyproxy.command.output import fail, show_json
from skyproxy.command.place import json_option


@click.group()
def keys() -> None:
    """Keys of clients: who may ask."""


@keys.command("hash")
@json_option
def hash_key(as_json: bool) -> None:
    """Print the hash of a key, for the configuration file. The key is read from the terminal or from a pipe."""
    key = click.prompt("Key", hide_input=True) if sys.stdin.isatty() else sys.stdin.readline()
    key = key.strip()
    if not key:
        fail("no key came: type it, or pipe it in", 2)
    trouble = trouble_with(key)
    if trouble is not None:
        fail(f"this is no key: {trouble}")
    if as_json:
        show_json({"key_hash": hash_of(key)})
    else:
        click.echo(hash_of(key))


@keys.command()
@click.argument("name")
@click.option("--for-file", is_flag=True, help="Keep nothing: print the lines for the configuration file.")
@json_option
def create(name: str, for_file: bool, as_json: bool) -> None:
    """Make a key for the client NAME. It is shown once."""
    key = new_key()
    if as_json:
        show_json({"name": name, "key": key, "key_hash": hash_of(key)})
        return
    click.echo(key)
    click.echo(f'clients:\n  {name}: {{key_hash: "{hash_of(key)}"}}', err=not for_file)
