"""Who may ask, as the configuration and the store say: from one reading to the next, and when people change it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol, TypeVar

from twisted.internet.address import UNIXAddress
from twisted.internet.defer import Deferred, succeed
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger

from skyproxy.access.access import Access, Prepared, Tokens, revoked
from skyproxy.access.administration import GRACE_SECONDS, Administration
from skyproxy.access.audit import Audit
from skyproxy.access.refusals import InvalidApiKey
from skyproxy.config import Config
from skyproxy.config.access import TokenSettings
from skyproxy.config.hints import is_public as is_public_endpoint
from skyproxy.errors import InvalidRequest
from skyproxy.pipeline.context import RequestContext
from skyproxy.process.listening import NotListening
from skyproxy.web.host import is_loopback

_log = Logger()

_ROLES = ("client", "admin", "metrics")

_Told = TypeVar("_Told")


class TokenSource(Tokens, Protocol):
    """Checks tokens by keys that it fetches, from :meth:`start` to :meth:`stop`."""

    @property
    def settings(self) -> TokenSettings: ...

    def start(self) -> None: ...

    def follow(self, settings: TokenSettings) -> None: ...

    def stop(self) -> None: ...


class AccessControl:
    """Has :class:`Access` follow the configuration, and does what the command ``skyproxy keys`` asks of the process.

    :param store: gives the file of a configuration's clients; None: there can be none.
    :param under_way: gives the requests that are not over.
    :param make_tokens: makes what checks the tokens of an identity provider.
    :param watched: called when some of the people who watch skyproxy may do so no more.
    :param changed: called when the file of clients has changed by this process. Fires with the number of requests that
        other processes have ended by that.
    :ivar revoked: called with the digests of the keys that people have taken from a client.
    :ivar changes: how often the file of clients has changed by this process.
    """

    revoked: Callable[[Collection[bytes]], object] = staticmethod(lambda digests: None)

    def __init__(
        self,
        reactor: Any,
        config: Config,
        access: Access,
        audit: Audit,
        store: Callable[[Config], Path | None],
        under_way: Callable[[], Collection[RequestContext]],
        make_tokens: Callable[[TokenSettings], TokenSource],
        watched: Callable[[], object] = bool,
        changed: Callable[[], Deferred[int]] = lambda: succeed(0),
    ) -> None:
        self._reactor = reactor
        self._access = access
        self._audit = audit
        self._store = store
        self._under_way = under_way
        self._make_tokens = make_tokens
        self._tokens: TokenSource | None = None
        self._started = False
        self._watched = watched
        self._elsewhere = changed
        self._config = config
        self._ahead: tuple[Config, int, Prepared] | None = None
        self.changes = 0
        access.use(config, access.prepare(config))

    def prepare(self, config: Config) -> None:
        """Do what can be done for :meth:`take` while requests go on. It blocks, and is for a thread.

        :raise ConfigError: *config* cannot be followed.
        """
        changes = self.changes
        self._ahead = config, changes, self._access.prepare(config)

    def take(self, config: Config, also: Callable[[Config], object]) -> None:
        """Follow *config*, if it can be, and *also* takes it.

        :raise ConfigError: it cannot be: then all stays as it was.
        """
        ahead, self._ahead = self._ahead, None
        # The file of clients may have changed since.
        as_prepared = ahead is not None and ahead[0] is config and ahead[1] == self.changes
        prepared = ahead[2] if ahead is not None and as_prepared else self._access.prepare(config)
        also(config)
        self._config = config
        self._follow_tokens()
        self._use(prepared)
        self._warn()

    def renew(self) -> int:
        """Follow the file of clients, which has changed; tells how many requests that has ended."""
        return self._use(self._access.prepare(self._config))

    def listens(self, addresses: Iterable[Any]) -> None:
        """Take note of the *addresses* that were bound.

        :raise NotListening: others could ask, and nobody has a key.
        """
        self._access.listens(any(map(is_public, addresses)))
        if self._access.lets_nobody_in:
            raise NotListening(how_to_mend(self._config, self._access.public))

    def start(self) -> None:
        """Tell what is doubtful, now that the log is there, and fetch what is kept elsewhere."""
        self._started = True
        self._follow_tokens()
        known = any(map(is_public_endpoint, self._config.proxy.listen))
        if self._access.public and not self._access.required and not known:
            _log.warn(
                "Whoever reaches skyproxy may ask, and spend the providers' keys: access.required is false",
            )
        self._warn()

    def stop(self) -> None:
        """Fetch nothing any more."""
        if self._tokens is not None:
            self._tokens.stop()
        self._started = False

    def _follow_tokens(self) -> None:
        """Take tokens as the configuration says."""
        settings, tokens = self._config.access.jwt, self._tokens
        if not self._started or (None if tokens is None else tokens.settings) == settings:
            return
        if tokens is not None and settings is not None and settings.jwks == tokens.settings.jwks:
            # Where the keys come from is the same: nobody waits for them once more, or for a server that is down.
            tokens.follow(settings)
            return
        if tokens is not None:
            tokens.stop()
        self._tokens = self._access.tokens = None if settings is None else self._make_tokens(settings)
        if self._tokens is not None:
            self._tokens.start()

    def _warn(self) -> None:
        if self._access.required and not self._access.directory.clients and self._config.access.jwt is None:
            _log.warn("Nobody may ask: no client has a key. `skyproxy keys create NAME` makes one")

    @property
    def required(self) -> bool:
        """Whether requests need a key."""
        return self._access.required

    # What the command asks for. Each takes what it has sent, and who asks.

    def listed(self) -> Deferred[dict[str, Any]]:
        """All clients."""
        return self._in_thread(lambda keys: keys.listed())

    def create(self, sent: dict[str, Any], by: str) -> Deferred[dict[str, Any]]:
        """Make a client."""
        name, role, values = _text(sent, "name"), _text(sent, "role") or "client", sent.pop("settings", None) or {}
        if role not in _ROLES or not isinstance(values, dict):
            raise InvalidRequest("`role` must be client, admin or metrics, and `settings` an object.")
        return self._changed(
            lambda keys: keys.create(name, values, role),  # type: ignore[arg-type]
            lambda told: f"Client {told['name']} has a key now.",
            by,
        )

    def rotate(self, sent: dict[str, Any], by: str) -> Deferred[dict[str, Any]]:
        """Give a client another key."""
        name, grace = _text(sent, "name"), sent.get("grace", GRACE_SECONDS)
        if not isinstance(grace, (int, float)) or isinstance(grace, bool):
            raise InvalidRequest("`grace` must be seconds.", param="grace")
        return self._changed(
            lambda keys: keys.rotate(name, float(grace)), lambda told: f"Client {told['name']} has another key now.", by
        )

    def revoke(self, sent: dict[str, Any], by: str) -> Deferred[dict[str, Any]]:
        """Take its keys from a client."""
        name, forget = _text(sent, "name"), sent.get("forget", False) is True
        before = self._access.directory.holders.keys()

        return self._changed(
            lambda keys: keys.revoke(name, forget=forget),
            lambda told: f"Client {told['name']} has no key any more.",
            by,
            lambda: self.revoked(before - self._access.directory.holders.keys()),
        )

    def revoked_before(self) -> Deferred[list[bytes]]:
        """The digests of keys that people have taken from clients here lately, by this process or another one."""
        return self._in_thread(lambda keys: keys.revoked())

    def revoke_keys(self, is_revoked: Callable[[bytes], bool], by: str) -> Deferred[Any]:
        """Take the keys of whose digests *is_revoked* says so, if any opens something, from whomever they are of."""
        digests = [each for each in self._access.directory.holders if is_revoked(each)]
        if not digests:
            return succeed(None)

        def told(done: dict[str, Any]) -> str:
            return f"{done['revoked']} of {len(digests)} keys that were revoked elsewhere open nothing any more."

        def look(_: object) -> None:
            if any(each in self._access.directory.holders for each in digests):
                _log.warn(
                    "A key that was revoked elsewhere stands in the configuration here, and still opens: remove it"
                )

        return self._changed(lambda keys: keys.revoke_keys(digests), told, by).addCallback(look)

    def _changed(
        self,
        act: Callable[[Administration], dict[str, Any]],
        say: Callable[[dict[str, Any]], str],
        by: str,
        followed: Callable[[], object] = lambda: None,
    ) -> Deferred[dict[str, Any]]:
        def done(told: dict[str, Any]) -> Deferred[dict[str, Any]]:
            self.changes += 1
            self._audit.acted(say(told), by)
            # The store is written: now the process follows it.
            ended = self.renew()
            # Other machines need not wait for a worker here that is slow.
            followed()
            required = self._access.required
            return self._elsewhere().addCallback(lambda more: {**told, "ended": ended + more, "required": required})

        return self._in_thread(act).addCallback(done)

    def _in_thread(self, act: Callable[[Administration], _Told]) -> Deferred[_Told]:
        keys = Administration(self._config, self._store(self._config))
        return deferToThreadPool(self._reactor, self._reactor.getThreadPool(), act, keys)

    def _use(self, prepared: Prepared) -> int:
        """Let in who *prepared* says from now on; tells how many requests that has ended."""
        access, before, required = self._access, self._access.directory, self._access.required
        access.use(self._config, prepared)
        if before.keys_of("admin") - access.directory.keys_of("admin") or (access.required and not required):
            self._watched()
        return self._end_revoked()

    def _end_revoked(self) -> int:
        """End the requests whose keys open nothing any more; tells how many."""
        identities = {
            context: context.request.identity for context in self._under_way() if context.request.identity is not None
        }
        if not identities:
            return 0
        gone = revoked(self._access, identities.values())
        ended = [each for each, identity in identities.items() if (identity.name, identity.key_id) in gone]
        for context in ended:
            context.end(InvalidApiKey("The key of this request was revoked.", "revoked"))
        if ended:
            _log.info("Requests were ended, for their keys were revoked", requests=len(ended))
        return len(ended)


def is_public(address: Any) -> bool:
    """Whether other machines reach *address*, which was bound."""
    return not isinstance(address, UNIXAddress) and not is_loopback(getattr(address, "host", ""))


def how_to_mend(config: Config, public: bool) -> str:
    """What is wrong, and the two lines either of which mends it."""
    why = "other machines can reach it" if public else "it stands behind a proxy (access.trust_forwarded_from)"
    file = "skyproxy.yaml" if config.found is None else config.found.files[0]
    named = "" if config.found is None else f" --config {config.source}"
    return (
        f"{why}, and no client has a key. Make one for each client:\n"
        f"    skyproxy keys create NAME{named}\n"
        f"or let whoever reaches it spend the providers' keys, by this line in {file}:\n"
        f"    access: {{required: false}}"
    )


def _text(sent: Mapping[str, Any], name: str) -> str:
    value = sent.get(name, "")
    if not isinstance(value, str):
        raise InvalidRequest(f"`{name}` must be a text.", param=name)
    return value
