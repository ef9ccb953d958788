"""Shares of a limit: max-min fair, and never more than it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.shares.allotment import Claim, allot

WANTS = st.integers(0, 60)
CLAIMS = st.lists(
    st.tuples(WANTS, WANTS, st.sampled_from((0.5, 1.0, 1.0, 1.0, 2.0, 3.0)), st.none() | st.floats(0, 100)),
    min_size=1,
    max_size=12,
).map(lambda all: [Claim(f"m{number}", *each) for number, each in enumerate(all)])


class AllotmentTests(SynchronousTestCase):
    def of(self, limit: int, *claims: Claim) -> list[int]:
        shares = allot(limit, claims)
        return [shares[claim.member] for claim in claims]

    def test_who_wants_little_gets_it_and_the_others_share_the_rest(self) -> None:
        self.assertEqual(self.of(10, Claim("a", 2), Claim("b", 9), Claim("c", 9)), [2, 4, 4])
        self.assertEqual(self.of(25, Claim("a", 100), Claim("b", 100)), [13, 12])

    def test_weights(self) -> None:
        self.assertEqual(self.of(12, Claim("a", 50, weight=2.0), Claim("b", 50)), [8, 4])

    def test_interactive_before_background_which_does_not_starve(self) -> None:
        self.assertEqual(self.of(10, Claim("a", 20), Claim("b", 0, 20)), [9, 1])
        self.assertEqual(self.of(10, Claim("a", 4), Claim("b", 0, 20)), [4, 6])
        self.assertEqual(self.of(1, Claim("a", 5), Claim("b", 0, 5)), [1, 0])

    def test_what_nobody_wants_is_there_for_what_comes_next(self) -> None:
        self.assertEqual(self.of(10, Claim("a"), Claim("b")), [5, 5])
        self.assertEqual(self.of(10, Claim("a", 4), Claim("b")), [7, 3])

    def test_fewer_units_than_members_go_to_who_has_waited_longest(self) -> None:
        waiting = [Claim("a", 1, since=3.0), Claim("b", 1, since=1.0), Claim("c", 1), Claim("d", 1, since=2.0)]
        self.assertEqual(self.of(2, *waiting), [0, 1, 0, 1])

    def test_nobody_and_nothing(self) -> None:
        self.assertEqual(allot(5, []), {})
        self.assertEqual(self.of(0, Claim("a", 3)), [0])

    @given(st.integers(0, 200), CLAIMS)
    def test_all_of_it_and_never_more(self, limit: int, claims: list[Claim]) -> None:
        shares = allot(limit, claims)
        self.assertEqual(sum(shares.values()), limit)
        self.assertTrue(all(share >= 0 for share in shares.values()))

    @given(st.integers(0, 200), CLAIMS)
    def test_nobody_has_more_than_wanted_while_another_lacks(self, limit: int, claims: list[Claim]) -> None:
        shares = allot(limit, claims)
        if any(shares[claim.member] < claim.interactive + claim.background for claim in claims):
            for claim in claims:
                self.assertLessEqual(shares[claim.member], claim.interactive + claim.background)

    @given(st.integers(0, 200), st.lists(st.tuples(WANTS, st.sampled_from((0.5, 1.0, 2.0))), min_size=2, max_size=10))
    def test_max_min(self, limit: int, wants: list[tuple[int, float]]) -> None:
        """Who lacks something has, for its weight, no less than any other, but for one unit, which is not divided."""
        claims = [Claim(f"m{number}", want, weight=weight) for number, (want, weight) in enumerate(wants)]
        shares = allot(limit, claims)
        for poor in claims:
            if shares[poor.member] < poor.interactive:
                for rich in claims:
                    if rich is not poor and shares[rich.member] <= rich.interactive:
                        self.assertLessEqual(
                            (shares[rich.member] - 1) / rich.weight, (shares[poor.member] + 1) / poor.weight
                        )

    @given(st.integers(1, 200), CLAIMS)
    def test_interactive_comes_first(self, limit: int, claims: list[Claim]) -> None:
        """Background gets one unit at most while the interactive requests of all want more than there is."""
        shares = allot(limit, claims)
        if sum(claim.interactive for claim in claims) >= limit:
            besides = sum(max(0, shares[claim.member] - claim.interactive) for claim in claims)
            self.assertLessEqual(besides, 1)

    @given(st.integers(1, 5), st.integers(2, 9))
    def test_nobody_starves(self, limit: int, members: int) -> None:
        """Each turn, who got nothing waits on, and comes before those that had their turn."""
        since: dict[str, float | None] = {f"m{number}": 0.0 for number in range(members)}
        got = dict.fromkeys(since, 0)
        for turn in range(1, members + 1):
            shares = allot(limit, [Claim(name, 1, since=when) for name, when in since.items()])
            for name, share in shares.items():
                got[name] += min(1, share)
                since[name] = float(turn) if share else since[name]
        self.assertGreaterEqual(min(got.values()), 1)
