"""The reference of all options, as Markdown: made from the models that check them, and from their docstrings."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from skyproxy.config.access import AccessSettings, ClientConfig, HeldKey, TokenSettings
from skyproxy.config.budgets import BudgetSettings, PurseSettings
from skyproxy.config.json_schema import NOT_WRITTEN
from skyproxy.config.meanings import meanings_of
from skyproxy.config.prices import Price
from skyproxy.config.proxy_settings import Address, BodySettings, ProxySettings
from skyproxy.config.resilience import BreakerSettings, CacheRule, CacheSettings
from skyproxy.config.schema import ProviderConfig, ProviderDefaults, SlotConfig
from skyproxy.config.telemetry import TelemetrySettings

_SECTIONS: tuple[tuple[str, str, type[BaseModel], type[BaseModel] | None], ...] = (
    ("proxy:", "skyproxy's own side.", ProxySettings, None),
    ("proxy:, as the original's files write it", "In place of `listen`.", Address, None),
    ("defaults: and each provider", "What `defaults:` says holds for each provider that does not say otherwise.",
     ProviderDefaults, None),
    ("each provider, under providers: NAME:", "Besides what stands above.", ProviderConfig, ProviderDefaults),
    ("each slot, under model_slots: NAME:", "A name that clients ask for.", SlotConfig, None),
    ("breaker:", "Of `defaults:` and each provider. `breaker: off` means none.", BreakerSettings, None),
    ("cache: of a provider or slot", "`cache: off` means none.", CacheRule, None),
    ("cache: of proxy:", "The stores of answers.", CacheSettings, None),
    ("bodies: of proxy:", "Where `record_bodies` keeps bodies.", BodySettings, None),
    ("telemetry: of proxy:", 'Spans of OpenTelemetry, for each request: `pip install "skyproxy[otel]"`.',
     TelemetrySettings, None),
    ("each client, under clients: NAME:", "Who may ask, each with a key of their own. `skyproxy keys create` "
     "makes clients without a line here.", ClientConfig, None),
    ("access:", "Who must bring a key.", AccessSettings, None),
    ("admin: and metrics: of access:", "Keys of people and of scrapers.", HeldKey, None),
    ("jwt: of access:", "Tokens of an identity provider, with the extra `skyproxy[jwt]`.", TokenSettings, None),
    ("budget: of a client, slot or provider", "`5/day` is short for `{amount: 5, currency: USD, per: day}`.",
     BudgetSettings, None),
    ("purse: of proxy:", "A budget for all requests together, with what stands here besides.",
     PurseSettings, BudgetSettings),
    ("prices: by provider:model or a pattern", "For a million tokens.", Price, None),
)  # fmt: skip

EXAMPLES: Mapping[str, str] = {
    "listen": '`35791`, `127.0.0.1:35791`, `["tcp:35791:interface=127.0.0.1", "unix:/run/skyproxy.sock"]`',
    "api_key_env": "`OPENROUTER_API_KEY`, `[OPENROUTER_KEY_1, OPENROUTER_KEY_2]`",
    "fallbacks": '`["ollama:llama3.1:8b", memory]`',
    "headers": '`{X-Title: "Skyrim", X-Team: "${TEAM}"}`',
    "breaker": "`{consecutive: 5, open_for: 1s}`, `off`",
    "cache": "`{store: memory, ttl: 5m, max_bytes: 1MB}`, `off`",
    "slots": '`[default, combat, "openrouter:*"]`',
    "budget": "`5/day`, `20 EUR/month`, `{amount: 5, currency: USD, per: day}`",
    "purse": "`2/day`, `{amount: 2, per: evening, on_budget: {slot: local}}`",
    "on_budget": "`refuse`, `{slot: local}`",
    "expires": "`2027-01-01`",
    "trust_forwarded_from": "`127.0.0.1`, `[127.0.0.1, 10.0.0.0/8]`",
    "params": "`{temperature: 0.7}`",
    "force": "`{max_tokens: 400}`",
    "proxy_url": "`http://127.0.0.1:3128`, `off`",
    "allowed_hosts": "`[tower.lan]`",
    "shared": '`"redis://:${REDIS_PASSWORD}@redis.example:6379/0"`',
    "cors_origins": '`["http://192.168.1.5:8080"]`',
}

_OTHERS = {(ProxySettings, "cache"), (TelemetrySettings, "headers")}
"""Fields that are others than those of the same name that have examples."""

_HEAD = """\
# Reference of the configuration

