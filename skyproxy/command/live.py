"""The live part of ``skyproxy check``: keys tested at their providers and, if asked for, a token from each slot."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from skyproxy.command.asking import Answer, NoAnswer, ask
from skyproxy.config import EMBEDDED_DEMO, CacheSettings, Config, ProviderConfig
from skyproxy.config.access import AccessSettings
from skyproxy.upstream.key_check import KeyReport, check_keys

_SECONDS = 15.0
"""That a provider may take to answer about a key."""

_MAX_BYTES = 32 * 1024 * 1024
"""Of an answer: OpenRouter's list of models has half a megabyte."""


def providers_asked(config: Config) -> list[ProviderConfig]:
    """Those that a slot needs, by itself or as a fallback. The embedded demo has no key, and always answers."""
    names = set()
    for slot in config.model_slots.values():
        names.add(slot.provider)
        names.update(each.partition(":")[0] for each in slot.fallbacks if each not in config.model_slots)
    return [each for name, each in config.providers.items() if name in names and each.base_url != EMBEDDED_DEMO]


def check_live(config: Config, *, tokens: bool) -> tuple[dict[str, list[KeyReport]], dict[str, Answer | str]]:
    """Test the keys of all providers that are needed, side by side.

    :param tokens: ask each slot for one token, too.
    :return: reports by provider; by slot what it answered, or why there is no answer.
    """
    from twisted.internet import reactor as installed
    from twisted.internet.defer import Deferred

    reactor: Any = installed
    results: list[Any] = []

    async def main() -> None:
        reports = await _reports(reactor, config)
        answers = await _answers(reactor, config) if tokens else {}
        results.append((reports, answers))

    def begin() -> None:
        done = Deferred.fromCoroutine(main())
        done.addErrback(results.append)
        done.addBoth(lambda _: reactor.stop())

    reactor.callWhenRunning(begin)
    reactor.run()
    if not results or not isinstance(results[0], tuple):
        if results:
            results[0].raiseException()
        raise KeyboardInterrupt
    reports, answers = results[0]
    return reports, answers


async def _reports(reactor: Any, config: Config) -> dict[str, list[KeyReport]]:
    from twisted.internet.defer import Deferred, gatherResults

    from skyproxy.http import Wire
    from skyproxy.http.client.trust import Roots
    from skyproxy.upstream.build import build_client
    from skyproxy.upstream.exchange.questions import Questions
    from skyproxy.util.timers import Timers

    roots, timers = Roots(), Timers(reactor)
    providers = [each for each in providers_asked(config) if each.key_missing is None]
    clients = [build_client(each, reactor, Wire(), roots=roots) for each in providers]
    testing = [
        Deferred.fromCoroutine(check_keys(each, Questions(client, timers, each.name, _SECONDS, _MAX_BYTES)))
        for each, client in zip(providers, clients, strict=True)
    ]
    reports = await gatherResults(testing)
    for client in clients:
        await client.close()
    return {each.name: report for each, report in zip(providers, reports, strict=True)}


async def _answers(reactor: Any, config: Config) -> dict[str, Answer | str]:
    """One token of each slot, by a skyproxy that listens at a port of its own for as long as that takes."""
    from twisted.internet.defer import Deferred, gatherResults, maybeDeferred
    from twisted.internet.threads import deferToThread

    from skyproxy.http import Wire
    from skyproxy.log.logging import Logging
    from skyproxy.process.building import build
    from skyproxy.process.signals import Signals
    from skyproxy.process.systemd import Notifier

    # It touches no file of a skyproxy that serves, and takes no answer from its store.
    own = {"listen": ("tcp:0:interface=127.0.0.1",), "log_file": None, "cache": CacheSettings(), "watch": False}
    settings = config.proxy.model_copy(update=own)
    alone = config.model_copy(update={"proxy": settings, "access": AccessSettings(required="false"), "clients": {}})
    logging = Logging(reactor, log_file=None, text=None, level="error", secrets=(), cwd=Path.cwd())
    service = build(reactor, alone, lambda: alone, logging, Wire(), Signals(), Notifier({}))
    service.startService()  # type: ignore[no-untyped-call]
    url = service.base_url

    def one(slot: str) -> Answer | str:
        try:
            return ask(url, slot, "Say: yes", timeout=120.0, max_tokens=1)
        except NoAnswer as error:
            return str(error)

    asking: list[Deferred[Answer | str]] = [deferToThread(one, slot) for slot in config.model_slots]
    try:
        answers = await gatherResults(asking)
    finally:
        await maybeDeferred(service.stopService)
    return dict(zip(config.model_slots, answers, strict=True))


def key_text(provider: ProviderConfig, reports: Mapping[str, list[KeyReport]]) -> str:
    """What the tests of *provider*'s keys came to, for a table."""
    found = reports.get(provider.name)
    if provider.base_url == EMBEDDED_DEMO:
        return "the demo"
    if found is None:
        return "not tested"
    return "; ".join(
        (f"{each.variable}: " if len(found) > 1 else "") + each.result + (f" ({each.text})" if each.text else "")
        for each in found
    )
