"""What is said to who may not ask."""

from __future__ import annotations

from collections.abc import Sequence

from skyproxy.errors import SkyproxyError

CHALLENGE = (b"WWW-Authenticate", b"Bearer")
"""What goes with a 401 (RFC 9110, section 11.6.1)."""

_LISTED = 5


class InvalidApiKey(SkyproxyError):
    """No key came, or one that opens nothing here.

    :ivar reason: in a few words, for the audit log and for metrics.
    """

    status = 401
    type = "invalid_request_error"
    code = "invalid_api_key"

    def __init__(self, message: str, reason: str = "unknown key") -> None:
        super().__init__(message)
        self.reason = reason


class ModelNotAllowed(SkyproxyError):
    """The client may not ask for the model, or there is none of that name."""

    status = 404
    type = "invalid_request_error"
    code = "model_not_found"


class ForwardedNotTrusted(SkyproxyError):
    """Another proxy has forwarded the request, and nobody has said that it may."""

    status = 403
    type = "invalid_request_error"
    code = "forwarded_not_trusted"


def model_not_allowed(model: str, allowed: Sequence[str]) -> ModelNotAllowed:
    """The refusal of *model*, to a client that may ask for the slots *allowed*."""
    names = ", ".join(repr(name) for name in allowed[:_LISTED])
    hint = f" It may ask for {names}; GET /v1/models lists all." if names else " It may ask for no slot that there is."
    text = f"The model {model[:100]!r} does not exist, or the client of this key may not ask for it.{hint}"
    return ModelNotAllowed(text, param="model")
