"""The demo provider within the process, for configurations that name it."""

from __future__ import annotations

from typing import Any

from skyproxy.config import EMBEDDED_DEMO, ProviderConfig
from skyproxy.demo import Demo
from skyproxy.process.listening import result_now


class EmbeddedDemo:
    """Listens at a port of its own from the first provider on that is to be this one."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._demo: Demo | None = None

    def resolve(self, settings: ProviderConfig) -> ProviderConfig:
        """*settings*, with the address of the demo where they name it.

        :raise Exception: it cannot listen.
        """
        if settings.base_url != EMBEDDED_DEMO:
            return settings
        if self._demo is None:
            demo = Demo(self._reactor)
            result_now(demo.start())
            self._demo = demo
        # The demo takes any number of requests: it is not asked for its capacity, as a server on this machine would be.
        known = {"base_url": self._demo.base_url, "max_concurrent": settings.max_concurrent}
        return settings.model_copy(update=known)

    def stop(self) -> Any:
        """Stop it, if it was started."""
        return self._demo and self._demo.stop()
