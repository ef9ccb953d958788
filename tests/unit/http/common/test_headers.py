"""Header fields: those that go out, and those that can be asked for by name."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from skyproxy.http.common.headers import FixedFields, OutgoingHeaders, by_name, render

FIXED = FixedFields([(b"Host", b"api.example"), (b"Accept-Encoding", b"identity")])


class OutgoingTests(SynchronousTestCase):
    """OutgoingHeaders."""

    def setUp(self) -> None:
        self.headers = OutgoingHeaders(FIXED, [(b"X-Request-Id", b"r1")])

    def test_what_is_settled_is_there_and_cannot_be_added(self) -> None:
        for name in (b"Host", "host", b"accept-encoding", "Accept-Encoding", b"Cookie", "cookie"):
            self.assertTrue(self.headers.hasHeader(name), name)
            self.headers.addRawHeader(name, b"x")
        self.assertEqual(self.headers.fields(), [*FIXED.fields, (b"X-Request-Id", b"r1")])

    def test_others_can_be_added_as_bytes_or_text(self) -> None:
        self.headers.addRawHeader(b"X-A", b"1")
        self.headers.copy().addRawHeader("X-B", "2")
        self.assertEqual(self.headers.fields()[-2:], [(b"X-A", b"1"), (b"X-B", b"2")])
        self.assertTrue(self.headers.lines().endswith(b"X-Request-Id: r1\r\nX-A: 1\r\nX-B: 2\r\n"))
        for name in (b"x-a", "X-B", "x-request-id"):
            self.assertTrue(self.headers.hasHeader(name))
        self.assertFalse(self.headers.hasHeader("X-C"))
        self.assertEqual(self.headers.getRawHeaders(b"x-a"), [b"1"])

    def test_what_is_added_does_not_reach_other_requests(self) -> None:
        own = [(b"A", b"1")]
        OutgoingHeaders(FIXED, own).addRawHeader(b"B", b"2")
        self.assertEqual(own, [(b"A", b"1")])

    def test_nothing_that_would_be_read_as_another_line(self) -> None:
        for bad in (b"a\rb", b"a\nb", b"a\0b", b"a\r\nX: y"):
            with self.assertRaises(ValueError):
                render([(b"X", bad)])
            with self.assertRaises(ValueError):
                OutgoingHeaders(FIXED, [(bad, b"x")]).lines()


class NamedTests(SynchronousTestCase):
    """by_name()."""

    def test_the_last_of_a_name_whatever_its_case(self) -> None:
        fields = by_name([(b"A", b"1"), (b"b", b"2"), (b"a", b"3")])
        self.assertEqual(fields, [(b"A", b"1"), (b"b", b"2"), (b"a", b"3")])
        self.assertEqual(fields.last, {b"a": b"3", b"b": b"2"})
        self.assertIs(by_name(fields), fields)
