"""What is changed by a request is changed in all workers when it is answered."""

from __future__ import annotations

from typing import Any

from skyproxy.web.request import ApiRequest

_CHANGE_NOTHING = frozenset({b"GET", b"HEAD", b"OPTIONS"})

_HOTKEY = b"/api/profile/"
"""The paths that change something by a GET, too."""


class SettledRequest(ApiRequest):
    """A request to the parent. One that may change something is answered when all workers have done what they were
    told meanwhile: who has read the answer may rely on it, whichever worker serves the next request.

    Its site has ``settled``, which gives a Deferred that fires then.
    """

    held = True

    def __init__(self, channel: Any, queued: object = False) -> None:
        super().__init__(channel, queued)
        self._kept: list[bytes] = []
        self._ending = self._settled = False

    @property
    def _goes_now(self) -> bool:
        reads = self.method in _CHANGE_NOTHING and not self.path.startswith(_HOTKEY)
        return reads or self._settled

    def write(self, data: bytes) -> None:
        """Send *data*, or keep it."""
        if self._goes_now:
            super().write(data)  # type: ignore[no-untyped-call]
        else:
            self._kept.append(data)

    def finish(self) -> None:
        """End the answer, or do so when all workers have what was changed."""
        if self._goes_now:
            super().finish()
        elif not self._ending:
            self._ending = True
            settled: Any = self.site.settled()
            settled.addBoth(self._send)

    def _send(self, _: object) -> None:
        self._settled = True
        if not self.gone:
            for each in self._kept:
                self.write(each)
            self.finish()
