"""The configuration of the process, from one reload to the next."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from skyproxy.access.audit import NAMESPACE
from skyproxy.config import Config, changes
from skyproxy.process.reloading import Reloading
from skyproxy.process.systemd import Notifier
from skyproxy.process.watching import Watch
from skyproxy.telemetry.reloads import Reloads

_log = Logger()
_audit = Logger(namespace=NAMESPACE)


_TOLD_LATER_SECONDS = 60.0
"""For so long, what is different is told to who asks for a reload after the files were read of themselves: that is what
they have written, most likely, and they would read that nothing is different.
"""


class ReloadOutcome(NamedTuple):
    """How a reload went.

    :ivar problems: why the configuration was not taken; None: it was.
    :ivar changed: what is different.
    """

    problems: str | None
    changed: dict[str, Any]


class Configuration:
    """Reads the configuration again, and hands it to all that follow it.

    :param load: reads it, from where *config* came. Raises :class:`ConfigError`.
    :param prepare: called with the new one in a thread, before it is taken. It may refuse it: it raises then.
    :param followers: take the new one, in their order. The first may refuse it: it raises then, and no other takes it.
    :param reloads: counts the readings.
    :param notifier: announces each to the supervisor.
    :ivar current: the configuration that is in use.
    :ivar requested: how often it was asked to be read again, or was written to.
    """

    def __init__(
        self,
        reactor: Any,
        config: Config,
        load: Callable[[], Config],
        prepare: Callable[[Config], object],
        followers: Sequence[Callable[[Config], object]],
        reloads: Reloads,
        notifier: Notifier,
    ) -> None:
        self.current = config
        self._load = load
        self._prepare = prepare
        self._followers = followers
        self._reloads = reloads
        self._notifier = notifier
        self.requested = 0
        self._running = False
        self._seconds = reactor.seconds
        self._changed: dict[str, Any] = {}
        self._untold: tuple[float, dict[str, Any]] = (0.0, {})
        """What nobody who asked was told, and until when it may be."""
        self._compared: tuple[Config, Config, dict[str, Any]] | None = None
        """Two configurations, and what is different in the second."""
        self._asking: list[tuple[int, Deferred[ReloadOutcome]]] = []
        self.reloading = Reloading(reactor, self._read, self._reloaded)
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
        asking, self._asking = self._asking, []
        for _, each in asking:
            each.callback(ReloadOutcome("skyproxy is stopping", {}))

    def reload(self) -> None:
        """Read the configuration again, when nobody writes to its files any more. What cannot be read changes nothing;
        requests under way keep what they have.
        """
        if self._running:
            self.requested += 1
            self._notifier.reloading()
            self.reloading.read(self.current.paths, self._use)

    def reload_now(self, by: str) -> Deferred[ReloadOutcome]:
        """As :meth:`reload`, for *by*. Fires when it is over, however it went."""
        _audit.info("A reload is asked for", by=by)
        asking: Deferred[ReloadOutcome] = Deferred()
        if not self._running:
            asking.callback(ReloadOutcome("skyproxy is starting, or stopping", {}))
            return asking
        self._asking.append((self.reloading.requested + 1, asking))
        self.reload()
        return asking

    def _read(self) -> Config:
        """The new configuration, with as much done for it as can be while requests go on. In a thread."""
        config, before = self._load(), self.current
        self._prepare(config)
        self._compared = before, config, changes(before, config)
        return config

    def _changes(self, config: Config) -> dict[str, Any]:
        compared, self._compared = self._compared, None
        if compared is not None and compared[0] is self.current and compared[1] is config:
            return compared[2]
        return changes(self.current, config)

    def _use(self, config: Config) -> None:
        if config.proxy.listen != self.current.proxy.listen:
            _log.warn("A new listen address takes a restart", listen=list(config.proxy.listen))
        waits = _different(_waiting(self.current), _waiting(config))
        if {"proxy.shared", "proxy.shared_down"} & {*waits}:
            _log.warn("Another store of shared limits takes a restart")
        different = _different(_read_at_start(self.current), _read_at_start(config))
        if different:
            _log.warn("What only a start reads takes a restart, or `skyproxy upgrade`", settings=different)
        self._followers[0](config)
        changed = self._changed = self._changes(config)
        if waits:
            changed["waits_for_a_restart"] = waits
        self.watch.watch(_watched(config))
        self.follow(config)
        self.warn()
        _log.info("Configuration reloaded", source=config.source, **changed)

    def follow(self, config: Config) -> None:
        """Have all but the first, which has taken *config*, take it, too."""
        self.current = config
        for follow in self._followers[1:]:
            follow(config)

    def adopt(self, config: Config) -> None:
        """Take *config*, which the files hold since this process has written what is different into them.

        :raise Exception: it is refused.
        """
        self.requested += 1
        self.reloading.outdate()
        self._followers[0](config)
        self.current = config
        self.watch.watch(_watched(config))

    def _reloaded(self, last: int, problems: str | None) -> None:
        self._reloads.note(problems is None, (problems or "").splitlines())
        if last == self.reloading.requested:
            self._notifier.ready()
        told = [each for number, each in self._asking if number <= last]
        self._asking = [each for each in self._asking if each[0] > last]
        outcome = ReloadOutcome(problems, {} if problems is not None else self._to_tell(asked=bool(told)))
        for each in told:
            if not each.called:
                each.callback(outcome)

    def _to_tell(self, *, asked: bool) -> dict[str, Any]:
        """What is different, to be told now if somebody has *asked*, or else to who asks soon."""
        now = self._seconds()
        until, untold = self._untold
        changed = self._changed
        if now < until:
            changed = {key: [*untold.get(key, ()), *changed.get(key, ())] for key in {**untold, **changed}}
        self._untold = (0.0, {}) if asked else (now + _TOLD_LATER_SECONDS, changed)
        return changed


def _watched(config: Config) -> tuple[Path, ...]:
    return config.watched if config.proxy.watch else ()


def _read_at_start(config: Config) -> dict[str, object]:
    """What a reload changes nothing of, by the names of the keys."""
    proxy = config.proxy
    return {
        "proxy.workers": proxy.workers,
        "proxy.costs": proxy.costs,
        "proxy.costs_file": proxy.costs_file,
        "proxy.bodies.file": proxy.bodies.file,
    }


def _waiting(config: Config) -> dict[str, object]:
    """What waits for a restart, by the names of the keys."""
    proxy = config.proxy
    return {
        "proxy.listen": proxy.listen,
        "proxy.shared": proxy.shared,
        "proxy.shared_down": proxy.shared_down,
        **_read_at_start(config),
    }


def _different(before: dict[str, object], after: dict[str, object]) -> list[str]:
    return [name for name in after if after[name] != before[name]]
