"""HTTP on both sides: what stands under a Site of twisted.web and under a connection pool. It knows no OpenAI."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from twisted.internet.interfaces import IProtocol

from skyproxy.http.h1.client_protocol import ClientProtocol
from skyproxy.http.loop.batches import Schedule
from skyproxy.http.server.channels import Connections, RenderRefusal, channel_factory
from skyproxy.http.server.limits import ServerLimits

__all__ = ["Connections", "ServerLimits", "Wire"]


@dataclass(frozen=True)
class Wire:
    """The protocols of both sides: the seam at which others can be put in.

    :ivar server: makes what a Site is to have as its ``protocol``.
    :ivar client: makes the protocol of one connection to a provider, from its quiescent callback and the scheduler's
        ``schedule``.
    """

    server: Callable[[ServerLimits, Connections, RenderRefusal], Callable[[], IProtocol]] = channel_factory
    client: Callable[[Callable[[Any], None], Schedule], Any] = ClientProtocol
