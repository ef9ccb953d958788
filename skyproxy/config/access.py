"""Who may ask: ``clients:`` and ``access:``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, datetime, time, timezone
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field

from skyproxy.config import rules
from skyproxy.config.budgets import Budget, OnBudget
from skyproxy.config.fields import Checked, Count, Name, OptionalPath, frozen, one_or_several
from skyproxy.config.hosts import is_loopback
from skyproxy.config.resilience import Priority

UNIX = "unix"
"""Stands for UNIX sockets among the addresses that may forward."""

RESERVED = ("admin", "metrics")
"""Names of keys that are no client's."""

TOKEN_PREFIX = "jwt."
"""Before the names of clients that an identity provider knows, so that none is taken for another one."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_HASH = re.compile(r"sha256:([0-9a-fA-F]{64})")
_OUR_KEY = re.compile(r"sky-[A-Za-z0-9_-]+")
_WILD = re.compile(r"[*?\[]")


def client_name(value: str) -> str:
    """A client's name, which stands in logs, metrics and commands.

    :raise ValueError: it has other characters than these should have, or stands for somebody else.
    """
    if not _NAME.fullmatch(value):
        raise ValueError("must be a client's name: up to 64 letters, digits and . _ - @, the first a letter or digit")
    if value in RESERVED:
        raise ValueError(f"must be another name: {value} is the name of who has the key of that name under access:")
    if value.startswith(TOKEN_PREFIX):
        raise ValueError(f"must be another name: {TOKEN_PREFIX}… stands for the clients of access.jwt")
    return value


def key_hash(value: str) -> str:
    """What ``skyproxy keys create --for-file`` prints: ``sha256:`` and 64 hexadecimal digits.

    :raise ValueError: it is not.
    """
    found = _HASH.fullmatch(value.strip())
    if found is None:
        if _OUR_KEY.fullmatch(value.strip()):
            raise ValueError(
                "must be the key's hash and not the key itself: `skyproxy keys hash` prints the hash of a key"
            )
        raise ValueError("must be sha256: and 64 hexadecimal digits, as `skyproxy keys create NAME --for-file` prints")
    return f"sha256:{found[1].lower()}"


@lru_cache(8)
def networks_of(trusted: tuple[str, ...]) -> tuple[IPv4Network | IPv6Network, ...]:
    """The addresses among those that may forward, ``access.trust_forwarded_from``: all but UNIX sockets."""
    return tuple(ip_network(each) for each in trusted if each != UNIX)


def _network(value: str) -> str:
    if value.strip() == UNIX:
        return UNIX
    try:
        return str(ip_network(value.strip(), strict=False))
    except ValueError:
        raise ValueError("must be an IP address or a network, such as 127.0.0.1 or 10.0.0.0/8") from None


def _jwks(value: str) -> str:
    if "://" in value and not value.startswith("https://") and not is_loopback(urlsplit(value).hostname or ""):
        raise ValueError("must be an https address, or a file: over plain http, anybody on the way can send other keys")
    return value


def _required(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    return {"on": "true", "off": "false"}.get(value, value) if isinstance(value, str) else value


def _expires(value: Any) -> Any:
    """A moment, of a date (when it begins, by this machine's time zone) or a time, or of either as a text."""
    if isinstance(value, str):
        try:
            text = value.strip()
            value = date.fromisoformat(text) if len(text) == 10 else datetime.fromisoformat(text.replace("Z", "+00:00"))
        except ValueError:
            raise ValueError("must be a date such as 2027-01-01, or a time such as 2027-01-01T18:00:00+01:00") from None
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime.combine(value, time())
    if not isinstance(value, datetime):
        raise ValueError("must be a date such as 2027-01-01, or a time such as 2027-01-01T18:00:00+01:00")
    try:
        return value.astimezone(timezone.utc)
    except (OverflowError, OSError, ValueError):
        raise ValueError("must be a time between the years 1 and 9999") from None


def _hashes(value: Any) -> Any:
    if value == []:
        raise ValueError("must be a key's hash, as `skyproxy keys create NAME --for-file` prints it")
    # Checked here, and not as the item of a list, a problem with a single hash has its own place.
    return (key_hash(value),) if isinstance(value, str) else value


def _patterns(value: Any) -> Any:
    if value == []:
        raise ValueError("must name a slot; without `slots` the client may ask for all")
    return one_or_several(value)


KeyHash = Annotated[str, AfterValidator(key_hash)]
KeyHashes = Annotated[
    tuple[KeyHash, ...], Field(strict=False), AfterValidator(rules.distinct), BeforeValidator(_hashes)
]
SlotPatterns = Annotated[
    tuple[Name, ...], Field(strict=False), AfterValidator(rules.distinct), BeforeValidator(_patterns)
]
Expires = Annotated[datetime | None, BeforeValidator(lambda value: None if value is None else _expires(value))]


class ClientSettings(Checked):
    """What a client may.

    :ivar slots: the slots that it may ask for, by name or pattern (``*``, ``?``, ``[…]``), and models as
        ``provider:model``. Without it, all.
    :ivar priority: ``background``: its requests wait behind others where they wait for a permit, whatever the slot
        says. ``interactive`` is as without it: the slot's priority holds.
    :ivar requests_per_minute: the most requests in any 60 seconds.
    :ivar tokens_per_minute: the most tokens, read and generated, in any 60 seconds.
    :ivar concurrent: the most requests at once.
    :ivar budget: how much it may spend, such as ``5/day``.
    :ivar expires: when its keys stop being taken: at the beginning of a date, or at a time.
    :ivar on_budget: what happens when its budget is spent: ``refuse``, or ``{slot: NAME}``, the slot that serves it
        then.
    """

    slots: SlotPatterns = ("*",)
    priority: Priority | None = None
    requests_per_minute: Count | None = None
    tokens_per_minute: Count | None = None
    concurrent: Count | None = None
    budget: Budget = None
    expires: Expires = None
    on_budget: OnBudget = None


class ClientConfig(ClientSettings):
    """One client.

    :ivar name: the key under which it stands.
    :ivar key_hash: of its key, ``sha256:…``, as ``skyproxy keys create NAME --for-file`` prints it; or a list of
        several, while one key takes the place of another.
    """

    name: Annotated[str, AfterValidator(client_name)]
    key_hash: KeyHashes


class HeldKey(Checked):
    """A key that opens something.

    :ivar key_hash: of the key, or a list of several.
    """

    key_hash: KeyHashes


class TokenSettings(Checked):
    """Tokens of an identity provider (JWT, RFC 7519) that clients may bring in place of a key.

    :ivar issuer: what ``iss`` must say.
    :ivar audience: what ``aud`` must name, or a list, any of which it must name.
    :ivar jwks: where the provider's public keys are (RFC 7517): an https address, or a file, relative to the file that
        names it.
    :ivar client_claim: the claim that is the client's name.
    :ivar groups_claim: the claim that names the client's groups, a text or a list of texts.
    :ivar groups: what the members of a group may, by its name. The first one that a token names counts, in the order in
        which they stand here; ``*`` is for all others. Without any, whoever has a token may ask for all slots.
    """

    issuer: Annotated[str, Field(min_length=1)]
    audience: Annotated[
        tuple[Annotated[str, Field(min_length=1)], ...],
        Field(strict=False, min_length=1),
        BeforeValidator(one_or_several),
    ]
    jwks: Annotated[str, AfterValidator(_jwks)]
    client_claim: Annotated[str, Field(min_length=1)] = "sub"
    groups_claim: Annotated[str, Field(min_length=1)] = "groups"
    groups: Annotated[Mapping[str, ClientSettings], AfterValidator(frozen)] = Field(default_factory=dict)


class AccessSettings(Checked):
    """Who must bring a key, and where keys are kept.

    :ivar required: whether requests need a client's key. ``auto``: if there is any client, or skyproxy listens at an
        address that other machines can reach.
    :ivar store: the file of the clients that ``skyproxy keys create`` makes, relative to the file that names it.
        Without it, it is in the user's folder for data.
    :ivar admin: the key of people who look after skyproxy: for the page, ``/api`` and ``/metrics``.
    :ivar metrics: the key that opens ``/metrics`` and nothing else.
    :ivar trust_forwarded_from: the addresses and networks of reverse proxies in front of skyproxy, and ``unix`` for
        those that ask by a UNIX socket. Without it, requests
        over loopback that another proxy forwarded are refused.
    :ivar fail: what happens to requests of clients with a budget when spending cannot be written down, or when it is
        not known what other machines spend (``proxy: {shared}``): ``closed``: they are refused.
    :ivar jwt: the tokens of an identity provider that are taken besides. It takes the extra ``skyproxy[jwt]``.
    """

    required: Annotated[Literal["auto", "true", "false"], BeforeValidator(_required)] = "auto"
    store: OptionalPath = None
    admin: HeldKey | None = None
    metrics: HeldKey | None = None
    trust_forwarded_from: Annotated[
        tuple[Annotated[str, AfterValidator(_network)], ...], Field(strict=False), BeforeValidator(one_or_several)
    ] = ()
    fail: Literal["closed", "open"] = "closed"
    jwt: TokenSettings | None = None
