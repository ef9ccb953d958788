"""The configuration: where it is found, how it is read, and what it must be."""

from skyproxy.config.differences import changes
from skyproxy.config.loading import load
from skyproxy.config.prices import Price, price_of
from skyproxy.config.problems import ConfigError, Problem, may_pass
from skyproxy.config.proxy_settings import ProxySettings
from skyproxy.config.resilience import ApiKeyConfig, BreakerSettings, CacheRule, CacheSettings, Priority
from skyproxy.config.rules import EMBEDDED_DEMO
from skyproxy.config.schema import Config, ProviderConfig, SlotConfig
from skyproxy.config.telemetry import TelemetrySettings

__all__ = [
    "EMBEDDED_DEMO",
    "ApiKeyConfig",
    "BreakerSettings",
    "CacheRule",
    "CacheSettings",
    "Config",
    "ConfigError",
    "Price",
    "Priority",
    "Problem",
    "ProviderConfig",
    "ProxySettings",
    "SlotConfig",
    "TelemetrySettings",
    "changes",
    "load",
    "may_pass",
    "price_of",
]
