from __future__ import annotations

import json
import struct
from base64 import b64decode

from twisted.trial.unittest import SynchronousTestCase

from skyproxy.demo.words import LINES
from tests.unit.demo.client import MESSAGES, Server


class ChatTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.server = Server()

    def test_a_whole_answer(self) -> None:
        answer = self.server.chat("guard;chunks=3;text=one%20two%20three%20four").answer()
        self.assertEqual((answer.status, answer.json["model"]), (200, "guard;chunks=3;text=one%20two%20three%20four"))
        self.assertEqual(answer.json["choices"][0]["message"]["content"], "one two three ")
        self.assertEqual(answer.json["choices"][0]["finish_reason"], "stop")
        self.assertEqual(answer.json["usage"], {"prompt_tokens": 4, "completion_tokens": 3, "total_tokens": 7})

    def test_a_prompt_has_one_answer_however_it_is_given(self) -> None:
        whole = self.server.chat("guard").answer().json["choices"][0]["message"]["content"]
        stream = self.server.stream("guard;delay=0").answer()
        self.assertIn(whole, LINES)
        self.assertEqual(stream.content, whole)
        self.assertEqual(stream.events[0]["choices"][0]["delta"], {"role": "assistant", "content": ""})
        self.assertEqual(stream.events[-2]["choices"][0]["finish_reason"], "stop")
        self.assertEqual(stream.events[-1], "[DONE]")
        self.assertTrue(stream.complete)

    def test_pieces_come_one_by_one(self) -> None:
        connection = self.server.stream("guard;chunks=3;text=a;delay=1")
        self.assertEqual(connection.answer().content, "a ")
        self.server.reactor.advance(1)
        self.assertEqual(connection.answer().content, "a a ")
        self.assertFalse(connection.answer().complete)
        self.server.reactor.advance(1)
        self.assertEqual(connection.answer().content, "a a a ")
        self.assertTrue(connection.answer().complete)

    def test_usage_ends_a_stream_that_asks_for_it(self) -> None:
        asked = {"stream_options": {"include_usage": True}}
        events = self.server.stream("guard;delay=0;chunks=2", **asked).answer().events
        self.assertEqual(events[-2]["usage"], {"prompt_tokens": 4, "completion_tokens": 2, "total_tokens": 6})
        self.assertEqual(events[-2]["choices"], [])
        events = self.server.stream("guard;delay=0;chunks=2;usage=no", **asked).answer().events
        self.assertFalse(any(event.get("usage") for event in events[:-1]))
        self.assertNotIn("usage", self.server.chat("guard;usage=no").answer().json)

    def test_thoughts_in_the_content_or_beside_it(self) -> None:
        aloud = self.server.stream("guard;think;text=Halt;delay=0").answer()
        self.assertRegex(aloud.content, r"^<think>.+</think>Halt$")
        self.assertFalse(any("<think>" in json.dumps(event) for event in aloud.events))
        beside = self.server.stream("guard;think=field;text=Halt;delay=0").answer()
        self.assertEqual(beside.content, "Halt")
        self.assertIn("reasoning_content", beside.events[1]["choices"][0]["delta"])
        message = self.server.chat("guard;think=field;text=Halt").answer().json["choices"][0]["message"]
        self.assertTrue(message["reasoning_content"])

    def test_size_is_that_of_a_piece_or_of_a_whole_answer(self) -> None:
        stream = self.server.stream("guard;size=50;chunks=3;delay=0").answer()
        self.assertEqual(len(stream.content.encode()), 150)
        whole = self.server.chat("guard;size=5000").answer().json["choices"][0]["message"]["content"]
        self.assertEqual(len(whole.encode()), 5000)

    def test_wrong_requests(self) -> None:
        for body, said in (
            (b"{", "JSON"),
            (b"[]", "object"),
            (b'{"messages":[1]}', "model"),
            (b'{"model":"guard"}', "messages"),
            (b'{"model":"guard;nonsense","messages":[1]}', "nonsense"),
        ):
            answer = self.server.connect().send("POST", "/v1/chat/completions", body).answer()
            self.assertEqual((answer.status, answer.json["error"]["type"]), (400, "invalid_request_error"))
            self.assertIn(said, answer.json["error"]["message"])

    def test_wrong_paths_and_methods(self) -> None:
        self.assertEqual(self.server.connect().send("GET", "/v1/nothing").answer().status, 404)
        self.assertEqual(self.server.connect().send("GET", "/control/stats").answer().status, 404)
        refused = self.server.connect().send("GET", "/v1/chat/completions").answer()
        self.assertEqual((refused.status, refused.headers["allow"]), (405, "POST"))

    def test_a_connection_serves_again(self) -> None:
        connection = self.server.chat("guard")
        connection.transport.clear()
        connection.ask("/v1/chat/completions", "guard", messages=MESSAGES)
        self.assertEqual(connection.answer().status, 200)


class OtherEndpointTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.server = Server()

    def test_completions(self) -> None:
        model = "guard;text=Halt%20there;delay=0"
        whole = self.server.connect().ask("/v1/completions", model, prompt="Hm?").answer().json
        self.assertEqual((whole["object"], whole["choices"][0]["text"]), ("text_completion", "Halt there"))
        events = self.server.connect().ask("/v1/completions", model, prompt="Hm?", stream=True).answer().events
        self.assertEqual("".join(event["choices"][0]["text"] for event in events[:-1]), "Halt there")
        self.assertEqual(events[-1], "[DONE]")

    def test_embeddings_as_numbers_or_in_base64(self) -> None:
        def ask(encoding: str) -> list[object]:
            connection = self.server.connect().ask(
                "/v1/embeddings", "guard", input=["a", "b"], encoding_format=encoding, dimensions=5
            )
            return [entry["embedding"] for entry in connection.answer().json["data"]]

        numbers, texts = ask("float"), ask("base64")
        self.assertNotEqual(numbers[0], numbers[1])
        for vector, text in zip(numbers, texts, strict=True):
            assert isinstance(vector, list) and isinstance(text, str)
            for expected, found in zip(vector, struct.unpack("<5f", b64decode(text)), strict=True):
                self.assertAlmostEqual(expected, found, places=5)

    def test_responses(self) -> None:
        model = "guard;text=Halt%20there;delay=0"
        whole = self.server.connect().ask("/v1/responses", model, input="Hm?").answer().json
        self.assertEqual(whole["output"][0]["content"][0]["text"], "Halt there")
        self.assertEqual(whole["usage"]["output_tokens"], 2)
        answer = self.server.connect().ask("/v1/responses", model, input="Hm?", stream=True).answer()
        events = answer.events
        self.assertEqual(events[0]["type"], "response.created")
        self.assertEqual(events[-1]["type"], "response.completed")
        self.assertEqual(events[-1]["response"]["output"], [{**whole["output"][0], "id": events[4]["item_id"]}])
        self.assertEqual([event["sequence_number"] for event in events], list(range(len(events))))
        self.assertIn(b"event: response.output_text.delta\ndata: ", answer.body)

    def test_speech_is_sound(self) -> None:
        answer = self.server.connect().ask("/v1/audio/speech", "guard-voice", input="Halt!").answer()
        self.assertEqual(answer.headers["content-type"], "audio/wav")
        self.assertEqual(answer.body[:4], b"RIFF")

    def test_a_transcription_names_its_model(self) -> None:
        form = (
            b'--x\r\nContent-Disposition: form-data; name="model"\r\n\r\nguard-ear;cookie\r\n'
            b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n\x00\xff\r\n\x80\r\n--x--\r\n'
        )
        sent = self.server.connect().send("POST", "/v1/audio/transcriptions", form, "multipart/form-data; boundary=x")
        answer = sent.answer()
        self.assertEqual(answer.json["model"], "guard-ear;cookie")
        self.assertIn("heard 5 bytes", answer.json["text"])
        self.assertIn("set-cookie", answer.headers)

    def test_models(self) -> None:
        models = self.server.connect().send("GET", "/v1/models").answer().json["data"]
        self.assertIn("guard", [model["id"] for model in models])
        self.assertEqual(self.server.connect().send("GET", "/v1/models/guard").answer().json["id"], "guard")
        self.assertEqual(self.server.connect().send("GET", "/v1/models/thief").answer().status, 404)
