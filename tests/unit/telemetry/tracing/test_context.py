"""Traces that others began, by W3C's Trace Context."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from skyproxy.telemetry.tracing.context import Parent, TraceContext, parent_of

TRACE, SPAN = b"0af7651916cd43dd8448eb211c80319c", b"b7ad6b7169203331"


class ParentTests(SynchronousTestCase):
    def test_good_ones(self) -> None:
        parent = Parent(TRACE.decode(), SPAN.decode(), True)
        for text, expected in (
            (b"00-%b-%b-01" % (TRACE, SPAN), parent),
            (b"00-%b-%b-00" % (TRACE, SPAN), parent._replace(sampled=False)),
            (b"00-%b-%b-02" % (TRACE, SPAN), parent._replace(sampled=False)),
            # Of versions to come, what stands there today.
            (b"cc-%b-%b-01" % (TRACE, SPAN), parent),
            (b"cc-%b-%b-01-what-will-be" % (TRACE, SPAN), parent),
        ):
            self.assertEqual(parent_of(text, None), expected, text)

    def test_what_is_none(self) -> None:
        for text in (
            None, b"", b"nonsense", b"ff-%b-%b-01" % (TRACE, SPAN), b"00-%b-%b-01-more" % (TRACE, SPAN),
            b"00-%b-%b-01" % (TRACE.upper(), SPAN), b"00-%b-%b-01" % (b"0" * 32, SPAN), b"00-%b-%b-1" % (TRACE, SPAN),
            b"00-%b-%b-01" % (TRACE, b"0" * 16), b"00-%b-%b" % (TRACE, SPAN), b" 00-%b-%b-01" % (TRACE, SPAN),
            b"cc-%b-%b-01more" % (TRACE, SPAN), b"00-%b-%b-01,00-%b-%b-01" % (TRACE, SPAN, TRACE, SPAN),
            b"00-%b-%b-0g" % (TRACE, SPAN), b"00-\xff%b-%b-01" % (TRACE[1:], SPAN),
        ):  # fmt: skip
            self.assertIsNone(parent_of(text, b"a=1"), text)

    def test_states_go_on_unless_they_are_too_long_or_none(self) -> None:
        for state, expected in (
            (b"a=1,b=2", b"a=1,b=2"), (None, b""), (b"x=" + b"y" * 511, b""), (b"x=\xff", b""), (b"nothing", b""),
        ):  # fmt: skip
            parent = parent_of(b"00-%b-%b-01" % (TRACE, SPAN), state)
            self.assertEqual(parent and parent.state, expected)

    def test_headers(self) -> None:
        context = TraceContext(TRACE.decode(), "1" * 16, "", True, b"", True, str)
        self.assertEqual(context.headers("2" * 16), ((b"traceparent", b"00-%b-%b-01" % (TRACE, b"2" * 16)),))
        context = context._replace(sampled=False, state=b"a=1")
        self.assertEqual(dict(context.headers("2" * 16))[b"traceparent"][-3:], b"-00")
        self.assertEqual(dict(context.headers("2" * 16))[b"tracestate"], b"a=1")
        self.assertEqual(context._replace(propagated=False).headers("2" * 16), ())
