"""A configuration with some of its values replaced, as a file would replace them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from skyproxy.config.document import Document, KeyPath
from skyproxy.config.fields import Checked, frozen
from skyproxy.config.model_names import parse_model_name
from skyproxy.config.problems import Problem
from skyproxy.config.schema import Config, ProviderConfig, SlotConfig
from skyproxy.config.sections import Section
from skyproxy.util.close_matches import nearest

SLOT_KEYS = (
    "provider", "model", "hedge_after", "first_token_timeout", "default_timeout", "idle_timeout", "queue_timeout",
    "priority", "strip_reasoning",
)  # fmt: skip
"""What can be replaced of a slot."""
PROVIDER_KEYS = ("max_concurrent",)
"""What can be replaced of a provider."""


class Setting(NamedTuple):
    """One value.

    :ivar section: ``providers`` or ``model_slots``.
    :ivar name: of the provider or slot.
    :ivar value: as a file has it.
    """

    section: str
    name: str
    key: str
    value: Any

    @property
    def path(self) -> KeyPath:
        """Where it stands in a file."""
        return (self.section, self.name, self.key)

    @property
    def shown(self) -> str:
        """It, for people."""
        return f"{self.key} {value_shown(self.value)}"


def value_shown(value: Any) -> str:
    """*value* as a file has it."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:g}" if isinstance(value, float) else str(value)


def problem_of(config: Config, setting: Setting) -> str | None:
    """Why *config* cannot have *setting*; None: it can."""
    owners: Mapping[str, Any] = config.providers if setting.section == "providers" else config.model_slots
    what, known = ("provider", PROVIDER_KEYS) if setting.section == "providers" else ("slot", SLOT_KEYS)
    if setting.name not in owners:
        near = nearest(setting.name, owners)
        hint = f"did you mean {near!r}?" if near else f"there are {', '.join(owners) or 'none'}"
        return f"there is no {what} {setting.name[:100]!r}: {hint}"
    if setting.key not in known:
        near = nearest(setting.key, known)
        hint = f"did you mean {near}?" if near else f"those of a {what} are {', '.join(known)}"
        return f"{setting.key[:100]!r} cannot be set: {hint}"
    if setting.key in ("provider", "model", "max_concurrent", "priority") and setting.value is None:
        return f"{setting.key} must have a value"
    if setting.key == "provider" and setting.value not in config.providers:
        near = nearest(str(setting.value), config.providers)
        hint = f"did you mean {near!r}?" if near else f"there are {', '.join(config.providers)}"
        return f"there is no provider {str(setting.value)[:100]!r}: {hint}"
    problems: list[Problem] = []
    _checked(setting, problems)
    return None if not problems else "; ".join(f"{each.key} {each.message}" for each in problems)


def overlaid(config: Config, settings: Iterable[Setting]) -> Config:
    """*config* with *settings*, each of which it can have; of two for the same value the last counts."""
    slots, providers = dict(config.model_slots), dict(config.providers)
    for each in settings:
        made: Any = _checked(each, [])
        owners: dict[str, Any] = providers if each.section == "providers" else slots
        owner: Checked = owners[each.name]
        owners[each.name] = owner.model_copy(update={each.key: getattr(made, each.key)})
    return config.model_copy(update={"model_slots": frozen(slots), "providers": frozen(providers)})


def of_profile(config: Config, name: str) -> tuple[Setting, ...]:
    """What the profile *name* sets."""
    settings = []
    for slot, served in config.profiles[name].slots.items():
        named = parse_model_name(served)
        settings.append(Setting("model_slots", slot, "provider", named.provider))
        settings.append(Setting("model_slots", slot, "model", named.model))
    return tuple(settings)


def same(one: Config, other: Config) -> bool:
    """Whether both say the same, wherever they were read."""
    sections = (
        "proxy",
        "providers",
        "model_slots",
        "prices",
        "profiles",
        "rates",
        "clients",
        "access",
        "profile_token",
    )
    return all(getattr(one, each) == getattr(other, each) for each in sections)


def _checked(setting: Setting, problems: list[Problem]) -> Any:
    """An owner of nothing but *setting*, whose value is checked as that of a file is."""
    values = {setting.key: setting.value}
    section = Section(Document(""), (), values, {})
    if setting.section == "providers":
        given = {"name": "x", "base_url": "http://127.0.0.1/v1"}
        return section.check(ProviderConfig, (setting.key,), problems, **given)
    return section.check(SlotConfig, (setting.key,), problems, name="x", provider="x", model="x")
