"""Backpressure from several consumers on their one producer."""

from __future__ import annotations

from twisted.internet.interfaces import IPushProducer

from skyproxy.cache.subscriber import Subscriber


class Backpressure:
    """Pauses the producer while all of its consumers are paused.

    :ivar producer: None before there is one, and when it is over.
    :ivar paused: the consumers that take nothing for now.
    """

    __slots__ = ("_producer_paused", "paused", "producer")

    def __init__(self) -> None:
        self.producer: IPushProducer | None = None
        self.paused: dict[Subscriber, None] = {}
        self._producer_paused = False

    def apply(self, consumers: int) -> None:
        """Pause the producer, or have it go on.

        :param consumers: how many there are, paused or not.
        """
        producer = self.producer
        if producer is None or not consumers:
            return
        pause = len(self.paused) == consumers
        if pause != self._producer_paused:
            self._producer_paused = pause
            if pause:
                producer.pauseProducing()
            else:
                producer.resumeProducing()
