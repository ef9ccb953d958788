"""What a running skyproxy tells of the state and of requests, as lines for people. The words are the process's own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from skyproxy.command.output import printable, table
from skyproxy.command.running import NotRunning, Running, all_running

MORE = 5
"""Sentences besides the first that fit beside what is shown live."""


def now_of(running: Running) -> dict[str, Any] | None:
    """How all is; None if the process does not tell: it waits for a game, or is of another version."""
    return _told(running, "/api/now")


def state_lines(now: dict[str, Any], most: int | None = None) -> Iterator[str]:
    """The sentence that matters most, what to do, and the others.

    :param most: how many others are shown; None: all.
    """
    yield from _sentence(now["sentence"])
    for each in now["more"][:most]:
        yield from _sentence(each)
    if most is not None and len(now["more"]) > most:
        yield f"… and {len(now['more']) - most} more"


def _sentence(sentence: dict[str, Any]) -> Iterator[str]:
    yield printable(sentence["text"])
    if sentence["advice"]:
        yield f"  {printable(sentence['advice'])}"


def slots_table(now: dict[str, Any]) -> str:
    """A line for each slot."""
    rows = []
    for slot in now["slots"]:
        health, speed = slot["health"], slot["speed"]
        words = f"{health['icon']} {health['word']}"
        if speed["word"]:
            words += f", {speed['word'].lower()}"
        rows.append((slot["name"], printable(slot["candidates"][0]), words, printable(health["line"]), speed["text"]))
    return table(("slot", "served by", "state", "", "speed"), rows)


def under_way_lines(now: dict[str, Any]) -> Iterator[str]:
    """The requests that are under way."""
    for each in now["under_way"]:
        name = each["job"] or printable(each["model"])
        yield f"{name}: {printable(each['phase'] or '')}, {each['seconds']:.1f} s  ({each['id']})"


def request_of(request_id: str) -> dict[str, Any] | None:
    """What any of the processes of this user tells of a request; None if none knows it."""
    for running, _ in all_running():
        told = _told(running, f"/api/requests/{quote(request_id)}")
        if told is not None:
            return told
    return None


def request_lines(request: dict[str, Any]) -> Iterator[str]:
    """Its sentence, its timeline, and what to change."""
    yield printable(request["sentence"])
    for line in request["lines"]:
        yield f"  +{line['at']:.2f} {printable(line['text'])}"
    if request["advice"]:
        yield f"  » {printable(request['advice'])}"


def failures_of(running: Running, most: int) -> list[dict[str, Any]]:
    """The newest requests that failed, or were answered only after something failed."""
    found = []
    for outcome in ("failed", "rescued"):
        rows = (_told(running, f"/api/requests?outcome={outcome}&limit={most}") or {"requests": []})["requests"]
        for row in rows:
            told = _told(running, f"/api/requests/{quote(row['id'])}?number={row['number']}")
            if told is not None:
                found.append(told)
    return sorted(found, key=lambda each: -each["number"])[:most]


def _told(running: Running, path: str) -> dict[str, Any] | None:
    try:
        status, value = running.ask("GET", path)
    except NotRunning:
        return None
    return value if status == 200 else None
