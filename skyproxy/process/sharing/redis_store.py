"""Redis as the place where machines meet: they publish what they say, and one of them holds the lease of the leader."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from skyproxy.cache.in_time import in_time
from skyproxy.process.sharing.also_heard import AlsoHeard, Hearer
from skyproxy.process.sharing.link import Commands, Link, NotThere, Subscriber, reason_of, was_refused
from skyproxy.process.sharing.refusals import Refusals
from skyproxy.process.sharing.scripts import LEAVE, SEND, TICK
from skyproxy.shares.leader import Terms
from skyproxy.shares.store import Listener, Tick

_log = Logger()

REPLY_SECONDS = 1.0
"""That an answer may take, before the connection counts as dead."""

_LEAVE_SECONDS = 0.5
"""That the farewell may take."""


class RedisStore:
    """A store for :class:`~skyproxy.shares.machine.Machine`.

    There are two connections: one on which this machine asks, and one on which it hears what is published. Where there
    is not both, it does not lead.

    :param name: of this machine.
    :param login: what :class:`txredisapi.RedisProtocol` takes: password, username, dbid.
    """

    def __init__(self, reactor: Any, endpoint: Any, name: str, login: Mapping[str, Any], terms: Terms) -> None:
        self._reactor = reactor
        self._name = name
        self._terms = terms
        # Channels are those of all databases of a Redis.
        prefix = f"skyproxy:{login.get('dbid') or 0}:{{shares}}:"
        self._keys = [prefix + "leader", prefix + "machines", prefix + "heard"]
        self._reports = prefix + "reports"
        self._refusals = Refusals(reactor.seconds)
        options = {**login, "charset": None, "convertNumbers": False}
        self._commands = Link(
            reactor, endpoint, lambda: Commands(**options), lambda _: self._usable(), self._failed
        )  # fmt: skip
        self._hearing = Link(
            reactor, endpoint, lambda: Subscriber(**options), self._subscribe, self._failed, self._heard
        )  # fmt: skip
        self._listener: Listener | None = None
        self._why = "it has not answered yet"
        self._hears = self._leads = self._hears_reports = False
        self._also: AlsoHeard | None = None
        # The store's clock, less the one here, as the last answer told.
        self._ahead: float | None = None

    # As a store.

    def begin(self, listener: Listener) -> None:
        self._listener = listener
        self._commands.start()
        self._hearing.start()

    def tick(self, report: bytes, done: Callable[[Tick | str], object]) -> None:
        hears = self._hears and self._hearing.protocol is not None
        if not hears:
            # Grants could not come; what is wrong is the same for both connections.
            done(self._why)
            return
        ahead = self._ahead
        expected = 0 if ahead is None else int(self._reactor.seconds() * 1000 + ahead)
        arguments = [
            self._name, report, self._reports,
            int(self._terms.leads * 1000), int(self._terms.lease * 1000), expected,
            int(self._terms.remember * 1000), self._channel_to(""),
        ]  # fmt: skip
        self._ask(TICK, self._keys, arguments, lambda reply: done(self._ticked(reply)), done)

    def lead(self, *, leads: bool) -> None:
        self._leads = leads
        protocol = self._hearing.protocol
        if protocol is None or not self._hears:
            return
        if leads and self._hears_reports:
            self._call_ready()
        elif leads:
            self._hears_reports = True
            self._await(protocol.subscribe([self._reports]), lambda _: self._call_ready(), _ignored)
        elif self._hears_reports:
            self._hears_reports = False
            protocol.unsubscribe([self._reports]).addErrback(_ignored)

    def send(self, messages: Mapping[str, bytes], done: Callable[[bool], object]) -> None:
        arguments: list[Any] = [self._name]
        for machine, message in messages.items():
            arguments += [self._channel_to(machine), message]
        self._ask(SEND, self._keys[:1], arguments, lambda reply: done(reply == 1), _ignored)

    def absent(self, machines: Iterable[str], done: Callable[[list[str]], object]) -> None:
        names = list(machines)
        protocol = self._commands.protocol
        if protocol is not None:
            channels = [self._channel_to(name) for name in names]

            def told(reply: Any) -> None:
                done([name for name, count in zip(names, reply[1::2], strict=True) if count == 0])

            asked = protocol.execute_command("PUBSUB", "NUMSUB", *channels)
            self._await(asked, told, _ignored)

    def leave(self, message: bytes, done: Callable[[], object]) -> None:
        def over(_: Any) -> None:
            self._commands.stop()
            self._hearing.stop()
            done()

        if self._commands.protocol is None:
            over(None)
            return
        asked = self._commands.protocol.eval(LEAVE, self._keys, [self._name, message, self._reports])
        asked.addTimeout(_LEAVE_SECONDS, self._reactor).addBoth(over)

    # For what is not shared, but told.

    @property
    def prefix(self) -> str:
        """Of all keys and channels: who has the same meets here."""
        return self._reports.removesuffix("reports")

    def listen(self, channel: str, listener: Hearer) -> None:
        """Have *listener* hear what is published in *channel*, too; called before :meth:`begin`."""
        self._also = AlsoHeard(channel, listener)

    def late(self, sent: int) -> float:
        """Seconds since *sent*, in milliseconds of the store's clock; 0.0 while that is not known."""
        return 0.0 if self._ahead is None else max(0.0, self._reactor.seconds() + (self._ahead - sent) / 1000)

    def run(
        self,
        script: str,
        keys: list[str],
        arguments: list[Any],
        done: Callable[[Any], object],
        failed: Callable[[str], object],
    ) -> None:
        """Run a script, whose answer *done* is called with, or *failed* with what is wrong. One that is refused is no
        reason to make the connection anew.
        """
        self._ask(script, keys, arguments, done, failed, drop=False)

    # The connections.

    def _channel_to(self, machine: str) -> str:
        return f"{self.prefix}to:{machine}"

    def _usable(self) -> None:
        self._refusals.begin()
        if self._hears:
            self._call_ready()
        if self._also is not None and self._also.hears:
            self._also.listener.ready()

    def _subscribe(self, protocol: Any) -> None:
        self._hears = self._hears_reports = False
        self._await(protocol.subscribe([self._channel_to(self._name)]), lambda _: self._subscribed(), _ignored)
        also = self._also
        if also is not None:
            also.hears = False
            asked = protocol.subscribe([also.channel])
            self._await(asked, lambda _: self._subscribed_also(also), _ignored, drop=False)

    def _subscribed_also(self, also: AlsoHeard) -> None:
        also.hears = True
        if self._commands.protocol is not None:
            also.listener.ready()

    def _subscribed(self) -> None:
        self._hears = True
        self._hearing.worked()
        if self._leads:
            self.lead(leads=True)
        elif self._commands.protocol is not None:
            self._call_ready()

    def _call_ready(self) -> None:
        if self._listener is not None:
            self._listener.ready()

    def _heard(self, channel: bytes, message: bytes) -> None:
        if self._listener is None:
            return
        name = channel.decode()
        if name == self._reports:
            self._listener.heard(message)
        elif self._also is not None and name == self._also.channel:
            self._also.listener.heard(message)
        else:
            self._listener.told(message)

    def _failed(self, why: str) -> None:
        if why != self._why:
            _log.debug("The store of shared limits: {reason}", reason=why)
        self._why = why
        if self._hearing.protocol is None:
            self._hears = self._hears_reports = False
        if self._also is not None:
            self._also.hears &= self._hearing.protocol is not None
            self._also.listener.lost()

    # Questions.

    def _ask(
        self,
        script: str,
        keys: list[str],
        arguments: list[Any],
        done: Callable[[Any], object],
        failed: Callable[[str], object],
        *,
        drop: bool = True,
    ) -> None:
        protocol = self._commands.protocol
        if protocol is None:
            failed(self._why)
        else:
            self._await(protocol.eval(script, keys, arguments), done, failed, drop=drop)

    def _await(
        self,
        asked: Deferred[Any],
        done: Callable[[Any], object],
        failed: Callable[[str], object],
        *,
        drop: bool = True,
    ) -> None:
        """Wait for an answer. Where there is none in time, or it is an error, the connections are made anew.

        :param drop: not for an error, if False.
        """

        def late(why: str) -> None:
            self._why = why
            self._drop()
            failed(why)

        in_time(self._reactor, asked.addErrback(self._explain, drop), REPLY_SECONDS, done, failed, late)

    def _explain(self, failure: Failure, drop: bool) -> Any:
        if was_refused(failure):
            reason = reason_of(failure.value)
            if not drop:
                self._refusals.refused(reason)
                raise NotThere(reason)
            self._why = reason
            self._drop()
        raise NotThere(self._why)

    def _drop(self) -> None:
        self._commands.drop()
        self._hearing.drop()

    def _ticked(self, reply: Any) -> Tick | str:
        self._commands.worked()
        self._refusals.shared()
        self._ahead = reply[0] - self._reactor.seconds() * 1000
        if len(reply) == 1:
            return "it has stood still"
        _, leader, took, fresh, others = reply
        return Tick(leader.decode(), bool(took), tuple(each.decode() for each in others), bool(fresh))


def _ignored(_: Any) -> None:
    """The connection is lost, which is told elsewhere."""
