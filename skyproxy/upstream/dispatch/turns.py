"""Whose turn is next, of the candidates of one request."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from skyproxy.errors import ErrorKind, SkyproxyError, UpstreamReported
from skyproxy.formats.error_body import ErrorBody, error_of_object
from skyproxy.formats.told_window import told_window
from skyproxy.upstream.dispatch.candidate_request import CandidateRequest
from skyproxy.upstream.exchange.answer import Answer

_OF_ANOTHER_LIMIT = frozenset({402, 413, 429})
"""Statuses of what is too long for the credit that is left, for a server whatever its model, or for a minute."""


_MOST_KNOWN = 1024
"""Models of which is kept what they have told."""


class Windows:
    """How many tokens models read at once, as they have told, or else as is known of them."""

    def __init__(self) -> None:
        self._told: OrderedDict[tuple[str, str], int] = OrderedDict()

    def tell(self, candidate: CandidateRequest, tokens: int) -> None:
        """*candidate* has told."""
        self._told[candidate.provider.config.base_url, candidate.model] = tokens
        if len(self._told) > _MOST_KNOWN:
            self._told.popitem(last=False)

    def of(self, candidate: CandidateRequest) -> int | None:
        """Those that *candidate* reads; None if that is not known."""
        told = self._told.get((candidate.provider.config.base_url, candidate.model))
        return candidate.window if told is None else told


class Turns:
    """The order in which candidates have their turns: that of the configuration. When one has refused the request as
    too long, those follow that are known to read more at once, then those of which nothing is known, and last those
    that are known to read no more.

    :param first: the index of the one that is asked first.
    """

    __slots__ = ("_order", "_taken", "_windows", "candidates")

    def __init__(self, candidates: Sequence[CandidateRequest], first: int, windows: Windows) -> None:
        self.candidates = candidates
        self._windows = windows
        self._order = list(range(first, len(candidates)))
        self._taken = 0

    @property
    def left(self) -> list[int]:
        """The indices of those that had no turn yet."""
        return self._order[self._taken :]

    def take(self) -> int:
        """The index of the one whose turn it is."""
        self._taken += 1
        return self._order[self._taken - 1]

    def after(self, index: int) -> CandidateRequest:
        """The one behind that of *index*."""
        return self.candidates[self._order[self._order.index(index) + 1]]

    def passed_over(self, index: int, came_to: Answer | SkyproxyError) -> None:
        """The candidate *index* was left for the next, because of what it *came_to*."""
        error = _too_long(came_to)
        if error is None:
            return
        candidate, told = self.candidates[index], told_window(error)
        if told is not None:
            self._windows.tell(candidate, told)
        refused = self._windows.of(candidate)
        if refused is not None:
            self._order[self._taken :] = sorted(self.left, key=lambda each: self._rank(each, refused))

    def _rank(self, index: int, refused: int) -> int:
        window = self._windows.of(self.candidates[index])
        if window is None:
            return 1
        return 0 if window > refused else 2


def _too_long(came_to: Answer | SkyproxyError) -> ErrorBody | None:
    """The error that says that the request is too long for the model; None if there is none."""
    if isinstance(came_to, UpstreamReported):
        error: ErrorBody | None = error_of_object(dict(came_to.reported))
    elif isinstance(came_to, Answer):
        error = came_to.error
    else:
        return None
    about_length = came_to.kind is ErrorKind.CONTEXT_LENGTH and came_to.status not in _OF_ANOTHER_LIMIT
    return error if about_length else None
