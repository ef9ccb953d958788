from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.cache.key import cache_key, canonical

SAME: dict[str, Any] = {
    "path": "/chat/completions",
    "provider": "groq",
    "base_url": "http://127.0.0.1:9/v1",
    "model": "llama-3",
    "requested_model": "talk",
    "changed": "strip_reasoning",
    "body": b"{}",
    "identity": b"Bearer planted-key",
}
PARTS = st.fixed_dictionaries(
    {
        "path": st.text("ab/", max_size=3),
        "provider": st.text("ab/", max_size=3),
        "base_url": st.text("ab/", max_size=3),
        "model": st.text("ab/\ud800", max_size=3),
        "requested_model": st.text("ab/", max_size=3),
        "changed": st.text("ab/", max_size=3),
        "body": st.text("ab/", max_size=3).map(str.encode),
        "identity": st.text("ab/", max_size=3).map(str.encode),
    }
)


class CacheKeyTests(SynchronousTestCase):
    def test_the_same_request_has_the_same_key(self) -> None:
        self.assertEqual(cache_key(**SAME), cache_key(**dict(SAME)))
        self.assertEqual(len(cache_key(**SAME)), 32)

    def test_each_part_counts(self) -> None:
        keys = {cache_key(**SAME)}
        for name, value in SAME.items():
            for other in (value[:-1], value + value[:1], value[:0]):
                keys.add(cache_key(**{**SAME, name: other}))
        self.assertEqual(len(keys), 1 + 3 * len(SAME))

    @settings(derandomize=True, max_examples=500, deadline=None, database=None)
    @given(PARTS, PARTS)
    def test_keys_are_equal_when_all_parts_are(self, one: dict[str, Any], other: dict[str, Any]) -> None:
        self.assertEqual(cache_key(**one) == cache_key(**other), one == other)

    def test_what_ends_one_part_does_not_begin_the_next(self) -> None:
        one = cache_key(**{**SAME, "provider": "a", "model": "bc"})
        other = cache_key(**{**SAME, "provider": "ab", "model": "c"})
        self.assertNotEqual(one, other)


class CanonicalTests(SynchronousTestCase):
    def test_the_order_of_the_fields_does_not_matter(self) -> None:
        self.assertEqual(canonical({"b": 1, "a": [2]}), canonical({"a": [2], "b": 1}))

    def test_the_order_within_a_schema_does(self) -> None:
        one = canonical({"schema": {"properties": {"name": 1, "age": 2}}})
        other = canonical({"schema": {"properties": {"age": 2, "name": 1}}})
        self.assertNotEqual(one, other)

    def test_values_that_differ_stay_different(self) -> None:
        bodies: list[dict[str, Any]] = [{}, {"n": 1}, {"n": 1.0}, {"n": "1"}, {"n": None}, {"n": True}, {"n": False}]
        self.assertEqual(len({canonical(body) for body in bodies}), len(bodies))

    def test_what_cannot_be_told_from_others_has_none(self) -> None:
        deep: Any = {}
        for _ in range(300):
            deep = [deep]
        for value in (deep, 1.8446744073709552e19, [{"a": -1e300}]):
            self.assertIsNone(canonical({"value": value}))
