"""Slot rules: reasoning off, reasoning stripped, fields by the names that a model knows."""

from __future__ import annotations

import json
from typing import Any

import openai

from tests.e2e.processes import DemoProvider, Proxy
from tests.e2e.raw import ask, chat
from tests.features.lab import Lab, Sheet, config_of
from tests.features.seen import content, saw

_OFF: dict[str, tuple[str, str, dict[str, Any]]] = {
    "openai": ("openai", "gpt-5.1", {"reasoning_effort": "none"}),
    "openai, o-series": ("openai", "o3", {"reasoning_effort": "low"}),
    "openrouter": ("openrouter", "guard", {"reasoning": {"enabled": False}}),
    "zai": ("zai", "glm", {"thinking": {"type": "disabled"}}),
    "mistral": ("mistral", "magistral", {"prompt_mode": None}),
    "google": ("google", "gemini-2.5-flash", {"reasoning_effort": "none"}),
    "groq": ("groq", "qwen3", {"reasoning_effort": "none"}),
    "local": (
        "local",
        "guard",
        {"chat_template_kwargs": {"enable_thinking": False}, "reasoning": {"effort": "none"}},
    ),
}
_FIXES: tuple[tuple[str, str, dict[str, Any], dict[str, Any]], ...] = (
    ("openai", "o3", {"max_tokens": 50, "temperature": 0.7}, {"max_completion_tokens": 50}),
    ("openai", "gpt-4.1", {"max_tokens": 50, "temperature": 0.7}, {"max_tokens": 50, "temperature": 0.7}),
    ("mistral", "mistral-small", {"max_completion_tokens": 50, "seed": 7}, {"max_tokens": 50, "random_seed": 7}),
)
_THINKS = {"tags in the text": "think", "tags, split across writes and chunks": "think;split", "a field": "think=field"}


def show(lab: Lab) -> None:
    """One slot for each rule."""
    demo = lab.demo()
    dialects = {dialect for dialect, _, _ in _OFF.values()}
    slots: dict[str, dict[str, Any]] = {
        f"off {name}": {"provider": dialect, "model": f"{model};delay=0", "enable_reasoning": False}
        for name, (dialect, model, _) in _OFF.items()
    }
    for name, fault in _THINKS.items():
        slots[f"strip {name}"] = {"model": f"guard;delay=0;{fault}", "strip_reasoning": True}
        slots[f"keep {name}"] = {"model": f"guard;delay=0;{fault}"}
    proxy = lab.proxy(config_of(demo, {each: {"dialect": each} for each in dialects}, slots))
    _reasoning_off(lab.sheet("Reasoning off, in each dialect"), demo, proxy)
    _stripped(lab.sheet("Reasoning stripped"), demo, proxy)
    _fixed(lab.sheet("Fields by the names that a model knows"), demo, proxy)


def _fields(demo: DemoProvider) -> dict[str, Any]:
    """What the provider got besides what every request has."""
    body: dict[str, Any] = demo.requests()[0]["body"]
    return {name: value for name, value in body.items() if name not in ("model", "messages", "stream")}


def _reasoning_off(sheet: Sheet, demo: DemoProvider, proxy: Proxy) -> None:
    for name, (_, _, expected) in _OFF.items():
        answer = ask(proxy, chat(f"off {name}", reasoning_effort="high", include_reasoning=True))
        found = _fields(demo)
        holds = answer.status == 200 and found == expected
        sheet.row(f"{name}; the client asks for much", saw(answer), f"`{json.dumps(found)}`", holds=holds)


def _stripped(sheet: Sheet, demo: DemoProvider, proxy: Proxy) -> None:
    plain = content(ask(proxy, chat("demo:guard;delay=0")))
    client = openai.OpenAI(base_url=proxy.base_url, api_key="anything", max_retries=0)
    for name in _THINKS:
        whole = ask(proxy, chat(f"strip {name}"))
        holds = content(whole) == plain and b"reasoning" not in whole.body
        sheet.row(
            f"{name}: whole",
            f"the plain text, {_thoughts(whole.body)} thoughts",
            _sent(proxy, name, False),
            holds=holds,
        )
        raw = ask(proxy, chat(f"strip {name}", stream=True)).body
        chunks = client.chat.completions.create(
            model=f"strip {name}", messages=[{"role": "user", "content": "Who goes there?"}], stream=True
        )
        text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
        holds = text == plain and b"think>" not in raw and b"reasoning" not in raw and raw.endswith(b"data: [DONE]\n\n")
        told = f"{'the plain text' if text == plain else repr(text)} (openai SDK), {_thoughts(raw)} thoughts"
        sheet.row(f"{name}: streamed", told, _sent(proxy, name, True), holds=holds)
    client.close()


def _sent(proxy: Proxy, name: str, stream: bool) -> str:
    """What the provider says, seen through a slot that strips nothing."""
    return f"the provider sent {_thoughts(ask(proxy, chat(f'keep {name}', stream=stream)).body)} thoughts"


def _thoughts(data: bytes) -> int:
    return sum(each in data for each in (b"A stranger ", b"at this hour. ", b"I had better ", b"sound stern."))


def _fixed(sheet: Sheet, demo: DemoProvider, proxy: Proxy) -> None:
    for provider, model, fields, expected in _FIXES:
        answer = ask(proxy, chat(f"{provider}:{model};delay=0", **fields))
        found = _fields(demo)
        holds = answer.status == 200 and found == expected
        sheet.row(f"{provider}, {model}: `{json.dumps(fields)}`", saw(answer), f"`{json.dumps(found)}`", holds=holds)
