"""What providers say when they refuse a request: logged in their own words, but not again and again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from twisted.logger import Logger, LogLevel

from skyproxy.errors import ErrorKind

AGAIN_SECONDS = 60.0
"""Seconds in which one kind of refusal of one model is logged once."""

_LONGEST = 300
"""Characters of what a provider says that are logged."""

_MOST = 1000
"""Kinds of refusals, by model, that are remembered."""

MAY_ECHO = frozenset({ErrorKind.CLIENT, ErrorKind.CONTENT})
"""Kinds whose text may repeat what the client wrote, and which are not for the one who runs skyproxy to mend."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A provider's error, as its answer or under 200.

    :ivar provider: its name.
    :ivar model: as the provider was asked for it.
    :ivar said: what it says, whole.
    """

    request_id: str
    provider: str
    model: str
    status: int
    kind: ErrorKind
    said: str


class Refusals:
    """Logs what providers say when they refuse requests.

    :param now: the time in seconds, from any moment.
    :param log: where to.
    """

    def __init__(self, now: Callable[[], float], log: Logger | None = None) -> None:
        self._now = now
        self._log = log or Logger()
        self._logged: dict[tuple[str, str, ErrorKind], tuple[float, int]] = {}
        """When each was logged last, and how many came since."""

    def heard(self, complaint: Refusal, mask: Callable[[str], str]) -> None:
        """Log *complaint*, unless its like was logged in the last minute: then it is counted.

        :param mask: takes out what nobody may see.
        """
        kind = complaint.kind
        key = complaint.provider, complaint.model, kind
        now = self._now()
        logged = self._logged.pop(key, None)
        if logged is not None and now - logged[0] < AGAIN_SECONDS:
            self._logged[key] = logged[0], logged[1] + 1
            return
        self._logged[key] = now, 0
        if len(self._logged) > _MOST:
            del self._logged[next(iter(self._logged))]
        may_echo = kind in MAY_ECHO
        said = {} if may_echo else {"said": " ".join(mask(complaint.said).split())[:_LONGEST]}
        self._log.emit(
            LogLevel.info if may_echo else LogLevel.warn,
            "The provider refused a request",
            request_id=complaint.request_id,
            provider=complaint.provider,
            upstream_model=complaint.model,
            status=complaint.status,
            kind=kind.value,
            others=0 if logged is None else logged[1],
            **said,
        )
