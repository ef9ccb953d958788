"""What could serve a slot whose provider cannot: another model that answers now."""

from __future__ import annotations

from collections.abc import Iterator

from skyproxy.telemetry.state import thresholds as limits
from skyproxy.telemetry.state.snapshot import SlotState, Snapshot

_FIRST = "default"
"""The slot that matters most: dialogue."""


def instead_of(provider: str, snapshot: Snapshot) -> tuple[str, str] | None:
    """A slot that *provider* serves, and the ``provider:model`` of another provider that could; None: there is none.

    Fallbacks of the slot come before what other slots have.
    """
    served = [each for each in snapshot.slots if each.paused is None and each.candidates[0][0] == provider]
    for slot in sorted(served, key=lambda each: (each.name != _FIRST, -len(each.samples))):
        for other, model in _others(slot, snapshot):
            if other != provider and model and _answers(other, model, snapshot):
                return slot.name, f"{other}:{model}"
    return None


def _others(slot: SlotState, snapshot: Snapshot) -> Iterator[tuple[str, str]]:
    yield from slot.candidates[1:]
    for each in snapshot.slots:
        yield from each.candidates


def _answers(provider: str, model: str, snapshot: Snapshot) -> bool:
    """Whether the last that was heard of it was an answer, and it can be asked now."""
    word = snapshot.words.get((provider, model))
    state = next((each for each in snapshot.providers if each.name == provider), None)
    if word is None or word.code or state is None or snapshot.at - word.at > limits.USUAL_SECONDS:
        return False
    paused = any(each.paused is not None for each in state.deployments if each.model == model)
    return state.key_missing is None and state.paused is None and not paused
