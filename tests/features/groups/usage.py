"""Tokens and what they cost."""

from __future__ import annotations

from typing import Any

import openai

from tests.e2e.processes import Proxy, eventually
from tests.e2e.raw import ask, call, chat, open_request, read_until
from tests.features.lab import Lab, config_of
from tests.features.seen import received

_PROMPT, _COMPLETION = 3.0, 15.0


def show(lab: Lab) -> None:
    """A slot for each situation, so that their counts stand apart."""
    demo = lab.demo()
    slots = {name: {"model": "guard;delay=0"} for name in ("whole", "asked", "unasked")}
    slots["silent"] = {"model": "guard;delay=0;usage=no;chunks=100"}
    slots["left"] = {"model": "guard;delay=0.05;chunks=400"}
    config = config_of(demo, {"demo": {"api_key_env": ["DEMO_KEY"]}}, slots)
    config["prices"] = {"demo:guard*": {"prompt": _PROMPT, "completion": _COMPLETION}}
    proxy = lab.proxy(config, env={"DEMO_KEY": "sk-usage"})
    sheet = lab.sheet(
        "Tokens and cost",
        f"Counted by skyproxy for each slot, at {_PROMPT:g} and {_COMPLETION:g} USD for a million tokens of prompt and "
        "completion.",
    )
    client = openai.OpenAI(base_url=proxy.base_url, api_key="anything", max_retries=0)
    messages: Any = [{"role": "user", "content": "Who goes there?"}]
    usage = client.chat.completions.create(model="whole", messages=messages).usage
    assert usage is not None
    told = f"{usage.prompt_tokens} + {usage.completion_tokens} in the answer (openai SDK)"
    counts = _Counts(proxy, "whole")
    holds = counts.are(usage.prompt_tokens, usage.completion_tokens, estimated=0)
    sheet.row("a whole answer", f"{told}; {counts}", received(demo), holds=holds)
    chunks = list(
        client.chat.completions.create(
            model="asked", messages=messages, stream=True, stream_options={"include_usage": True}
        )
    )
    said = chunks[-1].usage
    client.close()
    assert said is not None
    counts = _Counts(proxy, "asked")
    told = f"{said.prompt_tokens} + {said.completion_tokens} in the last chunk (openai SDK)"
    holds = counts.are(said.prompt_tokens, said.completion_tokens, estimated=0)
    sheet.row("a stream with a usage chunk", f"{told}; {counts}", received(demo), holds=holds)
    answer = ask(proxy, chat("silent", stream=True))
    counts = _Counts(proxy, "silent")
    holds = b'"usage"' not in answer.body and 50 < counts.completion < 300 and counts.all_estimated
    sheet.row("a stream of 100 words, no usage chunk", f"no usage; {counts}", received(demo), holds=holds)
    demo.reset()
    reader = open_request(proxy, chat("left", stream=True))
    for _ in range(5):
        read_until(reader, b'"content":"')
    reader.close()
    eventually(lambda: demo.stats()["cancelled"] == 1, "the provider is told")
    eventually(lambda: _Counts(proxy, "left").completion > 0, "it is counted")
    counts = _Counts(proxy, "left")
    holds = 0 < counts.completion < 200 and counts.all_estimated
    sent = demo.stats()["chunks"]
    sheet.row(
        "the client leaves a stream of 400 words", str(counts), f"{received(demo)}, {sent} words sent", holds=holds
    )
    key = call(proxy, "GET", "/api/stats").json()["providers"]["demo"]["keys"][0]
    total = sum(_Counts(proxy, slot).prompt for slot in ("whole", "asked", "silent", "left"))
    counted = call(proxy, "GET", "/api/stats").json()["providers"]["demo"]["tokens"]["prompt"]
    told = f"{total} tokens of prompts in all slots, {counted} at the provider, key {key['variable']}"
    sheet.row("all of it", told, f"{key['requests']} with this key", holds=total == counted and key["requests"] == 4)


class _Counts:
    """What /api/stats tells of a slot."""

    def __init__(self, proxy: Proxy, slot: str) -> None:
        told = call(proxy, "GET", "/api/stats").json()["slots"][slot]
        self.prompt: int = told["tokens"]["prompt"]
        self.completion: int = told["tokens"]["completion"]
        self.estimated: int = told["tokens"]["estimated"]
        self.cost: float = told["cost"]["USD"]

    @property
    def all_estimated(self) -> bool:
        """Whether no provider has confirmed any of it; and the cost fits."""
        return self.are(self.prompt, self.completion, self.prompt + self.completion)

    def are(self, prompt: int, completion: int, estimated: int) -> bool:
        """Whether these are the counts; and the cost fits."""
        cost = (_PROMPT * prompt + _COMPLETION * completion) / 1e6
        found = (self.prompt, self.completion, self.estimated)
        return found == (prompt, completion, estimated) and abs(self.cost - cost) < 1e-9

    def __str__(self) -> str:
        return f"counted {self.prompt} + {self.completion}, {self.estimated} of them estimated: {self.cost:.6f} USD"
