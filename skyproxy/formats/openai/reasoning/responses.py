"""Reasoning in the events of the Responses API.

https://platform.openai.com/docs/api-reference/responses-streaming
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Any

from skyproxy.formats.openai.event_names import REASONING_PREFIX, TERMINAL, TEXT_DELTA, TEXT_DONE
from skyproxy.formats.openai.reasoning.answers import is_thought, strip_content, strip_output, strip_part
from skyproxy.formats.openai.reasoning.chunks import MOST_TEXTS
from skyproxy.formats.openai.reasoning.tags import TagStripper

_Place = tuple[Any, Any]


class Responses:
    """Takes reasoning out of one stream's events. The others are numbered as if it had never been there, for clients
    keep items by their number.
    """

    def __init__(self) -> None:
        self._texts: dict[_Place, TagStripper] = {}
        self._deltas: dict[_Place, dict[str, Any]] = {}
        self._thoughts: list[int] = []
        """The numbers of items that are reasoning, sorted."""
        self._gone = 0
        """How many events less have gone on than came."""

    @property
    def passive(self) -> bool:
        """Whether an event goes on as it is if it has nothing with which a tag begins and is not about reasoning."""
        texts = self._texts
        return bool(texts) and not self._gone and not self._thoughts and all(text.passive for text in texts.values())

    def edit(self, value: dict[str, Any]) -> list[dict[str, Any]] | None:
        """What goes on in place of the event *value*, which may be changed for it; None: as it came."""
        place = _number(value, "output_index"), _number(value, "content_index")
        if self._is_thought(value, place[0]):
            self._gone += 1
            return []
        changed = self._renumber_item(value, place[0])
        before: list[dict[str, Any]] = []
        if value["type"] == TEXT_DELTA and isinstance(value.get("delta"), str):
            if place not in self._texts and len(self._texts) >= MOST_TEXTS:
                place = None, None
            said = self._texts.setdefault(place, TagStripper()).feed(value["delta"])
            self._deltas[place] = value
            if said != value["delta"]:
                changed = True
                value["delta"] = said
                if not said:
                    self._gone += 1
                    return []
        else:
            before = (
                self._pending(place) if value["type"] == TEXT_DONE else self.rest() if value["type"] in TERMINAL else []
            )
            changed = _strip(value) or changed
        for event in before:
            if "sequence_number" in value:
                event["sequence_number"] = value["sequence_number"]
            self._renumber(event)
            self._gone -= 1
        changed = self._renumber(value) or changed
        return [*before, value] if changed or before else None

    def rest(self) -> list[dict[str, Any]]:
        """The stream has ended: events with what was pending because it might have been a tag."""
        return [event for place in self._texts for event in self._pending(place)]

    def _is_thought(self, value: dict[str, Any], index: int | None) -> bool:
        if is_thought(value.get("item")):
            if index is not None and not self._is_of_thought(index):
                self._thoughts.insert(bisect_left(self._thoughts, index), index)
            return True
        return self._is_of_thought(index) or value["type"].startswith(REASONING_PREFIX) or is_thought(value.get("part"))

    def _is_of_thought(self, index: int | None) -> bool:
        """Whether the item of this number is reasoning."""
        if index is None:
            return False
        place = bisect_left(self._thoughts, index)
        return place < len(self._thoughts) and self._thoughts[place] == index

    def _pending(self, place: _Place) -> list[dict[str, Any]]:
        text = self._texts.get(place)
        said = text.flush() if text is not None else ""
        return [{**self._deltas[place], "delta": said}] if said else []

    def _renumber_item(self, value: dict[str, Any], index: int | None) -> bool:
        fewer = bisect_left(self._thoughts, index) if index is not None else 0
        if fewer and index is not None:
            value["output_index"] = index - fewer
        return bool(fewer)

    def _renumber(self, value: dict[str, Any]) -> bool:
        number = _number(value, "sequence_number")
        if number is None or not self._gone:
            return False
        value["sequence_number"] = number - self._gone
        return True


def _strip(value: dict[str, Any]) -> bool:
    """Take reasoning out of what *value* repeats of the answer; whether there was any."""
    changed = strip_part(value) if value["type"] == TEXT_DONE else False
    for name, strip in (("part", strip_part), ("item", strip_content), ("response", strip_output)):
        inner = value.get(name)
        if isinstance(inner, dict):
            changed = strip(inner) or changed
    return changed


def _number(value: dict[str, Any], name: str) -> int | None:
    number = value.get(name)
    return number if isinstance(number, int) else None
