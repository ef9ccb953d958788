"""Other proxies' files, as a configuration of skyproxy's.

LiteLLM: https://docs.litellm.ai/docs/proxy/configs. The original SkyrimNet proxy's two files are read as they are; here
they become one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from skyproxy.command.init.writing import CONFIG, EDITORS_LINE, KEYS, env_text
from skyproxy.config.document import parse
from skyproxy.config.files import ENV_FILE, PROVIDERS_FILE, ROUTES_FILE, read_text
from skyproxy.config.known import BY_NAME
from skyproxy.config.problems import Problem

_LITELLM = {
    "openai": "openai", "openrouter": "openrouter", "gemini": "google", "mistral": "mistral", "groq": "groq",
    "zai": "zai", "ollama": "ollama", "ollama_chat": "ollama", "lm_studio": "lmstudio", "llamafile": "llamacpp",
}  # fmt: skip
"""LiteLLM's prefixes of models: the providers that they mean."""

_SERVERS_OF_ONES_OWN = frozenset({"openai", "hosted_vllm", "custom_openai", "text-completion-openai"})
"""Prefixes that, with an ``api_base``, mean any server that speaks OpenAI's API."""

_REFERENCE = re.compile(r"os\.environ/([A-Za-z_][A-Za-z0-9_]*)")

_KEPT = ("temperature", "top_p", "max_tokens", "stop", "seed", "presence_penalty", "frequency_penalty")
"""``litellm_params`` that are fields of a request's body."""

_HEAD = f"""\
{EDITORS_LINE}
# Made by `skyproxy init --import`. `skyproxy check` tells what is wrong in here.
"""


class NotImported(Exception):
    """The files are none that can be read. The text says why."""


def imported(source: Path) -> tuple[dict[str, str], list[str]]:
    """The files of a configuration made from *source*, LiteLLM's ``config.yaml`` or the original's folder.

    :return: the texts by the files' names, and what the user should know of what could not be taken over.
    :raise NotImported: it is neither.
    """
    if source.is_dir():
        # The founding proxy is started beside its folder `config`: either is its folder.
        inner = source / "config"
        return _original(inner if not (source / PROVIDERS_FILE).exists() and inner.is_dir() else source)
    document = _read(source)
    if "model_list" in document:
        return _litellm(document)
    if {"providers", "model_slots"} & document.keys():
        return _original(source.parent)
    raise NotImported(
        f"{source} is no file of LiteLLM's (it has no model_list) nor of the original proxy's ({PROVIDERS_FILE}, "
        f"{ROUTES_FILE})"
    )


def _read(path: Path) -> dict[str, Any]:
    text = _text(path)
    try:
        document = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, AttributeError, LookupError, ArithmeticError, RecursionError):
        # The parser's own words repeat the line, which may be that of a key.
        problems: list[Problem] = []
        parse(str(path), text, problems)
        raise NotImported("\n".join(map(str, problems)) or f"{path} cannot be read") from None
    if not isinstance(document, dict):
        raise NotImported(f"{path} is no mapping of keys to values")
    return document


def _text(path: Path) -> str:
    """What *path* holds, in any encoding that a start reads, with plain line ends."""
    problems: list[Problem] = []
    text = read_text(path, problems)
    if text is None:
        raise NotImported(str(problems[0]))
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _original(folder: Path) -> tuple[dict[str, str], list[str]]:
    """Its two files, below each other, with their comments; and its .env."""
    parts, notes = [_HEAD], []
    documents = []
    for name in (PROVIDERS_FILE, ROUTES_FILE):
        path = folder / name
        documents.append(_read(path))
        parts.append(f"\n# From {name}\n{_text(path).rstrip()}\n")
    twice = sorted(set(documents[0]) & set(documents[1]))
    if twice:
        # One key cannot stand in a file twice: what the files say of it is put together, and its comments are lost.
        merged = {**documents[0], **documents[1]}
        for key in twice:
            merged[key] = {**_mapping(documents[0][key]), **_mapping(documents[1][key])}
        parts = [_HEAD, _dump(merged)]
        notes.append(f"both files have {', '.join(twice)}: they were put together, and the comments are left out")
    files = {CONFIG: "".join(parts)}
    for env in (folder / ENV_FILE, folder.parent / ENV_FILE):
        if env.is_file():
            files[KEYS] = _text(env)
            break
    else:
        notes.append("there was no .env: put the keys into one beside the new file")
    return files, notes


def _litellm(document: Mapping[str, Any]) -> tuple[dict[str, str], list[str]]:
    translation = _Translation()
    models = document["model_list"]
    for number, each in enumerate(models if isinstance(models, list) else (), 1):
        translation.add(number, _mapping(each))
    settings = {**_mapping(document.get("litellm_settings")), **_mapping(document.get("router_settings"))}
    translation.fall_back(settings.get("fallbacks"))
    if isinstance(settings.get("num_retries"), int):
        translation.defaults["max_retries"] = settings["num_retries"]
    timeout = settings.get("request_timeout", settings.get("timeout"))
    if isinstance(timeout, (int, float)) and timeout > 0:
        translation.defaults["default_timeout"] = timeout
    general = _mapping(document.get("general_settings"))
    if "master_key" in general:
        translation.notes.append("master_key: skyproxy asks nobody for a key on this machine; clients may keep theirs")
    if not translation.slots:
        raise NotImported("\n".join(["no model in model_list could be taken over", *translation.notes]))
    made = {
        "proxy": {"listen": 35791, "fallback_to_default": "default" in translation.slots},
        **({"defaults": translation.defaults} if translation.defaults else {}),
        "providers": translation.providers,
        "model_slots": translation.slots,
    }
    files = {CONFIG: f"{_HEAD}\n{_dump(made)}"}
    if translation.keys:
        files[KEYS] = env_text(translation.keys)
    return files, translation.notes


