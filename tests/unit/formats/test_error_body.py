"""Bodies of errors, whatever they are: read, shaped and without keys."""

from __future__ import annotations

import json
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.formats.error_body import masker, read_error, shaped
from skyproxy.formats.error_kinds import kind_of

JSON = b"application/json"
KEY = "sk-proj-Abc/defGHIjklMNOpqrSTUvwx"

GOOGLE = {
    "error": {
        "code": 429,
        "message": "You exceeded your current quota.",
        "status": "RESOURCE_EXHAUSTED",
        "details": [
            {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "RATE_LIMIT_EXCEEDED"},
            {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "58.5s"},
        ],
    }
}
NGINX = (
    b"<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad Gateway</h1></center>\r\n"
    b"<hr><center>nginx &amp; co</center><script>var a = '<b>';</script>\r\n</body>\r\n</html>\r\n"
)


def unmasked(text: str) -> str:
    return text


def shape(data: bytes, status: int = 500, content_type: bytes = JSON) -> dict[str, Any]:
    value: dict[str, Any] = orjson.loads(shaped(data, content_type, status, unmasked))
    return value


class ReadErrorTests(SynchronousTestCase):
    def test_google(self) -> None:
        error = read_error(orjson.dumps(GOOGLE), JSON)
        self.assertEqual((error.status, error.code, error.retry_delay), ("RESOURCE_EXHAUSTED", 429, 58.5))
        self.assertEqual(error.reasons, ("RATE_LIMIT_EXCEEDED",))
        self.assertEqual(error.value, GOOGLE["error"])
        self.assertEqual(read_error(orjson.dumps([GOOGLE]), JSON), error)

    def test_messages(self) -> None:
        for data, content_type, message in (
            (b'{"error":"out of memory"}', JSON, "out of memory"),
            (b'{"detail":"Not authenticated"}', JSON, "Not authenticated"),
            (b'{"detail":[{"loc":["body","n"],"msg":"too many"}]}', JSON, "n: too many"),
            (b'{"object":"error","message":"no"}', JSON, "no"),
            (b'{"message":"no"}', b"", "no"),
            (b'"no"', JSON, "no"),
            (b"[]", JSON, ""),
            (b"", b"", ""),
            (b"upstream  connect\n error", b"text/plain", "upstream connect error"),
            (NGINX, b"text/html", "502 Bad Gateway nginx & co"),
            (b"<HTML><title>Down</title>a", b"", "Down a"),
            (b'{"error":{"message":', JSON, '{"error":{"message":'),
            (b'{"error":{"metadata":{"raw":"why"}}}', JSON, "why"),
            (b'{"message":{"detail":[{"loc":["body","n"],"msg":"no n"}]},"type":"x"}', JSON, "n: no n"),
            (b'{"error":{"errors":[{"reason":"x","message":"inner"}]}}', JSON, "inner"),
            (b'{"detail":{"error":{"message":"deep"}}}', JSON, "deep"),
            (b'{"Message":"User is not authorized"}', JSON, "User is not authorized"),
            (b'{"fault":{"faultstring":"Invalid ApiKey"}}', JSON, "Invalid ApiKey"),
            (b'["a","b"]', JSON, "a; b"),
            (b'data: {"error":\ndata: {"message":"two"}}', b"", "two"),
            (b': wait\n\ndata: {"error":{"message":"late"}}\n\n', b"", "late"),
        ):
            error = read_error(data, content_type)
            self.assertEqual(error.message, message, data)

    @given(st.binary(max_size=200), st.sampled_from([JSON, b"text/html", b""]))
    def test_any_bytes(self, data: bytes, content_type: bytes) -> None:
        self.check(data, content_type)

    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=5),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(["error", "message", "code", "details", "detail", "metadata", "loc", "innererror"]),
                    inner,
                    max_size=4,
                )
            ),
            max_leaves=12,
        ),
        st.integers(0, 400),
    )
    def test_any_json_and_its_beginnings(self, value: Any, end: int) -> None:
        import json

        data = json.dumps(value).encode()
        self.check(data, JSON)
        self.check(data[:end], JSON)
        self.check(orjson.dumps(GOOGLE)[:end], JSON)

    def check(self, data: bytes, content_type: bytes) -> None:
        error = read_error(data, content_type)
        kind_of(400, error, "zai")
        kind_of(200, error)
        mask = masker([KEY])
        value = orjson.loads(shaped(data, content_type, 502, mask))
        self.assertIsInstance(value["error"]["message"], str)
        self.assertTrue(value["error"]["message"])

    def test_hostile(self) -> None:
        for data in (
            b'{"error":' * 1100, b"[" * 1000 + b"]" * 1000, b'{"error":' * 300 + b"1" + b"}" * 300,
            b"<script>" * 40_000,
            b'{"error":{"message":"a","x":' + b"[" * 300 + b"]" * 300 + b"}}", b"<" * 300_000, b"<!--" * 50_000,
        ):  # fmt: skip
            self.check(data, b"text/html")
            self.check(data.replace(b"a", KEY.encode()), JSON)

    def test_what_is_hidden_on_a_page_and_not_closed(self) -> None:
        """To follow each of many to the end takes half a second of everybody's."""
        for hidden in (
            b"<!-- a note",
            b"<script>var a = 1;",
            b"<style>a {b: c}",
            b"<!--" * 4000,
            b"<script>" + b"x" * 9000,
        ):
            self.assertEqual(read_error(b"<html><p>Bad gateway" + hidden, b"text/html").message, "Bad gateway")


