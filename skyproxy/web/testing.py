"""``POST /api/test/PROVIDER`` and ``POST /api/local``: what providers say of keys, and who answers on this machine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, succeed

from skyproxy.config import EMBEDDED_DEMO
from skyproxy.config.known import BY_NAME
from skyproxy.errors import NotFound
from skyproxy.pipeline.proxy import Runtime
from skyproxy.upstream.key_check import KeyReport, unlisted
from skyproxy.upstream.key_tests import KeyTests

VERSION = 1

_REACHED = frozenset({"good", "refused", "answers"})
"""What comes of a test of a provider that could be reached."""

_LISTED = 50
"""Models of a server on this machine that are named."""


class Testing:
    """Has tests done that cost nothing.

    :param runtime: gives the current runtime.
    """

    def __init__(self, runtime: Callable[[], Runtime], tests: KeyTests) -> None:
        self._runtime = runtime
        self._tests = tests

    def test(self, name: str) -> Deferred[dict[str, Any]]:
        """Test the keys of the provider *name*.

        :raise NotFound: there is none of this name.
        """
        config = self._runtime().config
        provider = config.providers.get(name)
        if provider is None:
            raise NotFound(f"There is no provider {name[:100]!r} in the configuration.")
        if provider.base_url == EMBEDDED_DEMO:
            return succeed(_told(name, [KeyReport(None, "answers", "the demo, which has no key")], ()))
        if provider.key_missing is not None:
            missing = {"variable": provider.key_missing, "result": "missing", "text": "it holds nothing"}
            return succeed({"v": VERSION, "provider": name, "reports": [missing], "models": None, "problems": []})

        def told(reports: list[KeyReport]) -> dict[str, Any]:
            results = {each.result for each in reports}
            if results & _REACHED and self._runtime().config.providers.get(name) == provider:
                self._runtime().since.tested(name, welcome=results == {"good"})
            return _told(name, reports, tuple(unlisted(config, name, reports)))

        return self._tests.test(provider).addCallback(told)

    def local(self) -> Deferred[dict[str, Any]]:
        """Look who answers on this machine."""
        known = {each.base_url.rstrip("/"): name for name, each in self._runtime().config.providers.items()}

        def told(found: dict[str, tuple[str, tuple[str, ...]]]) -> dict[str, Any]:
            served = {name: known.get(url) or known.get(_by_name(url)) for name, (url, _) in found.items()}
            for provider in filter(None, served.values()):
                self._runtime().since.tested(provider, welcome=False)
            servers = [
                {
                    "name": name,
                    "title": BY_NAME[name].title if name in BY_NAME else name,
                    "base_url": url,
                    "count": len(models),
                    "models": list(models[:_LISTED]),
                    "provider": served[name],
                }
                for name, (url, models) in found.items()
            ]
            return {"v": VERSION, "servers": servers, "looked_for": list(self._tests.titles)}

        return self._tests.local().addCallback(told)


def _by_name(url: str) -> str:
    return url.replace("127.0.0.1", "localhost")


def _told(name: str, reports: list[KeyReport], problems: tuple[str, ...]) -> dict[str, Any]:
    models = next((each.models for each in reports if each.models is not None), None)
    return {
        "v": VERSION,
        "provider": name,
        "reports": [{"variable": each.variable, "result": each.result, "text": each.text} for each in reports],
        "models": None if models is None else len(models),
        "problems": list(problems),
    }
