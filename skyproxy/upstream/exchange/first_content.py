"""What an answer, or its beginning, tells before anything of it goes down."""

from __future__ import annotations

from enum import Enum

from skyproxy.errors import UpstreamBroken, UpstreamError, UpstreamUnusable
from skyproxy.formats.openai.bodies import BYTE_ORDER_MARK, error_of, read_answer
from skyproxy.formats.openai.stream_inspector import StreamInspector
from skyproxy.formats.reported import reported
from skyproxy.formats.sse import BodyForm
from skyproxy.upstream.exchange.answer import Answer
from skyproxy.upstream.exchange.buffered_bytes import BufferedBytes
from skyproxy.upstream.exchange.provider import Counts
from skyproxy.upstream.exchange.whole_body import json_of, plain, read_json


class AnswerKind(Enum):
    """What an answer is, and so what can be known of it before it goes down."""

    JSON = "json"
    """An object, or a stream of them whose beginning tells whether it has begun."""
    ANYTHING = "anything"


async def wait_for_beginning(
    answer: Answer, kind: AnswerKind, counts: Counts, held: BufferedBytes, *, must_be_whole: bool = False
) -> None:
    """Wait for all of a whole answer, or for a stream to say something, or for the first byte of anything else that is
    not called JSON, by which a provider may report an error.

    The answer is closed when that fails. One that cannot be held back is ``too_large`` when this returns.

    :param held: what is held back of whole answers.
    :param must_be_whole: nobody can do with a part of the answer.
    :param counts: where the failure is counted, besides the status, if it is the provider's.
    :raise UpstreamTimeout: it did not come in time.
    :raise SkyproxyError: see :func:`read_beginning`.
    """
    try:
        if kind is AnswerKind.ANYTHING:
            if not is_called_json(answer):
                await answer.body.first()
                return
            answer.share = share = held.share()
            if await answer.body.first(lambda data: not share.grow(len(data))) is None:
                share.end()
            else:
                _refuse_error(answer, answer.body.kept())
            return
        if answer.is_event_stream and not answer.is_encoded:
            form = BodyForm()
            await answer.body.first(lambda data: form.feed(data) is not None)
            answer.is_event_stream = not form.is_object
        if not answer.is_event_stream:
            if answer.is_encoded:
                answer.whole = await read_json(answer.body, answer.headers, answer.dialect)
            else:
                await _hold_back(answer, held, must_be_whole=must_be_whole)
        if answer.is_event_stream:
            inspector = _inspector_of(answer)
            end = await answer.body.first(lambda _: inspector.first_content != "waiting")
            if end is None or not _is_json(inspector, kept := answer.body.kept()):
                _check(inspector)
            else:
                answer.is_event_stream = False
                answer.whole = json_of(kept, answer.headers, answer.dialect)
    except BaseException as error:
        _close(answer, counts, error)
        raise


def is_called_json(answer: Answer) -> bool:
    """Whether the provider says that *answer*, which may be anything, is JSON, and it can be read."""
    return b"json" in answer.headers.last.get(b"content-type", b"").lower() and not answer.is_encoded


def refuse_error(answer: Answer, counts: Counts) -> None:
    """Close an answer that may be anything, and is there, if it is an error.

    :param counts: as for :func:`wait_for_beginning`.
    :raise UpstreamReported: it is one.
    """
    try:
        _refuse_error(answer, answer.data or b"")
    except BaseException as error:
        _close(answer, counts, error)
        raise


def _refuse_error(answer: Answer, data: bytes) -> None:
    value = read_answer(data)
    error = error_of(value) if isinstance(value, dict) else None
    if error is not None:
        raise reported(error, answer.dialect)


async def _hold_back(answer: Answer, held: BufferedBytes, *, must_be_whole: bool) -> None:
    answer.share = share = held.share()
    body = answer.body
    form = BodyForm()
    end = await body.first(lambda data: form.feed(data) == "events" or not share.grow(len(data)))
    if form.known == "events":
        share.end()
        answer.is_event_stream = True
        return
    if end is not None:
        answer.whole = json_of(body.taken(), answer.headers, answer.dialect)
        return
    share.end()
    if must_be_whole:
        raise UpstreamUnusable("The provider's answer is too large to be read whole, as it must be here.")
    answer.too_large = True


def read_beginning(answer: Answer, data: bytes, counts: Counts) -> None:
    """Read an answer in JSON that came whole, or the beginning of such a stream.

    The answer is closed when that fails.

    :param counts: as for :func:`wait_for_beginning`.
    :raise UpstreamReported: it is an error, or a stream that begins with one.
    :raise UpstreamBroken: it is not what was asked for, or a stream that ends before it has said anything.
    :raise UpstreamUnusable: it is compressed, which was not asked for, and a stream, or far too long.
    """
    try:
        if not answer.is_encoded:
            form = BodyForm()
            form.feed(data)
            answer.is_event_stream = not form.is_object if answer.is_event_stream else form.known == "events"
        if answer.is_event_stream and not _is_json(_inspector_of(answer), data):
            _check(answer.inspector)
        else:
            answer.is_event_stream = False
            whole = plain(data, answer.headers) if answer.is_encoded else data
            answer.whole = json_of(whole, answer.headers, answer.dialect)
    except BaseException as error:
        _close(answer, counts, error)
        raise


def refuse_redirect(answer: Answer, counts: Counts) -> None:
    """Close an answer that says to ask elsewhere: nothing but the configured origins is ever asked.

    :param counts: as for :func:`wait_for_beginning`.
    :raise UpstreamUnusable: always.
    """
    error = UpstreamUnusable("The provider redirects, which skyproxy does not follow; set its final base_url.")
    _close(answer, counts, error)
    raise error


def _close(answer: Answer, counts: Counts, error: BaseException) -> None:
    if isinstance(error, UpstreamError):
        counts.responses[error.code or ""] += 1
    answer.close(error)


def _inspector_of(answer: Answer) -> StreamInspector:
    if answer.is_encoded:
        raise UpstreamUnusable("The provider sent a compressed stream, which was not asked for.")
    return answer.inspector


def _is_json(inspector: StreamInspector, data: bytes) -> bool:
    """Whether *data*, all that has come, is no stream, although the provider calls it one: some do so before they know
    what they answer.
    """
    return inspector.first_content == "waiting" and data.removeprefix(BYTE_ORDER_MARK).lstrip().startswith(b"{")


def _check(inspector: StreamInspector) -> None:
    if inspector.first_content == "error":
        raise inspector.state().failure or UpstreamBroken("The provider sent an error.")
    if inspector.first_content != "content":
        raise UpstreamBroken("The provider sent a stream that says nothing.")
