"""A request in the form in which one provider gets it."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any, NamedTuple

from skyproxy.formats.json_splice import with_members
from skyproxy.http.common.headers import Fields
from skyproxy.telemetry.tracing.context import TraceContext
from skyproxy.upstream.exchange.timeouts import Timeouts
from skyproxy.upstream.guards.concurrency import Priority


class UpstreamRequest(NamedTuple):
    """A request to one model of one provider.

    :ivar path: below the provider's base_url, e.g. ``/chat/completions``.
    :ivar headers: of this request alone; the provider's own (its key among them) are added.
    :ivar body: as it is sent.
    :ivar timeouts: of the candidate.
    :ivar streaming: whether a stream is asked for.
    :ivar priority: in the queue for a permit.
    :ivar model: as the provider calls it.
    :ivar named: whether the configuration names the model, and not only a client.
    :ivar request_id: for the log.
    :ivar fields: what *body* says; None for a form.
    :ivar added: fields of the body that skyproxy added of its own accord, and that may be left out.
    :ivar shown_model: the name that the client has for the model, which stands in its answer; None: the provider's.
    :ivar trace: that it belongs to; None: requests are not traced.
    """

    path: str
    headers: Fields
    body: bytes
    timeouts: Timeouts
    streaming: bool = False
    priority: Priority = "interactive"
    model: str = ""
    named: bool = False
    request_id: str = ""
    fields: Mapping[str, Any] | None = None
    added: frozenset[str] = frozenset()
    shown_model: str | None = None
    trace: TraceContext | None = None

    def without(self, names: AbstractSet[str]) -> UpstreamRequest:
        """The request without the fields *names* of its body."""
        before = self.fields or {}
        fields = {name: value for name, value in before.items() if name not in names}
        body = with_members(self.body, before, dict.fromkeys(names))
        return self._replace(body=body, fields=fields, added=self.added - names)
