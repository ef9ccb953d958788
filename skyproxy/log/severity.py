"""How much an event matters to the operator of a proxy."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from twisted.logger import LogEvent, LogLevel

DEBUG, INFO, WARN, ERROR, CRITICAL = 10, 20, 30, 40, 50

THRESHOLDS = {"debug": DEBUG, "info": INFO, "warn": WARN, "error": ERROR}
"""The levels of the configuration."""

NAMES = {DEBUG: "DEBUG", INFO: "INFO", WARN: "WARN", ERROR: "ERROR", CRITICAL: "CRITICAL"}

_OF_LEVEL: dict[Any, int] = {
    LogLevel.debug: DEBUG,
    LogLevel.info: INFO,
    LogLevel.warn: WARN,
    LogLevel.error: ERROR,
    LogLevel.critical: CRITICAL,
}
_NOISY = ("twisted.", "log_legacy")
_TELLING = ("twisted.application.", "twisted.scripts.", "twisted.internet.base.")
_FACTORY_FORMATS = ("Starting factory {factory!r}", "Stopping factory {factory!r}")


def severity_of(event: LogEvent) -> int:
    """The severity of *event*, one of the numbers above.

    What Twisted tells at INFO of ports, factories and clients is DEBUG here; that it starts, gets a signal
    and ends is not.
    """
    severity = _severity(event.get("log_level"), str(event.get("log_namespace")))
    if severity == INFO and "factory" in event and event.get("log_format") in _FACTORY_FORMATS:
        return DEBUG
    return severity


@lru_cache(256)
def _severity(level: Any, namespace: str) -> int:
    severity = _OF_LEVEL.get(level, INFO)
    noise = severity == INFO and namespace.startswith(_NOISY) and not f"{namespace}.".startswith(_TELLING)
    return DEBUG if noise else severity
