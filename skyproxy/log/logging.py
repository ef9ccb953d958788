"""The process's log: the JSON file, and what twistd shows or keeps."""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.logger import ILogObserver, LogEvent, LogPublisher, globalLogPublisher

from skyproxy.log.channel import Channel
from skyproxy.log.json_lines import JsonLines
from skyproxy.log.live_lines import LiveLines
from skyproxy.log.redaction import Redactor
from skyproxy.log.rotation import Limits
from skyproxy.log.sinks import FileSink, Sink, StreamSink
from skyproxy.log.text_lines import TextLines

_UNASKED = Limits(10 * 1024 * 1024, 3)
"""Of the file that is written where there is no terminal: nobody who asked for it would look after it."""

_STOP_LIMIT = 2.0
"""Seconds that the last lines may take to be written."""


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
    :param limits: of the files; see :mod:`skyproxy.log.rotation`.
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
        limits: Limits | None = None,
    ) -> None:
        self._reactor = reactor
        self._cwd = cwd
        self._publisher = publisher
        self._level = level
        self._secrets = frozenset(secrets)
        self._redactor = Redactor(self._secrets)
        self._quiet = quiet
        self._limits = limits
        self._text = None
        if text is not None:
            self._text = Channel(text, TextLines, self._redactor, self._text_level, self._emergency)
            self._text.limit(limits)
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

    def redactor(self) -> Redactor:
        """What masks the current secrets."""
        return self._redactor

    def live_lines(self) -> LiveLines:
        """The newest lines from now on, by the current level and without the current secrets."""
        lines = LiveLines(lambda: self._redactor, lambda: self._level)
        self._publisher.addObserver(lines)
        return lines

    @property
    def _text_level(self) -> str:
        return "warn" if self._quiet and self._level in ("debug", "info") else self._level

    @property
    def dropped(self) -> int:
        """Lines that the current logs lost."""
        return sum(channel.writer.dropped for channel in self._channels())

    def open(self, owner: tuple[int, int] | None = None) -> None:
        """Open the files, while an error still reaches the terminal. Not after :meth:`start`.

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
        self._limits = limits_of(config)
        for channel in self._channels():
            channel.limit(self._limits)
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
        channel = Channel(FileSink(self._log_file, guarded=True), JsonLines, self._redactor, self._level, trouble)
        channel.limit(self._limits)
        return channel

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
    without_terminal: Path | None = None,
    shared: bool = False,
) -> Logging:
    """The log that *config* and twistd's own options ask for.

    :param config: with ``proxy.log_file``, ``log_level``, ``log_max_size``, ``log_keep``, and ``providers``.
    :param twistd: twistd's options, of which ``nodaemon``, ``logfile``, ``syslog`` and ``logger`` matter;
        some systems lack some.
    :param cwd: what relative file names are relative to.
    :param at_exit: calls what it is given when the process ends.
    :param shared: other processes have the same log.
    :param without_terminal: the file for the text where it would go to standard output, and there is none.
    """
    logging = Logging(
        reactor,
        log_file=config.proxy.log_file,
        text=_twistd_sink(twistd, cwd, without_terminal, shared),
        level=config.proxy.log_level,
        secrets=secrets_of(config),
        cwd=cwd,
        brief=not _in_foreground(twistd),
        quiet=bool(twistd.get("quiet")),
        limits=limits_of(config),
    )
    at_exit(logging.finish)
    return logging


def _twistd_sink(
    twistd: Mapping[str, Any], cwd: Path, without_terminal: Path | None, shared: bool = False
) -> Sink | None:
    """Where twistd would log to, by its own rules."""
    if twistd.get("syslog") or twistd.get("logger"):
        return None
    name = twistd.get("logfile")
    foreground = _in_foreground(twistd)
    if name == "-" and not foreground:
        return None  # twistd refuses that
    if name and name != "-":
        return FileSink(cwd / name, _UNASKED if cwd / name == without_terminal else None)
    if not foreground:
        return FileSink(cwd / "twistd.log")
    stream = getattr(sys.__stdout__, "buffer", None)
    if stream is None and sys.__stdout__ is None and without_terminal is not None:
        return FileSink(without_terminal, _UNASKED)
    return None if stream is None else StreamSink(getattr(stream, "raw", stream), shared)


def _in_foreground(twistd: Mapping[str, Any]) -> bool:
    return bool(twistd.get("nodaemon")) or not hasattr(os, "fork")


def limits_of(config: Any) -> Limits | None:
    """Those that *config* sets to the files of the log."""
    size = config.proxy.log_max_size
    return None if size is None else Limits(size, config.proxy.log_keep)


def secrets_of(config: Any) -> set[str]:
    """The keys of *config*, what the receiver of spans and the store want, and its token.

    A key that is its provider's name, as local servers have, is no secret.
    """
    token = config.profile_token
    secrets: set[str] = set() if token is None else {token.get_secret_value()}
    secrets.update(config.proxy.secrets)
    for name, provider in config.providers.items():
        secrets.update(each for each in provider.secrets if each.casefold() != name.casefold())
    return secrets
