"""From files and the environment to one checked configuration, or to all that is wrong with it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import Any

from skyproxy.config import placement
from skyproxy.config.access import AccessSettings
from skyproxy.config.access_reading import read_access
from skyproxy.config.document import Document, parse
from skyproxy.config.fallbacks import check_fallbacks
from skyproxy.config.files import (
    ENV_FILE,
    Source,
    closed_folders,
    find,
    near_misses,
    not_read,
    places,
    read_text,
)
from skyproxy.config.filling import fill_store, fill_telemetry
from skyproxy.config.halves import left_out
from skyproxy.config.hints import hints
from skyproxy.config.homes import HOMES, OF_DEFAULTS, OF_PROXY, OF_SLOTS
from skyproxy.config.kept_answers import refuse_missing_stores
from skyproxy.config.key_doubts import doubts_of_keys
from skyproxy.config.plain_files import is_file
from skyproxy.config.prices import read_prices
from skyproxy.config.problems import ConfigError, Problem, named
from skyproxy.config.profiles import read_profiles, read_token
from skyproxy.config.providers import read_ca_files, read_providers, set_proxies
from skyproxy.config.proxy_settings import Address, ProxySettings
from skyproxy.config.rates import read_rates
from skyproxy.config.schema import Config, ProviderDefaults, SlotConfig
from skyproxy.config.sections import Section, refuse_unknown_sections, section_named
from skyproxy.config.text_files import digests_of
from skyproxy.config.variables import Variables
from skyproxy.util.close_matches import nearest

EMBEDDED = "embedded default"

_ADDRESS_KEYS = tuple(Address.model_fields)
_PROXY_KEYS = tuple(ProxySettings.model_fields)
_DEFAULTS_KEYS = tuple(ProviderDefaults.model_fields)
_SLOT_KEYS = tuple(key for key in SlotConfig.model_fields if key != "name")
_IN_ENVIRONMENT = ("max_connections", "max_pending", "max_concurrent")
_LIMIT = re.compile(r"SKYPROXY_(?:DEFAULT_)?MAX_\w+", re.IGNORECASE)


def load(
    path: Path | None,
    *,
    environ: Mapping[str, str],
    cwd: Path,
    home: Path | None,
    listen: str | None = None,
    log_file: str | None = None,
    log_level: str | None = None,
    workers: str | None = None,
    source: Source | None = None,
    instead: Mapping[Path, str] = MappingProxyType({}),
) -> Config:
    """Read and check a configuration.

    :param path: a YAML file, or a folder with ``providers.yaml`` and ``routes.yaml``, or with
        ``skyproxy.yaml``. None: ``./skyproxy.yaml``, ``./config/``, the user's configuration folder (which goes first
        where nobody chose *cwd*), or else the embedded default.
    :param environ: the process's environment; stronger than a ``.env`` beside the configuration.
    :param cwd: where relative paths begin that the command line has; those in a file begin beside it.
    :param home: the user's home folder, if there is one.
    :param listen: stronger than the file's; so are *log_file*, *log_level* and *workers*.
    :param source: where it was found before: it is read again from there, and from nowhere else.
    :param instead: texts that are taken for those of some of its files.
    :raise ConfigError: with everything that is wrong.
    """
    problems: list[Problem] = []
    if source is None:
        source = find(path, environ=environ, cwd=cwd, home=home, problems=problems)
    if problems:
        raise ConfigError(problems)
    read: list[Path] = []
    digests = {} if source is None else digests_of((*source.files, *source.env_files))
    if source is None:
        text = files("skyproxy.config").joinpath("default.yaml").read_text("utf-8")
        documents = [parse(EMBEDDED, text, problems)]
        variables = Variables(environ, ())
    else:
        documents = _read_documents(source, instead, read, problems)
        variables = _read_variables(source, environ, read, problems)
    overrides = {"listen": listen, "log_file": log_file, "log_level": log_level, "workers": workers}
    command_line = {key: value for key, value in overrides.items() if value is not None}

    doubts = [each for document in documents for each in document.doubts]
    folder = cwd if source is None else source.folder
    refuse_unknown_sections(documents, problems, HOMES)
    of_proxy = fill_telemetry(section_named(documents, "proxy", problems), variables, problems)
    of_proxy = fill_store(of_proxy, variables, problems)
    proxy = _proxy(of_proxy, command_line, cwd, folder, problems)
    general = _defaults(section_named(documents, "defaults", problems), variables, problems, doubts)
    provider_section = section_named(documents, "providers", problems)
    if not provider_section.values and not problems:
        problems.append(provider_section.problem((), f"at least one provider is needed{left_out(source)}"))
    providers = read_providers(provider_section, general, variables, problems)
    of_proxies = set_proxies(providers, environ)
    ca_files = read_ca_files(provider_section, providers, folder, problems)
    slot_section = section_named(documents, "model_slots", problems)
    slots = _slots(slot_section, list(provider_section.values), problems)
    if proxy is not None:
        refuse_missing_stores(proxy, provider_section, providers, problems)
        refuse_missing_stores(proxy, slot_section, slots, problems)
    prices = read_prices(section_named(documents, "prices", problems), problems)
    profiles = read_profiles(
        section_named(documents, "profiles", problems), slot_section.values, provider_section.values, problems
    )
    access, clients = read_access(documents, folder, slot_section.values, provider_section.values, problems)
    rates = read_rates(documents, proxy, slot_section.values, problems)
    token = read_token(variables, problems)
    if problems or proxy is None:
        raise ConfigError(_sorted([*problems, *doubts], documents))
    searched = places(environ=environ, cwd=cwd, home=home) if source is None else (*source.files, *source.env_files)
    warnings = (
        *_of_places(searched, source is None),
        *(f"{source.label}{half}." for half in [left_out(source)] if source is not None and half),
        *(_of_hidden(source, environ, cwd, home) if source is not None and path is None else ()),
        *map(str, doubts),
        *variables.warnings,
        *doubts_of_keys(providers.values(), variables),
        *hints(proxy, providers, slots, variables, access),
        *of_proxies,
        *_of_own_files(proxy, access, read, environ, home),
    )
    return Config(
        proxy=proxy,
        providers=providers,
        model_slots=slots,
        prices=prices,
        profiles=profiles,
        rates=rates,
        clients=clients,
        access=access,
        profile_token=token,
        digests=digests,
        source=EMBEDDED if source is None else source.label,
        found=source,
        paths=(*read, *ca_files),
        watched=(*searched, *ca_files),
        warnings=warnings,
    )


def _of_places(searched: Sequence[Path], demo: bool) -> list[str]:
    found = []
    if demo:
        names = ", ".join(map(str, searched))
        found.append(
            f"This is the demo: no provider is asked, for there is no configuration. Searched were {names}. "
            "`skyproxy init` writes one."
        )
        found += [f"{each} is closed to this user: what is in it is not read." for each in closed_folders(searched)]
    found += not_read(searched)
    found += [f"{near} is not read: rename it to {path}." for near, path in near_misses(searched)]
    return found


def _of_hidden(source: Source, environ: Mapping[str, str], cwd: Path, home: Path | None) -> list[str]:
    """Configurations in the working folder that are not read, though they are there: the user's own went first."""
    usual = places(environ=environ, cwd=cwd, home=home)
    after = usual[2:] if source.files[0] in usual[:2] and usual[0].parent != cwd else ()
    return [
        f"{path} is not read: where skyproxy is started from a shortcut, or in a folder that nobody chose, your own "
        f"folder goes first. Name the other one with --config."
        for path in after
        if is_file(path)
    ]


