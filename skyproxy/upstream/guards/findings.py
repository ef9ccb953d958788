"""What a guard of one provider has found out, for guards of the same provider in other processes.

Times are seconds that are left: no two processes need the same clock. Who hears of a finding does not tell it again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from skyproxy.upstream.guards.learned_limits import Rest

if TYPE_CHECKING:
    from skyproxy.upstream.guards.lent_guard import MarkLink


class ModelRests(NamedTuple):
    """A key, by the name of its variable, is not used for *model*: both have met a rate limit."""

    model: str
    key: str
    rest: Rest


class ModelTaken(NamedTuple):
    """A request was taken after a rest: the next one begins with the shortest again."""

    model: str
    key: str


class KeyRests(NamedTuple):
    """A key is not used for any model for some *seconds*."""

    key: str
    seconds: float


class KeyRefused(NamedTuple):
    """The provider refuses a key: it is put aside for some *seconds*, if there is another."""

    key: str
    seconds: float


class BreakerOpened(NamedTuple):
    """The provider, or a model of it, has failed too often.

    :ivar model: None: all of the provider.
    :ivar seconds: that are left until it is tried again.
    :ivar doubled: the whole time, which is doubled the next time.
    """

    model: str | None
    seconds: float
    doubled: float
    cause: str


class BreakerProbes(NamedTuple):
    """A request is under way that tries whether all is well."""

    model: str | None


class ProbeIgnored(NamedTuple):
    """It has come to no result: another may try."""

    model: str | None


class BreakerClosed(NamedTuple):
    """All is well again."""

    model: str | None


OfBreaker: TypeAlias = BreakerOpened | BreakerProbes | ProbeIgnored | BreakerClosed

Finding: TypeAlias = ModelRests | ModelTaken | KeyRests | KeyRefused | OfBreaker


class Teller:
    """Takes what the guards of one provider find out.

    :param tell: is told of each finding.
    :ivar mark_link: gives what leads to those with whom the mark of a model and a key is shared; None: it is not.
    """

    def __init__(
        self,
        tell: Callable[[Finding], object],
        mark_link: Callable[[str, str], MarkLink | None] = lambda model, key: None,
    ) -> None:
        self._tell = tell
        self.mark_link = mark_link

    def sharing_marks(self, mark_link: Callable[[str, str], MarkLink | None]) -> Teller:
        """One that takes the same, of a provider whose marks are shared."""
        return Teller(self._tell, mark_link)

    def rate(self, model: str, key: str, rest: Rest | None) -> None:
        """*model* is not asked with *key* for a while; None: a request was taken after a rest."""
        self._tell(ModelTaken(model, key) if rest is None else ModelRests(model, key, rest))

    def key_rests(self, key: str, seconds: float) -> None:
        """*key* is not used for *seconds*."""
        self._tell(KeyRests(key, seconds))

    def key_refused(self, key: str, seconds: float) -> None:
        """The provider refuses *key*, which is put aside for *seconds*."""
        self._tell(KeyRefused(key, seconds))

    def opened(self, model: str | None, seconds: float, cause: str) -> None:
        """The breaker has opened for *seconds*, because of *cause*."""
        self._tell(BreakerOpened(model, seconds, seconds, cause))

    def probes(self, model: str | None) -> None:
        """A probe is under way."""
        self._tell(BreakerProbes(model))

    def ignored(self, model: str | None) -> None:
        """It has come to no result."""
        self._tell(ProbeIgnored(model))

    def closed(self, model: str | None) -> None:
        """The breaker has closed."""
        self._tell(BreakerClosed(model))
