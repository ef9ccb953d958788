"""Addresses that can be a provider's, but are hardly that of its API."""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import ip_address
from urllib.parse import urlsplit

from skyproxy.config.hosts import is_loopback, is_private
from skyproxy.config.listen_address import address_in

_OF_REQUESTS = re.compile(
    r"/(?:chat|completions?|embeddings|responses|models|generate|api/generate|api/chat|api/v[01](?:/.*)?|api|v0(?:/.*)?)/?$"
)
"""Ends of paths that are of one request, or of another API of a local server."""

_APIS = {
    "openrouter.ai": "/api/v1",
    "api.openai.com": "/v1",
    "api.mistral.ai": "/v1",
    "api.groq.com": "/openai/v1",
    "generativelanguage.googleapis.com": "/v1beta/openai",
}
"""Where the API of a provider is that is known."""

_WITH_TLS = (*_APIS, "api.z.ai")
"""Which without it would be sent keys for all to read, and refuse them only then."""

_PORTS_WITHOUT_TLS = (11434, 1234, 8080, 5001)
"""Of Ollama, LM Studio, llama.cpp, KoboldCpp."""


_ANYWHERE = ("0.0.0.0", "::")
_FOUR_NUMBERS = re.compile(r"[0-9]+(?:\.[0-9]+){3}")


def of_address(name: str, base_url: str, listen: Sequence[str]) -> list[str]:
    """What is doubtful about the *base_url* of the provider *name*.

    :param listen: where skyproxy itself listens.
    """
    parts = urlsplit(base_url)
    if parts.hostname is None:
        return []
    if _FOUR_NUMBERS.fullmatch(parts.hostname) and not _is_address(parts.hostname):
        return [
            f"base_url of provider {name!r} has an address that no machine has: each of its numbers is 255 at most."
        ]
    anywhere = parts.hostname in _ANYWHERE
    loopback = anywhere or is_loopback(parts.hostname)
    own = [address.port for each in listen if (address := address_in(each)) is not None]
    if loopback and parts.port is not None and parts.port in own:
        return [f"base_url of provider {name!r} is where skyproxy itself listens: name the server that is to answer."]
    meant = _meant(parts.hostname, parts.path.rstrip("/"), local=loopback or is_private(parts.hostname))
    scheme, netloc = parts.scheme, parts.netloc
    if anywhere:
        # Servers that listen everywhere say so; Windows connects to no such address.
        netloc, meant = f"127.0.0.1:{parts.port}" if parts.port else "127.0.0.1", meant or parts.path
    if loopback and scheme == "https" and parts.port in _PORTS_WITHOUT_TLS:
        scheme, meant = "http", meant or parts.path
    if scheme == "http" and parts.hostname in _WITH_TLS and parts.port is None:
        scheme, meant = "https", meant or parts.path
    if meant is None:
        return []
    return [f"base_url of provider {name!r}: did you mean {scheme}://{netloc}{meant}?"]


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _meant(host: str, path: str, *, local: bool) -> str | None:
    """The path of the API; None: *path* can be it."""
    if host in _APIS:
        return None if path in (_APIS[host], f"{_APIS[host]}/chat/completions") else _APIS[host]
    if local and not path:
        return "/v1"
    if path.endswith("/chat/completions") or not (local or path.endswith("/models")):
        return None
    shorter = path
    while (found := _OF_REQUESTS.search(shorter)) is not None:
        shorter = shorter[: found.start()]
    return None if shorter == path else shorter or "/v1"
