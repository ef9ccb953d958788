"""What is installed: which configuration, and what the user should know of it before."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from skyproxy.command.service.program import Interpreter, Program, arguments_of, executable_of
from skyproxy.config import Config, ConfigError, load

_LEAST_STOP_SECONDS = 30
_MARGIN_SECONDS = 10


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be installed.

    :ivar config: that it will serve by.
    :ivar notes: what works, but perhaps not as meant.
    """

    program: Program
    config: Config
    notes: tuple[str, ...]


def plan(
    path: Path | None,
    game: str | None,
    this: Interpreter,
    *,
    environ: Mapping[str, str],
    cwd: Path,
    home: Path,
) -> Plan:
    """The plan for the configuration at *path*, or where ``skyproxy run`` finds it now.

    :param game: that the service waits for; None: it serves at once.
    :param this: how skyproxy was started.
    :raise ConfigError: the configuration cannot be used.
    """
    config = load(path, environ=environ, cwd=cwd, home=home)
    place = None if config.found is None else cwd / config.found.label
    folder = home if place is None else place if place.is_dir() else place.parent
    program = Program((*executable_of(this), *arguments_of(place, game)), folder, _stop_seconds(config))
    notes = [*_of_demo(config), *([] if this.windows else _of_environment(config, place, home))]
    return Plan(program, config, tuple(notes))


def _stop_seconds(config: Config) -> int:
    """That a stop may take."""
    own = math.ceil(config.proxy.stop_delay + config.proxy.drain_timeout)
    return max(_LEAST_STOP_SECONDS, own + _MARGIN_SECONDS)


def _of_demo(config: Config) -> list[str]:
    if config.found is not None:
        return []
    return ["There is no configuration, so that the demo will answer until `skyproxy init` has written one."]


def _of_environment(config: Config, place: Path | None, home: Path) -> list[str]:
    """What the configuration takes from the environment of this terminal, which a service does not get."""
    try:
        alone = load(place, environ={}, cwd=home, home=home) if place is not None else config
    except ConfigError as error:
        return [f"The service does not see the variables of this terminal, and cannot use the configuration:\n{error}"]
    lost = [
        f"{key.variable} (provider {name})"
        for name, provider in config.providers.items()
        for key in provider.api_keys
        if key.variable not in {each.variable for each in alone.providers[name].api_keys}
    ]
    if not lost:
        return []
    return [
        "The service does not see the variables of this terminal: write them as NAME=key into .env beside the "
        f"configuration: {', '.join(lost)}"
    ]
