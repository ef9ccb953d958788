"""What people have done with keys: by the command, whether skyproxy runs or not. All of it blocks."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from skyproxy.access.keys import digest, hash_of, new_key
from skyproxy.access.store import ClientStore, NameTaken, NoSuchClient, Role, StoredClient, StoreNotUsable
from skyproxy.config import Config
from skyproxy.config.access import ClientSettings, client_name
from skyproxy.config.access_reading import wrong_pattern
from skyproxy.config.document import Document
from skyproxy.config.problems import Problem
from skyproxy.config.sections import Section
from skyproxy.errors import InvalidRequest, NotFound, SkyproxyError
from skyproxy.util.close_matches import nearest

VERSION = 1

GRACE_SECONDS = 86_400.0
"""For how long a key is taken that another has taken the place of, if nobody says otherwise."""

_LONGEST_GRACE = 366 * 86_400.0


class NotDone(SkyproxyError):
    """It cannot be done as things are."""

    status = 409
    type = "invalid_request_error"
    code = "keys_not_changed"


class StoreUnusable(SkyproxyError):
    """The file of clients cannot be read or written."""

    status = 503
    code = "store_not_usable"


class Administration:
    """Makes, lists, replaces and revokes keys.

    :param config: the configuration, whose clients are there, too.
    :param path: of the file of clients; None: there is no place for one.
    """

    def __init__(self, config: Config, path: Path | None, wall: Callable[[], float] = time.time) -> None:
        self._config = config
        self._path = path
        self._wall = wall

    def create(self, name: str, values: Mapping[str, Any], role: Role = "client") -> dict[str, Any]:
        """Make a client with a key, which nobody can be told a second time.

        :param values: of :class:`ClientSettings`, as a file has them.
        """
        name = checked_name(name, role)
        settings = self.checked(values) if role == "client" else ClientSettings()
        if name in self._config.clients:
            raise NotDone(f"Client {name} stands under clients: in the configuration: name another.")
        key = new_key()
        try:
            self._file().create(name, role, settings, digest(key.encode()))
        except NameTaken:
            hint = f"`skyproxy keys rotate {name}` gives it another key"
            raise NotDone(f"There is a client {name} already: {hint}.") from None
        except StoreNotUsable as error:
            raise _unusable(error) from None
        return {
            "v": VERSION,
            "name": name,
            "role": role,
            "key": key,
            "key_hash": hash_of(key),
            "store": str(self._path),
        }

    def rotate(self, name: str, grace: float) -> dict[str, Any]:
        """Give a client another key, beside which the old one is taken for *grace* seconds."""
        if not 0 <= grace <= _LONGEST_GRACE:
            raise InvalidRequest("`grace` must be from 0 to 366 days.", param="grace")
        key = new_key()
        try:
            ends = self._file().rotate(name, digest(key.encode()), grace)
        except NoSuchClient:
            raise self._unknown(name) from None
        except StoreNotUsable as error:
            raise _unusable(error) from None
        return {"v": VERSION, "name": name, "key": key, "key_hash": hash_of(key), "old_ends": ends}

    def revoke(self, name: str, *, forget: bool = False) -> dict[str, Any]:
        """Take its keys from a client."""
        try:
            self._file().revoke(name, forget=forget)
        except NoSuchClient:
            raise self._unknown(name) from None
        except StoreNotUsable as error:
            raise _unusable(error) from None
        return {"v": VERSION, "name": name, "forgotten": forget, "left": len(self._names())}

    def revoke_keys(self, digests: Collection[bytes]) -> dict[str, Any]:
        """Take the keys of *digests* from whomever they are of; those of the configuration stay."""
        try:
            return {"v": VERSION, "revoked": self._file().revoke_keys(digests)}
        except StoreNotUsable as error:
            raise _unusable(error) from None

    def revoked(self) -> list[bytes]:
        """The digests of keys that people have taken from clients here lately."""
        try:
            return [] if self._path is None else ClientStore(self._path, self._wall).revoked()
        except StoreNotUsable as error:
            raise _unusable(error) from None

    def listed(self) -> dict[str, Any]:
        """All clients, those of the configuration among them."""
        rows = [self._stored(each) for each in self._read()]
        for name, client in self._config.clients.items():
            keys = [{"id": each[7:15], "created": None, "ends": None} for each in client.key_hash]
            rows.append(_row(name, "client", "file", client, keys))
        for role, held in (("admin", self._config.access.admin), ("metrics", self._config.access.metrics)):
            if held is not None:
                keys = [{"id": each[7:15], "created": None, "ends": None} for each in held.key_hash]
                rows.append(_row(role, role, "file", ClientSettings(), keys))
        store = None if self._path is None else str(self._path)
        return {"v": VERSION, "store": store, "clients": sorted(rows, key=lambda row: str(row["name"]))}

    def checked(self, values: Mapping[str, Any]) -> ClientSettings:
        """The settings of a client.

        :raise InvalidRequest: something is wrong with *values*.
        """
        problems: list[Problem] = []
        section = Section(Document(""), (), values, {})
        section.refuse_unknown(tuple(ClientSettings.model_fields), problems)
        settings = section.check(ClientSettings, tuple(ClientSettings.model_fields), problems)
        slots = self._config.model_slots
        if settings is not None:
            for pattern in settings.slots:
                why = wrong_pattern(pattern, slots, self._config.providers)
                if why is not None:
                    problems.append(section.problem(("slots",), f"{pattern[:100]!r} {why[0].rstrip(':')}", why[1]))
            if settings.expires is not None and settings.expires.timestamp() <= self._wall():
                problems.append(section.problem(("expires",), "must be a date or a time that is still to come"))
            if settings.on_budget is not None and settings.on_budget.slot not in slots:
                near = nearest(settings.on_budget.slot, slots)
                problems.append(section.problem(("on_budget",), "names no slot", near))
        if problems:
            said = "; ".join(str(each).removeprefix(": ") for each in problems)
            raise InvalidRequest(f"{said}.", param=problems[0].key or None)
        assert settings is not None
        return settings

    def _file(self) -> ClientStore:
        if self._path is None:
            raise NotDone("There is no place for a file of clients: name one as access: {store: FILE}.")
        return ClientStore(self._path, self._wall)

    def _read(self) -> tuple[StoredClient, ...]:
        try:
            return () if self._path is None else ClientStore(self._path).read()
        except StoreNotUsable as error:
            raise _unusable(error) from None

    def _names(self) -> list[str]:
        stored = [each.name for each in self._read() if each.role == "client" and each.keys]
        return [*stored, *self._config.clients]

    def _unknown(self, name: str) -> SkyproxyError:
        if name in self._config.clients:
            return NotDone(
                f"Client {name} stands under clients: in the configuration: what the file says is changed there, and "
                "`skyproxy reload` takes it."
            )
        names = [each.name for each in self._read() if each.revoked is None]
        near = nearest(name, names)
        hint = f"Did you mean {near!r}?" if near else f"There are {', '.join(names) or 'none'}."
        return NotFound(f"There is no client {name[:100]!r} with a key. {hint}")

    def _stored(self, client: StoredClient) -> dict[str, Any]:
        keys = [
            {"id": each.digest.hex()[:8], "created": each.created, "ends": each.ends}
            for each in client.keys
            if each.ends is None or each.ends > self._wall()
        ]
        return {
            **_row(client.name, client.role, "store", client.settings, keys),
            "created": client.created,
            "revoked": client.revoked,
        }


def checked_name(name: str, role: Role) -> str:
    """*name*, or that of *role*, which needs none.

    :raise InvalidRequest: it cannot be a client's.
    """
    if role != "client" and name in ("", role):
        return role
    try:
        return client_name(name)
    except ValueError as error:
        raise InvalidRequest(f"The name {error}.", param="name") from None


def _row(name: str, role: str, place: str, settings: ClientSettings, keys: list[dict[str, Any]]) -> dict[str, Any]:
    budget, expires = settings.budget, settings.expires
    return {
        "name": name,
        "role": role,
        "place": place,
        "created": None,
        "revoked": None,
        "keys": keys,
        "slots": list(settings.slots),
        "priority": settings.priority,
        "requests_per_minute": settings.requests_per_minute,
        "tokens_per_minute": settings.tokens_per_minute,
        "concurrent": settings.concurrent,
        "budget": None if budget is None else budget.model_dump(exclude_none=True),
        "on_budget": None if settings.on_budget is None else settings.on_budget.model_dump(),
        "expires": None if expires is None else expires.timestamp(),
        "expired": expires is not None and expires <= datetime.now(timezone.utc),
    }


def _unusable(error: StoreNotUsable) -> StoreUnusable:
    return StoreUnusable(f"{error}.")
