"""Every way in which a request, or the configuration that serves it, can fail.

One tree. Each error knows its HTTP status, its type and code (https://platform.openai.com/docs/guides/error-codes), and
whether asking again can help. Exceptions of libraries are mapped to these where they enter: clients see no others.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any, ClassVar


class ErrorKind(Enum):
    """What an error means for the request, and for those that come after it."""

    RATE = "rate"
    """Too many requests, or too much at once; later it would have been answered."""
    OVERLOADED = "overloaded"
    """The provider has more to do than it can, whoever asks."""
    KEY_INVALID = "key_invalid"
    """The key is refused."""
    NO_CREDIT = "no_credit"
    """The account of the key has nothing left."""
    CONTEXT_LENGTH = "context_length"
    """The request is longer than this model, or this account, takes at all."""
    CONTENT = "content"
    """The provider does not want to answer this content."""
    REGION = "region"
    """The provider does not serve this place."""
    MODEL_UNKNOWN = "model_unknown"
    """There is no such model, or not for this account."""
    PARAMETER = "parameter"
    """A field of the body is one that this model does not take."""
    CLIENT = "client"
    """The request is wrong, whoever is asked."""
    BROKEN = "broken"
    """The provider failed."""


class SkyproxyError(Exception):
    """Base of the tree.

    :ivar message: what happened and what to do, for the person who reads it; never a key or a body.
    :ivar param: the request field at fault, if one is.
    :ivar retry_after: seconds after which asking again makes sense, if known.
    :ivar for_the_next: whether another candidate may do better, whatever the status; *fields*: headers that go with it.
    """

    status: int = 500
    type: ClassVar[str] = "server_error"
    code: str | None = None
    retryable: bool = False
    for_the_next: bool = False
    fields: tuple[tuple[bytes, bytes], ...] = ()

    def __init__(self, message: str, *, param: str | None = None, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.retry_after = retry_after

    def as_object(self) -> dict[str, Any]:
        """The error in OpenAI's shape: ``{"error": {message, type, param, code}}``."""
        return {"error": {"message": self.message, "type": self.type, "param": self.param, "code": self.code}}


class InternalError(SkyproxyError):
    """A fault of skyproxy itself. The details are in the log, under the request's id."""

    code = "internal_error"


# The client's side.


class InvalidRequest(SkyproxyError):
    """The request cannot be understood: bad JSON, no model, messages that are not a list."""

    status = 400
    type = "invalid_request_error"
    code = "invalid_request"


class UnknownModel(InvalidRequest):
    """``model`` names neither a slot nor ``provider:model``."""

    code = "model_not_found"


class OriginNotAllowed(SkyproxyError):
    """A browser page of an origin that the configuration does not list asks."""

    status = 403
    type = "invalid_request_error"
    code = "origin_not_allowed"


class HostNotAllowed(SkyproxyError):
    """A request from this machine gives skyproxy a name that is not this machine's: so do pages of DNS rebinding."""

    status = 403
    type = "invalid_request_error"
    code = "host_not_allowed"


class NotFound(SkyproxyError):
    """No such path, or no such model under ``/v1/models``."""

    status = 404
    type = "invalid_request_error"
    code = "not_found"


class MethodNotAllowed(SkyproxyError):
    """The path exists, for another method."""

    status = 405
    type = "invalid_request_error"
    code = "method_not_allowed"


class BodyTooLarge(SkyproxyError):
    """The request's body is over ``max_body``, as sent or when inflated."""

    status = 413
    type = "invalid_request_error"
    code = "body_too_large"


class UnsupportedEncoding(SkyproxyError):
    """The request's Content-Encoding is one that skyproxy does not read."""

    status = 415
    type = "invalid_request_error"
    code = "unsupported_encoding"


# skyproxy's own state.


class Unavailable(SkyproxyError):
    """skyproxy cannot serve this request now.

    :ivar said: what the provider said of the limit that keeps the request back; empty if nothing.
    """

    status = 503
    code = "unavailable"
    retryable = True

    def __init__(self, message: str, *, retry_after: float | None = None, said: str = "") -> None:
        super().__init__(f"{message} What it said: {said}" if said else message, retry_after=retry_after)
        self.said = said


class ProviderNotConfigured(Unavailable):
    """The provider's key is missing; the message names the variable to set."""

    code = "provider_not_configured"
    retryable = False


class OutOfSockets(Unavailable):
    """The system gives no socket for another connection: no descriptor, or no port, is left."""

    code = "out_of_sockets"


class ShuttingDown(Unavailable):
    """The process is draining."""

    code = "shutting_down"


# The provider's side.


class UpstreamError(SkyproxyError):
    """The provider did not give a proper answer."""

    status = 502
    code = "upstream_error"
    retryable = True


class UpstreamUnreachable(UpstreamError):
    """No connection: refused, no route, no such host, or a TLS peer that is not who it should be."""

    code = "upstream_unreachable"


class ProxyRefused(SkyproxyError):
    """The proxy on the way cannot be reached, or makes no connection. That says nothing of the provider."""

    status = 502
    code = "proxy_refused"


class UpstreamBroken(UpstreamError):
    """The connection broke, or what came over it is not HTTP, not JSON, or not complete."""

    code = "upstream_broken"


class UpstreamUnusable(UpstreamBroken):
    """What came cannot be used, and would be the same if it was asked for again: that is for another provider."""


class UpstreamReported(UpstreamError):
    """The provider answered 200, and then said that it failed. Made by :func:`skyproxy.formats.reported.reported`.

    :param reported: its error object, which goes down as it came.
    :param said: what it says, in its own words, whole; empty if it has none.
    :param kind: what it means; *status* is that by which it goes down.
    :param retryable: whether the same provider may answer better; *for_the_next*: whether another may.
    :param retry_delay: seconds for which it asks to be left alone; None if it does not.
    """

    code = "upstream_error"

    def __init__(
        self,
        reported: Mapping[str, Any],
        *,
        said: str,
        kind: ErrorKind,
        status: int,
        retryable: bool,
        for_the_next: bool,
        retry_delay: float | None = None,
    ) -> None:
        super().__init__(f"The provider reports: {(said or 'an error')[:500]}")
        self.reported = reported
        self.said = said
        self.kind = kind
        self.status = status
        self.retryable = retryable
        self.for_the_next = for_the_next
        self.retry_delay = retry_delay

    def as_object(self) -> dict[str, Any]:
        own: dict[str, Any] = super().as_object()["error"]
        told = {} if isinstance(self.reported.get("message"), str) else {"message": self.message}
        return {"error": {**own, **self.reported, **told}}


class UpstreamTimeout(UpstreamError):
    """One of the provider's timers fired; ``timer`` names the setting."""

    status = 504
    code = "upstream_timeout"

    def __init__(self, message: str, *, timer: str) -> None:
        super().__init__(message)
        self.timer = timer


class ClientStalled(SkyproxyError):
    """The client read nothing for ``stall_timeout``; its answer is given up. Seen in the log only."""

    status = 408
    code = "client_stalled"


class ClientTooSlow(SkyproxyError):
    """The client read too slowly to share an answer with others that are ahead of it; its stream is cut."""

    status = 408
    code = "client_too_slow"


def forget(error: BaseException) -> None:
    """Let go of where *error* was raised, and of what it came from.

    An exception holds the frames that it passed through, one of which often holds the exception: all that these know,
    whole bodies among it, would stay in memory until the garbage collector runs.
    """
    error.__traceback__ = error.__context__ = error.__cause__ = None
