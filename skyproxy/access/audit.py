"""What the log tells of doors: each admin act, and each refused door, under a namespace of its own.

A flood of wrong keys makes no flood of lines: of one address and reason, the first is told at once, and then how many
came besides, at most once a minute. How many addresses are told apart is bounded.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.logger import Logger

NAMESPACE = "skyproxy.audit"

AGAIN_SECONDS = 60.0

_MOST = 100
"""Addresses and reasons that are told apart; all others count as one."""

_OTHERS = "others"


class Audit:
    """Tells the log.

    :param now: the time in seconds, from any moment.
    :param log: where to.
    :ivar refused: doors that were refused, by reason.
    """

    def __init__(self, now: Callable[[], float], log: Logger | None = None) -> None:
        self._now = now
        self._log = log or Logger(namespace=NAMESPACE)
        self._told: dict[tuple[str, str], tuple[float, int]] = {}
        """When each was told last, and how many came since."""
        self.refused: dict[str, int] = {}

    def acted(self, what: str, by: str, **fields: object) -> None:
        """Tell of an admin act.

        :param by: who did it, and from where.
        """
        self._log.info("Admin act", what=what, by=by, **fields)

    def refuse(self, reason: str, address: str, path: str, client: str | None = None) -> None:
        """Tell of a door that was refused, or count it.

        :param reason: in a few words; one of few.
        :param client: that was recognised, if one was.
        """
        self.refused[reason] = self.refused.get(reason, 0) + 1
        now, key = self._now(), (reason, address)
        told = self._told.get(key)
        if told is None and len(self._told) >= _MOST:
            self._sweep(now)
            if len(self._told) >= _MOST:
                key = reason, _OTHERS
                told = self._told.get(key)
        if told is not None and now - told[0] < AGAIN_SECONDS:
            self._told[key] = told[0], told[1] + 1
            return
        self._told[key] = now, 0
        fields = {} if client is None else {"client": client}
        self._log.warn(
            "Refused at the door",
            reason=reason,
            address=key[1],
            path=path[:100],
            others=0 if told is None else told[1],
            **fields,
        )

    def _sweep(self, now: float) -> None:
        self._told = {key: told for key, told in self._told.items() if now - told[0] < AGAIN_SECONDS}
