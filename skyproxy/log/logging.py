"""The process's log: the JSON file, and what twistd shows or keeps."""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from twisted.internet.defer import Deferred, succeed
from twisted.logger import ILogObserver, LogEvent, LogLevel, LogPublisher, globalLogPublisher
from zope.interface import implementer

from skyproxy.log.events import notice
from skyproxy.log.json_lines import JsonLines
from skyproxy.log.redaction import Redactor
from skyproxy.log.severity import DEBUG, THRESHOLDS, WARN, severity_of
from skyproxy.log.sinks import FileSink, Sink, StreamSink
from skyproxy.log.text_lines import TextLines
from skyproxy.log.writer import LogWriter

_STOP_LIMIT = 2.0
"""Seconds that the last lines may take to be written."""

_ROUTINE = frozenset({LogLevel.debug, LogLevel.info})

SHOWN = 20
"""Requests a second of which a brief log shows that they were refused, or failed."""


class Renderer(Protocol):
    """One form of the log."""

    def line(self, event: LogEvent) -> bytes:
        """*event*, with the end of the line. It does not raise."""


@implementer(ILogObserver)
class Channel:
    """One log: what it takes, in which form, to where.

    :param renderer: makes the form, of a redactor.
    :param trouble: told, in the writer's thread, that the sink cannot be written.
    :ivar brief: leaves out the requests that nothing is wrong with, and where many fail, all but some of each second.
    """

    def __init__(
        self,
        sink: Sink,
        renderer: Callable[[Redactor], Renderer],
        redactor: Redactor,
        level: str,
        trouble: Callable[[LogEvent], None],
    ) -> None:
        self.brief = False
        self._second = self._shown = 0
        self._make_renderer = renderer
        self._sink = sink
        self._trouble = trouble
        self.configure(redactor, level)
        self.writer = LogWriter(sink, lost=self._lost, trouble=self._failed)

    def open(self, owner: tuple[int, int] | None) -> None:
        """Open the sink, before its writer is started. See :meth:`Logging.open`."""
        if isinstance(self._sink, FileSink):
            self._sink.open(owner)

    def configure(self, redactor: Redactor, level: str) -> None:
        """From now on, hide what *redactor* hides, and take what is of *level* or above."""
        self._renderer = self._make_renderer(redactor)
        self._threshold = THRESHOLDS[level]

    def __call__(self, event: LogEvent) -> None:
        """Take *event*, or not."""
        brief = self.brief and "request_id" in event
        if brief and event.get("log_level") in _ROUTINE:
            return
        severity = severity_of(event)
        if severity < self._threshold or (brief and severity == WARN and self._has_shown_enough(event)):
            return
        self.writer.write(self._renderer.line(event), severity <= DEBUG)

    def _has_shown_enough(self, event: LogEvent) -> bool:
        """Whether as many requests that fail as there may be are shown of the second in which *event* happened."""
        second = int(event.get("log_time", 0))
        if second != self._second:
            self._second, self._shown = second, 0
        self._shown += 1
        if self._shown == SHOWN + 1:
            more = notice(LogLevel.warn, "More requests fail than are shown here; the log file has them all")
            self.writer.write(self._renderer.line(more))
        return self._shown > SHOWN

    def _lost(self, count: int) -> bytes:
        return self._renderer.line(notice(LogLevel.warn, "Log lines were lost", count=count))

    def _failed(self, error: Exception) -> None:
        reason = str(error)
        self._trouble(
            notice(LogLevel.error, "The log cannot be written, trying again", file=str(self._sink), reason=reason)
        )


