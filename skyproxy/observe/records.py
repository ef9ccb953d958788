"""What is kept of a request that is over, and what the log tells of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from twisted.logger import Logger

from skyproxy.observe.usage import Tokens

Outcome = Literal["ok", "client_error", "upstream_error", "failed", "refused", "cancelled"]
"""What became of a request.

- ``ok``: answered, whole.
- ``client_error``: the client asked for what cannot be had; skyproxy says so, or the provider.
- ``upstream_error``: the provider answered that it failed, with a status or within a stream.
- ``failed``: there was no proper answer, or not all of it.
- ``refused``: skyproxy did not try: too much to do, nothing to do it with, or about to stop.
- ``cancelled``: the client left.
"""


@dataclass(frozen=True, slots=True)
class RequestRecord:
    """One request that is over.

    :ivar endpoint: path below the provider's base_url.
    :ivar slot: that *model* named; None: it named none, or no candidate was found.
    :ivar model: as the client wrote it; empty if it wrote none.
    :ivar upstream_model: as the provider was asked for it.
    :ivar status: of the provider's answer; of skyproxy's own if the provider gave none; None: neither did.
    :ivar latency: seconds from the request's arrival to the end of its answer.
    :ivar time_to_first_byte: seconds from the request's arrival to the first byte of its answer.
    :ivar queue: seconds that it waited for a permit.
    :ivar bytes_out: bytes of the body that were sent to the client.
    :ivar error_code: of skyproxy's error, if there was one.
    :ivar attempts: how often the provider was asked and answered.
    :ivar key: the variable of the provider's key that was used, if one was.
    :ivar cache: whether the answer was kept, or shared, or asked for to be kept or shared; None: none of it.
    :ivar tokens: that the request and its answer took; None where nothing is known of them, or nothing was taken.
    :ivar cost: of these, in *currency*; None if no price is known.
    """

    request_id: str
    endpoint: str
    slot: str | None
    provider: str | None
    model: str
    upstream_model: str | None
    status: int | None
    outcome: Outcome
    stream: bool
    latency: float
    time_to_first_byte: float | None
    queue: float
    bytes_out: int
    error_code: str | None
    attempts: int
    key: str | None = None
    tokens: Tokens | None = None
    cache: Literal["hit", "miss", "coalesced"] | None = None
    cost: float | None = None
    currency: str = "USD"


class RequestLog:
    """Tells the log of each request.

    :param log: where to.
    """

    def __init__(self, log: Logger | None = None) -> None:
        self._log = log or Logger()

    def completed(self, record: RequestRecord) -> None:
        """Log *record*, as one event. Fields without a value are left out."""
        outcome = record.outcome
        fields = _fields(record)
        if outcome == "cancelled":
            self._log.info("Request cancelled", **fields)
        elif outcome == "refused":
            self._log.warn("Request refused", **fields)
        elif outcome == "failed":
            self._log.warn("Upstream request failed", **fields)
        elif outcome == "client_error" and record.attempts == 0:
            self._log.info("Request rejected", **fields)
        elif record.cache == "hit":
            self._log.info("Request answered from the cache", **fields)
        elif record.cache == "coalesced" and record.attempts == 0:
            self._log.info("Request answered together with another", **fields)
        else:
            self._log.info("Upstream request completed", **fields)


def _fields(record: RequestRecord) -> dict[str, Any]:
    first = record.time_to_first_byte
    fields = {
        "request_id": record.request_id,
        "endpoint": record.endpoint,
        "provider": record.provider,
        "model": record.model or None,
        "status": record.status,
        "latency_ms": round(record.latency * 1000, 1),
        "slot": record.slot,
        "upstream_model": record.upstream_model,
        "outcome": record.outcome,
        "stream": record.stream,
        "ttfb_ms": None if first is None else round(first * 1000, 1),
        "queue_ms": round(record.queue * 1000, 1),
        "bytes_out": record.bytes_out,
        "attempts": record.attempts,
        "error_code": record.error_code,
        "key": record.key,
        "cache": record.cache,
    }
    tokens = record.tokens
    if tokens is not None:
        fields["tokens_prompt"] = tokens.prompt
        fields["tokens_completion"] = tokens.completion
        fields["tokens_cached"] = tokens.cached
        fields["tokens_reasoning"] = tokens.reasoning
        fields["tokens_estimated"] = tokens.estimated
    if record.cost is not None:
        fields["cost"] = round(record.cost, 9)
        fields["currency"] = record.currency
    return {name: value for name, value in fields.items() if value is not None}
