"""Many clients that spend money, what they know to have spent, and what skyproxy says."""

from __future__ import annotations

import asyncio
import json
import random
import resource
import subprocess
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.e2e.conftest import config_for
from tests.e2e.processes import DemoProvider, Proxy
from tests.e2e.raw import call, chat

PROMPT, COMPLETION = 1.0, 2.0
"""What a million tokens cost."""

MAX_TOKENS = 200

SLOTS: dict[str, dict[str, Any]] = {
    "default": {"model": "guard;delay=0"},
    "slow": {"model": "guard;first=0.05;delay=0.002"},
    "memory": {"model": "guard;status=503", "fallbacks": ["other:a;delay=0"]},
    "broken": {"model": "guard;status=500"},
    "hedged": {"model": "guard;first=0.1;delay=0", "hedge_after": "10ms", "fallbacks": ["other:b;delay=0"]},
    "cut": {"model": "guard;cut=3;delay=0"},
    "error": {"model": "guard;error_in_stream=2;delay=0"},
    "unsaid": {"model": "guard;usage=false;delay=0"},
    "shared": {"model": "guard;delay=0.01", "coalesce": True},
    "kept": {"model": "guard;delay=0", "cache": {"ttl": "1h"}},
    "limited": {"model": "guard;delay=0"},
}


def config_of(demo: DemoProvider, purse: Any, **proxy: Any) -> dict[str, Any]:
    """A configuration with a purse, and with budgets of a slot and a provider."""
    made = config_for(demo, {"purse": purse, **proxy}, max_retries=1, max_concurrent=50)
    made["providers"]["other"] = dict(made["providers"]["demo"])
    made["model_slots"] = {name: {"provider": "demo", **slot} for name, slot in SLOTS.items()}
    made["prices"] = {"*": {"prompt": PROMPT, "completion": COMPLETION}}
    return made


def cost(usage: dict[str, Any]) -> float:
    """What an answer cost."""
    return (usage["prompt_tokens"] * PROMPT + usage["completion_tokens"] * COMPLETION) / 1e6


def reservation(body: bytes) -> float:
    """The most that a request of :func:`spend` may cost."""
    return (len(body) / 4 + 1) * PROMPT / 1e6 + MAX_TOKENS * COMPLETION / 1e6


def budget(proxy: Proxy, account: str = "process") -> dict[str, Any]:
    """What skyproxy says of a budget."""
    found = call(proxy, "GET", "/api/budgets").json()["budgets"]
    one: dict[str, Any] = next(each for each in found if each["account"] == account)
    return one


@dataclass
class Spent:
    """What clients saw.

    :ivar statuses: by status, or by code where it is 429; ``left`` early; ``cut`` before there was a status.
    :ivar known: what whole answers cost, by their own words.
    :ivar reserved: the most that any one request may have reserved.
    """

    statuses: Counter[str] = field(default_factory=Counter)
    known: float = 0.0
    reserved: float = 0.0


async def spend(
    proxy: Proxy, count: int, clients: int, seed: int, slots: list[str], spent: Spent, keys: Sequence[str] = ()
) -> None:
    """Ask *count* times, *clients* at once; some leave early, or ask for a stream.

    :param keys: that they come with, in turn.
    """
    chance, todo = random.Random(seed), iter(range(count))

    async def client() -> None:
        for number in todo:
            slot, streams, leaves = chance.choice(slots), chance.random() < 0.5, chance.random() < 0.1
            seed_of = number % 3 if slot in ("shared", "kept") else seed * 1_000_000 + number
            body = json.dumps(chat(slot, stream=streams, seed=seed_of, max_tokens=MAX_TOKENS)).encode()
            spent.reserved = max(spent.reserved, reservation(body))
            key = b"Authorization: Bearer %b\r\n" % keys[number % len(keys)].encode() if keys else b""
            try:
                await one(key, body, streams, leaves)
            except (OSError, EOFError):
                spent.statuses["cut"] += 1

    async def one(key: bytes, body: bytes, streams: bool, leaves: bool) -> None:
        reader, writer = await asyncio.open_connection(*proxy.address)
        try:
            writer.write(
                b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                b"%bContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (key, len(body), body)
            )
            await writer.drain()
            if leaves:
                await asyncio.sleep(chance.random() * 0.02)
                spent.statuses["left"] += 1
                return
            head = await reader.readuntil(b"\r\n\r\n")
            data = await reader.read()
        finally:
            writer.close()
        status = head[9:12].decode()
        if status == "429":
            status = json.loads(data)["error"]["code"]
        spent.statuses[status] += 1
        if status == "200" and not streams and b"x-skyproxy-cache: hit" not in head.lower():
            with suppress(ValueError, KeyError):
                if b"coalesced" not in head:
                    spent.known += cost(json.loads(data)["usage"])

    await asyncio.gather(*[client() for _ in range(clients)])


async def watched(proxy: Proxy, work: Any, accounts: tuple[str, ...]) -> dict[str, float]:
    """Do *work*; of each of *accounts*, the most that was spent and reserved of its amount at once, as a share."""
    most = dict.fromkeys(accounts, 0.0)
    loop, task = asyncio.get_running_loop(), asyncio.ensure_future(work)
    while not task.done():
        found = await loop.run_in_executor(None, lambda: call(proxy, "GET", "/api/budgets").json()["budgets"])
        for each in found:
            if each["account"] in most and each["spent"] is not None:
                share = (each["spent"] + each["reserved"]) / each["amount"]
                most[each["account"]] = max(most[each["account"]], share)
        await asyncio.sleep(0.05)
    await task
    return most


@contextmanager
def small_disk(folder: Path) -> Iterator[bool]:
    """A disk of 512 KB at *folder*, where this user may have one. Yields whether it has."""
    folder.mkdir(exist_ok=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=512k,mode=0700", "tmpfs", str(folder)], capture_output=True, check=False
    )
    try:
        yield mounted.returncode == 0
    finally:
        if mounted.returncode == 0:
            subprocess.run(["umount", "-l", str(folder)], check=False)


@contextmanager
def full(proxy: Proxy, file: Path, on_disk: bool) -> Iterator[None]:
    """Within it, *file* cannot grow: its disk is full, or else the process may write no more to any file."""
    if on_disk:
        rubbish = file.parent / "rubbish"
        with rubbish.open("wb", buffering=0) as out, suppress(OSError):
            while out.write(b"x" * 1024):
                pass
        try:
            yield
        finally:
            rubbish.unlink()
        return
    before = resource.prlimit(proxy.child.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(proxy.child.pid, resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        yield
    finally:
        resource.prlimit(proxy.child.pid, resource.RLIMIT_FSIZE, before)


def settled(proxy: Proxy, account: str = "process") -> dict[str, Any]:
    """The budget, when nothing is reserved any more."""
    until = time.monotonic() + 20
    while True:
        found = budget(proxy, account)
        if (found["spent"] is not None and not found["reserved"]) or time.monotonic() > until:
            return found
        time.sleep(0.05)
