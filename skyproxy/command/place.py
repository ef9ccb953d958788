"""Which configuration a command is about, and where the skyproxy of it is reached."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import urlsplit

import click

from skyproxy.command.output import fail, printable
from skyproxy.config import Config, ConfigError, load
from skyproxy.config.listen_address import address_in
from skyproxy.util.user_folders import place_for_others, user_home

config_option = click.option(
    "--config", "-c", type=click.Path(path_type=Path), help="A YAML file, or a folder with the configuration."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
url_option = click.option("--url", help="The address of a running skyproxy, such as http://127.0.0.1:35791/v1.")


def read_config(path: Path | None) -> Config:
    """The configuration at *path*, or where ``twistd skyproxy`` finds it.

    :raise SystemExit: it cannot be used; the reasons were printed.
    """
    try:
        return load(path, environ=os.environ, cwd=Path.cwd(), home=user_home())
    except ConfigError as error:
        fail(f"the configuration cannot be used:\n{error}")


def source_for_others(config: Config) -> str:
    """Where *config* stands, for who wants to edit it."""
    return config.source if config.found is None else str(place_for_others(Path(config.source)))


def url_of(config: Config) -> str | None:
    """The address of the API that *config* is served at; None if it has no port of its own."""
    addresses = map(address_in, config.proxy.listen)
    return next((each.url for each in addresses if each is not None and each.port), None)


def checked_url(url: str) -> str:
    """*url*, with ``http://`` if it has no scheme.

    :raise SystemExit: nobody can be asked by it.
    """
    url = url if "://" in url else f"http://{url}"
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # of the port, too
        good = False
    if not good or not url.isprintable() or " " in url:
        fail(f"{printable(url)} is no URL of http or https, such as http://127.0.0.1:35791/v1", 2)
    return url


def api_url(url: str | None, config: Config | None) -> str:
    """*url*, with ``/v1`` if it has no path; without it, that of *config*.

    :raise SystemExit: there is neither.
    """
    found = url or (url_of(config) if config is not None else None)
    if found is None:
        fail("which skyproxy? Name its address: --url http://127.0.0.1:35791/v1")
    found = checked_url(found).rstrip("/").removesuffix("/chat/completions")
    return found if re.search(r"://[^/]+/", found) else f"{found}/v1"
