"""What members and the one who allots tell each other. Any message may be late, lost, doubled, or overtake another."""

from __future__ import annotations

from typing import NamedTuple


class Report(NamedTuple):
    """What a member says several times a second, and at once when it needs more, or has given something back.

    :ivar grant: the number of the newest :class:`Grant` that it has seen; 0: none.
    :ivar sent: when, on the member's own clock (seconds).
    :ivar held: units that it will use at most from now on: its share, or what is in use of a larger one before.
    :ivar interactive: units that interactive requests use or wait for; *background* likewise.
    :ivar in_use: units that are in use now.
    """

    member: str
    grant: int
    sent: float
    held: int
    interactive: int
    background: int = 0
    weight: float = 1.0
    in_use: int = 0


class Grant(NamedTuple):
    """A member's share.

    :ivar number: rises from one to the next of one member.
    :ivar answers: :attr:`Report.sent` of the member's newest report. The lease begins there.
    :ivar lease: seconds for which the share holds, unless another grant comes.
    :ivar members: how many share the limit; 0: nobody knows yet.
    :ivar due: the share that it is to have once others have given back what they have too much of; at least *share*.
    :ivar scarce: others want more than they have: who has units to spare is to give them back soon.
    :ivar limit: all of it; 0: the member knows.
    """

    number: int
    share: int
    answers: float
    lease: float
    members: int = 1
    due: int = 0
    scarce: bool = False
    limit: int = 0
