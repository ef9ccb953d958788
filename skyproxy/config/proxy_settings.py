"""skyproxy's own side of a configuration: where it listens, and what clients must keep to."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr

from skyproxy.config import rules
from skyproxy.config.budgets import Purse
from skyproxy.config.fields import (
    Bytes,
    BytesOrOff,
    Checked,
    Count,
    Host,
    Hosts,
    Listen,
    OnOff,
    OptionalPath,
    Origins,
    Seconds,
    SecondsOrNone,
)
from skyproxy.config.listen_address import below
from skyproxy.config.resilience import CacheSettings
from skyproxy.config.shared import StoreAddress, checked_store, store_address
from skyproxy.config.telemetry import TelemetrySettings

LogLevel = Literal["debug", "info", "warn", "error"]

_UNROTATED = None if hasattr(signal, "SIGUSR1") else 10 * 1024 * 1024
"""Where a signal can tell of it, other programs see to the size of logs."""

_LEVELS = {"trace": "debug", "warning": "warn"}


def _level(value: Any) -> Any:
    return _LEVELS.get(value.lower(), value.lower()) if isinstance(value, str) else value


_MOST_WORKERS = 256


def _recorded(value: Any) -> Any:
    """YAML reads ``off`` as a boolean."""
    return {True: "all", False: "off", "on": "all"}.get(value, value) if isinstance(value, (bool, str)) else value


def _workers(value: Any) -> Any:
    """A number may come as a text, from the command line.

    :raise ValueError: it is neither a number of processes nor ``auto``.
    """
    number = int(value) if isinstance(value, str) and value.isdecimal() and len(value) < 9 else value
    if number != "auto" and (
        not isinstance(number, int) or isinstance(number, bool) or not 1 <= number <= _MOST_WORKERS
    ):
        raise ValueError(f"must be a whole number from 1 to {_MOST_WORKERS}, or auto")
    return number


class BodySettings(Checked):
    """Where the bodies that ``record_bodies`` keeps are, and for how long.

    :ivar file: the SQLite file, relative to the file that names it. Without it, it is in the user's folder for data.
    :ivar max_size: of that file; the oldest bodies go first.
    :ivar keep: for how long a body is kept.
    :ivar max_body: the most bytes of a request, and of an answer, that are kept; of larger ones it is the beginning.
    """

    file: OptionalPath = None
    max_size: Annotated[Bytes, Field(ge=1024 * 1024)] = 256 * 1024 * 1024
    keep: Seconds = 24 * 3600.0
    max_body: Bytes = 256 * 1024


class Address(Checked):
    """Where to listen, as the founding proxy's files write it.

    :ivar listen_address: an address or ``localhost``; with ``listen_port`` in place of ``listen``.
    :ivar listen_port: its port.
    """

    listen_address: Host = "127.0.0.1"
    listen_port: Annotated[int, Field(ge=0, le=65535)] = 35791

    def endpoints(self) -> tuple[str, ...]:
        """The Twisted endpoints of this address."""
        if "listen_address" not in self.model_fields_set or self.listen_address == "localhost":
            return rules.on_this_machine(self.listen_port)
        return (rules.endpoint_of(self.listen_address, self.listen_port),)


class ProxySettings(Checked):
    """skyproxy's own side.

    :ivar listen: where to listen: a port, which is for this machine alone (127.0.0.1 and ::1), ``host:port``, a Twisted
        endpoint, or a list of these. ``--listen`` is stronger.
    :ivar workers: how many processes serve, behind one that listens; ``auto``: one for each processor that may be used.
        ``max_concurrent`` and ``max_pending`` are those of all together. Windows has one. A change counts from the next
        start on; ``--workers`` is stronger.
    :ivar shared: the Redis by which several machines keep to one ``max_concurrent`` and ``max_pending`` of each
        provider together, to the limits of each client and to budgets, and tell each other what they find out, with
        the extra ``skyproxy[redis]``: ``redis://``, ``rediss://`` (TLS) or ``redis+sentinel://``; ``${NAME}`` in it
        is a variable of the environment or of ``.env``. Without it each machine has the whole of all limits. A
        change counts from the next start on.
    :ivar shared_down: what a machine does while that Redis is not to be reached, when its share has run out:
        ``divide``, it goes on with an even part; ``stop``, its requests wait.
    :ivar log_file: the file for the log in JSON lines, relative to the file that names it; in the two files of a folder
        ``config``, relative to the folder that this one is in. One that holds anything but a log of skyproxy's is
        refused. Without it there is none.
    :ivar log_max_size: the size at which a log file, of JSON lines or of text, gets the name with ``.1`` at its end, so
        that another begins; ``off``: never. It is ``10MiB`` by default on Windows, where no other program can rename
        an open file.
    :ivar log_keep: how many full files are kept, ``.1`` being the youngest.
    :ivar log_level: the lowest level that is logged.
    :ivar fallback_to_default: whether the slot ``default`` serves models that nobody knows. Otherwise they are answered
        by 400, with the nearest names.
    :ivar model_names: the name that ``model`` has in answers, whole and streamed: the one by which the client asked, or
        the provider's. The headers X-Skyproxy-Provider and X-Skyproxy-Model tell who answered in any case.
    :ivar max_body: the most bytes of a request's body, as sent and when inflated. A larger one is answered by 413.
    :ivar stop_delay: how long ``/readyz`` answers 503, while requests are still served, before skyproxy stops: time for
        a balancer to find out.
    :ivar drain_timeout: how long requests under way may take when skyproxy stops. What is left then ends with an error.
    :ivar header_timeout: how long a request's head may take to arrive.
    :ivar body_timeout: how long a request's body may take to arrive.
    :ivar stall_timeout: how long a client may read nothing of its answer before its connection is closed.
    :ivar max_clients: connections of clients at a time; those beyond are closed. Without it, there are as many as the
        limit of open files lets in, and others wait.
    :ivar max_clients_per_address: connections of one address at a time; those in ``trust_forwarded_from`` may have any
        number. A browser or a game takes up to ten.
    :ivar cors_origins: the origins of browser pages that may ask, besides those of this machine; ``*`` allows all.
    :ivar allowed_hosts: the names that ``Host`` may have on a connection over loopback, besides this machine's own;
        ``*`` allows all.
    :ivar cache: the stores of answers, for the providers and slots that keep some.
    :ivar costs: whether what requests cost is kept in a file, over restarts; ``off``: in memory alone. A
        change of this, or of the file, counts from the next start on.
    :ivar costs_file: that file, relative to the file that names it. Without it, it is in the user's folder for data.
    :ivar costs_keep_days: for how many days costs are kept.
    :ivar purse: how much may be spent by all requests together, such as ``2/day``; with ``on_budget``, what serves
        them then.
    :ivar record_bodies: whose bodies, of requests and answers, are kept in a file on this machine for a while: of
        requests that fail (``errors``), of ``all``, or of none (``off``). Secrets of the configuration are masked in
        them; what players and characters say is not.
    :ivar bodies: where, and for how long.
    :ivar telemetry: where spans of OpenTelemetry go.
    :ivar watch: whether the configuration is read again when one of its files changes. It is so by default where no
        SIGHUP can ask for that: on Windows.
    :ivar process_priority: on Windows, ``raised`` lets the process go before a game that takes all cores, and keeps
        Windows from slowing it down while its window is hidden; ``normal`` leaves both to Windows. Other systems are
        not asked for either.
    """

    listen: Listen = Address().endpoints()
    workers: Annotated[Annotated[int, Field(ge=1, le=_MOST_WORKERS)] | Literal["auto"], BeforeValidator(_workers)] = 1
    shared: Annotated[SecretStr, AfterValidator(checked_store)] | None = None
    shared_down: Literal["divide", "stop"] = "divide"
    log_file: OptionalPath = None
    log_max_size: BytesOrOff = _UNROTATED
    log_keep: Annotated[int, Field(ge=1, le=1000)] = 3
    log_level: Annotated[LogLevel, BeforeValidator(_level)] = "info"
    fallback_to_default: bool = False
    model_names: Literal["client", "provider"] = "client"
    max_body: Bytes = 10 * 1024 * 1024
    stop_delay: SecondsOrNone = 0.0
    drain_timeout: Seconds = 10.0
    header_timeout: Seconds = 10.0
    body_timeout: Seconds = 60.0
    stall_timeout: Seconds = 60.0
    max_clients: Count | None = None
    max_clients_per_address: Count | None = None
    cors_origins: Origins = ()
    allowed_hosts: Hosts = ()
    cache: CacheSettings = CacheSettings()
    costs: OnOff = True
    costs_file: OptionalPath = None
    costs_keep_days: Annotated[int, Field(ge=1, le=10_000)] = 400
    purse: Purse = None
    record_bodies: Annotated[Literal["off", "errors", "all"], BeforeValidator(_recorded)] = "off"
    bodies: BodySettings = BodySettings()
    telemetry: TelemetrySettings = Field(default_factory=TelemetrySettings)
    watch: bool = not hasattr(signal, "SIGHUP")
    process_priority: Literal["raised", "normal"] = "raised"

    @property
    def store(self) -> StoreAddress | None:
        """The Redis by which machines share limits; None: this one shares none."""
        return None if self.shared is None else store_address(self.shared.get_secret_value())

    @property
    def store_of_answers(self) -> StoreAddress | None:
        """The Redis in which answers may be kept; None: there is none."""
        own = self.cache.address
        return self.store if own is None else store_address(own.get_secret_value())

    @property
    def secrets(self) -> tuple[str, ...]:
        """What is not to be shown: what the receiver of spans wants, and the passwords of stores."""
        stores = {each for each in (self.store, self.store_of_answers) if each is not None}
        passwords = {each.password.get_secret_value() for each in stores if each.password is not None}
        return (*self.telemetry.secrets, *sorted(passwords))

    def below(self, folder: Path, folder_of_log: Path, folder_of_listen: Path) -> ProxySettings:
        """The same with the paths that are relative below *folder*, that of the log below *folder_of_log*, and those of
        the addresses below *folder_of_listen*.
        """
        listen = tuple(below(endpoint, folder_of_listen) for endpoint in self.listen)
        changed: dict[str, Any] = {} if listen == self.listen else {"listen": listen}
        if self.log_file is not None:
            changed["log_file"] = folder_of_log / self.log_file
        if self.costs_file is not None:
            changed["costs_file"] = folder / self.costs_file
        if self.bodies.file is not None:
            changed["bodies"] = self.bodies.model_copy(update={"file": folder / self.bodies.file})
        if self.cache.path is not None:
            changed["cache"] = self.cache.model_copy(update={"path": folder / self.cache.path})
        return self.model_copy(update=changed) if changed else self
