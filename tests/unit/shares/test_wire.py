"""What machines say to each other comes as it was said, and nothing else is taken for it."""

from __future__ import annotations

import orjson
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.shares.messages import Grant
from skyproxy.shares.wire import MachineGrants, MachineReport, Wants, grants_of, report_of

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=12,
)


class WireTests(SynchronousTestCase):
    def test_there_and_back(self) -> None:
        report = MachineReport("me", "you", 12.5, {"max_concurrent of x": Wants(25, 3, 12, 7, 1, 2)}, left=True)
        self.assertEqual(report_of(report.encoded()), report)
        grants = MachineGrants("you", 2, {"max_concurrent of x": Grant(4, 13, 12.5, 3.0, 2, 14, limit=25)})
        self.assertEqual(grants_of(grants.encoded()), grants)

    def test_of_another_version(self) -> None:
        self.assertIsNone(report_of(b'[1,"me","you",1.0,{},false]'))
        self.assertIsNone(grants_of(b'[1,"you",1,{}]'))

    @given(st.binary(max_size=20) | JSON.map(orjson.dumps))
    def test_whatever_else(self, message: bytes) -> None:
        for read in (report_of, grants_of):
            self.assertIsNone(read(message))

    @given(st.lists(JSON, max_size=6))
    def test_nearly_right(self, rest: list[object]) -> None:
        message = orjson.dumps([2, *rest])
        self.assertIsInstance(report_of(message), (MachineReport, type(None)))
        self.assertIsInstance(grants_of(message), (MachineGrants, type(None)))
