"""The files that ``init`` writes."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import wrap

import yaml

from skyproxy.config.json_schema import FILE_NAME
from skyproxy.config.known import SLOTS, Known
from skyproxy.config.known_fields import fields_of
from skyproxy.util.private_files import open_private

CONFIG, KEYS, SCHEMA = "skyproxy.yaml", ".env", FILE_NAME
EDITORS_LINE = f"# yaml-language-server: $schema={SCHEMA}"
"""Names the schema to editors, by its path from the file that has the line."""

_HEAD = f"""\
{EDITORS_LINE}
# What skyproxy serves. `skyproxy check` tells what is wrong in here; `skyproxy reload` has it read again.
# Keys do not belong in here: they stand in .env beside this file.
"""

_INDENT = " " * 6

_COMMENTS = {
    "default": "Talk: the player waits for the first word.",
    "action_evaluation": "Judgements: short answers, many of them.",
    "memory": "Work in the background: it waits behind talk where requests queue up.",
}


class Exists(Exception):
    """A file is there already, and is not replaced."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """A provider that was chosen.

    :ivar models: by slot.
    """

    provider: Known
    models: Mapping[str, str]


def config_text(main: Chosen, others: Sequence[Chosen] = ()) -> str:
    """``skyproxy.yaml`` in which *main* serves all slots, and *others* stand by as their fallbacks."""
    lines = [_HEAD.rstrip(), "", "proxy:", "  listen: 35791    # for this machine alone", "", "providers:"]
    for each in (main, *others):
        provider = each.provider
        lines += [f"  {provider.name}:    # {provider.title}", f"    base_url: {_scalar(provider.base_url)}"]
        if provider.variable is not None:
            lines.append(f"    api_key_env: {provider.variable}")
        lines += _allowed(provider)
    lines += ["", "# The names that SkyrimNet asks for.", "model_slots:"]
    for slot, use in SLOTS.items():
        if slot in _COMMENTS:
            lines.append(f"  # {_COMMENTS[slot]}")
        lines += [
            f"  {slot}:",
            f"    provider: {main.provider.name}",
            f"    model: {_scalar(main.models.get(slot, ''))}",
        ]
        if use in ("talk", "judge"):
            lines.append("    enable_reasoning: false    # who thinks before speaking is silent for long")
        if use == "work":
            lines.append("    priority: background")
        fallbacks = [f"{each.provider.name}:{each.models[slot]}" for each in others if slot in each.models]
        if fallbacks:
            lines.append(f"    fallbacks: [{', '.join(map(_scalar, fallbacks))}]    # asked when the model fails")
    return "\n".join(lines) + "\n"


def _allowed(provider: Known) -> Iterator[str]:
    """What of SkyrimNet's requests goes up to a provider that refuses what it does not know."""
    fields = fields_of(provider.name)
    if fields:
        yield f"    allowed_fields: [    # {provider.title} would refuse others that SkyrimNet sends"
        yield from wrap(", ".join(fields), 110, initial_indent=_INDENT, subsequent_indent=_INDENT)
        yield "    ]"


def env_text(keys: Mapping[str, str]) -> str:
    """``.env`` with *keys* by their variables."""
    lines = ["# Keys of providers, as NAME=key. Nobody else should be able to read this file."]
    return "\n".join([*lines, *(f"{name}={key}" for name, key in keys.items())]) + "\n"


def write(folder: Path, files: Mapping[str, str]) -> list[Path]:
    """Write *files*, by their names, into *folder*: all of them or none, and none that is there already.

    They, and the folders that are made for them, are for their owner alone.

    :raise Exists: one is there.
    :raise OSError: one cannot be written.
    """
    there = [folder / name for name in files if os.path.lexists(folder / name)]
    if there:
        raise Exists(", ".join(map(str, there)))
    written: list[Path] = []
    try:
        for name, text in files.items():
            path = folder / name
            # O_EXCL: who makes the file meanwhile keeps it.
            descriptor = open_private(path, os.O_WRONLY | os.O_EXCL)
            written.append(path)
            with open(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
    except FileExistsError as error:
        _remove(written)
        raise Exists(str(error.filename)) from None
    except BaseException:
        _remove(written)
        raise
    return written


def _remove(paths: Sequence[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)


def _scalar(text: str) -> str:
    """*text* as a scalar of YAML, in quotes where it needs them."""
    dumped: str = yaml.safe_dump(text, default_flow_style=True, width=10_000, allow_unicode=True)
    return dumped.removesuffix("\n").removesuffix("...").rstrip()
