"""What Twisted says when a request to a provider fails, in the words of skyproxy's errors."""

from __future__ import annotations

from collections.abc import Iterable

from OpenSSL import SSL
from service_identity import VerificationError
from twisted.internet.defer import CancelledError
from twisted.internet.error import ConnectError, DNSLookupError, TCPTimedOutError
from twisted.internet.error import TimeoutError as ConnectTimeout
from twisted.python.failure import Failure
from twisted.web._newclient import RequestNotSent, RequestTransmissionFailed, ResponseFailed, ResponseNeverReceived

from skyproxy.errors import SkyproxyError, UpstreamBroken, UpstreamTimeout, UpstreamUnreachable

_WRAPPERS = (RequestTransmissionFailed, ResponseFailed, ResponseNeverReceived)


def causes(error: BaseException) -> Iterable[BaseException]:
    """*error* and everything that Twisted wrapped in it, outermost first."""
    yield error
    for reason in getattr(error, "reasons", ()):
        if isinstance(reason, Failure) and reason.value is not None:
            yield from causes(reason.value)


def map_failure(error: Exception, provider: str, connect_timeout: float) -> SkyproxyError | CancelledError:
    """The error that stands for *error*, which a request to *provider* ended with before its answer's headers.

    A cancelled request stays :class:`CancelledError`; what is not known here stays what it is, and is raised.
    """
    found = list(causes(error))
    for cause in found:
        if isinstance(cause, CancelledError):
            return cause
        if isinstance(cause, ConnectTimeout | TCPTimedOutError):
            return UpstreamTimeout(
                f"No connection to provider {provider!r} within {connect_timeout:g} s (connect_timeout).",
                timer="connect_timeout",
            )
        if isinstance(cause, SSL.Error | VerificationError):
            return UpstreamUnreachable(
                f"The TLS handshake with provider {provider!r} failed: its certificate or protocol is not accepted."
            )
        if isinstance(cause, DNSLookupError):
            return UpstreamUnreachable(
                f"The host name of provider {provider!r} cannot be resolved; check base_url and the network."
            )
        if isinstance(cause, ConnectError):
            return UpstreamUnreachable(
                f"Provider {provider!r} does not accept connections; check base_url, and that its server runs."
            )
    if isinstance(error, (*_WRAPPERS, RequestNotSent)):
        return UpstreamBroken(f"Provider {provider!r} broke the connection before it answered.")
    raise error
