"""Several choices, calls of tools, and JSON, whole and streamed."""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from skyproxy.demo.words import LINES
from tests.unit.demo.client import MESSAGES, Server

DRAW = {
    "type": "function",
    "function": {
        "name": "draw",
        "parameters": {
            "type": "object",
            "properties": {"weapon": {"enum": ["sword", "bow"]}, "times": {"type": "integer", "minimum": 2}},
            "required": ["weapon", "times"],
        },
    },
}
WAVE = {"type": "function", "function": {"name": "wave"}}
TOOLS = [DRAW, WAVE]


class AskedTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.server = Server()

    def choices(self, model: str = "guard", **fields: Any) -> list[dict[str, Any]]:
        answer = self.server.chat(model, **fields).answer()
        self.assertEqual(answer.status, 200, answer.body)
        choices: list[dict[str, Any]] = answer.json["choices"]
        return choices

    def deltas(self, model: str = "guard;delay=0", **fields: Any) -> list[list[dict[str, Any]]]:
        """The choices of the events, by index."""
        events = self.server.stream(model, **fields).answer().events
        self.assertEqual(events[-1], "[DONE]")
        sorted_: dict[int, list[dict[str, Any]]] = {}
        for event in events[:-1]:
            for choice in event["choices"]:
                sorted_.setdefault(choice["index"], []).append(choice)
        return [sorted_[index] for index in sorted(sorted_)]

    def test_it_says_that_it_is_the_demo(self) -> None:
        for connection in (
            self.server.chat("guard"),
            self.server.stream("guard;delay=0"),
            self.server.chat("guard;status=500"),
            self.server.connect().send("GET", "/v1/models"),
        ):
            self.assertEqual(connection.answer().headers["x-skyproxy-demo"], "true")

    def test_several_choices_differ_and_come_in_turn(self) -> None:
        whole = self.choices(n=3)
        texts = [choice["message"]["content"] for choice in whole]
        self.assertEqual([choice["index"] for choice in whole], [0, 1, 2])
        self.assertEqual(len({*texts} & {*LINES}), 3)
        self.assertEqual(texts[0], self.choices()[0]["message"]["content"])
        streamed = self.deltas(n=3)
        self.assertEqual(["".join(c["delta"].get("content", "") for c in choice) for choice in streamed], texts)
        self.assertEqual([choice[-1]["finish_reason"] for choice in streamed], ["stop"] * 3)
        events = self.server.stream("guard;delay=0;chunks=2", n=2).answer().events
        self.assertEqual([event["choices"][0]["index"] for event in events[:-1]], [0, 1, 0, 1, 0, 1, 0, 1])
        usage = self.server.chat("guard;chunks=4", n=3).answer().json["usage"]
        self.assertEqual(usage["completion_tokens"], 12)

    def test_completions_have_several_choices_too(self) -> None:
        ask = self.server.connect().ask
        whole = ask("/v1/completions", "guard;delay=0", prompt="Hm?", n=2).answer().json["choices"]
        self.assertEqual([choice["index"] for choice in whole], [0, 1])
        ask = self.server.connect().ask
        events = ask("/v1/completions", "guard;delay=0", prompt="Hm?", n=2, stream=True).answer().events[:-1]
        for index in (0, 1):
            parts = [c["text"] for event in events for c in event["choices"] if c["index"] == index]
            self.assertEqual("".join(parts), whole[index]["text"])

    def test_a_tool_is_called_in_pieces_as_it_is_whole(self) -> None:
        (choice,) = self.choices(tools=TOOLS)
        self.assertEqual((choice["finish_reason"], choice["message"]["content"]), ("tool_calls", None))
        (call,) = choice["message"]["tool_calls"]
        self.assertEqual((call["type"], call["function"]["name"]), ("function", "draw"))
        self.assertEqual(json.loads(call["function"]["arguments"]), {"weapon": "sword", "times": 2})
        (streamed,) = self.deltas(tools=TOOLS)
        parts = [c["delta"]["tool_calls"][0] for c in streamed if "tool_calls" in c["delta"]]
        self.assertEqual(parts[0]["function"], {"name": "draw", "arguments": ""})
        self.assertTrue(parts[0]["id"])
        self.assertGreater(len(parts), 3)
        arguments = "".join(part["function"]["arguments"] for part in parts)
        self.assertEqual(arguments, call["function"]["arguments"])
        self.assertEqual(streamed[-1]["finish_reason"], "tool_calls")

    def test_whether_a_tool_is_called(self) -> None:
        result = [*MESSAGES, {"role": "tool", "tool_call_id": "x", "content": "done"}]
        for fields, called in (
            ({"tools": TOOLS, "tool_choice": "auto"}, "draw"),
            ({"tools": TOOLS, "tool_choice": "required"}, "draw"),
            ({"tools": TOOLS, "tool_choice": {"type": "function", "function": {"name": "wave"}}}, "wave"),
            ({"tools": TOOLS, "tool_choice": "none"}, None),
            ({"tools": [], "tool_choice": "none"}, None),
            ({"tools": TOOLS, "messages": result}, None),
            ({"tools": TOOLS, "messages": result, "tool_choice": "required"}, "draw"),
        ):
            asked = {"messages": MESSAGES, **fields}
            connection = self.server.connect().ask("/v1/chat/completions", "guard", **asked)
            message = connection.answer().json["choices"][0]["message"]
            calls = message.get("tool_calls")
            self.assertEqual(calls and calls[0]["function"]["name"], called, str(fields))
            self.assertEqual(message["content"] is None, called is not None)

    def test_json_of_any_kind_and_by_a_schema(self) -> None:
        content = self.choices(response_format={"type": "json_object"})[0]["message"]["content"]
        self.assertIn(json.loads(content)["answer"], LINES)
        schema = {"type": "object", "properties": {"mood": {"type": "string"}}, "required": ["mood"]}
        wanted = {"type": "json_schema", "json_schema": {"name": "mood", "strict": True, "schema": schema}}
        whole = [choice["message"]["content"] for choice in self.choices(response_format=wanted, n=2)]
        self.assertEqual({*json.loads(whole[0])}, {"mood"})
        self.assertNotEqual(*whole)
        streamed = self.deltas(response_format=wanted, n=2)
        self.assertEqual(["".join(c["delta"].get("content", "") for c in choice) for choice in streamed], whole)
        self.assertIn(self.choices(response_format={"type": "text"})[0]["message"]["content"], LINES)

    def test_a_text_that_is_asked_for_goes_before(self) -> None:
        wanted = {"type": "json_object"}
        self.assertEqual(self.choices("guard;text=no", response_format=wanted)[0]["message"]["content"], "no")

    def test_responses_write_json_too(self) -> None:
        text = {"format": {"type": "json_schema", "name": "x", "schema": {"type": "array", "minItems": 1}}}
        answer = self.server.connect().ask("/v1/responses", "guard", input="Hm?", text=text).answer().json
        self.assertIn(json.loads(answer["output"][0]["content"][0]["text"])[0], LINES)

    def test_what_is_wrong_is_told(self) -> None:
        for fields, param, words in (
            ({"n": 0}, "n", "from 1 to 128"),
            ({"n": True}, "n", "from 1 to 128"),
            ({"n": 129}, "n", "from 1 to 128"),
            ({"tools": {"name": "x"}}, "tools", "list of functions"),
            ({"tools": [{"type": "function", "function": {}}]}, "tools", "each with a name"),
            ({"tool_choice": "required"}, "tool_choice", "only allowed when"),
            ({"tools": TOOLS, "tool_choice": "draw"}, "tool_choice", "must be none, auto"),
            ({"tools": TOOLS, "tool_choice": {"type": "function", "function": {"name": "dance"}}}, "tool_choice",
             "names 'dance'"),
            ({"response_format": {"type": "xml"}}, "response_format", "json_object or json_schema"),
            ({"response_format": {"type": "json_schema", "json_schema": {"name": "x"}}}, "response_format", "a schema"),
            ({"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"not": {}}}}},
             "response_format", "'not'"),
        ):  # fmt: skip
            answer = self.server.chat("guard", **fields).answer()
            self.assertEqual((answer.status, answer.json["error"]["param"]), (400, param))
            self.assertIn(words, answer.json["error"]["message"])
