"""What is told, and done with requests, while what is spent cannot be written down."""

from __future__ import annotations

from pathlib import Path

from twisted.logger import Logger

from skyproxy.access.errors import BudgetsUnwritable

_log = Logger()

RETRY_SECONDS = 1.0
"""Between two tries to write."""

_GOES_ON = "What is spent cannot be written down: requests go on without that"
_REFUSES = "What is spent cannot be written down: requests that cost something are refused"


class Trouble:
    """Whether the file can be written, as far as is known. Either is told once.

    :param path: of the file; None: it is in memory.
    :ivar fails_open: whether requests are sent all the same.
    :ivar reason: why it cannot be; None: it can, or has not been tried.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self.fails_open = False
        self.reason: str | None = None

    @property
    def refuses(self) -> bool:
        """Whether requests that cost something are refused."""
        return self.reason is not None and not self.fails_open

    def begins(self, reason: str) -> None:
        """The file cannot be written, because of *reason*."""
        if self.reason is None:
            _log.error(_GOES_ON if self.fails_open else _REFUSES, path=str(self._path), error=reason)
        self.reason = reason

    def ends(self) -> None:
        """The file has been written."""
        if self.reason is not None:
            self.reason = None
            _log.info("What is spent can be written down again", path=str(self._path))

    def lost(self, reason: str) -> None:
        """The process ends, and the last could not be written."""
        _log.error("What was spent last could not be written down", path=str(self._path), error=reason)

    @staticmethod
    def refusal(unheard: str = "") -> BudgetsUnwritable:
        """How a request is refused.

        :param unheard: why it is not known what other machines have spent; empty: it is.
        """
        if unheard:
            return BudgetsUnwritable(
                "What other machines have spent of this budget is not known now, so that nothing may be spent. The log "
                "of skyproxy says why.",
                retry_after=2 * RETRY_SECONDS,
            )
        return BudgetsUnwritable(
            "What is spent cannot be written down now, so that nothing may be spent. The log of skyproxy says why.",
            retry_after=2 * RETRY_SECONDS,
        )
