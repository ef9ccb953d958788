"""Producers that write once each time they are asked, driven as those that write until they are paused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from twisted.internet.interfaces import IPushProducer
from twisted.internet.task import CooperativeTask, cooperate
from twisted.logger import Logger
from zope.interface import implementer

_log = Logger()


@implementer(IPushProducer)
class PullProducer:
    """Asks an IPullProducer for more in turn with others of its kind, until its consumer does not want more.

    :param producer: is asked by ``resumeProducing``.
    :param consumer: what it writes to. Its ``unregisterProducer``, which is called if the producer fails, is to call
        :meth:`stop`.
    """

    def __init__(self, producer: Any, consumer: Any) -> None:
        self._producer = producer
        self._consumer = consumer
        self._task: CooperativeTask[Iterator[None]] | None = None

    def start(self) -> None:
        """Begin to ask."""
        self._task = cooperate(self._asking())

    def stop(self) -> None:
        """Ask no more."""
        task, self._task = self._task, None
        if task is not None:
            task.stop()

    def pauseProducing(self) -> None:
        """Ask for nothing for now."""
        if self._task is not None:
            self._task.pause()

    def resumeProducing(self) -> None:
        """Ask on."""
        if self._task is not None:
            self._task.resume()

    def stopProducing(self) -> None:
        """The consumer is gone."""
        self.stop()
        self._producer.stopProducing()

    def _asking(self) -> Iterator[None]:
        while True:
            try:
                self._producer.resumeProducing()
            except Exception:
                _log.failure("A producer failed")
                self._consumer.unregisterProducer()
            yield None
