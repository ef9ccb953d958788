"""What is sent: one request of 2 KB, and the answer of 0.5 KB to it."""

from __future__ import annotations

import json

import orjson

PATH = "/v1/chat/completions"

PERMITS = 25
"""Requests that the fixtures have at their upstream at once, as many as skyproxy by default."""

ROAD = "The road is long and the night is cold. " * 45

REQUEST = json.dumps(
    {
        "model": "default",
        "messages": [{"role": "system", "content": ROAD}, {"role": "user", "content": "Who goes there?"}],
        "temperature": 0.7,
        "max_tokens": 200,
    }
)

STREAM_REQUEST = REQUEST[:-1] + ', "stream": true}'

_TALK = (
    "I used to be an adventurer like you, then I took an arrow in the knee. Now I stand here and watch the road, and "
    "the road watches me, and neither of us has much to say until somebody comes along and asks who goes there tonight."
)

ANSWER = json.dumps(
    {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1700000000,
        "model": "guard",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": _TALK},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 300, "completion_tokens": 60, "total_tokens": 360},
    }
)


def http_request(body: str, path: str = PATH) -> bytes:
    """*body* as a request on a connection that stays open."""
    data = body.encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer x\r\nContent-Length: {len(data)}\r\n\r\n"
    )
    return head.encode() + data


def renamed(body: bytes, model: str) -> bytes:
    """*body*, an object in JSON, read and written anew with another *model*."""
    said = orjson.loads(body)
    said["model"] = model
    return orjson.dumps(said)
