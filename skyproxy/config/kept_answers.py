"""What a store of answers needs."""

from __future__ import annotations

from collections.abc import Mapping

from skyproxy.config.problems import Problem
from skyproxy.config.proxy_settings import ProxySettings
from skyproxy.config.schema import ProviderConfig, SlotConfig
from skyproxy.config.sections import Section


def refuse_missing_stores(
    proxy: ProxySettings,
    section: Section,
    owners: Mapping[str, ProviderConfig] | Mapping[str, SlotConfig],
    problems: list[Problem],
) -> None:
    """Add a problem for each of *owners*, the entries of *section*, that keeps answers where *proxy* has no place."""
    missing: dict[str, str] = {}
    if proxy.cache.path is None:
        missing["sqlite"] = "needs proxy.cache.path, the file to keep them in"
    if proxy.store_of_answers is None:
        missing["redis"] = "needs proxy.cache.address, or proxy.shared, the Redis to keep them in"
    for name, owner in owners.items():
        if owner.cache is not None and owner.cache.store in missing:
            problems.append(section.problem((name, "cache", "store"), missing[owner.cache.store]))