def _of_own_files(
    proxy: ProxySettings, access: AccessSettings, read: Sequence[Path], environ: Mapping[str, str], home: Path | None
) -> list[str]:
    cache = proxy.cache.path
    named = (cache, proxy.log_file, proxy.costs_file, proxy.bodies.file, access.store)
    private = [*(path for path in read if path.name == ENV_FILE), *named]
    found = (
        None if cache is None else placement.of_cache(cache, environ, home),
        placement.of_rights([path for path in private if path is not None], home),
    )
    return [each for each in found if each is not None]


def _read_documents(
    source: Source, instead: Mapping[Path, str], read: list[Path], problems: list[Problem]
) -> list[Document]:
    documents = []
    for file in source.files:
        text = instead[file] if file in instead else read_text(file, problems)
        if text is None:
            documents.append(Document(str(file)))
        else:
            read.append(file)
            documents.append(parse(str(file), text, problems))
    return documents


def _read_variables(source: Source, environ: Mapping[str, str], read: list[Path], problems: list[Problem]) -> Variables:
    env_files = []
    for file in source.env_files:
        text = read_text(file, problems) if is_file(file) else None
        if text is not None:
            read.append(file)
            env_files.append((file, text))
    return Variables(environ, env_files)


def _proxy(
    section: Section, command_line: Mapping[str, str], cwd: Path, folder: Path, problems: list[Problem]
) -> ProxySettings | None:
    section.refuse_unknown((*_PROXY_KEYS, *_ADDRESS_KEYS), problems, OF_PROXY)
    given: dict[str, Any] = {}
    if any(section.values.get(key) is not None for key in _ADDRESS_KEYS):
        if section.values.get("listen") is not None:
            problems.append(section.problem(("listen",), "must not stand beside listen_address and listen_port"))
        address = section.check(Address, _ADDRESS_KEYS, problems)
        if address is not None:
            given["listen"] = address.endpoints()
    section = section.replaced(command_line, Document("command line"))
    settings = section.check(ProxySettings, _PROXY_KEYS, problems, **given)
    if settings is None:
        return None
    return settings.below(folder, *(cwd if key in command_line else folder for key in ("log_file", "listen")))


