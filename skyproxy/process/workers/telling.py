"""A worker's side of what workers tell each other about providers."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from twisted.logger import Logger

from skyproxy.process.workers.news import NEVER, Found, Known, Openings, Seen
from skyproxy.upstream.exchange.provider import Provider
from skyproxy.upstream.guards.findings import Finding, OfBreaker, Teller
from skyproxy.upstream.guards.hearing import hear

_log = Logger()


class Telling:
    """Sends what this worker's guards find out, and has them know what those of other workers have.

    :param origin: distinguishes the worker from all others, in stamps.
    :param known: what the others know when it begins.
    :param send: to the parent.
    :param log: whether what is heard is logged here.
    """

    def __init__(self, origin: int, known: Known, send: Callable[[object], None], *, log: bool = True) -> None:
        self._origin = origin
        self._known = known
        self._send = send
        self._logs = log
        self._seen = known.seen
        self._openings = Openings(known.latest)
        self._providers: Callable[[], Mapping[str, Provider]] = dict

    def begin(self, providers: Callable[[], Mapping[str, Provider]]) -> None:
        """Have the providers know what the others know.

        :param providers: gives those that serve, by name.
        """
        self._providers = providers
        self.take(self._known)

    def provider(self, make: Callable[[Teller | None], Provider]) -> Provider:
        """One whose findings are told, as long as it is the one of its name that serves."""
        made: list[Provider] = []
        made.append(make(Teller(lambda finding: self._found(made[0], finding))))
        return made[0]

    def _found(self, provider: Provider, finding: Finding) -> None:
        name = provider.config.name
        # One that an earlier configuration left behind has no say about the one that follows it.
        if self._providers().get(name) is provider:
            stamp = NEVER
            if isinstance(finding, OfBreaker):
                stamp = self._openings.stamp(name, finding, self._origin)
            self._send(Found(name, finding, stamp, self._seen))

    def take(self, message: Found | Seen | Known) -> None:
        """Take what the parent tells."""
        match message:
            case Seen():
                self._seen = message.number
            case Known():
                self._seen = max(self._seen, message.seen)
                self._openings.heard_of(message.latest)
                for each in message.found:
                    self._hear(each)
            case Found():
                self._hear(message)

    def _hear(self, found: Found) -> None:
        provider, finding = self._providers().get(found.provider), found.finding
        if provider is None:
            return
        if isinstance(finding, OfBreaker) and not self._openings.is_news(found, finding.model):
            return
        hear(provider.guards, finding)
        if self._logs:
            _log.debug(
                "Heard of another worker", provider=found.provider, found=type(finding).__name__, about=about(finding)
            )


def about(finding: Finding) -> str:
    """The model, or the variable of the key, that *finding* is about; empty: all of the provider."""
    named: str | None = getattr(finding, "model", None) or getattr(finding, "key", None)
    return named or ""
