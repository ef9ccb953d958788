"""Whether a token is the identity provider's, meant for skyproxy, and still holds; and who its client is."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256
from typing import Any, NamedTuple

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from joserfc.jws import extract_compact

from skyproxy.access.identity import ClientIdentity, identity_of
from skyproxy.access.tokens.refusals import InvalidToken
from skyproxy.config.access import TOKEN_PREFIX, ClientSettings, TokenSettings

ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "Ed25519", "EdDSA"]
"""Those with a public key. With a secret, a provider's public key would be taken for it (RFC 8725, section 3.1)."""

LEEWAY_SECONDS = 30
"""By which the clocks of the provider and of this machine may differ."""

_REMEMBERED = 1000
"""Tokens whose signature need not be checked again."""

_NAMELESS = re.compile(r"[^A-Za-z0-9._@-]+")
_LONGEST_NAME = 64
_DIGITS = 12
"""Of the digest in a name that is not the claim's own: too many to find another claim of the same name."""


class Verified(NamedTuple):
    """What a good token says.

    :ivar ends: when it ends to hold, seconds since the epoch.
    """

    identity: ClientIdentity
    ends: float


class Verifier:
    """Checks tokens against one set of keys.

    :param keys: the identity provider's, as JSON has them (RFC 7517). Those that cannot be read are left out, as its
        section 5 has it: others are of use all the same.
    :raise ValueError: there is none that can be read.
    """

    def __init__(self, settings: TokenSettings, keys: Mapping[str, Any]) -> None:
        self._settings = settings
        self._keys = _readable(keys)
        self._good: OrderedDict[bytes, Verified] = OrderedDict()

    def knows_key_of(self, token: str) -> bool:
        """Whether a key by the name that *token* says is among those that are known. A provider changes its keys."""
        try:
            name = extract_compact(token.encode("latin-1")).headers().get("kid")
        except (JoseError, ValueError):
            return True  # It is no token, which no other keys will mend.
        return name is None or any(key.kid == name for key in self._keys.keys)

    def verify(self, token: str, now: float) -> Verified:
        """Check *token*.

        :param now: seconds since the epoch.
        :raise InvalidToken: it opens nothing.
        """
        digest = sha256(token.encode("latin-1")).digest()
        known = self._good.get(digest)
        if known is not None:
            if known.ends > now:
                return known
            del self._good[digest]
        found = self._verified(token, digest, now)
        self._good[digest] = found
        if len(self._good) > _REMEMBERED:
            self._good.popitem(last=False)
        return found

    def _verified(self, token: str, digest: bytes, now: float) -> Verified:
        try:
            claims = jwt.decode(token, self._keys, algorithms=ALGORITHMS).claims
        except (JoseError, ValueError, TypeError, KeyError) as error:
            raise InvalidToken(f"it is not signed by the identity provider ({_reason(error)}).") from None
        registry = jwt.JWTClaimsRegistry(
            now=int(now),
            leeway=LEEWAY_SECONDS,
            iss={"essential": True, "value": self._settings.issuer},
            aud={"essential": True, "values": list(self._settings.audience)},
            exp={"essential": True},
        )
        try:
            registry.validate(claims)
        except JoseError as error:
            raise InvalidToken(f"it does not hold here, or not now ({_reason(error)} {error.description}).") from None
        said = claims.get(self._settings.client_claim)
        if not isinstance(said, str) or not said.strip():
            raise InvalidToken(f"its claim {self._settings.client_claim!r} names nobody.")
        settings = self._settings_of(claims.get(self._settings.groups_claim))
        identity = identity_of(f"{TOKEN_PREFIX}{_name(said)}", settings)
        return Verified(replace(identity, key_id=digest.hex()[:8]), float(claims["exp"]) + LEEWAY_SECONDS)

    def _settings_of(self, said: Any) -> ClientSettings:
        """What a member of the groups *said* may.

        :raise InvalidToken: nothing.
        """
        groups = self._settings.groups
        if not groups:
            return ClientSettings()
        names = [said] if isinstance(said, str) else said if isinstance(said, list) else []
        found = next((settings for group, settings in groups.items() if group in names), groups.get("*"))
        if found is None:
            raise InvalidToken("it is of no group that may ask here.")
        return found


def _readable(keys: Mapping[str, Any]) -> KeySet:
    """Those of *keys* that can be read.

    :raise ValueError: there is none.
    """
    try:
        listed = list(keys["keys"])
    except (KeyError, TypeError) as error:
        raise ValueError(f"no set of keys: {type(error).__name__}: {error}") from None
    found: list[Any] = []
    why = "the set of keys is empty"
    for each in listed:
        try:
            found += KeySet.import_key_set({"keys": [each]}).keys
        except (JoseError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            why = f"no key of the set can be read: {type(error).__name__}: {error}"
    if not found:
        raise ValueError(why)
    return KeySet(found)


def _name(said: str) -> str:
    """What a client is called of whom a token *said* that name: another one for each, for clients share no answers,
    limits and budgets. What cannot stand in a name is told apart by a digest, behind a letter that no claim brings.
    """
    name = _NAMELESS.sub("-", said)
    if name == said and len(name) <= _LONGEST_NAME:
        return name
    digest = sha256(said.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGITS]
    return f"{name.strip('-')[: _LONGEST_NAME - _DIGITS - 1]}~{digest}"


def _reason(error: Exception) -> str:
    """The kind of *error*. What it says may repeat the token."""
    return str(getattr(error, "error", "") or type(error).__name__).replace("_", " ")