class ShapedTests(SynchronousTestCase):
    def test_as_it_came(self) -> None:
        data = b'{ "error" : {"message": "no\\u00e9", "code": 18446744073709551616, "x": [1.0]} , "user_id":1}'
        self.assertEqual(shaped(data, JSON, 400, masker([KEY])), data)

    def test_what_is_only_near_to_json(self) -> None:
        body = b'{"error":{"message":"too long %b","code":"context_length_exceeded","metadata":{"x":%b}}}'
        for odd, number in ((b"\\ud83d", b"1"), (b"\xf0\x9f", b"1"), (b"caf\xc3", b"NaN"), (b"", b"-Infinity")):
            data = body % (odd, number)
            error = read_error(data, JSON)
            self.assertEqual((error.code, error.message[:8]), ("context_length_exceeded", "too long"))
            self.assertTrue(orjson.dumps(error.message))
            for mask in (unmasked, masker([KEY])):
                given = json.loads(shaped(data, JSON, 400, mask))["error"]
                self.assertEqual((given["code"], given["message"][:8]), ("context_length_exceeded", "too long"))
                self.assertEqual(given["metadata"], {"x": 1 if number == b"1" else None})

    def test_own_fields_stay(self) -> None:
        given = {"error": "out of memory", "request_id": "r"}
        self.assertEqual(
            shape(orjson.dumps(given)),
            {"error": {"message": "out of memory", "type": "api_error", "param": None, "code": None},
             "request_id": "r"},
        )  # fmt: skip
        mistral = {"object": "error", "message": "no", "type": "invalid_model", "param": "model", "code": "1500"}
        error = {key: mistral[key] for key in ("message", "type", "param", "code")}
        self.assertEqual(shape(orjson.dumps(mistral), 400), {**mistral, "error": error})
        self.assertEqual(shape(orjson.dumps([GOOGLE])), GOOGLE | {"error": {**_none(), **GOOGLE["error"]}})
        self.assertEqual(shape(b'{"detail":"no"}', 401)["error"]["type"], "authentication_error")
        self.assertEqual(shape(b'{"error":{"metadata":{"raw":"why"}}}')["error"]["metadata"], {"raw": "why"})

    def test_texts(self) -> None:
        self.assertEqual(
            shape(NGINX, 502, b"text/html")["error"],
            {"message": "502 Bad Gateway nginx & co", "type": "api_error", "param": None, "code": None},
        )
        self.assertEqual(len(shape(b"a" * 1000, 429, b"text/plain")["error"]["message"]), 500)
        empty = shape(b"", 500)["error"]["message"]
        self.assertEqual(empty, "The provider answered 500 Internal Server Error, and did not say why.")
        self.assertIn("523", shape(b"", 523)["error"]["message"])


def _none() -> dict[str, Any]:
    return {"type": "api_error", "param": None}


class MaskerTests(SynchronousTestCase):
    def test_forms(self) -> None:
        mask = masker([KEY, "short", ""])
        for text, masked in (
            (f"key {KEY}!", "key ***!"),
            (KEY.replace("/", "\\/"), "***"),
            (KEY.replace("/", "%2F"), "***"),
            (KEY[:20] + "...", "***..."),
            ("..." + KEY[-10:], "...***"),
            ("sk-proj-Abc****uvwx", "sk-proj-Abc****uvwx"),
            ("short", "short"),
        ):
            self.assertEqual(mask(text), masked)
            self.assertEqual(mask(text.encode()), masked.encode())
        self.assertEqual(mask(b"\xff" + KEY.encode()), b"\xff***")

    def test_in_bodies(self) -> None:
        mask = masker([KEY])
        for data in (
            orjson.dumps({"error": {"message": f"Incorrect API key provided: {KEY}"}}),
            orjson.dumps({"error": {"message": "no", "metadata": {"raw": f"{KEY}"}}}),
            b'{"error":{"message":"' + KEY.replace("k", "\\u006b").encode() + b'"}}',
            b'{"error":{"message":"' + KEY.encode() + b'","message":"twice"}}',
            orjson.dumps({"error": {KEY: 1}}),
            orjson.dumps({"detail": KEY}),
            b"<p>" + KEY.encode(),
            b'{"error":' + KEY.encode(),
            b"a" * 485 + KEY.encode(),
        ):
            down = shaped(data, JSON, 401, mask)
            self.assertNotIn(KEY, orjson.loads(down)["error"]["message"], data)
            self.assertNotIn(KEY.encode(), down)
            self.assertNotIn(b"6b", down)
            self.assertNotIn(KEY[8:13].encode(), down)