class Logging:
    """Owns the log files.

    What happens before :meth:`start` waits in memory: twistd forks meanwhile. Neither log makes the
    reactor wait.

    :param reactor: for the end only: ``callFromThread`` and ``callLater``.
    :param log_file: for JSON lines; relative to *cwd*. None: no such file.
    :param text: where twistd's own log goes; None: twistd sees to that itself.
    :param level: ``debug``, ``info``, ``warn`` or ``error``, for both.
    :param secrets: never to be written.
    :param publisher: gives the events to the JSON file.
    :param quiet: the text has warnings and errors only.
    :param brief: the text leaves out the requests that nothing is wrong with, and most of many that fail, while the
        JSON file has them.
    """

    def __init__(
        self,
        reactor: Any,
        *,
        log_file: Path | None,
        text: Sink | None,
        level: str,
        secrets: Iterable[str],
        cwd: Path,
        publisher: LogPublisher = globalLogPublisher,
        brief: bool = False,
        quiet: bool = False,
    ) -> None:
        self._reactor = reactor
        self._cwd = cwd
        self._publisher = publisher
        self._level = level
        self._secrets = frozenset(secrets)
        self._redactor = Redactor(self._secrets)
        self._quiet = quiet
        self._text = None
        if text is not None:
            self._text = Channel(text, TextLines, self._redactor, self._text_level, self._emergency)
        self._log_file = self._place(log_file)
        self._json = self._json_channel()
        self._brief = brief
        self._share_out()
        self._started = False
        self._ending: set[Channel] = set()
        """Those that write their last lines: of a configuration before, or at the end."""
        self._stopped: Deferred[None] | None = None

    @property
    def observer(self) -> ILogObserver | None:
        """twistd's own log; None: twistd makes one itself."""
        return self._text

    @property
    def _text_level(self) -> str:
        return "warn" if self._quiet and self._level in ("debug", "info") else self._level

    @property
    def dropped(self) -> int:
        """Lines that the current logs lost."""
        return sum(channel.writer.dropped for channel in self._channels())

    def open(self, owner: tuple[int, int] | None = None) -> None:
        """Open the files, while somebody is there to be told that they cannot be. Not after :meth:`start`.

        :param owner: to whom those that are made are given.
        :raise OSError: one cannot be opened.
        """
        for channel in self._channels():
            channel.open(owner)

    def start(self) -> None:
        """Begin to write. Call it after the process has become a daemon.

        :raise RuntimeError: the system gives no thread.
        """
        self._started = True
        for channel in self._channels():
            channel.writer.start()
        if self._json is not None:
            self._publisher.addObserver(self._json)

    def reopen(self) -> None:
        """Open the files anew: they were rotated."""
        for channel in self._channels():
            channel.writer.reopen()

    def reconfigure(self, config: Any) -> None:
        """Take the level, the file and the secrets of a new configuration.

        The secrets of the one before stay hidden: its requests are still under way.
        """
        secrets = frozenset(secrets_of(config))
        self._redactor = Redactor(secrets | self._secrets)
        self._secrets = secrets
        self._level = config.proxy.log_level
        for channel in self._channels():
            channel.configure(self._redactor, self._text_level if channel is self._text else self._level)
        log_file = self._place(config.proxy.log_file)
        if log_file != self._log_file:
            self._log_file = log_file
            old, self._json = self._json, self._json_channel()
            self._share_out()
            if self._started:
                self._replace(old)

    def _replace(self, old: Channel | None) -> None:
        if self._json is not None:
            self._json.writer.start()
            self._publisher.addObserver(self._json)
        if old is not None:
            self._publisher.removeObserver(old)
            self._end(old)

    def stop(self) -> Deferred[None]:
        """Write what is left, of earlier files, too. The text goes on to the end of the process, without a thread.

        :return: fires when all is written, or after 2 s. It does not fail.
        """
        if self._json is not None:
            self._publisher.removeObserver(self._json)
        if not self._started:
            self.finish()
            return succeed(None)
        for channel in self._channels():
            self._end(channel)
        if not self._ending:
            return succeed(None)
        self._stopped = Deferred[None]().addTimeout(_STOP_LIMIT, self._reactor, lambda _, limit: None)
        return self._stopped

    def _end(self, channel: Channel) -> None:
        self._ending.add(channel)
        channel.writer.stop(partial(self._reactor.callFromThread, self._ended, channel))

    def _ended(self, channel: Channel) -> None:
        self._ending.discard(channel)
        if self._stopped is not None and not self._ending:
            self._stopped.callback(None)
            self._stopped = None

    def finish(self) -> None:
        """Write what is left, now. For the exit of a process that was not started or stopped in order."""
        for channel in self._ending.union(self._channels()):
            channel.writer.finish(_STOP_LIMIT)

    def _share_out(self) -> None:
        if self._text is not None:
            self._text.brief = self._brief and self._json is not None

    def _channels(self) -> list[Channel]:
        return [channel for channel in (self._json, self._text) if channel is not None]

    def _place(self, log_file: Path | None) -> Path | None:
        return None if log_file is None else self._cwd / log_file

    def _json_channel(self) -> Channel | None:
        if self._log_file is None:
            return None
        trouble = self._text or self._emergency
        return Channel(FileSink(self._log_file), JsonLines, self._redactor, self._level, trouble)

    def _emergency(self, event: LogEvent) -> None:
        """The last resort: standard error, as it was before twistd took it over."""
        if sys.__stderr__ is not None:
            with contextlib.suppress(OSError, ValueError):  # closed, or no file
                os.write(sys.__stderr__.fileno(), TextLines(self._redactor).line(event))


def build_logging(
    config: Any,
    twistd: Mapping[str, Any],
    cwd: Path,
    reactor: Any,
    at_exit: Callable[[Callable[[], None]], Any] = atexit.register,
) -> Logging:
    """The log that *config* and twistd's own options ask for.

    :param config: with ``proxy.log_file``, ``proxy.log_level`` and ``providers``.
    :param twistd: twistd's options, of which ``nodaemon``, ``logfile``, ``syslog`` and ``logger`` matter;
        some systems lack some.
    :param cwd: what relative file names are relative to.
    :param at_exit: calls what it is given when the process ends.
    """
    logging = Logging(
        reactor,
        log_file=config.proxy.log_file,
        text=_twistd_sink(twistd, cwd),
        level=config.proxy.log_level,
        secrets=secrets_of(config),
        cwd=cwd,
        brief=not _in_foreground(twistd),
        quiet=bool(twistd.get("quiet")),
    )
    at_exit(logging.finish)
    return logging


def _twistd_sink(twistd: Mapping[str, Any], cwd: Path) -> Sink | None:
    """Where twistd would log to, by its own rules."""
    if twistd.get("syslog") or twistd.get("logger"):
        return None
    name = twistd.get("logfile")
    foreground = _in_foreground(twistd)
    if name == "-" and not foreground:
        return None  # twistd refuses that
    if name and name != "-":
        return FileSink(cwd / name)
    if not foreground:
        return FileSink(cwd / "twistd.log")
    stream = getattr(sys.__stdout__, "buffer", None)
    return None if stream is None else StreamSink(getattr(stream, "raw", stream))


def _in_foreground(twistd: Mapping[str, Any]) -> bool:
    return bool(twistd.get("nodaemon")) or not hasattr(os, "fork")


def secrets_of(config: Any) -> set[str]:
    """The keys of *config*. One that is its provider's name, as local servers are given, is no secret."""
    secrets: set[str] = set()
    for name, provider in config.providers.items():
        secrets.update(each for each in provider.secrets if each.casefold() != name.casefold())
    return secrets
