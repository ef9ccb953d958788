"""The providers of a configuration, with what they need from elsewhere: keys, proxies, authorities."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import SecretStr

from skyproxy.config import key_rules
from skyproxy.config.authorities import read_certificates
from skyproxy.config.filling import fill_headers
from skyproxy.config.homes import HOMES, MADE_OF_PROVIDER, TIMEOUTS
from skyproxy.config.hosts import is_loopback
from skyproxy.config.problems import Problem
from skyproxy.config.proxies import SystemProxies, own_proxy
from skyproxy.config.resilience import ApiKeyConfig
from skyproxy.config.schema import LOOPBACK_CONNECT_TIMEOUT, ProviderConfig
from skyproxy.config.sections import Section
from skyproxy.config.variables import Variables

_PROVIDER_KEYS = tuple(key for key in ProviderConfig.model_fields if key not in MADE_OF_PROVIDER)
_NAMES_OF_KEYS = ("api_key", "apiKey", "apikey", "api-key", "key", "token", "secret", "password")
_API_KEY = (
    "unknown key: write api_key_env with the name of a variable, and the key itself into .env, as NAME=key (a key that "
    "has stood in a file that others may read is to be replaced)"
)
_ELSEWHERE = {
    **HOMES,
    **dict.fromkeys(_NAMES_OF_KEYS, _API_KEY),
    **dict.fromkeys(("url", "api_base", "api_url", "baseURL", "endpoint", "host"), "unknown key: write base_url"),
    **TIMEOUTS,
    "models": "unknown key: each model takes a slot of its own, which stands under `model_slots:`",
    **dict.fromkeys(("provider", "model"), "unknown key: this belongs to a slot, which stands under `model_slots:`"),
}


def read_providers(
    section: Section, general: Mapping[str, Any], variables: Variables, problems: list[Problem]
) -> dict[str, ProviderConfig]:
    """The providers of *section*, with their keys; those without problems.

    :param general: what each gets that does not say otherwise.
    """
    providers = {}
    for name in section.values:
        entry = section.part(name, problems)
        if entry is None:
            continue
        entry.refuse_unknown(_PROVIDER_KEYS, problems, _ELSEWHERE)
        entry, secrets = fill_headers(entry, variables, problems)
        provider = entry.check(ProviderConfig, _PROVIDER_KEYS, problems, name=name, **general)
        if provider is not None:
            provider = provider.model_copy(update={"header_secrets": secrets})
            providers[name] = _with_keys(_with_timeout(provider), variables, problems)
    return providers


def _with_timeout(provider: ProviderConfig) -> ProviderConfig:
    """*provider* with the shorter time for connections within this machine, if nobody says how long they may take.

    There a connection is made at once or never; a closed port of Windows is tried for 2 s.
    """
    url = urlsplit(provider.base_url)
    # A handshake takes the processor of the server, which may have much else to do.
    if "connect_timeout" in provider.model_fields_set or url.scheme == "https" or not is_loopback(url.hostname or ""):
        return provider
    return provider.model_copy(update={"connect_timeout": LOOPBACK_CONNECT_TIMEOUT})


def _with_keys(provider: ProviderConfig, variables: Variables, problems: list[Problem]) -> ProviderConfig:
    if provider.api_key_env is None:
        return provider
    keys = []
    for variable in provider.api_key_env:
        place, line, value = variables.get(variable)
        if not value:
            continue
        try:
            keys.append(ApiKeyConfig(variable=variable, secret=SecretStr(key_rules.key(value)), place=place))
        except ValueError as error:
            problems.append(Problem(place, line, variable, str(error)))
    if not keys:
        return provider.model_copy(update={"key_missing": " or ".join(provider.api_key_env)})
    return provider.model_copy(update={"api_keys": tuple(keys), "api_key": keys[0].secret})


def set_proxies(providers: dict[str, ProviderConfig], environ: Mapping[str, str]) -> list[str]:
    """Have each of *providers* know the proxy on the way to it.

    :return: warnings.
    """
    system = SystemProxies(environ)
    warnings: dict[str, None] = {}
    for name, provider in providers.items():
        if provider.proxy_url is None:
            found, warning = system.of(provider.base_url)
        else:
            found, warning = own_proxy(name, provider.proxy_url, provider.base_url)
        if warning is not None:
            warnings[warning] = None
        if found is not None:
            providers[name] = provider.model_copy(update={"via": found})
    return list(warnings)


def read_ca_files(
    section: Section, providers: dict[str, ProviderConfig], folder: Path, problems: list[Problem]
) -> list[Path]:
    """Have each of *providers* that names a file of authorities know them.

    :param folder: where relative paths begin.
    :return: the files.
    """
    files = []
    for name, provider in providers.items():
        if provider.ca_file is None:
            continue
        file = folder / provider.ca_file
        try:
            providers[name] = provider.model_copy(update={"ca_certificates": read_certificates(file)})
        except ValueError as error:
            problems.append(section.problem((name, "ca_file"), str(error)))
        files.append(file)
    return files
