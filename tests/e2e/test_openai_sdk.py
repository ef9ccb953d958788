"""The openai SDK, unmodified, against a real skyproxy and a real provider."""

from __future__ import annotations

import asyncio
import io
from urllib.parse import quote

import openai
import pytest

from tests.e2e.processes import DemoProvider, Proxy, eventually

MESSAGES = [{"role": "user", "content": "Who goes there?"}]


@pytest.fixture
def client(proxy: Proxy) -> openai.OpenAI:
    return openai.OpenAI(base_url=proxy.base_url, api_key="anything", max_retries=0)


def test_chat(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="default", messages=MESSAGES)
    assert answer.model == "default"
    assert answer.choices[0].message.content
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None and answer.usage.total_tokens > 0


def test_stream_is_the_whole_answer(client: openai.OpenAI) -> None:
    whole = client.chat.completions.create(model="combat", messages=MESSAGES).choices[0].message.content
    chunks = list(
        client.chat.completions.create(
            model="combat", messages=MESSAGES, stream=True, stream_options={"include_usage": True}
        )
    )
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == whole
    assert chunks[-1].usage is not None and chunks[-1].usage.completion_tokens > 0


def test_async_streams_at_once(proxy: Proxy) -> None:
    async def one(client: openai.AsyncOpenAI) -> str:
        stream = await client.chat.completions.create(model="default", messages=MESSAGES, stream=True)
        return "".join([chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices])

    async def ten() -> list[str]:
        async with openai.AsyncOpenAI(base_url=proxy.base_url, api_key="any", max_retries=0) as client:
            return await asyncio.gather(*(one(client) for _ in range(10)))

    answers = asyncio.run(ten())
    assert len(set(answers)) == 1 and answers[0]


def test_models(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["default", "combat"]
    assert client.models.retrieve("combat").id == "combat"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("nobody")


def test_embeddings(client: openai.OpenAI) -> None:
    answer = client.embeddings.create(model="default", input=["sweetroll", "arrow"])
    assert len(answer.data) == 2 and len(answer.data[0].embedding) > 1
    assert answer.model == "default"


def test_completions(client: openai.OpenAI) -> None:
    assert client.completions.create(model="default", prompt="Halt!").choices[0].text


def test_responses(client: openai.OpenAI) -> None:
    assert client.responses.create(model="default", input="Who goes there?").output_text
    with client.responses.stream(model="combat", input="Who goes there?") as stream:
        kinds = [event.type for event in stream]
    assert kinds[0] == "response.created" and kinds[-1] == "response.completed"


def test_audio(client: openai.OpenAI, demo: DemoProvider) -> None:
    speech = client.audio.speech.create(model="default", voice="alloy", input="Halt!")
    assert speech.content[:4] == b"RIFF"
    sound = ("halt.wav", io.BytesIO(b"RIFF\r\n--\x00\xff" * 50_000), "audio/wav")
    assert client.audio.transcriptions.create(model="default", file=sound).text
    received = demo.requests()[0]
    assert "guard" in str(received["body"]) or "guard" in str(received.get("raw"))


def test_error_classes(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="combatt", messages=MESSAGES)
    assert "'combat'" in str(caught.value) and caught.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError):
        client.chat.completions.create(model="default", messages="hello")  # type: ignore[call-overload]
    for status, kind in (
        (401, openai.AuthenticationError),
        (429, openai.RateLimitError),
        (500, openai.InternalServerError),
    ):
        with pytest.raises(kind):
            client.chat.completions.create(model=f"demo:guard;status={status}", messages=MESSAGES)


def test_an_error_within_a_stream_is_an_error_and_no_content(client: openai.OpenAI) -> None:
    for fault in ("error_in_stream=2", "cut=2", "close_clean=2"):
        got = []
        with pytest.raises((openai.APIError, Exception)) as caught:
            for chunk in client.chat.completions.create(
                model=f"demo:guard;{fault};text=arrow;chunks=6;delay=0", messages=MESSAGES, stream=True
            ):
                got.append(chunk.choices[0].delta.content or "")
        assert isinstance(caught.value, openai.APIError), fault
        assert "error" not in "".join(got).lower(), fault


@pytest.mark.parametrize(
    "said",
    [
        'error: {"code":500,"message":"It died."}\n\ndata: [DONE]\n\n',
        '{\n "error": {\n  "message": "It died."\n }\n}\n',
        'data: {"object":"error","message":"It died.","code":500}\n\ndata: [DONE]\n\n',
        "event: error\ndata: It died.\n\n",
        'data: {"detail":"It died."}\n\n',
        'data: {"error":"It died."}\n\n',
        "data: error: It died.\n\n",
    ],
)
def test_an_error_within_a_stream_however_it_is_told(client: openai.OpenAI, said: str) -> None:
    word = 'data: {"choices":[{"index":0,"delta":{"content":"Halt"},"finish_reason":null}]}\n\n'
    got = []
    with pytest.raises(openai.APIError, match=r"It died\."):
        for chunk in client.chat.completions.create(
            model=f"demo:guard;body={quote(word + said)}", messages=MESSAGES, stream=True
        ):
            got.append(chunk.choices[0].delta.content)
    assert got == ["Halt"]


def test_cancelling_a_stream_stops_the_provider(client: openai.OpenAI, demo: DemoProvider, proxy: Proxy) -> None:
    demo.reset()
    stream = client.chat.completions.create(
        model="demo:guard;chunks=10000;delay=0.05",
        messages=MESSAGES,
        stream=True,
        extra_headers={"X-Request-Id": "cancelled-1"},
    )
    next(iter(stream))
    assert demo.stats()["active"] == 1
    stream.close()
    eventually(lambda: demo.stats()["active"] == 0, "the provider sees the client leave")
    assert demo.stats()["cancelled"] == 1
    record = proxy.record("Request cancelled", request_id="cancelled-1")
    assert (record["level"], record["outcome"]) == ("INFO", "cancelled")
