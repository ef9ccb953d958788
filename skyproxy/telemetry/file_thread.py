"""The thread that reads and writes a file of its own, and what people are told of that."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from skyproxy.http.loop.worker_thread import Worker
from skyproxy.util.own_file import OwnFile
from skyproxy.util.throttle import Throttle

_WARN_AGAIN_SECONDS = 300.0
"""After which more trouble is worth another warning."""

_T = TypeVar("_T")


class FileThread:
    """Does what blocks with *file*.

    :param reactor: ``seconds`` is used.
    :param trouble: what is told, at most once in five minutes, when something fails.
    """

    def __init__(self, reactor: Any, worker: Worker, file: OwnFile, log: Logger, trouble: str) -> None:
        self._worker = worker
        self._file = file
        self._log = log
        self._trouble = trouble
        self._warnings = Throttle(_WARN_AGAIN_SECONDS, reactor.seconds)

    def do(self, job: Callable[[], _T]) -> Deferred[_T]:
        """Have *job* done, and tell what the file has noted.

        :return: as :meth:`Worker.do <skyproxy.http.loop.worker_thread.Worker.do>`.
        """

        def tell(result: Any) -> Any:
            while self._file.notes:
                sentence, details = self._file.notes.pop(0)
                self._log.warn(sentence, **details)
            return result

        return self._worker.do(job).addBoth(tell)

    def end(self, last: Callable[[], None]) -> Deferred[None]:
        """Do *last*, and end the thread."""
        return self._worker.end(last)

    def warn(self, failure: Failure) -> None:
        """Something has failed."""
        if self._warnings.allows():
            path, error = self._file.path, f"{type(failure.value).__name__}: {failure.value}"
            self._log.warn(self._trouble, path=None if path is None else str(path), error=error)
