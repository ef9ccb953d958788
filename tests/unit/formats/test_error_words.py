"""What people are told of a provider's error."""

from __future__ import annotations

from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.formats.error_body import read_error
from skyproxy.formats.error_words import words_of_error
from skyproxy.formats.reported import reported

ANY = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(max_size=5),
    lambda each: st.lists(each, max_size=3) | st.dictionaries(st.sampled_from(["raw", "data", "message"]), each),
    max_leaves=8,
)


def words(message: Any, metadata: Any) -> str:
    return words_of_error(read_error(orjson.dumps({"error": {"message": message, "metadata": metadata}}), b""))


class ErrorWordsTests(SynchronousTestCase):
    def test_of_one_provider(self) -> None:
        for metadata in (None, {}, {"raw": None}, {"raw": ""}, {"raw": 1}, {"provider_name": "Inn"}, "no", ["no"]):
            self.assertEqual(words("Busy", metadata), "Busy", metadata)

    def test_of_the_one_behind(self) -> None:
        own = '{\n  "error": {"message": "No such schema", "type": "invalid_request_error", "param": null}}'
        for raw, inner in (
            ("m is rate-limited upstream.", "m is rate-limited upstream."),
            (own, "No such schema"),
            ('{"detail": "Overloaded"}', "Overloaded"),
            ("<html><title>502 Bad Gateway</title><body><h1>502 Bad Gateway</h1></body></html>", "502 Bad Gateway"),
            ({"error": {"message": "No such model"}}, "No such model"),
            ({"data": own}, "No such schema"),
            ('{"error": {"message": "half', '{"error": {"message": "half'),
        ):
            self.assertEqual(words("Provider returned error", {"raw": raw}), f"Provider returned error ({inner})")
            self.assertEqual(words("Failed", {"raw": raw, "provider_name": "Inn"}), f"Failed (Inn: {inner})")

    def test_of_the_one_behind_that_is_passed_on_as_it_came(self) -> None:
        for message, told in (
            ('{"error":{"message":"No such model","code":"x"}}\n', "No such model"),
            (' {"detail": "Busy"}', "Busy"),
            ('{"error": {"code": 5}}', '{"error": {"code": 5}}'),
            ('{"error":{"message":"half', '{"error":{"message":"half'),
        ):
            self.assertEqual(words(message, None), told)

    def test_nothing_twice(self) -> None:
        self.assertEqual(words("Too long", {"raw": "Too long"}), "Too long")
        self.assertEqual(words(None, {"raw": "Too long", "provider_name": "Inn"}), "Too long")

    def test_in_an_answer_of_200(self) -> None:
        error = {"message": "Provider returned error", "code": 502, "metadata": {"raw": "gone", "provider_name": "Inn"}}
        self.assertEqual(reported(error).said, "Provider returned error (Inn: gone)")

    @given(ANY, ANY)
    def test_never_raises(self, message: Any, metadata: Any) -> None:
        words(message, metadata)
