"""The bodies of requests and answers, kept on disk for a while.

What a request said and what its client got is queued when the request is over, and masked and written by a thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from skyproxy.config.proxy_settings import ProxySettings
from skyproxy.http.loop.worker_thread import Worker
from skyproxy.log.redaction import Redactor
from skyproxy.telemetry.bodies.body_file import BodyFile, KeptBodies, Row, masked
from skyproxy.telemetry.bodies.entry import Entry, Text
from skyproxy.telemetry.bodies.recording import Allowance, Recording
from skyproxy.telemetry.file_thread import FileThread
from skyproxy.telemetry.records import RequestRecord

_log = Logger()

WRITE_SECONDS = 0.5
"""Between two writings."""

CLEAN_SECONDS = 60.0
"""Between two looks for bodies that are too old."""

_TROUBLE = "The file of bodies cannot be used: what requests and answers said is not kept"
_GOOD = frozenset({"ok", "cancelled"})
"""Outcomes of requests that did not fail."""


class RequestWithBody(Protocol):
    """A request, with the body that it brought."""

    @property
    def body(self) -> bytes: ...

    @property
    def content_type(self) -> bytes: ...


class Served(Protocol):
    """The client of a request.

    :ivar recording: what it got; None: that was not recorded.
    """

    @property
    def recording(self) -> Recording | None: ...


class Ended(Protocol):
    """A request that is over."""

    @property
    def request(self) -> RequestWithBody: ...

    @property
    def client(self) -> Served: ...


class Page(NamedTuple):
    """Some requests whose bodies are kept.

    :ivar kept: how many there are; *size*: bytes, about, that they take.
    """

    rows: list[Row]
    kept: int
    size: int
    path: Path | None


_NOTHING = Page([], 0, 0, None)


class BodyLog:
    """Records bodies, and finds them again.

    :param reactor: ``callFromThread``, ``callLater`` and ``seconds`` are used.
    :param paths: where the file may be, by the settings; the best first.
    :param run: this process's name.
    :param redactor: gives what masks secrets.
    :param wall: the time of day, seconds since the epoch.
    :param worker: does what blocks; None: a thread of its own.
    :ivar settings: the current ones.
    :ivar since: when recording began, seconds since the epoch; None: it is off.
    :ivar lost: requests that could not be recorded, because more came than could be written.
    """

    def __init__(
        self,
        reactor: Any,
        settings: ProxySettings,
        paths: Sequence[Path],
        run: str,
        redactor: Callable[[], Redactor],
        wall: Callable[[], float] = time.time,
        worker: Worker | None = None,
    ) -> None:
        self._reactor = reactor
        self._run = run
        self._redactor = redactor
        self._wall = wall
        self._allowance = Allowance()
        self._waiting: list[Entry] = []
        self._timer: Any = None
        self._cleaned_at: float | None = None
        self._open = False
        self.settings = settings
        self.lost = 0
        self.since: float | None = None
        self._file = BodyFile(paths, settings.bodies.max_size)
        self._thread = FileThread(
            reactor, worker or Worker(reactor, "the bodies in SQLite"), self._file, _log, _TROUBLE
        )

    # Its life.

    def open(self) -> None:
        """From now on there may be a thread."""
        self._open = True
        self.use(self.settings)
        if self._file.exists:
            self._clean()

    def use(self, settings: ProxySettings) -> None:
        """Follow other settings. Another file counts from the next start on."""
        size, self.settings = self.settings.bodies.max_size, settings
        if settings.record_bodies == "off":
            self.since = None
        elif self.since is None:
            self.since = self._wall()
        if self._open and settings.bodies.max_size != size:
            self._thread.do(lambda: self._file.limit(settings.bodies.max_size)).addErrback(self._thread.warn)

    def flush(self) -> Deferred[None]:
        """Write what is there; fires when that is done, however it went."""
        if not self._open or self.since is None:
            return succeed(None)
        self._write()
        return self._thread.do(lambda: None)

    def close(self, patience: float) -> Deferred[None]:
        """Write what is left.

        :param patience: seconds that this may take.
        """
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._open:
            return succeed(None)
        self._write()
        self._open = False
        return self._thread.end(self._file.close).addTimeout(patience, self._reactor).addErrback(self._thread.warn)

    # Of each request.

    def begin(self) -> Recording | None:
        """What is to note the answer to a request that has come; None: nothing is."""
        if self.since is None:
            return None
        return Recording(self._allowance, self.settings.bodies.max_body)

    def completed(self, record: RequestRecord, at: float, number: int, ended: Ended) -> None:
        """A request is over.

        :param number: by which the ring of the last requests knows it.
        """
        recording = ended.client.recording
        if recording is None:
            return
        answer = recording.take()
        if self.settings.record_bodies == "off" or (
            self.settings.record_bodies == "errors" and record.outcome in _GOOD
        ):
            return
        entry = self._entry(record, at, number, ended, recording, answer)
        taken = self._allowance.take(entry.cost) if self._open else 0
        if taken < entry.cost:
            self._allowance.give_back(taken)
            self.lost += 1
            return
        self._waiting.append(entry)
        if self._timer is None:
            self._timer = self._reactor.callLater(WRITE_SECONDS, self._time_is_over)

    def _entry(
        self, record: RequestRecord, at: float, number: int, ended: Ended, recording: Recording, answer: bytes
    ) -> Entry:
        body = ended.request.body
        # A form has a file in it.
        is_text = not ended.request.content_type.lower().startswith(b"multipart/")
        request = Text(body[: self.settings.bodies.max_body] if is_text else b"", len(body), is_text)
        return Entry(
            self._run,
            number,
            record.request_id,
            at,
            record.slot or "",
            record.model,
            record.provider or "",
            record.upstream_model or "",
            record.endpoint,
            record.outcome,
            record.status or 0,
            record.latency,
            request,
            Text(answer, recording.size, recording.is_text) if recording.begun else None,
        )

    # What it tells.

    def find(self, request_id: str, number: int | None, at: float | None = None) -> Deferred[KeptBodies | None]:
        """The newest request of this id whose bodies are kept; with *number*, the one of this process that has it, or
        the one that was over *at* that time: workers have numbers of their own.
        """
        self._write()
        if not self._open:
            return succeed(None)
        file, run = self._file, self._run
        return self._thread.do(lambda: file.find(request_id, run, number, at) if file.exists else None)

    def page(self, before: int | None, outcome: str, limit: int) -> Deferred[Page]:
        """The newest requests whose bodies are kept; see :meth:`BodyFile.page`."""
        self._write()
        if not self._open:
            return succeed(_NOTHING)

        def read() -> Page:
            if not self._file.exists:
                return _NOTHING
            rows = self._file.page(before, outcome, limit)
            return Page(rows, self._file.count, self._file.total, self._file.path)

        return self._thread.do(read)

    # How it writes.

    def _time_is_over(self) -> None:
        self._timer = None
        self._write()
        now = self._reactor.seconds()
        if self._cleaned_at is None or now - self._cleaned_at >= CLEAN_SECONDS:
            self._clean()

    def _clean(self) -> None:
        """Remove what is too old, now and while there is a file."""
        self._cleaned_at = self._reactor.seconds()
        oldest = self._wall() - self.settings.bodies.keep
        self._thread.do(lambda: self._file.forget_before(oldest)).addErrback(self._thread.warn)

    def _write(self) -> None:
        entries, self._waiting = self._waiting, []
        if not entries:
            return
        redactor, size = self._redactor(), sum(entry.cost for entry in entries)

        def write() -> None:
            self._file.add([masked(entry, redactor) for entry in entries])

        def over(result: Any) -> Any:
            self._allowance.give_back(size)
            return result

        def failed(failure: Failure) -> None:
            self.lost += len(entries)
            self._thread.warn(failure)

        self._thread.do(write).addBoth(over).addErrback(failed)
