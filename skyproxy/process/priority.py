"""How much of the processors the process gets while a game takes all of them, where the system lets itself be told."""

from __future__ import annotations

from collections.abc import Callable

from twisted.logger import Logger

from skyproxy.util.windows import set_priority

_log = Logger()


class ProcessPriority:
    """Follows ``process_priority`` of the configuration.

    :param tell: tells the system; see :func:`~skyproxy.util.windows.set_priority`.
    """

    def __init__(self, tell: Callable[..., tuple[str, ...] | None] = set_priority) -> None:
        self._tell = tell
        self._raised = False

    def use(self, wanted: str) -> None:
        """Have the priority that is *wanted*, ``raised`` or ``normal``; the system is asked for changes only."""
        raised = wanted == "raised"
        if raised == self._raised:
            return
        self._raised = raised
        try:
            failed = self._tell(raised=raised)
        except Exception as error:  # whatever a library that is asked for the first time may do
            failed = (str(error) or type(error).__name__,)
        if failed:
            _log.info("Windows does not change the priority of this process", failed=list(failed))
