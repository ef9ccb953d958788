"""What `twistd skyproxy` calls: its options, and the service they ask for."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any, ClassVar

from twisted.application.service import IService
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Factory
from twisted.python import usage
from twisted.python.failure import Failure

from skyproxy.config import Config, ConfigError, load
from skyproxy.observe.logging import build_logging
from skyproxy.observe.sinks import FileSink
from skyproxy.wire import Wire


class Options(usage.Options):
    """The command line of `twistd skyproxy`."""

    synopsis = "[--config PATH] [--listen ENDPOINT] [--log-file FILE] [--log-level LEVEL]"
    longdesc = (
        "A proxy between clients of the OpenAI API and many providers. Without a configuration it serves at once, "
        "with an embedded demo provider."
    )
    optParameters: ClassVar = [
        ["config", "c", None, "A YAML file, or a folder with providers.yaml and routes.yaml"],
        ["listen", "l", None, "Twisted endpoint to listen at, e.g. tcp:35791:interface=127.0.0.1"],
        ["log-file", None, None, "File for the log in JSON lines"],
        ["log-level", None, None, "debug, info, warn or error"],
    ]


def makeService(options: Options, reactor: Any = None) -> IService:
    """The service that *options* ask for.

    :raise SystemExit: with one clear message, when the configuration or the endpoint cannot be used.
    """
    if reactor is None:
        from twisted.internet import reactor
    # Klein imports the reactor when it is imported: by now --reactor has chosen it.
    from skyproxy.service import SkyproxyService

    def read() -> Config:
        return load(
            Path(options["config"]) if options["config"] else None,
            environ=os.environ,
            cwd=Path.cwd(),
            home=Path.home(),
            listen=options["listen"],
            log_file=options["log-file"],
            log_level=options["log-level"],
        )

    use_monotonic_time(reactor)
    try:
        config = read()
    except ConfigError as error:
        raise SystemExit(f"skyproxy: the configuration cannot be used:\n{error}") from None
    check_endpoint(config.proxy.listen, reactor)
    check_log_file(config.proxy.log_file)
    logging = build_logging(config, options.parent or {}, Path.cwd(), reactor)
    return SkyproxyService(reactor, config, read, logging, Wire())


def use_monotonic_time(reactor: Any) -> None:
    """Have the reactor's timers follow a clock that nobody sets: Twisted's follow the time of day.

    Nothing may wait on the reactor yet, for what does waits for a time on the other clock.
    """
    if not reactor.getDelayedCalls():
        reactor.seconds = time.monotonic


def check_log_file(log_file: Path | None) -> None:
    """Open *log_file* for a moment: once twistd is a daemon, nobody sees what cannot be logged.

    :raise SystemExit: it cannot be written to.
    """
    if log_file is None:
        return
    sink = FileSink(log_file)
    try:
        sink.reopen()
    except OSError as error:
        raise SystemExit(f"skyproxy: cannot write the log file {log_file}: {error.strerror}") from None
    finally:
        sink.close()


def check_endpoint(listen: str, reactor: Any) -> None:
    """Bind *listen* for a moment: twistd would tell of a port in use only with a traceback, or only in a log.

    :raise SystemExit: it cannot be bound, or is no endpoint, or its key cannot be read.
    """
    problems: list[str] = []

    def close(port: Any) -> None:
        # At once: stopListening would take a turn of the reactor, which does not run yet.
        port.stopReading()
        port.connectionLost(Failure(ConnectionDone()))

    factory = Factory()
    factory.noisy = False
    try:
        listening = serverFromString(reactor, listen).listen(factory)
        listening.addCallbacks(close, lambda failure: problems.append(failure.getErrorMessage()))
    except Exception as error:  # whatever the endpoint's own parser says: a bad word, a missing file, a bad key
        problems.append(str(error))
    if problems:
        raise SystemExit(f"skyproxy: cannot listen at {listen}: {problems[0]}")
