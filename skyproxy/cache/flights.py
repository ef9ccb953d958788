"""All answers under way."""

from __future__ import annotations

from collections.abc import Callable

from skyproxy.cache.single_flight import FlightLimits, SingleFlight


class Flights:
    """The answers under way that others can join.

    :param seconds: the time.
    :param when_closed: called with each that no request can join any more.
    """

    def __init__(
        self,
        seconds: Callable[[], float],
        limits: FlightLimits | None = None,
        when_closed: Callable[[SingleFlight], None] | None = None,
    ) -> None:
        self._seconds = seconds
        self._when_closed = when_closed
        self._limits = limits or FlightLimits()
        self._joinable: dict[bytes, SingleFlight] = {}

    def __len__(self) -> int:
        return len(self._joinable)

    def get(self, key: bytes) -> SingleFlight | None:
        """The one to join under *key*, if there is one."""
        return self._joinable.get(key)

    def begin(self, key: bytes, begun_by: str = "") -> SingleFlight:
        """Begin another, which is found under *key* until no request can join it any more."""

        def closed() -> None:
            if self._joinable.get(key) is flight:
                del self._joinable[key]
            if self._when_closed is not None:
                self._when_closed(flight)

        flight = SingleFlight(self._seconds, closed, self._limits, begun_by)
        self._joinable[key] = flight
        return flight