Each option with its type, its default and its meaning. `skyproxy schema --markdown` prints this page, which is made
from what checks the configuration. Durations are seconds, or texts such as `500ms`, `60s`, `1m30s`, `1h`; sizes are
bytes, or texts such as `10MB` (powers of 1000) and `512KiB` (powers of 1024).
"""


_RATES = """
## `rates:`

What one unit of a currency is worth in another, for budgets in another currency than prices: `rates: {EUR/USD: 1.08}`.
"""

_PROFILES = """
## `profiles:`

Named sets of what serves the slots: `cheap: {default: "openrouter:mistralai/mistral-nemo", memory: "ollama:llama3.1"}`.
Slots that a profile does not name are served as `model_slots:` says. `skyproxy profile cheap` switches while the game
runs, `skyproxy profile off` back; a game's hotkey asks for `/api/profile/cheap?token=...` with what
`SKYPROXY_PROFILE_TOKEN` holds in the environment or `.env` (16 or more letters, digits, or `-`, `.`, `_`, `~`).
"""


def reference() -> str:
    """The page."""
    parts = [_HEAD]
    for title, about, model, without in _SECTIONS:
        known = without.model_fields if without is not None else {}
        rows = [row for row in rows_of(model) if row[0] not in known]
        lines = [f"| `{name}` | {kind} | {default} | {meaning} |" for name, kind, default, meaning in rows]
        parts.append(f"\n## `{title}`\n\n{about}\n\n| option | type | default | meaning |\n|---|---|---|---|\n")
        parts.append("\n".join(lines) + "\n")
    return "".join([*parts, _RATES, _PROFILES])


def rows_of(model: type[BaseModel]) -> Iterator[tuple[str, str, str, str]]:
    """Name, type, default and meaning of each field of *model* that can be written."""
    meanings = meanings_of(model)
    for name, info in model.model_fields.items():
        if name in NOT_WRITTEN or (name == "provider" and model is not SlotConfig):
            continue
        default = info.get_default(call_default_factory=True)
        example = EXAMPLES.get(name) if (model, name) not in _OTHERS else None
        meaning = meanings.get(name, "") + (f" Example: {example}." if example else "")
        yield name, _kind(f"{info.annotation} {info.metadata}"), _default(default), meaning.replace("|", "\\|").strip()


def _kind(annotation: str) -> str:
    literal = re.search(r"Literal\[([^\]]*)\]", annotation)
    if literal:
        words = ", ".join(f"`{each.strip(chr(39))}`" for each in literal[1].split(", "))
        return f"whole number, or {words}" if "Annotated[int" in annotation else words
    if "bool" in annotation:
        return "`true`, `false`"
    if "BreakerSettings" in annotation or "CacheRule" in annotation or "CacheSettings" in annotation:
        return "keys, or `off`"
    if "BodySettings" in annotation:
        return "keys"
    if "BudgetSettings" in annotation or "PurseSettings" in annotation:
        return "text, or keys"
    if "StepDown" in annotation:
        return "`refuse`, or keys"
    if any(name in annotation for name in ("HeldKey", "TelemetrySettings", "TokenSettings")):
        return "keys"
    if "datetime" in annotation:
        return "date, or time"
    for part, kind in (
        ("function seconds", "duration"), ("function byte_count", "size"),
        ("tuple", "text, or list"), ("frozenset", "list"), ("Mapping", "keys and values"), ("Path", "path"),
        ("float", "number"), ("int", "whole number"), ("str", "text"),
    ):  # fmt: skip
        if part in annotation:
            return kind
    return "text"


def _default(value: Any) -> str:
    if value is PydanticUndefined:
        return "must be said"
    if value is None or value == () or value == {}:
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, CacheRule) and value.store == "off":
        return "`off`"
    if isinstance(value, BaseModel):
        return "see below"
    if isinstance(value, tuple):
        return ", ".join(f"`{each}`" for each in value)
    if isinstance(value, float) and value.is_integer():
        return f"`{int(value)}`"
    return f"`{value}`"
