"""What the asking of a candidate came to: whether the next may do better, and how it is let go of."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from twisted.internet.defer import CancelledError

from skyproxy.errors import SkyproxyError, UpstreamReported, forget
from skyproxy.formats.error_kinds import ACTIONS
from skyproxy.upstream.exchange.answer import Answer


def is_for_the_next(answer: Answer) -> bool:
    """Whether another candidate may do better, after *answer*."""
    return answer.kind is not None and ACTIONS[answer.kind].next_candidate


def next_may_help(error: SkyproxyError) -> bool:
    """Whether another candidate may do better, after *error*."""
    if isinstance(error, UpstreamReported):
        return error.for_the_next
    return error.for_the_next or error.status >= 500 or error.status == 408


async def result_of(asking: Coroutine[Any, Any, Answer | None]) -> Answer | SkyproxyError | None:
    """What *asking* comes to, or fails with; None, too, if it is cancelled: then the result is not wanted."""
    try:
        return await asking
    except SkyproxyError as error:
        forget(error)
        return error
    except CancelledError as cancelled:
        forget(cancelled)
        return None


def is_good(result: Answer | SkyproxyError) -> bool:
    """Whether *result* is an answer that may be given to the client although another may come."""
    return isinstance(result, Answer) and result.status < 400


def discard(result: Answer | SkyproxyError) -> None:
    """Let go of *result*, which has come too late."""
    if isinstance(result, Answer):
        # A bad answer tells of its provider although another one has won: it does not count as cancelled.
        result.close(CancelledError() if is_good(result) else None)
