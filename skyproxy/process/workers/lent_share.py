"""What workers are lent of a limit of which their machine has a share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from skyproxy.process.workers.allotting import Allotting
from skyproxy.process.workers.messages import Key
from skyproxy.shares.use import Sort

PATIENCE_SECONDS = 2.0
"""For which those wait that want more, if nobody says whether it comes."""

NONE_SECONDS = 1.0
"""After it was said that no more comes, for which nobody waits."""

ENDS_SECONDS = 0.8
"""Seconds after which all have told what has ended at them: the workers of a machine, and then the machine."""
ENDED_SECONDS = 0.25
"""As :data:`NONE_SECONDS`, of units that others give back at any moment."""


class LentShare:
    """One limit, as workers use it: what is lent to them may be in use.

    :param keys: under which it is lent; the first is that of the limit itself.
    :param whole: gives all of it, as the configuration says.
    :param kept: called with what there is for them now.
    :ivar share: that; None: all of it.
    """

    sort = Sort.PLAIN

    def __init__(
        self,
        allotting: Allotting,
        keys: tuple[Key, ...],
        whole: Callable[[], int],
        kept: Callable[[int | None], object] = lambda share: None,
    ) -> None:
        self._allotting = allotting
        self._keys = keys
        self._whole = whole
        self._kept = kept
        self.share: int | None = None
        self.changed: Callable[[], object] | None = None

    @property
    def whole(self) -> int:
        """All machines' units."""
        return self._whole()

    @property
    def in_use(self) -> int:
        """Those that workers may use."""
        return self._allotting.outstanding(self._keys[0])

    @property
    def wanted(self) -> tuple[int, int]:
        """Those that their interactive requests use or wait for, and those of background."""
        return self._allotting.wanted(self._keys[0])

    def keep_to(self, share: int | None) -> None:
        """Lend at most *share* of them."""
        self.share = share
        self._kept(share)
        self._allotting.renew(self._keys)

    def told(self, asked: int, due: int) -> None:
        """Who waits goes on waiting."""


class AskingShare(LentShare):
    """One of which those who want more wait, until it is known whether there is more.

    :param clock: has ``seconds`` and ``callLater``.
    :param may_ask: whether others can be asked for more.
    :param parts: whether its sort is :attr:`~skyproxy.shares.use.Sort.PARTS`.
    :param ends: what uses it ends at any moment, so that others may use less of it than they have told.
    """

    sort = Sort.ASKS

    def __init__(
        self,
        clock: Any,
        allotting: Allotting,
        key: Key,
        whole: Callable[[], int],
        may_ask: Callable[[], bool],
        *,
        parts: bool = False,
        ends: bool = False,
    ) -> None:
        super().__init__(allotting, (key,), whole)
        self._clock = clock
        self._may_ask = may_ask
        if parts:
            self.sort = Sort.PARTS
        self._ends = ends
        self._none_until = self._since = 0.0
        # Those who want more wait until then; None: nobody does.
        self._late: Any = None

    def hope(self) -> int:
        """Units that there may be soon, for those who want more than there are."""
        now = self._clock.seconds()
        if self.share is None or self.share >= self.whole or not self._may_ask():
            self.stop()
            return 0
        if now < self._none_until:
            return 0
        if self._late is None:
            self._since = now
            self._late = self._clock.callLater(PATIENCE_SECONDS, self._give_up)
        return self.whole

    def keep_to(self, share: int | None) -> None:
        self.stop()
        self._none_until = 0.0
        super().keep_to(share)

    def told(self, asked: int, due: int) -> None:
        share = self.share
        if self._ends and (self._late is None or self._clock.seconds() - self._since < ENDS_SECONDS):
            return
        if share is not None and due <= share and due < asked:
            self._refuse()

    def stop(self) -> None:
        """Nobody waits."""
        late, self._late = self._late, None
        if late is not None:
            late.cancel()

    def _give_up(self) -> None:
        self._late = None
        self._refuse()

    def _refuse(self) -> None:
        self.stop()
        self._none_until = self._clock.seconds() + (ENDED_SECONDS if self._ends else NONE_SECONDS)
        self._allotting.renew(self._keys)
