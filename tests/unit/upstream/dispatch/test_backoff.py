"""What providers say about when to ask again, and what is done if they say nothing."""

from __future__ import annotations

from email.utils import formatdate

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.upstream.dispatch.backoff import Backoff, retry_after

NOW = 1_700_000_000.0


def said(*headers: tuple[str, str], status: int = 429) -> float | None:
    return retry_after([(name.encode(), value.encode("latin-1")) for name, value in headers], NOW, status)


class RetryAfterTests(SynchronousTestCase):
    """retry_after."""

    def test_nothing(self) -> None:
        self.assertIsNone(said(("Content-Type", "application/json")))

    def test_seconds(self) -> None:
        for text, seconds in (("0", 0.0), ("7", 7.0), ("0.5", 0.5), (" 20 ", 20.0)):
            self.assertEqual(said(("Retry-After", text)), seconds)

    def test_milliseconds_are_more_exact(self) -> None:
        self.assertEqual(said(("retry-after", "2"), ("Retry-After-Ms", "1250")), 1.25)
        self.assertEqual(said(("retry-after", "2"), ("retry-after-ms", "soon")), 2.0)

    def test_the_longest_of_several(self) -> None:
        # As where a provider and what stands before it both say one.
        date = formatdate(NOW + 30, usegmt=True)
        for values, seconds in ((("2", "7", "1"), 7.0), (("7", "soon"), 7.0), ((date, "7"), 30.0), (("", "0"), 0.0)):
            self.assertEqual(said(*(("Retry-After", value) for value in values)), seconds)
        self.assertEqual(said(("retry-after-ms", "900"), ("Retry-After-Ms", "300"), ("Retry-After", "1")), 0.9)

    def test_dates_in_all_forms(self) -> None:
        # RFC 9110, section 5.6.7: these are the same moment.
        for text in ("Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"):
            self.assertEqual(retry_after([(b"Retry-After", text.encode())], 784111777.0 - 90), 90.0)
            self.assertEqual(retry_after([(b"Retry-After", text.encode())], 784111777.0 + 90), 0.0)

    def test_dates_by_the_providers_own_clock(self) -> None:
        hours_ago = NOW - 7200
        headers = (
            ("Date", formatdate(hours_ago, usegmt=True)),
            ("Retry-After", formatdate(hours_ago + 5, usegmt=True)),
        )
        self.assertEqual(said(*headers), 5.0)

    def test_a_time_of_day_as_a_number(self) -> None:
        # Some write when, where they are asked in how many seconds.
        self.assertEqual(said(("Retry-After", "1700000030")), 30.0)
        self.assertEqual(said(("Retry-After", "1700000030500")), 30.5)
        self.assertEqual(said(("Retry-After", "1600000000")), 0.0)

    def test_junk(self) -> None:
        for text in ("", "soon", "-5", "1e3", "inf", "nan", "5s", "1,5", "0x10", "9" * 400,
                     "Sun, 99 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 99999 08:49:37 GMT", "\xe9", "\xb2"):  # fmt: skip
            self.assertIsNone(said(("Retry-After", text)), text)
            self.assertEqual(said(("Retry-After", text), ("x-ratelimit-reset", "3")), 3.0, text)

    def test_resets_as_durations(self) -> None:
        for text, seconds in (("1s", 1.0), ("6m0s", 360.0), ("120ms", 0.12), ("2m59.56s", 179.56), ("1h2m3s", 3723.0),
                              ("1d", 86400.0), ("0s", 0.0), ("500us", 0.0005), ("12", 12.0), ("1.5", 1.5)):  # fmt: skip
            self.assertAlmostEqual(said(("x-ratelimit-reset-requests", text)) or 0.0, seconds, msg=text)

    def test_resets_as_moments(self) -> None:
        self.assertEqual(said(("X-RateLimit-Reset", "1700000030")), 30.0)
        self.assertEqual(said(("X-RateLimit-Reset", "1700000030500")), 30.5)
        self.assertEqual(said(("X-RateLimit-Reset", "1600000000")), 0.0)

    def test_the_longest_reset_counts(self) -> None:
        self.assertEqual(said(("x-ratelimit-reset-requests", "1s"), ("x-ratelimit-reset-tokens", "6s")), 6.0)

    def test_limits_that_are_not_exhausted_do_not(self) -> None:
        groq = (("x-ratelimit-reset-requests", "2m59.56s"), ("x-ratelimit-remaining-requests", "14370"),
                ("x-ratelimit-reset-tokens", "7.66s"), ("x-ratelimit-remaining-tokens", "0"))  # fmt: skip
        self.assertEqual(said(*groq), 7.66)

    def test_what_is_meant_for_this_request_goes_first(self) -> None:
        self.assertEqual(said(("retry-after", "2"), ("x-ratelimit-reset-requests", "6m0s")), 2.0)

    def test_anthropics_resets(self) -> None:
        def reset(text: str, remaining: str = "0", status: int = 429) -> float | None:
            return said(
                ("anthropic-ratelimit-requests-remaining", remaining),
                ("anthropic-ratelimit-requests-reset", text),
                ("anthropic-ratelimit-tokens-remaining", "12"),
                ("anthropic-ratelimit-tokens-reset", "2023-11-14T23:13:20Z"),
                status=status,
            )

        # NOW is 2023-11-14T22:13:20Z.
        for text, seconds in (("2023-11-14T22:13:50Z", 30.0), ("2023-11-14T23:13:50.25+01:00", 30.25),
                              ("2023-11-14t22:13:50.1234567z", 30.1234567), ("2022-11-14T22:13:50Z", 0.0)):  # fmt: skip
            self.assertAlmostEqual(reset(text) or 0.0, seconds, places=5, msg=text)
        for text in ("2023-13-14T22:13:50Z", "30", "soon", "2023-11-14T22:13:50", "2023-11-14T22:13:50+99:99"):
            self.assertIsNone(reset(text), text)
        self.assertIsNone(reset("2023-11-14T22:13:50Z", remaining="1"))
        self.assertIsNone(reset("2023-11-14T22:13:50Z", status=503))
        self.assertIsNone(said(("anthropic-ratelimit-tokens-reset", "2023-11-14T23:13:20Z")))

    def test_the_body_stands_between_retry_after_and_the_limits(self) -> None:
        asked, limit = (b"Retry-After", b"2"), (b"x-ratelimit-reset", b"9")
        self.assertEqual(retry_after([limit], NOW, 429, 58.0), 58.0)
        self.assertEqual(retry_after([asked, limit], NOW, 429, 58.0), 2.0)
        self.assertEqual(retry_after([], NOW, 503, 58.0), 58.0)

    def test_resets_of_other_answers_mean_nothing(self) -> None:
        self.assertIsNone(said(("x-ratelimit-reset-requests", "6m0s"), status=503))
        self.assertEqual(said(("retry-after", "2"), status=503), 2.0)

    @given(
        st.lists(
            st.tuples(
                st.sampled_from(
                    [b"retry-after", b"Retry-After-Ms", b"date", b"x-ratelimit-reset", b"x-ratelimit-reset-x"]
                ),
                st.one_of(
                    st.binary(max_size=40),
                    st.from_regex(rb"[0-9.]{0,20}(ms|s|m|h)?", fullmatch=True),
                    st.datetimes().map(lambda each: each.strftime("%a, %d %b %Y %H:%M:%S GMT").encode()),
                ),
            )
        ),
        st.floats(min_value=0, max_value=1e11),
    )
    def test_anything_at_all(self, headers: list[tuple[bytes, bytes]], now: float) -> None:
        seconds = retry_after(headers, now)
        self.assertTrue(seconds is None or 0 <= seconds < 1e20, seconds)


class BackoffTests(SynchronousTestCase):
    """Backoff."""

    def test_doubles_up_to_the_cap(self) -> None:
        backoff = Backoff(lambda: 1.0)
        self.assertEqual([backoff.delay(n) for n in range(8)], [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0])
        self.assertEqual(backoff.delay(10_000), 8.0)

    def test_full_jitter(self) -> None:
        for number, seconds in ((0.0, 0.0), (0.5, 1.5)):
            self.assertEqual(Backoff(lambda number=number: number, base=3.0).delay(1), 2 * seconds)  # type: ignore[misc]
