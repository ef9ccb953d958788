"""What a failed request leaves behind when it is over: nothing that only the garbage collector can free."""

from __future__ import annotations

import gc
import json
from collections.abc import Callable
from types import FrameType

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionRefusedError

from skyproxy.cache.flights import Flights
from skyproxy.errors import ShuttingDown
from skyproxy.pipeline.coalescing import Coalescing
from skyproxy.pipeline.proxy import Proxy, Runtime
from skyproxy.pipeline.router import Router
from skyproxy.upstream.dispatch.backoff import Backoff
from skyproxy.upstream.dispatch.dispatcher import Dispatcher
from skyproxy.upstream.dispatch.retry_budget import RetryBudget
from skyproxy.upstream.exchange.exchange import Exchange
from skyproxy.util.timers import Timers
from tests.unit.configs import config_of
from tests.unit.fakes import EVENTS, FakeClient, event, provider_of, word
from tests.unit.pipeline import test_proxy

CONFIG = """
providers:
  guard: {base_url: "http://127.0.0.1:9/v1", default_timeout: 60s, max_retries: 1, coalesce: %s}
model_slots:
  combat: {provider: guard, model: large}
  late: {provider: guard, model: large, fallbacks: ["guard:small"], first_token_timeout: 5s}
  raced: {provider: guard, model: large, fallbacks: ["guard:small"], hedge_after: 2s}
"""


def _name(left: object) -> str:
    """What of skyproxy *left* is: a frame, or an object; empty if it is neither."""
    if isinstance(left, FrameType):
        code = left.f_code
        return f"{code.co_name}()" if "skyproxy" in code.co_filename else ""
    kind = type(left)
    if kind is Exchange:  # with the timer that called it, and nothing else
        return ""
    return kind.__name__ if kind.__module__.startswith("skyproxy") else ""


class MemoryTests(test_proxy.Case):
    """Cycles of references that hold a request."""

    def build(self, *, coalesce: bool) -> None:
        super().setUp()
        config = config_of(CONFIG % ("true" if coalesce else "false"))
        self.providers = {"guard": provider_of(config.providers["guard"], self.clock, self.upstream, max_concurrent=9)}
        self.runtime = Runtime(config, Router(config), self.providers)
        dispatcher = Dispatcher(Timers(self.clock), RetryBudget(self.clock), Backoff(lambda: 0.5))
        coalescing = Coalescing({}, Flights(self.clock.seconds), {})
        self.proxy = Proxy(lambda: self.runtime, self.clock, dispatcher, coalescing, self.completed)

    def left_behind(self, act: Callable[[], None]) -> list[str]:
        """What *act* leaves to the garbage collector, by name: frames of skyproxy, and objects of its classes."""
        gc.collect()
        gc.disable()
        # Objects that exist before do not count: Twisted keeps the latest log events, with the failures of other tests,
        # and frees one of them when *act* logs another. They stay so: each search would go through them again.
        gc.freeze()
        try:
            act()
            self.upstream.pending.clear()
            gc.set_debug(gc.DEBUG_SAVEALL)
            gc.collect()
            return sorted(filter(None, map(_name, gc.garbage)))
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
            gc.enable()

    def one(self, model: str, *, stream: bool) -> Deferred[None]:
        client = FakeClient(self.clock)
        return self.serve(test_proxy.chat(model=model, stream=stream), client=client)[1]

    def unusable(self) -> None:
        done = self.one("combat", stream=False)
        for _ in range(2):
            self.upstream.answer().send(b"<html>").end()
            self.clock.advance(1)
        self.successResultOf(done)

    def cut(self) -> None:
        done = self.one("combat", stream=True)
        self.upstream.answer(200, EVENTS).send(word("Halt")).cut()
        self.successResultOf(done)

    def cut_twice_before_anything_was_said(self) -> None:
        done = self.one("combat", stream=True)
        for _ in range(2):
            self.upstream.answer(200, EVENTS).send(b": wait\n\n").cut()
            self.clock.advance(1)
        self.successResultOf(done)

    def refused(self) -> None:
        done = self.one("combat", stream=False)
        for _ in range(2):
            self.upstream.pending[-1].errback(ConnectionRefusedError())
            self.clock.advance(1)
        self.successResultOf(done)

    def too_late(self) -> None:
        done = self.one("combat", stream=False)
        self.clock.advance(60)
        self.successResultOf(done)

    def too_late_in_the_body(self) -> None:
        done = self.one("combat", stream=False)
        self.upstream.answer().send(b"{")
        self.clock.advance(60)
        self.successResultOf(done)

    def late_for_the_next(self) -> None:
        done = self.one("late", stream=True)
        self.upstream.answer(200, EVENTS).send(b": wait\n\n")
        self.clock.advance(5)
        self.upstream.answer(200, EVENTS).send(event(error={"message": "x", "code": 400}))
        self.successResultOf(done)

    def overtaken(self) -> None:
        for begun in (False, True):
            done = self.one("raced", stream=True)
            if begun:
                self.upstream.answer(200, EVENTS).send(b": wait\n\n")
            self.clock.advance(2)
            self.upstream.answer(200, EVENTS).send(word("Halt")).cut()
            self.successResultOf(done)

    def hedged_for_nothing(self) -> None:
        done = self.one("raced", stream=True)
        self.clock.advance(2)
        for _ in range(2):
            self.upstream.pending[-1].errback(ConnectionRefusedError())
            self.clock.advance(1)
        self.upstream.answer(200, EVENTS, number=0).send(word("Halt")).cut()
        self.successResultOf(done)

    def raced_in_vain(self) -> None:
        done = self.one("raced", stream=False)
        self.clock.advance(2)
        self.upstream.answer(404)
        self.upstream.answer(401, number=0)
        self.successResultOf(done)

    def left(self) -> None:
        for begun in (False, True):
            done = self.one("combat", stream=True)
            response = self.upstream.answer(200, EVENTS)
            if begun:
                response.send(word("Halt"))
            done.cancel()
            self.successResultOf(done)

    def given_up(self) -> None:
        done = self.one("combat", stream=True)
        self.upstream.answer(200, EVENTS).send(word("Halt"))
        self.proxy.end_all(ShuttingDown("bye"))
        self.successResultOf(done)

    def nonsense(self) -> None:
        self.successResultOf(self.serve(b"{")[1])

    def well(self) -> None:
        done = self.one("combat", stream=False)
        self.upstream.answer().send(json.dumps({"choices": [{}]}).encode()).end()
        self.successResultOf(done)

    def shared(self) -> None:
        dones = [self.one("combat", stream=True) for _ in range(3)]
        self.upstream.answer(200, EVENTS).send(word("Halt")).cut()
        for done in dones:
            self.successResultOf(done)

    def shared_before_anything_was_said(self) -> None:
        dones = [self.one("combat", stream=False) for _ in range(2)]
        while any(not done.called for done in dones):
            for pending in list(self.upstream.pending):
                if not pending.called:
                    pending.errback(ConnectionRefusedError())
            self.clock.advance(1)

    def test_nothing_is_left(self) -> None:
        alone = (
            self.well, self.unusable, self.cut, self.cut_twice_before_anything_was_said, self.refused, self.too_late,
            self.too_late_in_the_body, self.late_for_the_next, self.overtaken, self.hedged_for_nothing,
            self.raced_in_vain, self.left, self.given_up, self.nonsense,
        )  # fmt: skip
        for coalesce in (False, True):
            for act in (*alone, self.shared, self.shared_before_anything_was_said) if coalesce else alone:
                self.build(coalesce=coalesce)
                self.assertEqual(self.left_behind(act), [], (act.__name__, coalesce))
