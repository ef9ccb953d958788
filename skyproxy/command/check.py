"""``skyproxy check``: everything that a start would find, without starting."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click

from skyproxy.command.budget_check import costly_step_downs, unpriced
from skyproxy.command.missing_keys import of_missing_keys
from skyproxy.command.output import NEW_LINE, WRONG, printable, seconds, show_json, table
from skyproxy.command.place import config_option, json_option, source_for_others
from skyproxy.config import Config, ConfigError, ProviderConfig, load
from skyproxy.config.known import BY_NAME, SLOTS
from skyproxy.config.model_names import parse_model_name
from skyproxy.util.user_folders import user_home

HEAD = ("slot", "provider", "model", "key")
LIVE_HEAD = (*HEAD, "answer", "first token")


@dataclass(frozen=True, slots=True)
class Found:
    """What was found.

    :ivar config: None: it cannot be used.
    :ivar errors: what keeps skyproxy from starting, or a slot from being served.
    :ivar warnings: what works, but perhaps not as meant.
    :ivar live: what each slot, and each provider as ``provider:``, answered, and its time to first token; None: nobody
        was asked.
    :ivar notes: what is as it should be, and good to know.
    """

    config: Config | None
    errors: tuple[str, ...]
    warnings: tuple[str, ...]
    live: Mapping[str, tuple[str, str]] | None = None
    notes: tuple[str, ...] = ()

    def rows(self) -> Iterator[tuple[str, str, str, str]]:
        """A row for each slot and each of its fallbacks that is no slot itself."""
        if self.config is None:
            return
        for name, slot in self.config.model_slots.items():
            yield name, slot.provider, slot.model, key_of(self.config.providers[slot.provider])
            for fallback in slot.fallbacks:
                provider, model = parse_model_name(fallback)
                if fallback not in self.config.model_slots and provider in self.config.providers:
                    yield f"  {name}'s fallback", provider, model, key_of(self.config.providers[provider])

    def table(self) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
        """Head and rows of what is shown."""
        rows = list(self.rows())
        if self.live is None:
            return HEAD, list(rows)
        live = self.live
        none = ("-", "-")
        return LIVE_HEAD, [(*row, *live.get(row[0], live.get(f"{row[1]}:", none))) for row in rows]


@click.command(short_help="Find all mistakes in a configuration, without starting.")
@config_option
@click.option("--live", is_flag=True, help="Test each key that is needed, at its provider. That spends no tokens.")
@click.option("--tokens", is_flag=True, help="With --live: have each slot answer with one token.")
@json_option
def check(config: Path | None, live: bool, tokens: bool, as_json: bool) -> None:
    """Look for everything that is wrong with a configuration, without starting.

    The exit code is 0 if skyproxy would start and could serve each slot. A key is "good" only if a wrong key is
    refused in the same place; where nothing free tells, it is "not tested".
    """
    if tokens and not live:
        raise click.UsageError("--tokens takes --live")
    found = look(config, environ=os.environ, cwd=Path.cwd(), home=user_home())
    if found.config is not None:
        found = with_ports(found, found.config)
    if live and found.config is not None:
        found = with_live(found, found.config, tokens=tokens)
    if as_json:
        show_json(for_programs(found))
    else:
        _show(found)
    raise SystemExit(WRONG if found.errors else 0)


def look(path: Path | None, *, environ: Mapping[str, str], cwd: Path, home: Path | None) -> Found:
    """Read the configuration at *path*, or where it is found, and look at what it names."""
    try:
        config = load(path, environ=environ, cwd=cwd, home=home)
    except ConfigError as error:
        return Found(None, tuple(str(each) for each in error.problems), ())
    keys = of_missing_keys(config)
    others = tuple(warning for warning in config.warnings if warning not in keys)
    without_price = list(unpriced(config))
    return Found(
        config,
        (
            *_of_files(config, cwd),
            *_of_access(config, environ, home),
            *keys,
            *(each.text for each in without_price if each.none),
        ),
        (
            *others,
            *(each.text for each in without_price if not each.none),
            *costly_step_downs(config),
            *_of_skyrimnet(config),
        ),
    )


def with_ports(found: Found, config: Config) -> Found:
    """*found*, with what keeps skyproxy from listening: who serves already by *config* does not."""
    from skyproxy.command.ports import Ports
    from skyproxy.command.running import all_running

    ports = Ports(config.source, [status for _, status in all_running()])
    ports.look(config.proxy.listen)
    return replace(
        found,
        errors=(*found.errors, *ports.errors),
        warnings=(*found.warnings, *ports.warnings),
        notes=tuple(dict.fromkeys((*found.notes, *ports.notes))),
    )


def _another_key(provider: ProviderConfig) -> str:
    """Where another key of *provider* is made; empty: nobody knows."""
    page = BY_NAME[provider.name].key_page if provider.name in BY_NAME else ""
    return f"; make another key at {page}" if page else ""


def with_live(found: Found, config: Config, *, tokens: bool) -> Found:
    """*found*, with what the providers say of their keys."""
    from skyproxy.command.live import check_live, key_text, providers_asked
    from skyproxy.upstream.key_check import unlisted

    reports, answers = check_live(config, tokens=tokens)
    live = {f"{each.name}:": (key_text(each, reports), "-") for each in config.providers.values()}
    errors = [
        f"provider {provider.name}: {f'{report.variable}: ' if report.variable else ''}{report.result}: {report.text}"
        f"{_another_key(provider) if report.result == 'refused' else ''}"
        for provider in providers_asked(config)
        for report in reports.get(provider.name, ())
        if report.result in ("refused", "no answer")
    ]
    for provider_name in dict.fromkeys(slot.provider for slot in config.model_slots.values()):
        errors += unlisted(config, provider_name, reports.get(provider_name, ()))
    for name, answer in answers.items():
        failed = answer if isinstance(answer, str) else answer.error
        result = live[f"{config.model_slots[name].provider}:"][0]
        live[name] = (failed or result, "-" if isinstance(answer, str) else seconds(answer.first_token))
        if failed:
            errors.append(f"slot {name}: {failed}")
    return replace(found, errors=(*found.errors, *errors), live=live)


def key_of(provider: ProviderConfig) -> str:
    """Whether its keys are there, by the names of their variables."""
    if provider.api_key_env is None:
        return "wants none"
    if provider.key_missing is not None:
        return f"{provider.key_missing} is not set"
    return ", ".join(key.variable for key in provider.api_keys)


def _of_skyrimnet(config: Config) -> Iterator[str]:
    """What SkyrimNet asks for besides, where the configuration is for it: it has one of its own names."""
    missing = [name for name in SLOTS if name not in config.model_slots]
    if missing and len(missing) < len(SLOTS) and not config.proxy.fallback_to_default:
        yield (
            f"SkyrimNet also asks for {', '.join(missing)}: such requests are answered by 400. Add these slots, or "
            "write proxy: {fallback_to_default: true}"
        )


def _of_files(config: Config, cwd: Path) -> Iterator[str]:
    from skyproxy.cache.ownership import ANSWERS
    from skyproxy.util.own_database import NotUsable

    if config.proxy.cache.path is not None:
        try:
            ANSWERS.check(config.proxy.cache.path)
        except NotUsable as error:
            yield f"proxy.cache.path: {error}"
    if config.proxy.log_file is not None:
        why_not = _why_not_written(cwd / config.proxy.log_file)
        if why_not is not None:
            yield f"proxy.log_file: {why_not}"


def _why_not_written(log_file: Path) -> str | None:
    """Why a start cannot write *log_file*; None: it can, as far as can be seen. It makes folders that are missing."""
    from skyproxy.log.rotation import refuse_foreign

    there = next((each for each in (log_file, *log_file.parents) if os.path.lexists(each)), log_file.parent)
    try:
        refuse_foreign(log_file)
    except OSError as error:
        return f"{log_file} cannot be used: {error.strerror}"
    if there == log_file and log_file.is_dir():
        return f"{log_file} is a folder: name a file in it"
    if there != log_file and not there.is_dir():
        return f"{there} is no folder: name another place"
    if not os.access(there, os.W_OK):
        return f"{there} cannot be written to by this user"
    return None


def _of_access(config: Config, environ: Mapping[str, str], home: Path | None) -> Iterator[str]:
    """What keeps skyproxy from starting because of who may ask."""
    from skyproxy.access.access import Access
    from skyproxy.config.hints import is_public
    from skyproxy.process.access_control import how_to_mend
    from skyproxy.process.places import client_store

    access = Access(lambda config: client_store(config, environ, home))
    try:
        access.use(config, access.prepare(config))
    except ConfigError as error:
        yield str(error)
        return
    access.listens(any(map(is_public, config.proxy.listen)))
    if access.lets_nobody_in:
        yield f"proxy.listen: {how_to_mend(config, access.public)}"


def _show(found: Found) -> None:
    if found.config is not None:
        click.echo(f"Configuration: {source_for_others(found.config)}")
        click.echo(table(*found.table()))
    for note in found.notes:
        click.echo(f"note: {printable(note, keep=NEW_LINE)}")
    for warning in found.warnings:
        click.echo(f"warning: {printable(warning, keep=NEW_LINE)}")
    for error in found.errors:
        click.echo(f"error: {printable(error, keep=NEW_LINE)}", err=True)
    if not found.errors:
        click.echo("All is well." if not found.warnings else "It can start.")


def for_programs(found: Found) -> dict[str, Any]:
    head, rows = found.table()
    return {
        "good": not found.errors,
        "configuration": None if found.config is None else found.config.source,
        "slots": [dict(zip(head, (cell.strip() for cell in row), strict=True)) for row in rows],
        "errors": list(found.errors),
        "warnings": list(found.warnings),
        "notes": list(found.notes),
    }
