"""The configuration of the process, from one reload to the next."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from twisted.logger import Logger

from skyproxy.config import Config, changes
from skyproxy.process.reloading import Reloading
from skyproxy.process.systemd import Notifier
from skyproxy.process.watching import Watch
from skyproxy.telemetry.reloads import Reloads

_log = Logger()


class Configuration:
    """Reads the configuration again, and hands it to all that follow it.

    :param load: reads it, from where *config* came. Raises :class:`ConfigError`.
    :param followers: take the new one, in their order. The first may refuse it: it raises then, and no other takes it.
    :param reloads: counts the readings.
    :param notifier: is told of each.
    :ivar current: the configuration that is in use.
    """

    def __init__(
        self,
        reactor: Any,
        config: Config,
        load: Callable[[], Config],
        followers: Sequence[Callable[[Config], object]],
        reloads: Reloads,
        notifier: Notifier,
    ) -> None:
        self.current = config
        self._followers = followers
        self._reloads = reloads
        self._notifier = notifier
        self._running = False
        self.reloading = Reloading(reactor, load, self._reloaded)
        self.watch = Watch(reactor, self.reload)

    def warn(self) -> None:
        """Tell what is doubtful in it."""
        for warning in self.current.warnings:
            _log.warn("Configuration warning", warning=warning)

    def start(self) -> None:
        """Look after the files from now on."""
        self._running = True
        self.watch.watch(_watched(self.current))

    def stop_watching(self) -> None:
        """Look after the files no more."""
        self.watch.watch(())

    def stop(self) -> None:
        """Take no other configuration any more."""
        self._running = False
        self.reloading.stop()

    def reload(self) -> None:
        """Read the configuration again, when nobody writes to its files any more. What cannot be read changes nothing;
        requests under way keep what they have.
        """
        if self._running:
            self._notifier.reloading()
            self.reloading.read(self.current.paths, self._use)

    def _use(self, config: Config) -> None:
        if config.proxy.listen != self.current.proxy.listen:
            _log.warn("A new listen address takes a restart", listen=list(config.proxy.listen))
        may_refuse, *others = self._followers
        may_refuse(config)
        changed = changes(self.current, config)
        self.current = config
        self.watch.watch(_watched(config))
        for follow in others:
            follow(config)
        self.warn()
        _log.info("Configuration reloaded", source=config.source, **changed)

    def _reloaded(self, successful: bool) -> None:
        self._reloads.note(successful)
        self._notifier.ready()


def _watched(config: Config) -> tuple[Path, ...]:
    return config.watched if config.proxy.watch else ()
