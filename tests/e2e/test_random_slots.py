"""Slots made at random, of candidates that fail in every way: whoever has a good one behind it gets a good answer."""

from __future__ import annotations

import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple
from urllib.parse import quote

from tests.e2e.conftest import Starter, config_for
from tests.e2e.processes import DemoProvider, Proxy, eventually
from tests.e2e.raw import call
from tests.e2e.verdicts import COMPLETE, CUT, ERROR, LOST, Connection, verdict

GOOD, BAD, WRONG = "good", "bad", "wrong"
"""Ends: a good answer; none, so that the next one's turn comes; a refusal that holds for all. CUT: a stream that ends
too early, which no other can mend."""

FATES = {
    **dict.fromkeys(
        ("", "first=0.1", "head=0.1", "opening=0.1", "split", "junk", "junk=answer", "headers=20", "keep_alive_close"),
        (GOOD, GOOD),
    ),
    **dict.fromkeys(("gzip",), (GOOD, BAD)),
    **dict.fromkeys(("cut=2", "error_in_stream=2"), (BAD, CUT)),
    **dict.fromkeys(("status=400", "status=422"), (WRONG, WRONG)),
    **dict.fromkeys((f"status={status}" for status in (401, 402, 403, 404, 413, 500, 501, 503, 529)), (BAD, BAD)),
    **dict.fromkeys(("reset", "hang", "empty", "cut=0", "error_in_stream=0", "junk=status", "redirect"), (BAD, BAD)),
}
"""What comes of each fault, of a whole answer and of a stream."""

SEED, SLOTS, REQUESTS, CLIENTS = 1, 120, 480, 32


class Candidate(NamedTuple):
    """:ivar text: what it says when it is good."""

    fault: str
    text: str

    @property
    def model(self) -> str:
        return ";".join(filter(None, ("guard;delay=0.005", f"text={quote(self.text)}", self.fault)))

    def end(self, stream: bool) -> str:
        return FATES[self.fault][stream]


class Slot(NamedTuple):
    candidates: list[Candidate]
    settings: dict[str, Any]

    def config(self) -> dict[str, Any]:
        first, *others = self.candidates
        fallbacks = [f"demo:{other.model}" for other in others]
        return {"provider": "demo", "model": first.model, "fallbacks": fallbacks, **self.settings}

    def may_come_to(self, stream: bool) -> set[str]:
        """What may come of a request: the text of a candidate, ERROR or CUT."""
        ends = [(candidate.end(stream), candidate.text) for candidate in self.candidates]
        decisive = [COMES_TO.get(end, text) for end, text in ends if end != BAD]
        if not decisive:
            return {ERROR}
        if "hedge_after" not in self.settings:
            return {decisive[0]}
        # Any that begins well may win the race; but a refusal only where no candidate before it does.
        return {end for number, end in enumerate(decisive) if end != ERROR or number == 0}


COMES_TO = {WRONG: ERROR, CUT: CUT}


def random_slot(name: str, chance: random.Random) -> Slot:
    faults: list[str] = []
    for _ in range(chance.randint(1, 3)):
        end = chance.choices((GOOD, BAD, WRONG, CUT), (5, 8, 1, 2))[0]
        # One that hangs takes all of a timer, and so is enough for a slot.
        faults.append(chance.choice([each for each, (_, of_stream) in FATES.items() if of_stream == end]))
        if faults.count("hang") > 1:
            faults[-1] = "reset"
    settings: dict[str, Any] = {"strip_reasoning": chance.random() < 0.5, "coalesce": chance.random() < 0.2}
    if len(faults) > 1 and chance.random() < 0.5:
        settings["hedge_after"] = chance.choice(("10ms", "100ms"))
    if len(faults) > 1 and chance.random() < 0.5:
        settings["first_token_timeout"] = "5s"
    if chance.random() < 0.2:
        settings["cache"] = {"ttl": "60s"}
    return Slot([Candidate(fault, f"Number {number} of {name}.") for number, fault in enumerate(faults)], settings)


def seen(slot: Slot, status: int, body: bytes, ended: bool) -> str:
    """What came of a request: as :meth:`Slot.may_come_to`, or LOST."""
    for candidate in slot.candidates:
        found = verdict(status, body, ended, candidate.text)
        if found != LOST:
            return candidate.text if found == COMPLETE else found
    return LOST


def test_what_can_be_answered_well_is(start: Starter) -> None:
    chance = random.Random(SEED)
    demo = start(DemoProvider)
    config = config_for(demo, max_retries=1, default_timeout="8s", max_concurrent=CLIENTS, max_pending=REQUESTS)
    slots = {name: random_slot(name, chance) for name in (f"slot{number}" for number in range(SLOTS))}
    config["model_slots"] = {name: slot.config() for name, slot in slots.items()}
    proxy = start(Proxy, config)

    def ask(number: int) -> str:
        name, stream = f"slot{number % SLOTS}", bool(number // SLOTS % 2)
        content = "the same" if number % 3 else f"one of {REQUESTS}: {number}"
        connection = Connection(proxy.address)
        request = {"model": name, "stream": stream, "messages": [{"role": "user", "content": content}]}
        status, body, ended = connection.exchange(request)
        connection.close()
        found = seen(slots[name], status, body, ended)
        assert found in slots[name].may_come_to(stream), (number, slots[name], stream, status, ended, body[-500:])
        return found if found in (ERROR, CUT) else COMPLETE

    with ThreadPoolExecutor(CLIENTS) as clients:
        outcomes = Counter(clients.map(ask, range(REQUESTS)))
    print(f"{REQUESTS} requests: {dict(outcomes)}")
    assert min(outcomes[end] for end in (COMPLETE, ERROR, CUT)) > 10
    eventually(lambda: demo.stats()["active"] == 0, "nothing is generated for nobody")
    stats = call(proxy, "GET", "/api/stats").json()["providers"]["demo"]
    assert (stats["permits"]["in_use"], stats["queue"]["waiting"]) == (0, 0)
