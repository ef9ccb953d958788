"""What `twistd skyproxy` calls: its options, and the service they ask for."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from twisted.application.service import IService
from twisted.python import usage

from skyproxy.cache.ownership import ANSWERS
from skyproxy.config import Config, ConfigError, Problem, load, may_pass
from skyproxy.http import Wire
from skyproxy.http.loop.socket_budget import raise_limit
from skyproxy.log.logging import Logging, build_logging
from skyproxy.process import pid_file as pidfile
from skyproxy.process.clock import use_monotonic_time
from skyproxy.process.listening import NotListening
from skyproxy.process.places import places_of, shared_places
from skyproxy.process.privileges import Owner, acting_as, owner_of
from skyproxy.process.runtime_folder import runtime_folder
from skyproxy.process.signals import Signals
from skyproxy.process.systemd import Notifier
from skyproxy.process.upgrade import VARIABLE
from skyproxy.process.workers.count import NoWorkers, worker_count
from skyproxy.util.file_stream import replace_missing_streams
from skyproxy.util.own_database import NotUsable
from skyproxy.util.user_folders import text_log, user_home

if TYPE_CHECKING:  # Klein imports the reactor
    from skyproxy.process.parts import Parts
    from skyproxy.process.service import SkyproxyService
    from skyproxy.process.upgrade.predecessor import Predecessor


class Options(usage.Options):
    """The command line of `twistd skyproxy`."""

    synopsis = "[--config PATH] [--listen ENDPOINT] [--log-file FILE] [--log-level LEVEL] [--workers N]"
    longdesc = (
        "A proxy between clients of the OpenAI API and many providers. Without a configuration it serves at once, "
        "with an embedded demo provider."
    )
    optParameters: ClassVar = [
        ["config", "c", None, "A YAML file, or a folder with providers.yaml and routes.yaml"],
        ["listen", "l", None, "A port, host:port or Twisted endpoint to listen at"],
        ["log-file", None, None, "File for the log in JSON lines"],
        ["log-level", None, None, "debug, info, warn or error"],
        ["workers", "w", None, "How many processes serve: a number, or auto"],
    ]

    predecessor: Predecessor | None = None

    def postOptions(self) -> None:
        """Before twistd looks whether another instance runs."""
        twistd: Any = self.parent
        name = twistd["pidfile"] if twistd is not None and "pidfile" in twistd else None
        self.predecessor = _predecessor()
        if name and self.predecessor is not None:
            # It names the other process, rightly, until this one has taken over.
            twistd["pidfile"] = ""
        elif name:
            pidfile.forget_if_stale(Path(name))


class Reader:
    """Reads the configuration that *options* name: again from where it was found the first time.

    :param owner: who is to be able to use the files that it names.
    """

    def __init__(self, options: Options, owner: Owner | None, cwd: Path) -> None:
        self._options = options
        self._owner = owner
        self._cwd = cwd
        self._last: Config | None = None

    def read(self, instead: Mapping[Path, str] | None = None) -> Config:
        """What there is now.

        :param instead: texts that some files might have: what there would be then.
        :raise ConfigError: with everything that is wrong.
        """
        options = self._options
        config = load(
            Path(options["config"]) if options["config"] else None,
            environ=os.environ,
            cwd=self._cwd,
            home=user_home(),
            listen=options["listen"],
            log_file=options["log-file"],
            log_level=options["log-level"],
            workers=options["workers"],
            source=None if self._last is None else self._last.found,
            instead=instead or {},
        )
        self._check_cache(config)
        if instead is None:
            self._last = config
        return config

    def _check_cache(self, config: Config) -> None:
        path = config.proxy.cache.path
        # One that is in use already is not to be opened once more.
        if path is None or (self._last is not None and path == self._last.proxy.cache.path):
            return
        try:
            with acting_as(self._owner):
                ANSWERS.check(path)
        except NotUsable as error:
            passing = may_pass(error.__cause__)
            problem = Problem(config.source, None, "proxy.cache.path", str(error), passing=passing)
            raise ConfigError([problem]) from None


def makeService(options: Options, reactor: Any = None) -> IService:
    """The service that *options* ask for. It listens already, so that an error ends the command at once.

    :raise SystemExit: with one clear message, when the configuration, the log or the endpoint cannot be used.
    """
    if reactor is None:
        from twisted.internet import reactor
    return Launch(options, reactor).service()


class Launch:
    """Makes the service of a process, once or, one after the other, several times.

    :param reactor: gets the clock and the signals that a process of skyproxy's has.
    :raise SystemExit: the reactor, or the folder that the process was started in, cannot be used.
    :ivar signals: of the process. They are taken when the first service is made, or :meth:`prepare` is called.
    """

    def __init__(self, options: Options, reactor: Any) -> None:
        self._text = text_log(os.environ, user_home())
        replace_missing_streams(self._text)
        if type(reactor).__name__ == "IOCPReactor":
            raise SystemExit("skyproxy: the reactor iocp cannot be used: leave --reactor out, or say --reactor=select")
        use_monotonic_time(reactor)
        raise_limit(reactor)
        self._options = options
        self._reactor = reactor
        self._twistd: Any = options.parent or {}
        self._owner = owner_of(self._twistd)
        try:
            self._cwd = Path.cwd()
        except OSError as error:
            raise SystemExit(f"skyproxy: the folder that it was started in cannot be used: {error.strerror}") from None
        self.signals = Signals()
        self._has_signals = False
        self._predecessor = getattr(options, "predecessor", None) or _predecessor()

    def reader(self) -> Reader:
        """Reads the configuration, from where it is found at the first time."""
        return Reader(self._options, self._owner, self._cwd)

    def prepare(self) -> None:
        """Take the signals, and see to the pid file, unless that has been done."""
        if not self._has_signals:
            self._has_signals = True
            see_to_pidfile(self._twistd, self._cwd)
            self.signals.take()

    def service(
        self, notifier: Notifier | None = None, kind: Callable[[Any, Parts], SkyproxyService] | None = None
    ) -> SkyproxyService:
        """A service, which listens already.

        :param notifier: tells the supervisor of the service's life; None: the one that the environment names.
        :param kind: of service; None: one whose end is that of the process.
        :raise SystemExit: with one clear message, when the configuration, the log or the endpoint cannot be used.
        """
        # Klein imports the reactor when it is imported: by now --reactor has chosen it.
        from skyproxy.process.building import build

        reader = self.reader()
        try:
            config = reader.read()
        except ConfigError as error:
            raise SystemExit(f"skyproxy: the configuration cannot be used:\n{error}") from None
        workers = self.workers(config, alone=kind is not None)
        self.prepare()
        shared = workers > 1 or self._predecessor is not None
        logging = build_logging(
            config, self._twistd, self._cwd, self._reactor, without_terminal=self._text, shared=shared
        )
        open_log(logging, self._owner)
        before = self._predecessor
        if notifier is None:
            notifier = Notifier(os.environ) if before is None else before.notifier
        common = (
            self._reactor,
            config,
            reader.read,
            logging,
            Wire(),
            self.signals,
            notifier,
            runtime_folder(os.environ),
        )
        places = places_of(config, os.environ, user_home())
        try:
            if workers == 1:
                service = build(*common, kind, places)
            else:
                from skyproxy.process.workers.parent import build_parent, told_by

                with acting_as(self._owner):
                    places = shared_places(places)
                told = told_by(self._twistd, self._cwd, self._text, places)
                service = build_parent(*common, places, workers, told)
        except ConfigError as error:
            raise SystemExit(f"skyproxy: the configuration cannot be used:\n{error}") from None
        if kind is None:
            self._make_upgradable(service)
        try:
            service.listen()
        except NotListening as error:
            raise SystemExit(f"skyproxy: {error}") from None
        if before is not None:
            service.parts.endpoints.pause()
        return service

    def _make_upgradable(self, service: SkyproxyService) -> None:
        # Now, not when somebody wants it: by then another version may be installed, whose parts do not fit these.
        from skyproxy.process.upgrade.handing_over import Upgrade
        from skyproxy.process.upgrade.pid_file import PidFile
        from skyproxy.process.upgrade.serving import Serving
        from skyproxy.process.upgrade.successor import Successor, own_command

        make = partial(Successor, self._reactor, own_command(self._cwd))
        before = self._predecessor
        pid_file = PidFile(self._twistd, None if before is None else before.pid_descriptor)
        pid_file.setServiceParent(service)  # type: ignore[no-untyped-call]
        service.upgrades = Upgrade(self._reactor, Serving(service, self._twistd, pid_file), make)
        if before is not None:
            before.serve(self._reactor, service, pid_file)

    def workers(self, config: Config, *, alone: bool) -> int:
        """How many workers there are to be.

        :param alone: the service can have but one process.
        :raise SystemExit: there cannot be so many.
        """
        try:
            workers = worker_count(config.proxy.workers)
        except NoWorkers as error:
            raise SystemExit(f"skyproxy: {error}") from None
        if alone and workers > 1:
            raise SystemExit("skyproxy: --with-game serves with one process: leave workers out, or say --workers 1")
        return workers


def _predecessor() -> Predecessor | None:
    """The process that this one is to take over from; None: there is none."""
    number = os.environ.pop(VARIABLE, None)
    if number is None:
        return None
    from skyproxy.process.upgrade.predecessor import Predecessor

    return Predecessor.heard_at(number)


def see_to_pidfile(twistd: Any, cwd: Path) -> None:
    """Do without the pid file that nobody asked for, where it cannot be written.

    :raise SystemExit: one that was asked for cannot be written.
    """
    name = twistd.get("pidfile")
    reason = pidfile.why_not_writable(cwd / name) if name else None
    if reason is None:
        return
    if name != pidfile.DEFAULT:
        raise SystemExit(f"skyproxy: cannot write the pid file {cwd / name}: {reason}")
    twistd["pidfile"] = ""


def open_log(logging: Logging, owner: Owner | None) -> None:
    """Open the log files: once twistd is a daemon, nobody sees what cannot be logged.

    :raise SystemExit: one cannot be written to.
    """
    try:
        logging.open(owner)
    except OSError as error:
        raise SystemExit(f"skyproxy: cannot write the log file {error.filename}: {error.strerror}") from None
