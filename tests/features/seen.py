"""What was seen, in few words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from tests.e2e.processes import DemoProvider
from tests.e2e.raw import Answer

DONE = b"data: [DONE]\n\n"


def is_stream(answer: Answer) -> bool:
    """Whether *answer* came as events."""
    return answer.headers.get("content-type", "").startswith("text/event-stream")


def is_good(answer: Answer) -> bool:
    """Whether *answer* is what a client wants: all of it, and no error in it."""
    if answer.status != 200 or b'"error"' in answer.body:
        return False
    return answer.body.endswith(DONE) if is_stream(answer) else bool(content(answer))


def content(answer: Answer) -> str:
    """What a whole answer says."""
    said: str = answer.json()["choices"][0]["message"]["content"]
    return said


def code(answer: Answer) -> str:
    """That of an error; empty if there is none."""
    if answer.status == 200:
        return ""
    return str((answer.json().get("error") or {}).get("code") or "")


def saw(*answers: Answer) -> str:
    """Statuses, with the codes of errors; for a stream, whether it came to its end."""
    return listed(Counter(map(_one, answers)))


def _one(answer: Answer) -> str:
    if answer.status != 200:
        return f"{answer.status} {code(answer)}".strip()
    if not is_stream(answer):
        return "200"
    return "200, a stream to its [DONE]" if is_good(answer) else "200, a stream without its end"


def received(demo: DemoProvider) -> str:
    """How many requests, and what became of them."""
    stats = demo.stats()
    kinds: dict[str, Any] = {**stats["by_status"], "broken off": stats["faulted"], "cancelled": stats["cancelled"]}
    return f"{stats['total']} ({listed({name: count for name, count in kinds.items() if count}) or 'none'})"


def listed(counts: Counter[str] | dict[str, Any]) -> str:
    """Each with its count, if that is not one."""
    return ", ".join(name if count == 1 else f"{count} x {name}" for name, count in counts.items())


def every(holds: Iterable[bool]) -> bool:
    """Whether there is one at least, and all hold."""
    found = list(holds)
    return bool(found) and all(found)
