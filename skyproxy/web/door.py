"""Who may have what served: clients, scrapers of metrics, and people who look after skyproxy.

Without clients, where this machine alone is listened to, nobody is asked for a key, and what people see and do is for
this machine: then nothing here is in the way of a request.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

from twisted.internet.address import UNIXAddress

from skyproxy.access.access import Access, presented
from skyproxy.access.audit import Audit
from skyproxy.access.directory import Holder
from skyproxy.access.identity import ClientIdentity
from skyproxy.access.refusals import ForwardedNotTrusted, InvalidApiKey
from skyproxy.config.access import UNIX, networks_of
from skyproxy.errors import HostNotAllowed, SkyproxyError
from skyproxy.http.server.bounds import is_in
from skyproxy.web.host import check_near, is_loopback
from skyproxy.web.logins import Logins
from skyproxy.web.session import Sessions, check_same_origin

_FORWARDED = (
    (b"x-forwarded-for", "X-Forwarded-For"), (b"forwarded", "Forwarded"), (b"via", "Via"), (b"x-real-ip", "X-Real-IP"),
)  # fmt: skip
"""What proxies say by which a request has come; some configurations of nginx have the last one alone."""


class Entrance(Enum):
    """What a path is for."""

    OPEN = "open"
    """Supervisors, and who asks for nothing."""
    CLIENT = "client"
    """Clients."""
    METRICS = "metrics"
    """Scrapers, and people who look after skyproxy."""
    ADMIN = "admin"
    """These people."""
    SHELL = "shell"
    """The page's own files, which show nothing without its data."""
    NEAR = "near"
    """Programs of this machine, which prove by themselves that they may."""


