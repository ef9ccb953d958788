"""What requests and their answers said: ``/api/bodies``, and ``/api/bodies/ID`` for one of them.

Where there is nothing, the answer says why: there are many reasons, and each wants something else to be done.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

from twisted.internet.defer import Deferred

from skyproxy.errors import InvalidRequest
from skyproxy.telemetry.bodies.body_file import KeptBodies, Row
from skyproxy.telemetry.bodies.body_log import BodyLog, Page
from skyproxy.telemetry.bodies.entry import Text
from skyproxy.telemetry.bodies.recording import Recording
from skyproxy.telemetry.costs.account import OUTCOMES
from skyproxy.telemetry.requests.facts import Facts
from skyproxy.telemetry.requests.words import duration, job, size
from skyproxy.web.numbers import whole_number

VERSION = 1

MOST_ROWS = 200
USUAL_ROWS = 50


class Bodies:
    """Asks the log of bodies.

    :param wall: the time of day, seconds since the epoch.
    """

    def __init__(self, log: BodyLog, wall: Callable[[], float] = time.time) -> None:
        self._log = log
        self._wall = wall

    def begin(self) -> Recording | None:
        """What is to note the answer to a request that has come; None: nothing is."""
        return self._log.begin()

    def page(self, query: bytes) -> Deferred[dict[str, Any]]:
        """The newest requests whose bodies are kept.

        :param query: that of a URL: ``before`` an id, ``outcome``, ``limit``.
        :raise InvalidRequest: a number is none, or there is no such outcome.
        """
        given = parse_qs(query.decode("latin-1"))
        outcome = given.get("outcome", [""])[-1]
        if outcome and outcome not in OUTCOMES:
            raise InvalidRequest(f"outcome must be one of {', '.join(OUTCOMES)}.", param="outcome")
        limit = min(whole_number(given, "limit") or USUAL_ROWS, MOST_ROWS)
        found = self._log.page(whole_number(given, "before"), outcome, limit)
        return found.addCallback(lambda page: self._page(page, limit))

    def of(self, request_id: str, number: int | None, facts: Facts | None) -> Deferred[dict[str, Any]]:
        """What one request said, and its answer.

        :param number: tells which, of several with this id that this process served.
        :param facts: what is known of it, if that is still kept.
        """
        at = None if facts is None else facts.arrived + facts.seconds
        found = self._log.find(request_id, number, at)
        return found.addCallback(lambda one: self._nothing(self._why_not(facts)) if one is None else self._one(one))

    def under_way(self) -> dict[str, Any]:
        """Of a request that is not over."""
        return self._nothing("The request is under way: what was said is kept when it is over.")

    def _page(self, page: Page, limit: int) -> dict[str, Any]:
        rows = page.rows
        return {
            **self._head(),
            "requests": [_row(row) for row in rows],
            "next": rows[-1].id if len(rows) == limit else None,
            "kept": page.kept,
            "bytes": page.size,
            "file": None if page.path is None else str(page.path),
        }

    def _one(self, found: KeptBodies) -> dict[str, Any]:
        request, answer = found.request, found.answer
        return {
            **self._head(),
            "why": None,
            **_row(found.row),
            "request": _text(request, f"A form of {size(request.size)}: files are not kept."),
            "answer": {"text": None, "size": 0, "cut": False, "note": _NO_ANSWER}
            if answer is None
            else _text(answer, f"{size(answer.size)} that are no text are not kept."),
        }

    def _nothing(self, why: str) -> dict[str, Any]:
        return {**self._head(), "why": why, "request": None, "answer": None}

    def _head(self) -> dict[str, Any]:
        return {"v": VERSION, "record_bodies": self._log.settings.record_bodies, "lost": self._log.lost}

    def _why_not(self, facts: Facts | None) -> str:
        settings, since = self._log.settings, self._log.since
        if settings.record_bodies == "off":
            return "Bodies are not recorded (record_bodies: off)."
        keep, limit = settings.bodies.keep, settings.bodies.max_size
        if facts is None:
            return f"Not known, or removed: bodies are kept for {duration(keep)}, the newest {size(limit)} of them."
        if settings.record_bodies == "errors" and facts.outcome in ("ok", "cancelled"):
            return "Only requests that fail are recorded (record_bodies: errors)."
        if facts.arrived < self._wall() - keep:
            return f"Removed: older than {duration(keep)}."
        if since is None or facts.arrived < since:
            return "Not recorded: the request came before bodies were."
        if self._log.lost:
            return "Not recorded: more came than could be written, or the file cannot be used; the log tells."
        return f"Removed: the newest {size(limit)} are kept (bodies: {{max_size: …}})."


_NO_ANSWER = "Recorded, but this request ended before it had an answer."


def _row(row: Row) -> dict[str, Any]:
    return {
        "row": row.id,
        "id": row.request_id,
        "at": round(row.at, 3),
        "slot": row.slot or None,
        "job": job(row.slot) if row.slot else None,
        "model": row.model,
        "deployment": f"{row.provider}:{row.upstream_model}" if row.provider else None,
        "endpoint": row.endpoint,
        "outcome": row.outcome,
        "status": row.status or None,
        "seconds": round(row.seconds, 4),
        "request_size": row.request_size,
        "answer_size": row.answer_size,
    }


def _text(text: Text, no_text: str) -> dict[str, Any]:
    cut = text.is_text and text.size > len(text.data)
    note = "" if text.is_text else no_text
    if cut:
        note = f"The first {size(len(text.data))} of {size(text.size)}."
    shown = text.data.decode("utf-8", "replace") if text.is_text else None
    return {"text": shown, "size": text.size, "cut": cut, "note": note}
