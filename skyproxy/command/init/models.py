"""Asking a provider which models it has. That costs no tokens."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException

from skyproxy.command.trust import trust_for
from skyproxy.config.known import LOCAL, Known
from skyproxy.config.proxies import SystemProxies

_LARGEST = 32 * 1024 * 1024
_LOOK_SECONDS = 1.0


class NoModels(Exception):
    """The list cannot be had. The text says why.

    :ivar refused: the provider refuses the key.
    """

    def __init__(self, text: str, *, refused: bool = False) -> None:
        super().__init__(text)
        self.refused = refused


def models_of(base_url: str, key: str | None, timeout: float = 20.0) -> list[str]:
    """The names of the models that are served at *base_url*.

    :param timeout: seconds, of each wait.
    :raise NoModels: nobody answers, or refuses.
    """
    headers = {"Accept": "application/json", "User-Agent": "skyproxy"}
    if key:
        headers["Authorization"] = f"Bearer {key}"
    try:
        request = urllib.request.Request(f"{base_url}/models", headers=headers)
        with _opener(base_url).open(request, timeout=timeout) as answer:
            told = json.loads(answer.read(_LARGEST))
    except urllib.error.HTTPError as error:
        refused = error.code in (401, 403)
        said = "refuses the key" if refused else "has no list of models"
        raise NoModels(f"{base_url} {said} (status {error.code})", refused=refused) from None
    except (OSError, ValueError, HTTPException) as error:  # the last: what answers speaks no HTTP
        why = getattr(error, "reason", error) or type(error).__name__
        why = getattr(why, "strerror", None) or why
        raise NoModels(f"no list of models from {base_url}: {why}") from None
    listed = told.get("data", told.get("models", told)) if isinstance(told, dict) else told
    # Ollama says null where it has none. Any program may be at a usual port, such as SkyrimNet's page at llama.cpp's.
    if listed is not None and not isinstance(listed, list):
        raise NoModels(f"{base_url} has no list of models")
    names = [each.get("id", each.get("name")) for each in listed or () if isinstance(each, dict)]
    return [name.removeprefix("models/") for name in names if isinstance(name, str) and name]


def local_servers(places: tuple[Known, ...] = LOCAL) -> Mapping[str, list[str]]:
    """The servers that answer on this machine, with their models."""

    def look(place: Known) -> list[str] | None:
        try:
            return models_of(place.base_url, None, _LOOK_SECONDS)
        except NoModels:
            return None

    with ThreadPoolExecutor(len(places)) as pool:
        found = list(zip(places, pool.map(look, places), strict=True))
    return {place.name: models for place, models in found if models is not None}


def _opener(base_url: str) -> urllib.request.OpenerDirector:
    """What speaks HTTP alone: urllib's own opens files, too, and follows a redirection, with the key, to anybody.

    As skyproxy itself, it asks this machine and private addresses without the system's proxy.
    """
    via, _ = SystemProxies(os.environ).of(base_url)
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler({} if via is None else None),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(context=trust_for(base_url)),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.UnknownHandler(),
    ):
        opener.add_handler(handler)
    return opener
