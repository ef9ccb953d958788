"""The endpoints that are asked by a body: from the request's fields to a reply."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from skyproxy.demo.asked import answers_to, json_of, schema_of
from skyproxy.demo.bomb import Bomb
from skyproxy.demo.faults import Faults, parse_faults
from skyproxy.demo.ledger import Exchange
from skyproxy.demo.media import form_fields, in_base64, tone, vector
from skyproxy.demo.responses import ResponseShape
from skyproxy.demo.script import bomb_reply, redirect_reply, stream_reply, whole_reply
from skyproxy.demo.shapes import FAILURE, ApiError, ChatShape, CompletionShape, Shape
from skyproxy.demo.steps import Reply
from skyproxy.demo.words import Said, estimated_tokens, line_for, say, write_json

_JSON = b"application/json"
_EVENTS = b"text/event-stream"

_DIMENSIONS = 16
_MOST_DIMENSIONS = 4096

_ShapeFactory = Callable[[dict[str, Any], list[Said], int, "bool | None"], Shape]

_ID_PREFIXES = {
    "/v1/chat/completions": "chatcmpl-demo",
    "/v1/completions": "cmpl-demo",
    "/v1/responses": "resp_demo",
}

Fields = dict[str, Any]


class Endpoints:
    """Answers requests. It remembers how often those with ``fail=`` came."""

    def __init__(self) -> None:
        self._bomb = Bomb()
        self._failed: dict[str, int] = {}
        self._by_path: Mapping[str, Callable[[Exchange, Fields, Faults], Reply]] = {
            "/v1/chat/completions": self._chat,
            "/v1/completions": self._completion,
            "/v1/responses": self._response,
            "/v1/embeddings": self._embeddings,
            "/v1/audio/speech": self._speech,
            "/v1/audio/transcriptions": self._transcription,
        }

    def knows(self, path: str) -> bool:
        """Whether *path* is one of them."""
        return path in self._by_path

    def reset(self) -> None:
        """Forget how often those with ``fail=`` came."""
        self._failed.clear()

    def reply(self, exchange: Exchange, body: bytes, content_type: bytes) -> Reply:
        """The answer to a request on a path that is known.

        :raise ApiError: the request is wrong.
        """
        fields = _form(body, content_type) if exchange.path == "/v1/audio/transcriptions" else _object(body)
        model = fields.get("model")
        if not isinstance(model, str) or not model:
            raise ApiError(400, "You must provide a model parameter.", code="missing_model", param="model")
        faults = self._faults(model)
        if faults.redirect:
            return redirect_reply(faults)
        if faults.status is not None:
            error = ApiError(faults.status, f"The guard was told to answer {faults.status}.", code="demo_fault")
            return _json_reply(error.as_object(), faults, faults.status)
        if faults.body is not None:
            default = _EVENTS if fields.get("stream") is True else _JSON
            return whole_reply(200, default, faults.body.encode(), faults)
        if faults.bomb:
            return bomb_reply(self._bomb, faults)
        if faults.error_in_stream is not None and fields.get("stream") is not True:
            return _json_reply({"error": FAILURE}, faults)
        return self._by_path[exchange.path](exchange, fields, faults)

    def _faults(self, model: str) -> Faults:
        try:
            faults = parse_faults(model)
        except ValueError as error:
            raise ApiError(400, str(error), code="unknown_fault", param="model") from None
        if faults.fail is None:
            return faults
        failed = self._failed.get(model, 0)
        self._failed[model] = failed + 1
        return faults.after(failed)

    # Text.

    def _chat(self, exchange: Exchange, fields: Fields, faults: Faults) -> Reply:
        messages = fields.get("messages")
        if not isinstance(messages, list) or not messages:
            raise ApiError(400, "'messages' must be a list that is not empty.", param="messages")
        texts = [_text_of(message) for message in messages]
        answers = answers_to(fields, texts[-1], faults)
        return self._spoken(exchange, fields, faults, texts, answers, ChatShape)

    def _completion(self, exchange: Exchange, fields: Fields, faults: Faults) -> Reply:
        prompt = fields.get("prompt")
        if prompt is None:
            raise ApiError(400, "You must provide a prompt.", param="prompt")
        texts = [_text_of(prompt)]
        answers = answers_to({"n": fields.get("n")}, texts[-1], faults)
        return self._spoken(exchange, fields, faults, texts, answers, CompletionShape)

    def _response(self, exchange: Exchange, fields: Fields, faults: Faults) -> Reply:
        asked = fields.get("input")
        if not asked or not isinstance(asked, (str, list)):
            raise ApiError(400, "'input' must be a text or a list.", param="input")
        texts = [asked] if isinstance(asked, str) else [_text_of(item) for item in asked]
        text = fields.get("text")
        schema = schema_of(text.get("format"), "text.format") if isinstance(text, dict) else None
        said = say(texts[-1], faults)
        if schema is not None:
            said = write_json(json_of(schema, line_for(texts[-1], faults), "text.format"), faults)
        return self._spoken(exchange, fields, faults, texts, [said], ResponseShape)

    def _spoken(
        self,
        exchange: Exchange,
        fields: Fields,
        faults: Faults,
        texts: list[str],
        answers: list[Said],
        shape: _ShapeFactory,
    ) -> Reply:
        prefix = _ID_PREFIXES[exchange.path]
        base = {"id": f"{prefix}{exchange.number}", "created": int(time.time()), "model": fields["model"]}
        prompt_tokens = sum(map(estimated_tokens, texts))
        if fields.get("stream") is not True:
            answer = shape(base, answers, prompt_tokens, True if faults.usage else None).whole()
            return _json_reply(answer, faults)
        options = fields.get("stream_options")
        asked = isinstance(options, dict) and options.get("include_usage") is True
        usage = asked if faults.usage else None
        return stream_reply(shape(base, answers, prompt_tokens, usage), faults, exchange.count_chunk)

    # The rest.

    def _embeddings(self, exchange: Exchange, fields: Fields, faults: Faults) -> Reply:
        asked = fields.get("input")
        if not asked or not isinstance(asked, (str, list)):
            raise ApiError(400, "'input' must be a text or a list.", param="input")
        dimensions = fields.get("dimensions", _DIMENSIONS)
        if not isinstance(dimensions, int) or not 1 <= dimensions <= _MOST_DIMENSIONS:
            raise ApiError(400, f"'dimensions' must be from 1 to {_MOST_DIMENSIONS}.", param="dimensions")
        inputs = asked if isinstance(asked, list) and not isinstance(asked[0], int) else [asked]
        texts = [text if isinstance(text, str) else str(text) for text in inputs]
        vectors = [vector(text, dimensions) for text in texts]
        in_text = fields.get("encoding_format") == "base64"
        tokens = sum(map(estimated_tokens, texts))
        answer: Fields = {
            "object": "list",
            "data": [
                {"object": "embedding", "index": index, "embedding": in_base64(values) if in_text else values}
                for index, values in enumerate(vectors)
            ],
            "model": fields["model"],
        }
        if faults.usage:
            answer["usage"] = {"prompt_tokens": tokens, "total_tokens": tokens}
        return _json_reply(answer, faults)

    def _speech(self, exchange: Exchange, fields: Fields, faults: Faults) -> Reply:
        if not isinstance(fields.get("input"), str) or not fields["input"]:
            raise ApiError(400, "'input' must be a text.", param="input")
        sound = tone()
        return whole_reply(200, b"audio/wav", sound.ljust(faults.size or 0, b"\0"), faults)

    def _transcription(self, exchange: Exchange, fields: Fields, faults: Faults) -> Reply:
        if "file" not in fields:
            raise ApiError(400, "You must provide a file.", param="file")
        model, size = fields["model"], len(fields["file"])
        text = faults.text if faults.text is not None else f"The model {model} heard {size} bytes of shouting."
        if fields.get("response_format") == b"text":
            return whole_reply(200, b"text/plain; charset=utf-8", text.encode() + b"\n", faults)
        return _json_reply({"text": text, "model": model}, faults)


def _json_reply(answer: Fields, faults: Faults, status: int = 200) -> Reply:
    return whole_reply(status, _JSON, orjson.dumps(answer), faults)


def _object(body: bytes) -> Fields:
    try:
        fields = orjson.loads(body)
    except ValueError:
        raise ApiError(400, "The body is not JSON.") from None
    if not isinstance(fields, dict):
        raise ApiError(400, "The body is not a JSON object.")
    return fields


def _form(body: bytes, content_type: bytes) -> Fields:
    fields: Fields = dict(form_fields(body, content_type))
    if not fields:
        raise ApiError(400, "The body is not a multipart form.")
    if "model" in fields:
        fields["model"] = fields["model"].decode("utf-8", "replace")
    return fields


def _text_of(value: Any) -> str:
    """The text of a message, of a part of it, or of a prompt."""
    if isinstance(value, dict):
        value = value.get("content", value.get("text", ""))
    if isinstance(value, list):
        return " ".join(_text_of(part) for part in value)
    return value if isinstance(value, str) else ""
