"""What became of a request, and whose it was: the client's, the provider's, or skyproxy's."""

from __future__ import annotations

from skyproxy.errors import ErrorKind, SkyproxyError, Unavailable, UpstreamError, UpstreamReported
from skyproxy.formats.openai.stream_state import StreamState
from skyproxy.telemetry.records import Outcome
from skyproxy.upstream.exchange.answer import Answer

_OF_REQUESTS = frozenset({ErrorKind.CLIENT, ErrorKind.CONTENT, ErrorKind.CONTEXT_LENGTH, ErrorKind.PARAMETER})
"""Kinds of a provider's errors that are about what the client has sent."""


def outcome(
    answer: Answer | None,
    state: StreamState | None,
    error: SkyproxyError | None,
    *,
    begun: bool = False,
    by_client: bool = False,
) -> Outcome:
    """What became of a request whose client stayed.

    :param begun: whether it has got something of a stream, which may be another request's.
    :param by_client: whether it was the client who named the provider's model.
    """
    if isinstance(error, Unavailable) and answer is None and not begun:
        return "refused"
    if isinstance(error, UpstreamReported):
        return _outcome_of_error(error.status, error.kind, by_client)
    if error is not None and error.status == 429:
        return "refused"  # by a limit or a budget
    if isinstance(error, UpstreamError) or (error is not None and error.status >= 500):
        return "failed"
    if error is not None:
        return "client_error"
    if answer is not None and answer.status >= 400:
        return _outcome_of_error(answer.status, answer.kind, by_client)
    failure = None if state is None else state.failure
    return "ok" if failure is None else _outcome_of_error(failure.status, failure.kind, by_client)


def _outcome_of_error(status: int, kind: ErrorKind | None, by_client: bool) -> Outcome:
    if status >= 500 or status == 429:
        return "upstream_error"
    # The client can do nothing about the key, its account, or a model that the configuration names.
    of_request = kind is None or kind in _OF_REQUESTS or (by_client and kind is ErrorKind.MODEL_UNKNOWN)
    return "client_error" if of_request else "upstream_error"
