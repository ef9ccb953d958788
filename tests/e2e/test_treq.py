"""treq as a client, many requests at once on one reactor: pytest-twisted runs these."""

from __future__ import annotations

import json
from typing import Any

import pytest_twisted
import treq
from twisted.internet.defer import Deferred, gatherResults

from tests.e2e.processes import DemoProvider, Proxy
from tests.e2e.raw import chat


async def streamed(proxy: Proxy, body: dict[str, Any]) -> list[bytes]:
    """The reads of a stream, as they came."""
    response = await treq.post(
        proxy.base_url + "/chat/completions",
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
        persistent=False,
    )
    assert response.code == 200
    reads: list[bytes] = []
    await treq.collect(response, reads.append)
    return reads


@pytest_twisted.ensureDeferred
async def test_thirty_streams_at_once(proxy: Proxy, demo: DemoProvider) -> None:
    body = chat("demo:guard;chunks=10;delay=0.2", stream=True)
    streams = await gatherResults([Deferred.fromCoroutine(streamed(proxy, body)) for _ in range(30)])
    assert all(b"".join(reads).endswith(b"data: [DONE]\n\n") for reads in streams)
    # They came as they were made, not in one piece.
    assert all(len(reads) >= 2 for reads in streams)


@pytest_twisted.ensureDeferred
async def test_whole_answers_at_once(proxy: Proxy) -> None:
    async def one(number: int) -> Any:
        response = await treq.post(proxy.base_url + "/chat/completions", json=chat("combat", user=f"u{number}"))
        return await response.json()

    answers = await gatherResults([Deferred.fromCoroutine(one(number)) for number in range(50)])
    assert {answer["model"] for answer in answers} == {"combat"}
