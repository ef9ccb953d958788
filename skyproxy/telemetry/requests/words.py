"""How times, money and names are written for people: everywhere the same."""

from __future__ import annotations

from collections.abc import Sequence

_JOBS = {
    "default": "Dialogue",
    "combat": "Combat",
    "memory": "Memory",
    "DiaryGeneration": "Diary",
    "diary": "Diary",
    "meta": "Meta",
    "action_evaluation": "Actions",
    "action_eval": "Actions",
    "gamemaster_evaluation": "Gamemaster",
    "AgentDefault": "Agent",
    "CharacterProfileGeneration": "Profiles",
    "profile_gen": "Profiles",
    "character_profile": "Profiles",
    "UniversalTranslator": "Translator",
    "creative": "Creative",
    "vision": "Vision",
}
"""What SkyrimNet's slots are for; others go by their own names."""

_SIGNS = {"USD": "$", "EUR": "€", "GBP": "£"}


def job(slot: str) -> str:
    """What *slot* is for."""
    return _JOBS.get(slot, slot)


def duration(seconds: float) -> str:
    """``< 0.1 s``, ``0.4 s``, ``12 s``, ``2 min``, ``3 h``."""
    if 0 < seconds < 0.05:
        return "< 0.1 s"
    if seconds < 9.95:
        return f"{seconds:.1f} s" if seconds != int(seconds) else f"{int(seconds)} s"
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5970 else f"{seconds / 3600:.0f} h"


def size(count: int) -> str:
    """``512 bytes``, ``12 KiB``, ``1.5 MiB``."""
    if count < 1024:
        return of_people(count, "byte", "bytes")
    kib = count / 1024
    if kib < 1024:
        return f"{kib:.3g} KiB"
    return f"{kib / 1024:.3g} MiB" if kib < 1024 * 1024 else f"{kib / 1024 / 1024:.3g} GiB"


def money(amount: float, currency: str = "USD") -> str:
    """``$0.31``, ``$0.0002``: two digits that count under a cent."""
    sign = _SIGNS.get(currency, f"{currency} ")
    if amount == 0 or amount >= 0.01:
        return f"{sign}{amount:.2f}" if amount else f"{sign}0"
    digits = 2
    while digits < 9 and amount * 10 ** (digits - 1) < 1:
        digits += 1
    return f"{sign}{amount:.{digits}f}"


def deployment(provider: str, model: str) -> str:
    """``provider:model``."""
    return f"{provider}:{model}"


def listed(names: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}" if names else ""


def quoted(text: str) -> str:
    """What a provider said, as a quotation in one line."""
    return f"“{' '.join(text.split())}”"


def of_people(count: int, one: str, many: str) -> str:
    """``1 request``, ``3 requests``."""
    return f"{count:,} {one if count == 1 else many}"
