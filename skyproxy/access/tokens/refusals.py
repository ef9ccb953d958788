"""What is said to who brings a token that opens nothing."""

from __future__ import annotations

from skyproxy.access.refusals import InvalidApiKey
from skyproxy.errors import SkyproxyError


class InvalidToken(InvalidApiKey):
    """The token is not one of the identity provider's for skyproxy, or not any more."""

    def __init__(self, message: str) -> None:
        super().__init__(f"Incorrect token provided: {message}", "token refused")


class KeysNotKnown(SkyproxyError):
    """The identity provider's keys have not come yet: no token can be checked."""

    status = 503
    type = "server_error"
    code = "token_keys_unknown"
