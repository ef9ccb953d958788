"""Asking a skyproxy, as any client would, and measuring what comes."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Any
from urllib.parse import urlsplit

from skyproxy.command.running import what_to_do_for_nobody
from skyproxy.command.trust import trust_for
from skyproxy.formats.error_body import error_of_object
from skyproxy.formats.error_words import words_of_error
from skyproxy.formats.openai.first_sentence import has_sentence

_LARGEST_LINE = 16 * 1024 * 1024


class NoAnswer(Exception):
    """Nobody answers there, or what came is no answer. The text says what to do."""


@dataclass(slots=True)
class Answer:
    """One answer, and its times in seconds from the request on.

    :ivar error: what went wrong, in the server's words; None: nothing.
    :ivar thought: the model gave what it thought, beside the text.
    :ivar first_token: to the first text.
    :ivar first_sentence: to the end of the first sentence, or of the text.
    :ivar whole: to the end.
    :ivar usage: as the provider counts.
    :ivar headers: of the answer, by their names in lower case.
    """

    status: int = 0
    text: str = ""
    error: str | None = None
    thought: bool = False
    first_token: float | None = None
    first_sentence: float | None = None
    whole: float = 0.0
    usage: Mapping[str, Any] | None = None
    headers: Mapping[str, str] | None = None

    @property
    def problem(self) -> str | None:
        """What is wrong with it for who wants to hear something; None: nothing."""
        if self.error is not None or self.text:
            return self.error
        if self.thought:
            return "the answer is empty: the model only thought (enable_reasoning: false in the slot may help)"
        return "the answer is empty: the model said nothing"

    @property
    def tokens(self) -> int | None:
        """Completion tokens; None: nobody says."""
        said = (self.usage or {}).get("completion_tokens")
        return said if isinstance(said, int) else None

    @property
    def tokens_per_second(self) -> float | None:
        """From the first token to the end; None where that is no time, or nobody counted."""
        if self.tokens is None or self.first_token is None or self.whole <= self.first_token:
            return None
        return self.tokens / (self.whole - self.first_token)


def ask(
    url: str,
    slot: str,
    text: str,
    *,
    key: str | None = None,
    timeout: float = 600.0,
    heard: Callable[[str], object] = lambda _: None,
    now: Callable[[], float] = time.perf_counter,
    **fields: Any,
) -> Answer:
    """Ask *slot* at *url* for a stream.

    :param url: of the API, with ``/v1``.
    :param key: for ``Authorization``, if the server wants one.
    :param timeout: seconds in which something must come.
    :param heard: told each text as it comes.
    :param fields: of the body besides.
    :raise NoAnswer: nobody answers.
    """
    body = {
        "model": slot,
        "stream": True,
        "stream_options": {"include_usage": True},
        "messages": [{"role": "user", "content": text}],
        **fields,
    }
    headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {key}"} if key else {})}
    answer = Answer()
    parts = urlsplit(url)
    connection = _connection(url, timeout)
    began = now()
    try:
        connection.request("POST", f"{parts.path.rstrip('/')}/chat/completions", json.dumps(body), headers)
        response = connection.getresponse()
        answer.status = response.status
        answer.headers = {name.lower(): value for name, value in response.getheaders()}
        if response.status == 200 and "event-stream" in answer.headers.get("content-type", ""):
            for event in _events(response):
                _take(answer, event, now() - began, heard)
        else:
            _take_whole(answer, response.read(_LARGEST_LINE), now() - began, heard)
    except ConnectionRefusedError:
        raise NoAnswer(f"nobody listens at {url}: {what_to_do_for_nobody()}") from None
    except (OSError, HTTPException) as error:
        if not answer.text:
            raise NoAnswer(f"no answer from {url}: {error or type(error).__name__}") from None
        answer.error = f"the answer broke off: {error or type(error).__name__}"
    finally:
        connection.close()
    answer.whole = now() - began
    if answer.text and answer.first_sentence is None:
        answer.first_sentence = answer.whole
    return answer


def _connection(url: str, timeout: float) -> HTTPConnection:
    parts, trust = urlsplit(url), trust_for(url)
    host = parts.hostname or ""
    if trust is None:
        return HTTPConnection(host, parts.port, timeout=timeout)
    return HTTPSConnection(host, parts.port, timeout=timeout, context=trust)


def _events(response: HTTPResponse) -> Iterator[str]:
    while line := response.readline(_LARGEST_LINE):
        name, _, value = line.decode("utf-8", "replace").rstrip("\r\n").partition(":")
        if name == "data":
            yield value.removeprefix(" ")


def _take(answer: Answer, event: str, at: float, heard: Callable[[str], object]) -> None:
    if event == "[DONE]":
        return
    value = _object(event)
    error = value.get("error")
    if error:
        answer.error = _words(error)
        return
    if isinstance(value.get("usage"), dict):
        answer.usage = value["usage"]
    for choice in value.get("choices") or ():
        delta = choice.get("delta") if isinstance(choice, dict) else None
        said = delta.get("content") if isinstance(delta, dict) else None
        answer.thought |= isinstance(delta, dict) and bool(delta.get("reasoning_content") or delta.get("reasoning"))
        if isinstance(said, str) and said:
            _hear(answer, said, at, heard)


def _take_whole(answer: Answer, data: bytes, at: float, heard: Callable[[str], object]) -> None:
    value = _object(data)
    error = value.get("error")
    if error or answer.status >= 400:
        answer.error = _words(error) or data[:300].decode("utf-8", "replace") or f"status {answer.status}"
        return
    if isinstance(value.get("usage"), dict):
        answer.usage = value["usage"]
    for choice in value.get("choices") or ():
        message = choice.get("message") if isinstance(choice, dict) else None
        said = message.get("content") if isinstance(message, dict) else None
        if isinstance(said, str) and said:
            _hear(answer, said, at, heard)


def _hear(answer: Answer, said: str, at: float, heard: Callable[[str], object]) -> None:
    if answer.first_token is None:
        answer.first_token = at
    answer.text += said
    # Looked for near the end only, so that a long answer costs no more for each of its parts.
    if answer.first_sentence is None and has_sentence(answer.text, len(answer.text) - len(said) - 8):
        answer.first_sentence = at
    heard(said)


def _object(data: str | bytes) -> dict[str, Any]:
    try:
        value = json.loads(data)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _words(error: Any) -> str:
    if isinstance(error, dict):
        return words_of_error(error_of_object(error)) or str(error.get("code") or "an error without a message")
    return str(error) if error else ""
