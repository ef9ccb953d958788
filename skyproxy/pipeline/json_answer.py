"""Answers that are one JSON object, good ones and errors. What is not changed in them goes down byte for byte."""

from __future__ import annotations

from typing import Any

import orjson

from skyproxy.errors import InvalidRequest, UpstreamBroken, UpstreamError, UpstreamReported, UpstreamUnusable, forget
from skyproxy.formats.error_body import masker, shaped
from skyproxy.formats.json_body import is_exact
from skyproxy.formats.json_splice import with_members, with_model
from skyproxy.formats.openai.bodies import read_by_python, write_as_read
from skyproxy.formats.openai.reasoning import strip_answer
from skyproxy.formats.openai.stream_state import StreamState
from skyproxy.http.common.headers import media_type
from skyproxy.pipeline.client import Client
from skyproxy.pipeline.presentation import Presentation
from skyproxy.pipeline.relayed_fields import relayed_fields, retyped, typed
from skyproxy.upstream.exchange.answer import Answer
from skyproxy.upstream.exchange.whole_body import Whole, is_readable, read_body, read_json

_JSON = (b"Content-Type", b"application/json")
_OF_THE_BODY = frozenset({b"content-type", b"content-disposition"})


class JsonAnswer:
    """A good answer.

    :ivar state: what is known of it; None before it was read.
    """

    __slots__ = ("_answer", "_presentation", "state")

    def __init__(self, answer: Answer, presentation: Presentation) -> None:
        self._answer = answer
        self._presentation = presentation
        self.state: StreamState | None = None

    @property
    def failure(self) -> UpstreamReported | None:
        """What the provider reports in it."""
        return None if self.state is None else self.state.failure

    async def send_to(self, client: Client) -> None:
        """Answer *client*, when all of it has come.

        :raise UpstreamBroken: it is no JSON object, is cut, or cannot be passed on.
        :raise UpstreamReported: it is an error, although its status says that all is well.
        :raise UpstreamTimeout: it did not come in time.
        """
        answer, presentation = self._answer, self._presentation
        whole = answer.whole or await read_json(answer.body, answer.headers, answer.dialect)
        self.state = whole.state(answer.dialect)
        headers, said = relayed_fields(answer.headers), answer.content_type
        if said != b"application/json":
            headers = retyped(headers, _JSON) if answer.called_a_stream else typed(headers, said, _JSON)
        body = presented(whole, answer.shown_model, strip_reasoning=presentation.strip_reasoning)
        if whole.error is not None:
            # One that is an answer, too: a response that has failed, or what breaks off.
            body = masker(presentation.secrets)(body)
        client.answer(answer.status, [*headers, *presentation.fields], body)


class ErrorAnswer:
    """A provider's error. It goes down with its status, in OpenAI's shape whatever it came in, and without the
    provider's keys.

    :ivar state: None, as of an answer of which nothing is known; and so is *failure*.
    """

    __slots__ = ("_answer", "_presentation")

    state: StreamState | None = None
    failure: UpstreamReported | None = None

    def __init__(self, answer: Answer, presentation: Presentation) -> None:
        self._answer = answer
        self._presentation = presentation

    async def send_to(self, client: Client) -> None:
        """Answer *client*, when all of it has come, or no more will.

        :raise UpstreamUnusable: it is too large.
        """
        answer, presentation = self._answer, self._presentation
        mask = masker(presentation.secrets)
        # What it says may be such that it cannot be read, but its status can.
        data = b""
        if not answer.is_encoded or is_readable(answer.headers):
            try:
                data = await read_body(answer.body, answer.headers)
            except UpstreamUnusable:
                raise
            except UpstreamError as error:
                forget(error)
        headers = relayed_fields(answer.headers)
        fields = [(name, mask(value)) for name, value in headers if name.lower() not in _OF_THE_BODY]
        body = shaped(data, media_type(answer.headers), answer.status, mask)
        client.answer(answer.status, [*fields, _JSON, *presentation.fields], body)


def presented(whole: Whole, model: str | None, *, strip_reasoning: bool) -> bytes:
    """The answer *whole* with *model* as its model, if there is one.

    :raise UpstreamBroken: it has too many levels.
    """
    data, value = whole.data, whole.value
    try:
        if strip_reasoning:
            data, value = _stripped(data, value)
        if model is None or value.get("model", model) == model:
            return data
        return with_model(data, orjson.dumps(model), value)
    except (InvalidRequest, RecursionError):
        raise UpstreamBroken("The provider's answer cannot be passed on: it has too many levels.") from None


def _stripped(data: bytes, value: dict[str, Any]) -> tuple[bytes, dict[str, Any]]:
    """An answer without reasoning. Of its members those alone are written anew in which there was some."""
    if not is_exact(value):
        # Integers as long as they are.
        value = read_by_python(data)
    changed = strip_answer(value)
    return with_members(data, value, {name: write_as_read(value[name], data) for name in changed}), value
