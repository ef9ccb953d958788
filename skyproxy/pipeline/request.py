"""What a client asks: its request, and what can be read from it before anything is decided."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any, NamedTuple

from skyproxy.access.identity import ClientIdentity
from skyproxy.errors import InvalidRequest
from skyproxy.formats import json_body, multipart
from skyproxy.formats.json_splice import with_members
from skyproxy.formats.openai.stream_state import Asked
from skyproxy.http.common.headers import Field
from skyproxy.pipeline.router import Candidate
from skyproxy.pipeline.transform import transform
from skyproxy.telemetry.tracing.context import TraceContext


class Endpoint(Enum):
    """The paths of the API that are proxied, as they stand below a provider's base_url.

    :ivar path: the value, as a plain attribute: to ask an Enum for it, or to look for one in a set, takes a call.
    :ivar in_json: whether an answer is a JSON object, or a stream of them that says when it is complete.
    """

    path: str
    in_json: bool

    CHAT = "/chat/completions"
    COMPLETIONS = "/completions"
    EMBEDDINGS = "/embeddings"
    RESPONSES = "/responses"
    SPEECH = "/audio/speech"
    TRANSCRIPTIONS = "/audio/transcriptions"

    def __init__(self, path: str) -> None:
        self.path = path
        self.in_json = not path.startswith("/audio/")


class Request(NamedTuple):
    """What a client asks, understood as HTTP and as nothing more.

    :ivar request_id: the client's, or made; safe to send and to log.
    :ivar credentials: what distinguishes the client from others, for answers that may be shared: its Authorization as
        it came. Never sent or logged.
    :ivar cache_control: what it says of answers that were kept.
    :ivar headers: those of the client's that go up as they are.
    :ivar body: plain (a compressed one has been inflated).
    :ivar trace: that it belongs to; None: requests are not traced.
    :ivar identity: the client whose key came with it; None: nobody is asked for a key.
    """

    endpoint: Endpoint
    request_id: str
    content_type: bytes
    credentials: bytes
    headers: tuple[Field, ...]
    body: bytes
    cache_control: bytes = b""
    trace: TraceContext | None = None
    identity: ClientIdentity | None = None


class UpstreamBody(NamedTuple):
    """A request's body for one provider.

    :ivar data: as it is sent.
    :ivar content_type: of it.
    :ivar fields: what *data* says; None for a form.
    :ivar dropped: the client's fields that are not in it.
    :ivar added: see :class:`~skyproxy.pipeline.transform.Transformed`.
    """

    data: bytes
    content_type: bytes
    fields: dict[str, Any] | None = None
    dropped: tuple[str, ...] = ()
    added: frozenset[str] = frozenset()


class Form:
    """A request that is a form with a file."""

    streaming = False

    def __init__(self, request: Request) -> None:
        self._request = request
        self.model = multipart.find_model(request.body, request.content_type)

    def body_for(self, candidate: Candidate) -> UpstreamBody:
        """The form, with the model as *candidate* calls it."""
        content_type = self._request.content_type
        return UpstreamBody(multipart.replace_model(self._request.body, content_type, candidate.model), content_type)


class JsonRequest:
    """A request that is a JSON object.

    :ivar model: what it asks for.
    :ivar streaming: whether it wants its answer as a stream.

    :param default_model: what serves a request of the Responses API that names no model, as it may.
    """

    def __init__(self, request: Request, default_model: str | None = None) -> None:
        fields, self._data = json_body.read_marked(request.body)
        self._fields = fields
        json_body.check_names(fields)
        optional = request.endpoint is Endpoint.RESPONSES
        if optional and default_model is None and fields.get("model") is None:
            raise InvalidRequest(
                "Name a model: the field `model` is missing. Or set `fallback_to_default: true`, and a slot `default` "
                "serves requests without one.",
                param="model",
            )
        self.model = json_body.model_of(fields, default_model if optional else None)
        self.streaming = fields.get("stream") is True
        if request.endpoint is Endpoint.CHAT:
            json_body.check_messages(fields)

    def body_for(self, candidate: Candidate) -> UpstreamBody:
        """The body in the dialect of *candidate*'s provider. What is not changed for that goes up as it came.

        :raise InvalidRequest: it has too many levels.
        """
        fields = self._fields
        transformed = transform(fields, candidate)
        body = transformed.body
        changes: dict[str, bytes | None] = dict.fromkeys(transformed.dropped) if transformed.dropped else {}
        for name, value in body.items():
            if name not in fields or fields[name] is not value:
                changes[name] = json_body.encode_small(value)
        data = with_members(self._data, fields, changes)
        return UpstreamBody(data, b"application/json", body, transformed.dropped, transformed.added)


def asked_for(fields: Mapping[str, Any]) -> Asked:
    """What a body that says *fields* wants of a stream."""
    count, prompts, options = fields.get("n"), fields.get("prompt"), fields.get("stream_options")
    choices = count if type(count) is int else 1
    if isinstance(prompts, list) and prompts and isinstance(prompts[0], str | list):
        # Each of several prompts gets as many. A list of numbers is one prompt, in tokens.
        choices *= len(prompts)
    return Asked(choices, isinstance(options, dict) and options.get("include_usage") is True)


def parse(request: Request, default_model: str | None = None) -> Form | JsonRequest:
    """Read *request* as its endpoint wants it.

    :param default_model: what serves requests that may name no model, and do not.
    :raise InvalidRequest: it is not what the endpoint takes.
    """
    return Form(request) if request.endpoint is Endpoint.TRANSCRIPTIONS else JsonRequest(request, default_model)
