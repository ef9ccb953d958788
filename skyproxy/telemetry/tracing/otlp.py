"""Spans in OTLP's form, which ``opentelemetry-proto`` has: https://opentelemetry.io/docs/specs/otlp/

This module is imported where spans are sent, and nowhere else: the library comes with the extra ``otel``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1 import trace_pb2

from skyproxy import __version__
from skyproxy.telemetry.tracing.conventions import SCHEMA_URL
from skyproxy.telemetry.tracing.spans import Attributes, Span, Value

_KINDS = {
    "server": trace_pb2.Span.SPAN_KIND_SERVER,
    "client": trace_pb2.Span.SPAN_KIND_CLIENT,
    "internal": trace_pb2.Span.SPAN_KIND_INTERNAL,
}
_SAMPLED = 1
CONTENT_TYPE = "application/x-protobuf"


def message_of(span: Span) -> trace_pb2.Span:
    """*span* as it is sent."""
    message = trace_pb2.Span(
        trace_id=bytes.fromhex(span.trace_id),
        span_id=bytes.fromhex(span.span_id),
        parent_span_id=bytes.fromhex(span.parent_id),
        trace_state=span.state,
        flags=_SAMPLED,
        name=_text(span.name),
        kind=_KINDS[span.kind],
        start_time_unix_nano=span.start,
        end_time_unix_nano=max(span.start, span.end),
        attributes=_attributes(span.attributes),
        events=[
            trace_pb2.Span.Event(name=each.name, time_unix_nano=each.at, attributes=_attributes(each.attributes))
            for each in span.events
        ],
    )
    if span.failed:
        message.status.code = trace_pb2.Status.STATUS_CODE_ERROR
    return message


def request_of(spans: Sequence[trace_pb2.Span], resource: Mapping[str, str]) -> bytes:
    """The body of a request with *spans*.

    :param resource: what they are of: ``service.name`` and the like.
    """
    request = ExportTraceServiceRequest()
    of_resource = request.resource_spans.add()
    of_resource.resource.attributes.extend(_attributes(dict(resource)))
    of_resource.schema_url = SCHEMA_URL
    of_scope = of_resource.scope_spans.add()
    of_scope.scope.name, of_scope.scope.version = "skyproxy", __version__
    of_scope.schema_url = SCHEMA_URL
    of_scope.spans.extend(spans)
    body: bytes = request.SerializeToString()
    return body


def rejected_by(body: bytes) -> int:
    """How many spans the receiver did not take, as its answer says; 0 if that cannot be read."""
    try:
        rejected: int = ExportTraceServiceResponse.FromString(body).partial_success.rejected_spans
        return rejected
    except Exception:  # protobuf's DecodeError, and what versions of it raise besides
        return 0


def _attributes(values: Attributes | Mapping[str, Value]) -> list[KeyValue]:
    return [KeyValue(key=name, value=_value(value)) for name, value in values.items()]


def _value(value: Value) -> AnyValue:
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, int):
        return AnyValue(int_value=value)
    if isinstance(value, float):
        return AnyValue(double_value=value)
    return AnyValue(string_value=_text(value))


def _text(value: str) -> str:
    """*value*, which may be anything where a client has named it; protobuf takes no lone surrogates."""
    return value.encode("utf-8", "replace").decode()
