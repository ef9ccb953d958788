"""The trace that a request belongs to, as W3C's Trace Context has it: https://www.w3.org/TR/trace-context/"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from skyproxy.http.common.headers import Field

_TRACEPARENT = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_FIRST_VERSION, _NO_VERSION = b"00", b"ff"
_SAMPLED = 1
_LONGEST_STATE = 512
"""Bytes of a tracestate, which need not be passed on beyond that."""


class Parent(NamedTuple):
    """The span of somebody else's that a request is a part of.

    :ivar sampled: whether its trace is recorded there.
    :ivar state: what other systems want to have passed on; empty if nothing.
    """

    trace_id: str
    span_id: str
    sampled: bool
    state: bytes = b""


class TraceContext(NamedTuple):
    """One request's place in its trace.

    :ivar span_id: of the request.
    :ivar parent_id: of the span that it is a part of; empty: it is the first.
    :ivar sampled: whether its spans are sent.
    :ivar propagated: whether providers are told.
    :ivar new_span_id: makes ids.
    """

    trace_id: str
    span_id: str
    parent_id: str
    sampled: bool
    state: bytes
    propagated: bool
    new_span_id: Callable[[], str]

    def headers(self, span_id: str) -> tuple[Field, ...]:
        """What tells a provider that its work is a part of the span *span_id*."""
        if not self.propagated:
            return ()
        parent = b"00-%b-%b-%02x" % (self.trace_id.encode(), span_id.encode(), self.sampled)
        if not self.state:
            return ((b"traceparent", parent),)
        return (b"traceparent", parent), (b"tracestate", self.state)


def parent_of(traceparent: bytes | None, tracestate: bytes | None) -> Parent | None:
    """The parent that a client names; None if it names none, or not as it should be written."""
    found = _TRACEPARENT.fullmatch(traceparent) if traceparent else None
    if found is None:
        return None
    version, trace_id, span_id, flags, more = found.groups()
    if version == _NO_VERSION or (version == _FIRST_VERSION and more):
        return None
    if not trace_id.strip(b"0") or not span_id.strip(b"0"):
        return None
    state = tracestate or b""
    if len(state) > _LONGEST_STATE or not state.isascii() or b"=" not in state:
        state = b""
    return Parent(trace_id.decode(), span_id.decode(), bool(int(flags, 16) & _SAMPLED), state)
