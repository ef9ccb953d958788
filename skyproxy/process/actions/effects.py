"""What an action does, in a sentence, for people to read before and after it."""

from __future__ import annotations

from skyproxy.pipeline.changes import Pauses, Target
from skyproxy.pipeline.router import Router
from skyproxy.telemetry.requests.words import of_people


def of_pause(target: Target, router: Router, pauses: Pauses) -> str:
    """What becomes of the slots when *target* is paused.

    :param router: of the time before.
    :param pauses: of the time after.
    """
    if target.slot:
        return f"Slot {target.slot} is paused: its requests are refused."
    name = target.provider
    moved, silent = [], []
    for slot in router.model_ids():
        candidates = [(each.provider.name, each.model) for each in router.configured(slot)]
        if not any(provider == name and (not target.model or model == target.model) for provider, model in candidates):
            continue
        left = [each for each in candidates if pauses.of(*each) is None]
        if not left:
            silent.append(slot)
        elif candidates[0] != left[0]:
            moved.append(slot)
    parts = []
    if moved:
        parts.append(f"{of_people(len(moved), 'slot goes to its fallback', 'slots go to their fallbacks')}")
    if silent:
        parts.append(f"{of_people(len(silent), 'slot is', 'slots are')} refused ({', '.join(silent)})")
    return f"{target} is paused: {' and '.join(parts) if parts else 'no slot asks it first'}."