class Door:
    """Lets requests in, or refuses them and tells the audit log.

    :param sessions: of pages.
    """

    def __init__(self, access: Access, audit: Audit, sessions: Sessions, logins: Logins) -> None:
        self.access = access
        self.audit = audit
        self.sessions = sessions
        self.logins = logins

    def admit(self, request: Any, entrance: Entrance) -> ClientIdentity | None:
        """Let *request* in.

        :return: whose key it came with; None: nobody's.
        :raise SkyproxyError: it may not.
        """
        if entrance is Entrance.CLIENT:
            return self.client(request) if self.access.on else None
        try:
            return self._admit(request, entrance)
        except SkyproxyError as error:
            self.refused(request, error)
            raise

    def client(self, request: Any) -> ClientIdentity | None:
        """The client of *request*; None: it is nobody's, and needs to be nobody's.

        :raise InvalidApiKey: it has no key, or a wrong one.
        """
        access, key = self.access, presented(request.fields)
        holder = None if key is None else access.holder(key)
        if holder is not None and holder.role != "metrics":
            return holder.identity
        if not access.required:
            return None
        try:
            if holder is not None:
                raise InvalidApiKey("Incorrect API key provided: this one opens /metrics alone.", "key of metrics")
            if key is None and self.logins.of(request) is not None:
                holder = self._login(request)
                self.sessions.check(request)
                return holder.identity
            raise access.refusal(key)
        except SkyproxyError as error:
            self.refused(request, error)
            raise

    def is_closed_to(self, request: Any) -> bool:
        """Whether :meth:`client` refuses *request*, as far as its key tells."""
        access = self.access
        if not access.required:
            return False
        key = presented(request.fields)
        if key is None:
            return self.logins.of(request) is None
        holder = access.holder(key)
        return holder is None or holder.role == "metrics"

    def check_forwarded(self, request: Any) -> None:
        """See whether another proxy may have forwarded *request*, which says that one has.

        :raise ForwardedNotTrusted: it may not: it makes loopback public.
        """
        settings = self.access.settings
        local = request.getHost()
        near = isinstance(local, UNIXAddress) or is_loopback(getattr(local, "host", ""))
        if not near or settings.required == "false" or _trusts(request.client, settings.trust_forwarded_from):
            return
        name = next(title for field, title in _FORWARDED if field in request.fields)
        who = UNIX if isinstance(request.client, UNIXAddress) else request.client.host
        error = ForwardedNotTrusted(
            f"Another proxy has forwarded this request ({name}), and so may others from anywhere. If that is meant, "
            f"write `access: {{trust_forwarded_from: [{who}]}}`, and make keys: `skyproxy keys create NAME`."
        )
        self.refused(request, error)
        raise error

    def check_acting(self, request: Any) -> None:
        """See that *request*, which was admitted, was sent on purpose: by a program with the admin key, or by the page.

        :raise NotAllowed: neither has sent it.
        """
        holder = self._by_key(request)
        if holder is None or holder.role != "admin":
            self.sessions.check(request)

    def is_admin_key(self, key: bytes) -> bool:
        """Whether *key* is one for people who look after skyproxy."""
        holder = self.access.holder(key)
        return holder is not None and holder.role == "admin"

    def who(self, request: Any, what: str) -> str:
        """Who has something done, in words for the log.

        :param what: ``page`` or ``hotkey``.
        """
        address = address_of(request)
        holder = self._by_key(request)
        if holder is not None and holder.role == "admin":
            return f"program with admin key {holder.identity.key_id} at {address}"
        login = self.logins.of(request)
        key = "" if login is None else f" with admin key {login.hex()[:8]}"
        return f"{what}{key} at {address}"

    def _admit(self, request: Any, entrance: Entrance) -> ClientIdentity | None:
        if entrance is Entrance.OPEN:
            return None
        near = is_near(request)
        if entrance is Entrance.NEAR:
            if not near:
                raise HostNotAllowed("This path answers to this machine alone.")
            return None
        if entrance is Entrance.SHELL:
            if not near and not self.access.directory.has_role("admin"):
                check_near_or_say(request)
            return None
        if entrance is Entrance.METRICS:
            return self._metrics(request, near)
        if near and not self.access.required:
            return None
        if not near and not self.access.required and not self.access.directory.has_role("admin"):
            check_near_or_say(request)
        return self._admin(request)

    def _metrics(self, request: Any, near: bool) -> ClientIdentity | None:
        directory = self.access.directory
        closed = self.access.required or (not near and (directory.has_role("metrics") or directory.has_role("admin")))
        if not closed:
            return None
        holder = self._by_key(request)
        if holder is not None and holder.role == "metrics":
            return holder.identity
        return self._admin(request)

    def _admin(self, request: Any) -> ClientIdentity:
        key = presented(request.fields)
        if key is None:
            return self._login(request).identity
        holder = self.access.holder(key)
        if holder is not None and holder.role == "admin":
            return holder.identity
        if holder is not None:
            raise InvalidApiKey("Incorrect API key provided: this path takes the admin key.", "not the admin key")
        raise self.access.refusal(key)

    def _login(self, request: Any) -> Holder:
        digest = self.logins.of(request)
        holder = None if digest is None else self.access.directory.holders.get(digest)
        if holder is None or holder.role != "admin":
            if self.access.directory.has_role("admin"):
                raise InvalidApiKey("Type the admin key, or send it as `Authorization: Bearer KEY`.", "no admin key")
            raise InvalidApiKey(
                "This takes the admin key, and there is none yet: `skyproxy keys create --admin` makes it.",
                "no admin key",
            )
        check_same_origin(request)
        return holder

    def _by_key(self, request: Any) -> Holder | None:
        key = presented(request.fields)
        return None if key is None else self.access.holder(key)

    def refused(self, request: Any, error: SkyproxyError) -> None:
        """Tell the audit log that *request* was refused by *error*."""
        reason = error.reason if isinstance(error, InvalidApiKey) else (error.code or "refused")
        path = request.path.decode("latin-1").encode("unicode_escape").decode("ascii")
        self.audit.refuse(reason, address_of(request), path)


def says_forwarded(fields: Mapping[bytes, bytes]) -> bool:
    """Whether a request of these *fields* says that a proxy has forwarded it."""
    return b"x-forwarded-for" in fields or b"forwarded" in fields or b"via" in fields or b"x-real-ip" in fields


def is_near(request: Any) -> bool:
    """Whether *request* comes from this machine, and from no other by way of a proxy here."""
    if says_forwarded(request.fields):
        return False
    return isinstance(request.client, UNIXAddress) or is_loopback(getattr(request.client, "host", ""))


def check_near_or_say(request: Any) -> None:
    """Refuse *request*, which is not from this machine."""
    check_near(request.client)
    raise HostNotAllowed("This path answers to this machine alone, and a proxy has forwarded this request.")


def address_of(request: Any) -> str:
    """Where *request* came from, for the log."""
    host = getattr(request.client, "host", None)
    return str(host) if host else "a UNIX socket"


def _trusts(peer: Any, trusted: tuple[str, ...]) -> bool:
    if isinstance(peer, UNIXAddress):
        return UNIX in trusted
    return is_in(getattr(peer, "host", ""), networks_of(trusted))