def _defaults(section: Section, variables: Variables, problems: list[Problem], doubts: list[Problem]) -> dict[str, Any]:
    """What every provider gets that does not say otherwise, where it is not what is built in."""
    section.refuse_unknown(_DEFAULTS_KEYS, problems, OF_DEFAULTS)
    general = section.check(ProviderDefaults, _DEFAULTS_KEYS, problems)
    values = {} if general is None else general.model_dump(exclude_unset=True)
    for key in _IN_ENVIRONMENT:
        variable = f"SKYPROXY_DEFAULT_{key.upper()}"
        place, line, text = variables.get(variable)
        if not text:
            continue
        try:
            given = ProviderDefaults.model_validate({key: int(text)}).model_dump()[key]
        except ValueError:  # pydantic's own error is one, too
            least = "0" if key == "max_pending" else "1"
            problems.append(Problem(place, line, variable, f"must be a whole number, {least} or more"))
            continue
        if values.setdefault(key, given) != given:
            doubts.append(Problem(place, line, variable, f"has no effect, for defaults.{key} is {values[key]}"))
    known = [f"SKYPROXY_DEFAULT_{key.upper()}" for key in _IN_ENVIRONMENT]
    for name in variables.names:
        if _LIMIT.fullmatch(name) and name.upper() not in known:
            place, line, _ = variables.get(name)
            doubts.append(Problem(place, line, name, "is not read", nearest(name, known)))
    return values


def _slots(section: Section, providers: Sequence[str], problems: list[Problem]) -> dict[str, SlotConfig]:
    slots = {}
    for name in section.values:
        entry = section.part(name, problems)
        if entry is None:
            continue
        entry.refuse_unknown(_SLOT_KEYS, problems, OF_SLOTS)
        slot = entry.check(SlotConfig, _SLOT_KEYS, problems, name=name)
        provider = entry.values.get("provider")
        # Without any provider, their absence is a problem already.
        if providers and isinstance(provider, str) and provider not in providers:
            suggestion = nearest(provider, providers)
            message = (
                "names no provider" if suggestion else f"names no provider; there are {named(', '.join(providers))}"
            )
            problems.append(entry.problem(("provider",), message, suggestion))
        if slot is not None:
            slots[name] = slot
    if providers:
        check_fallbacks(section, slots, providers, problems)
    return slots


def _sorted(problems: Sequence[Problem], documents: Sequence[Document]) -> list[Problem]:
    order = [document.name for document in documents]

    def place(problem: Problem) -> tuple[int, int]:
        return order.index(problem.file) if problem.file in order else len(order), problem.line or 0

    return sorted(problems, key=place)
