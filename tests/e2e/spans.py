"""A receiver of OTLP on loopback, which decodes what it gets by opentelemetry-proto."""

from __future__ import annotations

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


class Receiver:
    """Answers POST with *status*.

    :ivar requests: the headers and the decoded bodies that came.
    :ivar status: of its answers.
    :ivar delay: seconds before each.
    """

    def __init__(self) -> None:
        self.requests: list[tuple[dict[str, str], str, Any]] = []
        self.status = 200
        self.delay = 0.0
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                time.sleep(receiver.delay)
                if receiver.status == 200:
                    headers = {name.lower(): value for name, value in self.headers.items()}
                    receiver.requests.append((headers, self.path, ExportTraceServiceRequest.FromString(body)))
                self.send_response(receiver.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        """Receive no more."""
        self._server.shutdown()
        self._server.server_close()

    def spans(self) -> list[dict[str, Any]]:
        """All that came, plain."""
        return [
            {
                "trace": span.trace_id.hex(), "id": span.span_id.hex(), "parent": span.parent_span_id.hex(),
                "name": span.name, "kind": span.kind, "start": span.start_time_unix_nano,
                "end": span.end_time_unix_nano, "status": span.status.code, "state": span.trace_state,
                "attributes": {each.key: _plain(each.value) for each in span.attributes},
                "events": [event.name for event in span.events],
                "resource": {each.key: _plain(each.value) for each in resource.resource.attributes},
                "schema": resource.schema_url,
            }
            for _, _, request in self.requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]  # fmt: skip

    def of_request(self, request_id: str) -> list[dict[str, Any]]:
        """Those of the trace of a request, the request's own first; empty while they have not come."""
        found = [each for each in self.spans() if each["attributes"].get("skyproxy.request_id") == request_id]
        return found and sorted(
            (each for each in self.spans() if each["trace"] == found[0]["trace"]), key=lambda each: each["kind"] != 2
        )


def _plain(value: Any) -> Any:
    return getattr(value, value.WhichOneof("value"))
