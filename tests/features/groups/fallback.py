"""Fallbacks: for what the next candidate is asked, and what of it the client sees."""

from __future__ import annotations

from typing import Any

from tests.e2e.processes import DemoProvider, Proxy, eventually
from tests.e2e.raw import ask, chat, open_request
from tests.features.crowd import free_port
from tests.features.lab import Lab, Sheet, config_of
from tests.features.seen import is_good, received, saw

_SECOND = "second:guard;delay=0"
_FAILURES = {
    # The first, so that there is no connection yet. Of one that is used again it tells nothing of the provider.
    "reset before any byte": "reset",
    "503": "status=503",
    "429 with a long Retry-After": "status=429;retry_after=60",
    "401": "status=401",
    "402": "status=402",
    "403": "status=403",
    "404: no such model": "status=404",
    "413: too long for this provider": "status=413",
    "529: overloaded": "status=529",
    "302: a redirect, which is not followed": "redirect",
    "reset after the head": "cut=0",
    "an error inside a 200 stream, behind comments": "comments;error_in_stream=0",
    "an error behind a role-only chunk and an empty one": "comments;text=;error_in_stream=1",
    "an empty stream": "empty",
    "a stream of a comment alone": "comments;close_clean=0",
    "a stream of a role-only chunk and an empty one": "text=;close_clean=1",
}
_WHOLE = {
    "a whole answer is cut": "cut=1",
    "a whole answer is shorter than it says": "lie_length",
    "an error object under 200": "error_in_stream=0",
}
_LATE = {
    "no answer": "hang",
    "only the head in time": "head=30",
    "only comments and a role in time": "comments;opening=30",
}


def show(lab: Lab) -> None:
    """Each slot has one fallback, at another provider."""
    first, second = lab.demo(), lab.demo()
    slots: dict[str, dict[str, Any]] = {}
    for name, fault in (_FAILURES | _WHOLE).items():
        slots[name] = {"model": f"guard;delay=0;{fault}"}
    for name, fault in _LATE.items():
        slots[name] = {"model": f"guard;{fault}", "first_token_timeout": "400ms"}
    slots["gone"] = {"provider": "gone", "model": "guard"}
    slots["open"] = {"provider": "fragile", "model": "guard;status=500"}
    slots["full"] = {"provider": "small", "model": "guard;hang"}
    slots["wrong"] = {"model": "guard;status=400"}
    proxy = lab.proxy(
        config_of(
            first,
            {
                "second": {"base_url": second.base_url},
                "gone": {"base_url": f"http://127.0.0.1:{free_port()}/v1"},
                "fragile": {"breaker": {"consecutive": 2, "open_for": "60s"}},
                "small": {"max_concurrent": 1, "max_pending": 0},
            },
            {name: {**slot, "fallbacks": [_SECOND]} for name, slot in slots.items()},
        )
    )
    about = "What failed is unseen: the client gets the fallback's answer, a stream to its end."
    scene = _Scene(lab.sheet("Fallback", about), first, second, proxy)
    for name in _FAILURES:
        scene.ask(name, name)
    scene.ask("503", "503, and so there is an idle connection")
    scene.ask("reset before any byte", "reset of the idle connection: asked once more by a new one", at_first=2)
    for name in _WHOLE:
        scene.ask(name, name, stream=False)
    scene.ask("gone", "nothing listens", at_first=0)
    for _ in range(2):
        ask(proxy, chat("open"))
    scene.ask("open", "the breaker is open", at_first=0)
    first.reset()
    holder = open_request(proxy, chat("full"))
    eventually(lambda: first.stats()["active"] == 1, "the permit is taken")
    scene.ask("full", "the queue is full", at_first=0)
    holder.close()
    eventually(lambda: first.stats()["active"] == 0, "the permit is free")
    scene.ask("wrong", "400: the request is wrong", status=400, at_second=0)
    for name in _LATE:
        scene.ask(name, f"first_token_timeout 400 ms: {name}", cancelled=True)


class _Scene:
    def __init__(self, sheet: Sheet, first: DemoProvider, second: DemoProvider, proxy: Proxy) -> None:
        self._sheet = sheet
        self._first = first
        self._second = second
        self._proxy = proxy

    def ask(
        self,
        slot: str,
        situation: str,
        *,
        stream: bool = True,
        status: int = 200,
        at_first: int = 1,
        at_second: int = 1,
        cancelled: bool = False,
    ) -> None:
        """One request for *slot*, with what is to reach either provider."""
        first, second = self._first, self._second
        first.reset()
        second.reset()
        answer = ask(self._proxy, chat(slot, stream=stream))
        if cancelled:
            eventually(lambda: first.stats()["cancelled"] == 1, "the late one is given up")
        told = f"first {received(first)}; fallback {received(second)}"
        holds = answer.status == status and is_good(answer) == (status == 200)
        holds = holds and (first.stats()["total"], second.stats()["total"]) == (at_first, at_second)
        self._sheet.row(situation, saw(answer), told, holds=holds)
