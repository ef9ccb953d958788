"""Who gets how much of a limit: one pure function."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple


class Claim(NamedTuple):
    """What one member wants.

    :ivar interactive: units that its interactive requests use or wait for; *background*: likewise of those for which
        nobody waits.
    :ivar weight: above 0; one of weight 2 gets twice as much as one of weight 1, where both want more than there is.
    :ivar since: when it began to want more than it has, in seconds on any clock; None: it has what it wants. Where
        there are fewer units than members that want one, those that have waited longest come first.
    :ivar has: units that it has now. Of two that are owed the same part of a unit, it stays with who has it.
    """

    member: str
    interactive: int = 0
    background: int = 0
    weight: float = 1.0
    since: float | None = None
    has: int = 0


def allot(limit: int, claims: Sequence[Claim], *, spares: bool = True) -> dict[str, int]:
    """The share of each member, in units. Together they are *limit*, or nothing where there is no member.

    Interactive wants come first, then background, each max-min fair: no member gets more than it wants while another
    one, by their weights, has less and wants more. Where both kinds want more than there is, and there is more than one
    unit, background gets one: it is slowed but not starved. What nobody wants is shared by weight, so that a request
    that comes next need not ask.

    :param spares: whether background gets one unit in any case.

    See https://en.wikipedia.org/wiki/Max-min_fairness, "progressive filling".
    """
    shares = dict.fromkeys([claim.member for claim in claims], 0)
    if not shares or limit <= 0:
        return shares
    interactive = {claim.member: claim.interactive for claim in claims}
    background = {claim.member: claim.background for claim in claims}
    spared = 1 if spares and limit > 1 and any(background.values()) and sum(interactive.values()) >= limit else 0
    left = limit - spared
    left -= _fill(shares, left, interactive, claims)
    left += spared
    left -= _fill(shares, left, background, claims)
    if left:
        _fill(shares, left, dict.fromkeys(shares, left), claims)
    return shares


def _fill(shares: dict[str, int], units: int, wants: Mapping[str, int], claims: Sequence[Claim]) -> int:
    """Add to *shares* what each member gets of *units*, max-min fair; how many were given."""
    wanting = [claim for claim in claims if wants[claim.member] > 0]
    left = min(units, sum(wants[claim.member] for claim in wanting))
    given = left
    # The least wants for their weight are filled first; what they leave is for the others.
    wanting.sort(key=lambda claim: wants[claim.member] / claim.weight)
    weight = sum(claim.weight for claim in wanting)
    rest: list[tuple[Claim, int, float]] = []
    for index, claim in enumerate(wanting):
        want = wants[claim.member]
        if want * weight > left * claim.weight:
            # All others want at least as much for their weight: they share what is left.
            rest = [(each, *_part(left, each.weight, weight)) for each in wanting[index:]]
            break
        shares[claim.member] += want
        left -= want
        weight -= claim.weight
    for claim, whole, _ in rest:
        shares[claim.member] += whole
        left -= whole
    rest.sort(key=_precedence)
    for claim, _, _ in rest[:left]:
        shares[claim.member] += 1
    return given


def _precedence(part: tuple[Claim, int, float]) -> tuple[Any, ...]:
    """The order in which members get one more unit. Who has none, and has waited longest, comes first; then who is owed
    the larger part of a unit.
    """
    claim, whole, fraction = part
    if whole:
        return 1, -round(fraction, 9), claim.has <= whole, claim.member
    if claim.since is None:
        # It lacks nothing: what it has stays where it is.
        return 0, True, 0.0, claim.has <= 0, claim.member
    return 0, False, claim.since, claim.has > 0, claim.member


def _part(units: int, weight: float, weights: float) -> tuple[int, float]:
    exact = units * weight / weights
    whole = int(exact)
    return whole, exact - whole
