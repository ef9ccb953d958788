from __future__ import annotations

from collections.abc import Iterator

from twisted.trial.unittest import SynchronousTestCase

from skyproxy import errors
from skyproxy.access.errors import TokenLimitExceeded
from skyproxy.access.refusals import ModelNotAllowed
from skyproxy.access.tokens.refusals import InvalidToken
from skyproxy.errors import (
    SkyproxyError,
    Unavailable,
    UpstreamError,
    UpstreamReported,
    UpstreamTimeout,
    UpstreamUnusable,
)
from skyproxy.formats.reported import reported
from skyproxy.upstream.guards.refusals import BacklogFull, QueueTimeout


def all_kinds(kind: type[SkyproxyError] = SkyproxyError) -> Iterator[type[SkyproxyError]]:
    yield kind
    for each in kind.__subclasses__():
        yield from all_kinds(each)


def made(kind: type[SkyproxyError]) -> SkyproxyError:
    """One of *kind*; some say what they are about in words of their own."""
    if issubclass(kind, UpstreamTimeout):
        return kind("what happened", timer="default_timeout")
    if issubclass(kind, UpstreamReported):
        return reported({"message": "what happened and what to do"})
    return kind("what happened")


class ErrorsTests(SynchronousTestCase):
    def test_openais_shape(self) -> None:
        for kind in all_kinds():
            error = made(kind)
            if kind is UpstreamReported:
                continue  # It speaks for the provider.
            self.assertEqual(
                error.as_object(),
                {"error": {"message": str(error), "type": kind.type, "param": None, "code": kind.code}},
            )
            self.assertIn("what happened", str(error))

    def test_the_field_at_fault(self) -> None:
        error = errors.UnknownModel("no", param="model")
        self.assertEqual(error.as_object()["error"]["param"], "model")

    def test_status_and_type_agree(self) -> None:
        for kind in all_kinds():
            self.assertIn(kind.status, range(400, 600), kind)
            if kind.status >= 500:
                self.assertNotEqual(kind.type, "invalid_request_error", kind)

    def test_codes_tell_errors_apart(self) -> None:
        # UpstreamReported speaks for the provider, as its base does; of UpstreamUnusable only skyproxy need know.
        # OpenAI has one code for both limits, for models that there are not and that one may not have, and for whatever
        # is brought to be let in.
        alike = (SkyproxyError, UpstreamReported, UpstreamUnusable, TokenLimitExceeded, ModelNotAllowed, InvalidToken)
        codes = [kind.code for kind in all_kinds() if kind not in alike]
        self.assertNotIn(None, codes)
        self.assertEqual(len(codes), len(set(codes)))

    def test_asking_again_helps_with_what_is_the_moments_fault(self) -> None:
        self.assertFalse(errors.InvalidRequest("x").retryable)
        self.assertFalse(errors.ProviderNotConfigured("x").retryable)
        for kind in (Unavailable, UpstreamError, BacklogFull, QueueTimeout, errors.UpstreamUnreachable):
            self.assertTrue(made(kind).retryable, kind)

    def test_what_a_provider_reports_in_a_stream(self) -> None:
        for code, status, retryable in ((429, 429, True), (503, 503, True), (400, 400, False), ("x", 502, True)):
            error = reported({"message": "x" * 5000, "code": code})
            self.assertEqual((error.status, error.retryable), (status, retryable))
            self.assertLess(len(error.message), 600)
        self.assertIn("an error", reported({}).message)

    def test_what_a_provider_reports_goes_down_as_it_came(self) -> None:
        told = {
            "message": "too long",
            "type": "invalid_request_error",
            "param": "messages",
            "code": "context_length_exceeded",
            "metadata": {"raw": "…"},
        }
        error = reported(told)
        self.assertEqual(error.as_object(), {"error": told})
        self.assertEqual((error.status, error.retryable, error.for_the_next), (400, False, True))
        self.assertEqual(reported({"message": "slow down", "code": "429"}).status, 429)
        self.assertEqual(reported({"message": "no such thing", "code": 422}).for_the_next, False)
        nameless = reported({"code": 500}).as_object()["error"]
        self.assertEqual((nameless["message"], nameless["code"]), ("The provider reports: an error", 500))

    def test_families(self) -> None:
        self.assertEqual({kind.status for kind in all_kinds(Unavailable)}, {503})
        self.assertLessEqual({kind.status for kind in all_kinds(UpstreamError)}, {502, 504})
        self.assertEqual(made(UpstreamTimeout).timer, "default_timeout")  # type: ignore[attr-defined]
