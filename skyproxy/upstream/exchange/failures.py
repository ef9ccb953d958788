"""What Twisted says when a request to a provider fails, in the words of skyproxy's errors."""

from __future__ import annotations

from collections.abc import Iterable

from OpenSSL import SSL
from service_identity import VerificationError
from twisted.internet.defer import CancelledError
from twisted.internet.error import ConnectBindError, ConnectError, DNSLookupError, TCPTimedOutError
from twisted.internet.error import TimeoutError as ConnectTimeout
from twisted.python.failure import Failure
from twisted.web.client import RequestTransmissionFailed, ResponseFailed, ResponseNeverReceived

from skyproxy.errors import (
    OutOfSockets,
    ProxyRefused,
    SkyproxyError,
    UpstreamBroken,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from skyproxy.http.client.alpn import HandshakeBroken, Http2Refused
from skyproxy.http.client.tunnel import ProxyTrouble
from skyproxy.http.common.errors import RequestNotSent
from skyproxy.http.h1.response_reader import BadResponse
from skyproxy.http.h2.errors import MalformedMessage, PeerMisbehaved, StreamReset

_UNKNOWN_AUTHORITY = (
    "Its certificate is out of date, or signed by an unknown authority: if an antivirus or a company's network scans "
    "HTTPS, put its root certificate into the system's store and start skyproxy again, or have ca_file of the provider "
    "name a file with it."
)

_PLAIN_HTTP = frozenset({"wrong version number", "packet length too long"})
"""What OpenSSL says of a server that answers to a TLS handshake in plain HTTP."""

_WRAPPERS = (RequestTransmissionFailed, ResponseFailed, ResponseNeverReceived)


def causes(error: BaseException) -> Iterable[BaseException]:
    """*error* and everything that Twisted wrapped in it, outermost first."""
    yield error
    for reason in getattr(error, "reasons", ()):
        if isinstance(reason, Failure) and reason.value is not None:
            yield from causes(reason.value)


def was_taken(error: BaseException) -> bool:
    """Whether a request that ended with *error* before its answer's headers had gone out whole."""
    return isinstance(error, ResponseFailed | ResponseNeverReceived) and not isinstance(
        error, RequestTransmissionFailed
    )


def broken_rule(error: BaseException) -> str | None:
    """The rule of HTTP that the provider's answer broke, if it was for this that a request ended with *error*."""
    for cause in causes(error):
        if isinstance(cause, BadResponse | MalformedMessage):
            return str(cause)
        if isinstance(cause, PeerMisbehaved):
            return "Its frames are not those of HTTP/2 (http2: off of its configuration does without)."
    return None


def map_failure(error: Exception, provider: str, connect_timeout: float) -> SkyproxyError | CancelledError:
    """The error that stands for *error*, which a request to *provider* ended with before its answer's headers.

    A cancelled request stays :class:`CancelledError`; what is not known here stays what it is, and is raised.
    """
    for cause in causes(error):
        if isinstance(cause, CancelledError):
            return cause
    # These say that there was a connection, whatever ended it.
    if isinstance(error, (*_WRAPPERS, RequestNotSent)):
        if rule := broken_rule(error):
            return UpstreamBroken(
                f"Provider {provider!r} does not answer in proper HTTP: {rule} See whether base_url names the right "
                "port, and begins with http or https as that port wants."
            )
        told = f"Provider {provider!r} broke the connection before it answered"
        return UpstreamBroken(f"{told}{_parting_words(error)}.")
    if isinstance(error, ProxyTrouble):
        told = f"The proxy {error.proxy} makes no connection to provider {provider!r}: {error.reason}."
        if error.status == 407:
            told += " It wants a user and a password: proxy_url: http://USER:PASSWORD@HOST:PORT."
        return ProxyRefused(f"{told} To do without a proxy, say proxy_url: off.")
    if isinstance(error, ConnectTimeout | TCPTimedOutError):
        return UpstreamTimeout(
            f"No connection to provider {provider!r} within {connect_timeout:g} s (connect_timeout).",
            timer="connect_timeout",
        )
    if isinstance(error, ConnectBindError):
        return OutOfSockets(
            "There is no socket for another connection to a provider: raise the limit of open files (ulimit -Hn), or "
            "lower max_concurrent of the providers.",
            retry_after=1.0,
        )
    return UpstreamUnreachable(_why_unreachable(error, provider))


def _why_unreachable(error: Exception, provider: str) -> str:
    if isinstance(error, VerificationError):
        return f"The TLS certificate of provider {provider!r} is for another host; check base_url."
    if isinstance(error, SSL.Error):
        reason = _tls_reason(error)
        why = f"The TLS handshake with provider {provider!r} failed: {reason}."
        if reason in _PLAIN_HTTP:
            return f"{why} Its server may speak plain HTTP: then base_url begins with http."
        return f"{why} {_UNKNOWN_AUTHORITY}" if "certificate verify failed" in reason else why
    if isinstance(error, HandshakeBroken):
        return f"Provider {provider!r} broke the TLS handshake off."
    if isinstance(error, Http2Refused):
        return f"Provider {provider!r} does not speak HTTP/2, which http2 of its configuration insists on."
    if isinstance(error, DNSLookupError):
        return f"The host name of provider {provider!r} cannot be resolved; check base_url and the network."
    if isinstance(error, ConnectError):
        return f"Provider {provider!r} does not accept connections; check base_url, and that its server runs."
    raise error


def _parting_words(error: BaseException) -> str:
    """What the provider said as it ended a connection, over TLS, where in TLS 1.3 it judges the client after the
    handshake, or over HTTP/2.
    """
    for cause in causes(error):
        if isinstance(cause, SSL.Error) and "alert" in (reason := _tls_reason(cause)):
            return f": {reason}"
        if isinstance(cause, StreamReset) and cause.wants_http11:
            return ": it wants HTTP/1.1, which http2: off of its configuration speaks"
    return ""


def _tls_reason(error: SSL.Error) -> str:
    """What OpenSSL says, such as ``certificate verify failed``."""
    queue = error.args[0] if error.args and isinstance(error.args[0], list) else []
    return ", ".join(entry[-1] for entry in queue if entry[-1]) or "its certificate or protocol is not accepted"
