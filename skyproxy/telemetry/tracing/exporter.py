"""The thread that makes spans of requests that are over, and sends them."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping

from skyproxy.telemetry.tracing.conventions import Peer
from skyproxy.telemetry.tracing.posting import Posted, Receiver
from skyproxy.telemetry.tracing.spans import spans_of
from skyproxy.telemetry.tracing.traced import TraceCounts, Traced

MAX_WAITING = 4096
"""Requests whose spans wait to be sent. What comes beyond that is lost, and counted."""

BATCH_REQUESTS = 64
"""Requests whose spans go together, at most. To write so many takes the interpreter's lock for some 0.3 ms."""

INTERVAL_SECONDS = 1.0
"""For which a request waits for others, at most."""

FIRST_RETRY_SECONDS, LONGEST_RETRY_SECONDS = 1.0, 30.0
TRIES = 5
"""Of one batch."""


class SpanExporter:
    """Sends what it is given, from a daemon thread of its own; who gives never waits.

    :param receiver: is used by the thread alone.
    :param resource: what spans are of.
    :param counts: are added to.
    :param trouble: is called in the thread with the first problem of an outage.
    """

    def __init__(
        self,
        receiver: Receiver,
        resource: Mapping[str, str],
        counts: TraceCounts,
        trouble: Callable[[str], None],
        interval: float = INTERVAL_SECONDS,
        first_retry: float = FIRST_RETRY_SECONDS,
    ) -> None:
        self._receiver = receiver
        self._resource = resource
        self._counts = counts
        self._trouble = trouble
        self._interval = interval
        self._first_retry = first_retry
        self._waiting: deque[tuple[Traced, Mapping[str, Peer]]] = deque()
        self._stopping = threading.Event()
        self._done: Callable[[], None] = _nothing
        self._failing = False

    # The event loop.

    def add(self, traced: Traced, peers: Mapping[str, Peer]) -> None:
        """Have the spans of *traced* sent, soon."""
        if len(self._waiting) >= MAX_WAITING:
            self._counts.lost["queue_full"] += 1
        else:
            self._waiting.append((traced, peers))

    def start(self) -> None:
        """Start the thread."""
        threading.Thread(target=self._run, name="span exporter", daemon=True).start()

    def stop(self, done: Callable[[], None]) -> None:
        """Try once more to send what waits, and end the thread.

        :param done: is called in the thread, then.
        """
        self._done = done
        self._stopping.set()

    # The thread.

    def _run(self) -> None:
        try:
            while not self._stopping.wait(self._interval):
                self._send_all()
            self._send_all()
        finally:
            self._receiver.close()
            self._counts.lost["stopped"] += len(self._waiting)
            self._waiting.clear()
            self._done()

    def _send_all(self) -> None:
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(BATCH_REQUESTS, len(self._waiting)))]
            try:
                lost = self._send(batch)
            except Exception as error:
                lost = "fault"
                self._warn(f"{type(error).__name__}: {error}")
            if lost is None:
                self._counts.exported += len(batch)
                self._failing = False
            else:
                self._counts.lost[lost] += len(batch)
                if self._stopping.is_set():
                    return

    def _send(self, batch: list[tuple[Traced, Mapping[str, Peer]]]) -> str | None:
        """Send the spans of *batch*; why they are lost, or None."""
        from skyproxy.telemetry.tracing.otlp import CONTENT_TYPE, message_of, rejected_by, request_of

        messages = []
        for traced, peers in batch:
            messages += [message_of(span) for span in spans_of(traced, peers)]
            # The event loop need not wait for the interpreter's lock until all are made.
            time.sleep(0)
        body = request_of(messages, self._resource)
        wait = self._first_retry
        for _ in range(TRIES):
            posted = self._receiver.post(body, CONTENT_TYPE)
            if posted.taken:
                self._counts.rejected_spans += rejected_by(posted.body)
                return None
            self._warn(_words_of(posted))
            if not posted.again:
                return "rejected"
            if self._stopping.wait(wait):
                break
            wait = min(2 * wait, LONGEST_RETRY_SECONDS)
        return "stopped" if self._stopping.is_set() else "unreachable"

    def _warn(self, problem: str) -> None:
        if not self._failing:
            self._failing = True
            self._trouble(problem)


def _words_of(posted: Posted) -> str:
    return posted.problem or f"it answers {posted.status}"


def _nothing() -> None:
    """Nobody waits for the end."""
