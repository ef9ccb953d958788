"""Event streams: where events are, and the last one that skyproxy writes."""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from skyproxy.errors import UpstreamBroken
from skyproxy.formats.sse import boundary_before, error_event, first_boundary
from tests.unit.formats.openai.streams import payloads


class EventTests(SynchronousTestCase):
    """error_event and payloads."""

    def test_error_event_is_an_event_of_its_own(self) -> None:
        error = UpstreamBroken("It broke.")
        whole = b"data: a\n\n"
        for sent in (whole, whole + b'data: {"cho', whole + b"data: x\n"):
            stream = sent + error_event(error, on_boundary=sent == whole)
            last = list(payloads(stream))[-1]
            self.assertEqual(json.loads(last)["error"]["message"], "It broke.")

    def test_payloads_join_lines_and_skip_comments(self) -> None:
        self.assertEqual(list(payloads(b":c\n\nevent: x\ndata:1\ndata: 2\nid: 3\n\nid: 4\n\n")), [b"1\n2"])


class BoundaryTests(SynchronousTestCase):
    """boundary_before."""

    def test_near_far_and_at_every_place(self) -> None:
        marks = (b"\n\n", b"\n\r\n", b"\r\r")
        for mark in marks:
            for other in marks:
                data = b"a" + mark + b"b" * 40 + other + b"c" * 1100 + mark + b"d"
                for end in range(len(data) + 1):
                    ends = [at + len(each) for each in marks if (at := data.rfind(each, 0, end)) >= 0]
                    self.assertEqual(boundary_before(data, end), max(ends, default=0), (mark, other, end))

    def test_lf_cr_is_known_by_the_next_byte(self) -> None:
        for data, last in (
            (b"a\n\r", 0), (b"a\n\rb", 3), (b"a\n\r\n", 4), (b"a\r\n\rb", 4), (b"a\n\rb\n\r", 3),
            (b"a\n\r" + b"b" * 2000, 3),
        ):  # fmt: skip
            self.assertEqual((boundary_before(data, len(data)), first_boundary(data)), (last, last), data)
