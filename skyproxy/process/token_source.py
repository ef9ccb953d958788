"""Where the keys of an identity provider come from."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson
from twisted.internet.defer import Deferred, maybeDeferred

from skyproxy.config import ProviderConfig
from skyproxy.config.access import TokenSettings
from skyproxy.config.plain_files import bytes_of
from skyproxy.process.access_control import TokenSource
from skyproxy.upstream.exchange.questions import Questions
from skyproxy.upstream.exchange.treq_client import ProviderClient
from skyproxy.util.timers import Timers

ANSWER_SECONDS = 10.0
"""That the identity provider may take to answer."""

MAX_BYTES = 1024 * 1024
"""Of a set of keys."""


def source_of(
    jwks: str, make_client: Callable[[ProviderConfig], ProviderClient], timers: Timers
) -> Callable[[], Deferred[Any]]:
    """What fetches the set of keys at *jwks*, an address or a file, as JSON. It fails with what went wrong.

    :param make_client: of a server's configuration; it checks certificates as those of providers are checked.
    """
    if "://" not in jwks:
        return lambda: maybeDeferred(lambda: orjson.loads(bytes_of(Path(jwks))))
    parts = urlsplit(jwks)
    server = ProviderConfig(name="identity-provider", base_url=f"{parts.scheme}://{parts.netloc}", connect_timeout=5.0)

    async def ask() -> Any:
        client = make_client(server)
        try:
            reply = await Questions(client, timers, server.name, ANSWER_SECONDS, MAX_BYTES).get(jwks, [])
        finally:
            await client.close()
        if reply.value is None:
            raise ValueError(f"{jwks} answers {reply.status}, and not with JSON")
        return reply.value

    return lambda: Deferred.fromCoroutine(ask())


def token_maker(
    reactor: Any, make_client: Callable[[ProviderConfig], ProviderClient]
) -> Callable[[TokenSettings], TokenSource]:
    """What makes the checks of tokens by their settings."""

    def make(settings: TokenSettings) -> TokenSource:
        # An extra, which costs nobody anything who has none.
        from skyproxy.access.tokens.token_keys import TokenKeys

        return TokenKeys(reactor, settings, source_of(settings.jwks, make_client, Timers(reactor)), time.time)

    return make
