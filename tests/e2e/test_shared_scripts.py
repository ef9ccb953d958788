"""What the scripts by which machines meet do in a real Redis."""

from __future__ import annotations

import shutil
import socket

import pytest

from tests.e2e.conftest import Starter
from tests.e2e.processes import PATIENCE, eventually
from tests.e2e.redis_server import Redis

if shutil.which("redis-server") is None:
    pytest.skip("there is no Redis: apt-get install redis-server", allow_module_level=True)
pytest.importorskip("txredisapi")

from skyproxy.process.sharing.scripts import TICK

LEASE = LEADS = b"200"
"""Milliseconds."""


def others(redis: Redis, name: bytes, remember: bytes = b"60000") -> bytes:
    """What the script answers when *name* says how it is."""
    return redis.send(
        b"EVAL", TICK.encode(), b"3", b"leader", b"machines", b"heard",
        name, b"report", b"reports", LEADS, LEASE, b"0", remember, b"to:",
    )  # fmt: skip


def leads(redis: Redis, name: bytes, remember: bytes = b"60000") -> bytes:
    """The answer when *name* begins to lead, as no other one does any more."""
    eventually(lambda: redis.ask("GET leader").startswith("$-1"), "nobody leads")
    return others(redis, name, remember)


def test_who_begins_to_lead_knows_those_that_are_cut_off(start: Starter) -> None:
    redis = start(Redis)
    with socket.create_connection(("127.0.0.1", redis.port), PATIENCE) as hearing:
        hearing.sendall(b"SUBSCRIBE to:alive\r\n")
        assert hearing.recv(100)
        for each in (b"alive", b"dead"):
            others(redis, each)
        assert b"alive" in leads(redis, b"first")
        # Its lease is over as well as that of the other one, which hears nothing any more.
        answer = leads(redis, b"second")
        assert b"alive" in answer
        assert b"dead" not in answer
        # It is not waited for for ever.
        assert b"alive" not in leads(redis, b"third", remember=b"0")
