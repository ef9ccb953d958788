"""The configuration: where it is found, how it is read, and what it must be."""

from skyproxy.config.loading import load
from skyproxy.config.problems import ConfigError, Problem
from skyproxy.config.rules import EMBEDDED_DEMO
from skyproxy.config.schema import Config, ProviderConfig, ProxySettings, SlotConfig

__all__ = ["EMBEDDED_DEMO", "Config", "ConfigError", "Problem", "ProviderConfig", "ProxySettings", "SlotConfig", "load"]
