"""Several choices, calls of tools and JSON by a schema: what the openai SDK gets of the demo, directly and through
skyproxy."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest
from pydantic import BaseModel

from tests.e2e.conftest import Starter
from tests.e2e.processes import DemoProvider, Process, Proxy

MESSAGES: Any = [{"role": "user", "content": "Who goes there?"}]

TOOLS: Any = [
    {
        "type": "function",
        "function": {
            "name": "draw",
            "description": "Draw a weapon.",
            "strict": True,
            "parameters": {
                "type": "object",
                "properties": {"weapon": {"enum": ["sword", "bow"]}, "times": {"type": "integer", "minimum": 2}},
                "required": ["weapon", "times"],
                "additionalProperties": False,
            },
        },
    },
]


class Mood(BaseModel):
    name: str
    anger: int
    friends: list[str]


@pytest.fixture(params=["directly", "through skyproxy"])
def client(request: pytest.FixtureRequest, demo: DemoProvider, proxy: Proxy) -> tuple[openai.OpenAI, str]:
    """A client, and the model that it asks for."""
    if request.param == "directly":
        return openai.OpenAI(base_url=demo.base_url, api_key="any", max_retries=0), "guard;delay=0"
    return openai.OpenAI(base_url=proxy.base_url, api_key="any", max_retries=0), "combat"


def test_several_choices(client: tuple[openai.OpenAI, str]) -> None:
    sdk, model = client
    whole = sdk.chat.completions.create(model=model, messages=MESSAGES, n=3)
    texts = [choice.message.content for choice in whole.choices]
    assert len({*texts}) == 3 and all(texts)
    said = ["", "", ""]
    ended = [0, 0, 0]
    for chunk in sdk.chat.completions.create(model=model, messages=MESSAGES, n=3, stream=True):
        for choice in chunk.choices:
            said[choice.index] += choice.delta.content or ""
            ended[choice.index] += choice.finish_reason == "stop"
    assert said == texts and ended == [1, 1, 1]


def test_a_tool_is_called_and_its_result_answered(client: tuple[openai.OpenAI, str]) -> None:
    sdk, model = client
    message = sdk.chat.completions.create(model=model, messages=MESSAGES, tools=TOOLS).choices[0].message
    assert message.tool_calls is not None and message.content is None
    call: Any = message.tool_calls[0]
    assert (call.function.name, json.loads(call.function.arguments)) == ("draw", {"weapon": "sword", "times": 2})
    answered = [*MESSAGES, message, {"role": "tool", "tool_call_id": call.id, "content": "drawn"}]
    answer = sdk.chat.completions.create(model=model, messages=answered, tools=TOOLS).choices[0]
    assert answer.finish_reason == "stop" and answer.message.content
    with sdk.chat.completions.stream(model=model, messages=MESSAGES, tools=TOOLS) as stream:
        pieces = [event.arguments_delta for event in stream if event.type == "tool_calls.function.arguments.delta"]
        final: Any = stream.get_final_completion().choices[0]
    assert final.finish_reason == "tool_calls"
    assert final.message.tool_calls[0].function.arguments == call.function.arguments
    assert len([piece for piece in pieces if piece]) > 2


def test_the_choice_of_a_tool(client: tuple[openai.OpenAI, str]) -> None:
    sdk, model = client

    def calls(choice: Any) -> Any:
        answer = sdk.chat.completions.create(model=model, messages=MESSAGES, tools=TOOLS, tool_choice=choice)
        return answer.choices[0].message.tool_calls

    assert calls("none") is None
    for choice in ("required", "auto", {"type": "function", "function": {"name": "draw"}}):
        assert calls(choice)[0].function.name == "draw"
    with pytest.raises(openai.BadRequestError, match="names 'dance'"):
        calls({"type": "function", "function": {"name": "dance"}})


def test_json_by_a_schema(client: tuple[openai.OpenAI, str]) -> None:
    sdk, model = client
    parsed = sdk.chat.completions.parse(model=model, messages=MESSAGES, response_format=Mood).choices[0].message.parsed
    assert isinstance(parsed, Mood) and parsed.name
    with sdk.chat.completions.stream(model=model, messages=MESSAGES, response_format=Mood) as stream:
        streamed = stream.get_final_completion().choices[0].message.parsed
    assert streamed == parsed
    response = sdk.responses.parse(model=model, input="Who goes there?", text_format=Mood)
    assert isinstance(response.output_parsed, Mood)
    anything = sdk.chat.completions.create(model=model, messages=MESSAGES, response_format={"type": "json_object"})
    assert json.loads(anything.choices[0].message.content or "")["answer"]


def test_it_says_that_it_is_the_demo(demo: DemoProvider, proxy: Proxy, start: Starter) -> None:
    assert "demo" in demo.output[0]

    def header(base_url: str, model: str) -> str | None:
        sdk = openai.OpenAI(base_url=base_url, api_key="any", max_retries=0)
        return sdk.chat.completions.with_raw_response.create(model=model, messages=MESSAGES).headers.get(
            "x-skyproxy-demo"
        )

    assert header(demo.base_url, "guard") == "true"
    assert header(proxy.base_url, "combat") is None, "skyproxy is none, whoever answers"
    embedded: Process = start(Proxy)
    assert isinstance(embedded, Proxy)
    assert header(embedded.base_url, "default") == "true"
