"""Who is asked when a request is too long for the first."""

from __future__ import annotations

import json
from typing import Any

from skyproxy.upstream.exchange.first_content import AnswerKind
from tests.unit.fakes import EVENTS, Prepared, Upstream, event
from tests.unit.upstream.dispatch.test_dispatcher import GOOD, REQUEST, Case

TOO_LONG = {"message": "too long", "code": "context_length_exceeded"}
NO_SUCH_MODEL = json.dumps({"error": {"message": "no such model", "code": "model_not_found"}}).encode()


class TurnsTests(Case):
    """Candidates, each of which may be known to read so many tokens at once."""

    def asked_of(
        self,
        *windows: int | None,
        says: dict[str, Any] | None = None,
        status: int = 400,
        streams: bool = False,
        hedge: float | None = None,
    ) -> str:
        """The order in which they are asked, when the first refuses the request and only the last answers."""
        upstreams = [Upstream() for _ in windows]
        models = "abcde"[: len(windows)]
        candidates = [
            Prepared(
                self.provider(model, upstream),
                REQUEST._replace(model=model, streaming=streams),
                AnswerKind.JSON,
                hedge if model == "a" else None,
                window=window,
            )
            for model, upstream, window in zip(models, upstreams, windows, strict=True)
        ]
        asking = self.dispatch(candidates)
        error = {**TOO_LONG, **(says or {})}
        if streams:
            upstreams[0].answer(200, EVENTS).send(event(error=error))
        else:
            upstreams[0].answer(status, whole=json.dumps({"error": error}).encode())
        order = "a"
        while not asking.called:
            (index,) = (number for number, each in enumerate(upstreams) if each.posted and models[number] not in order)
            order += models[index]
            if len(order) < len(models):
                upstreams[index].answer(404, whole=NO_SUCH_MODEL)
            else:
                upstreams[index].answer(whole=GOOD)
        self.successResultOf(asking).close(None)
        return order

    def test_those_that_read_more_first_and_those_that_read_no_more_last(self) -> None:
        for windows, order in (
            ((8000, 8000, 4000, None, 32_000), "aedbc"),
            ((8000, None, 128_000, None, 32_000), "acebd"),
            ((8000, None, None, None), "abcd"),
            ((None, 4000, 128_000, None), "abcd"),
            ((8000, 4000), "ab"),
        ):
            for streams in (False, True):
                for hedge in (None, 2.0):
                    self.assertEqual(self.asked_of(*windows, streams=streams, hedge=hedge), order, windows)

    def test_what_the_first_tells_is_stronger_and_is_remembered(self) -> None:
        self.assertEqual(self.asked_of(128_000, 16_000, None, says={"n_ctx": 4096}), "abc")
        self.assertEqual(self.asked_of(128_000, None, 16_000), "acb")
        message = "This model's maximum context length is 32768 tokens. Yours has more."
        self.assertEqual(self.asked_of(4096, None, 16_000, says={"message": message}), "abc")

    def test_what_the_others_have_told(self) -> None:
        self.assertEqual(self.asked_of(None, None, None, says={"n_ctx": 8192}), "abc")
        first, other = Upstream(), Upstream()
        asking = self.dispatch([
            Prepared(self.provider(model, upstream), REQUEST._replace(model=model), AnswerKind.JSON)
            for model, upstream in (("b", first), ("d", other))
        ])  # fmt: skip
        first.answer(400, whole=json.dumps({"error": {**TOO_LONG, "n_ctx": 2048}}).encode())
        other.answer(whole=GOOD)
        self.successResultOf(asking).close(None)
        self.assertEqual(self.asked_of(None, None, None, says={"n_ctx": 8192}), "acb")

    def test_another_limit_or_error_changes_nothing(self) -> None:
        for status in (402, 413, 429):
            self.assertEqual(self.asked_of(8000, 4000, 32_000, status=status), "abc", status)
        says = {"message": "no", "code": "model_not_found"}
        self.assertEqual(self.asked_of(8000, 4000, 32_000, status=404, says=says), "abc")