class _Translation:
    """What LiteLLM's entries come to."""

    def __init__(self) -> None:
        self.providers: dict[str, dict[str, Any]] = {}
        self.slots: dict[str, dict[str, Any]] = {}
        self.defaults: dict[str, Any] = {}
        self.keys: dict[str, str] = {}
        self.notes: list[str] = []

    def add(self, number: int, entry: Mapping[str, Any]) -> None:
        """One entry of ``model_list``. Of several with one name, the later ones stand by for the first."""
        name, given = entry.get("model_name"), _mapping(entry.get("litellm_params"))
        model = given.get("model")
        if not isinstance(name, str) or not isinstance(model, str):
            self.notes.append(f"model_list, entry {number}: has no model_name, or no model; left out")
            return
        if "*" in name:
            self.notes.append(f"{name}: names with * are not needed; ask for provider:model")
            return
        prefix, _, rest = model.partition("/")
        base = given.get("api_base")
        known = _LITELLM.get(prefix if rest else "openai")
        if known is None and not isinstance(base, str):
            self.notes.append(f"{name}: {prefix} is no provider that skyproxy knows; left out (give it an api_base)")
            return
        upstream = (rest or model) if known is not None or prefix in _SERVERS_OF_ONES_OWN else model
        provider = self._provider(prefix if rest else "openai", known, base if isinstance(base, str) else None, given)
        slot: dict[str, Any] = {"provider": provider, "model": upstream}
        params = {key: given[key] for key in _KEPT if key in given}
        if params:
            slot["params"] = params
        timeout = given.get("timeout")
        if isinstance(timeout, (int, float)) and timeout > 0:
            slot["default_timeout"] = timeout
        if name in self.slots:
            self.slots[name].setdefault("fallbacks", []).append(f"{provider}:{upstream}")
        else:
            self.slots[name] = slot

    def fall_back(self, fallbacks: Any) -> None:
        """``fallbacks``, a list of mappings from a model to those that stand by for it."""
        for each in fallbacks if isinstance(fallbacks, list) else ():
            for name, others in _mapping(each).items():
                for other in others if isinstance(others, list) else ():
                    if name in self.slots and other in self.slots:
                        self.slots[name].setdefault("fallbacks", []).append(other)
                    else:
                        self.notes.append(f"fallback of {name} to {other}: there is no such model; left out")

    def _provider(self, prefix: str, known: str | None, base: str | None, given: Mapping[str, Any]) -> str:
        url = base.rstrip("/") if base is not None else BY_NAME[known or ""].base_url
        if known == "ollama" and not url.endswith("/v1"):
            url = f"{url}/v1"
        # A server of one's own is called by its host: the prefix would make it OpenAI.
        its_own = known is not None and (base is None or url == BY_NAME[known].base_url)
        name = known if known is not None and its_own else _host_in(url) or prefix
        name = re.sub(r"[^A-Za-z0-9_-]", "-", name)
        variable = self._variable(given.get("api_key"), name, known if its_own else None)
        wanted: dict[str, Any] = {"base_url": url, **({"api_key_env": variable} if variable else {})}
        limit = given.get("max_parallel_requests")
        if isinstance(limit, int) and limit > 0:
            wanted["max_concurrent"] = limit
        number = 1
        unique = name
        while unique in self.providers and self.providers[unique] != wanted:
            number += 1
            unique = f"{name}{number}"
        self.providers[unique] = wanted
        return unique

    def _variable(self, key: Any, name: str, known: str | None) -> str | None:
        usual = BY_NAME[known].variable if known is not None else None
        if key is None:
            return usual
        reference = _REFERENCE.fullmatch(str(key))
        if reference is not None:
            return reference[1]
        # A key in the file itself goes to .env, under a name of its own.
        own = re.sub(r"[^A-Z0-9]", "_", name.upper())
        # The name of a variable begins with no digit, as a host may.
        base = usual or (f"KEY_{own}_API_KEY" if own[:1].isdigit() else f"{own}_API_KEY")
        variable, number = base, 1
        while self.keys.get(variable, key) != key:
            number += 1
            variable = f"{base}_{number}"
        self.keys[variable] = str(key)
        return variable


def _host_in(url: str) -> str:
    """Host and port; empty where *url* is none: `skyproxy check` tells what is wrong with it."""
    try:
        return urlsplit(url).netloc.rpartition("@")[2]
    except ValueError:
        return ""


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _dump(value: Mapping[str, Any]) -> str:
    dumped: str = yaml.safe_dump(dict(value), sort_keys=False, allow_unicode=True, width=110)
    return dumped
