"""A client's request, as the pipeline gets it."""

from __future__ import annotations

from skyproxy.access.identity import ClientIdentity
from skyproxy.pipeline.request import Endpoint, Request
from skyproxy.telemetry.tracing.context import TraceContext
from skyproxy.telemetry.tracing.tracing import Tracing
from skyproxy.web.forwarded import forwarded
from skyproxy.web.request import ApiRequest


def incoming(
    request: ApiRequest,
    endpoint: Endpoint,
    request_id: str,
    body: bytes,
    identity: ClientIdentity | None,
    tracing: Tracing,
) -> Request:
    """*request*, with the plain *body*, and its place in its trace, if requests are traced.

    :param identity: of the client whose key it brought; None: nobody asks for keys.
    """
    fields = request.fields
    return Request(
        endpoint=endpoint,
        request_id=request_id,
        content_type=fields.get(b"content-type", b""),
        credentials=fields.get(b"authorization", b"") if identity is None else identity.name.encode("ascii"),
        headers=forwarded(fields),
        body=body,
        cache_control=fields.get(b"cache-control", b""),
        identity=identity,
        trace=_trace_of(request, tracing) if tracing.on else None,
    )


def _trace_of(request: ApiRequest, tracing: Tracing) -> TraceContext:
    parents = request.requestHeaders.getRawHeaders(b"traceparent", ())
    states = request.requestHeaders.getRawHeaders(b"tracestate", ())
    return tracing.begin(parents[0] if len(parents) == 1 else None, b",".join(states))
