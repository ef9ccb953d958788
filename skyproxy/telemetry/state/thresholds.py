"""From which figure on a slot, or all, is called good, slow or bad."""

from __future__ import annotations

COUNTED = 40
"""Requests of a slot that count, the last ones."""

COUNTED_SECONDS = 24 * 3600.0
"""That they may be old."""

ENOUGH = 5
"""Requests from which on something is said."""

FORGIVEN_SECONDS = 15 * 60.0
"""After which an error is forgiven, if enough went well since."""

GOOD_SINCE = 10
"""Requests that must have gone well since, likewise."""

UNRELIABLE_SHARE = 0.1
UNRELIABLE_LEAST = 3
UNRELIABLE_IN_A_ROW = 3
"""A slot is unreliable by more than this share of failures, if there are at least so many, or by so many in a row."""

SPEED_SECONDS = 15 * 60.0
"""That percentiles look back, where there are enough requests."""

PERCENTILE_SAMPLES = 20
"""From which on there is a 95th percentile; with fewer it is the slowest that is told."""

SLOW_FIRST_P50, SLOW_FIRST_P95 = 2.5, 6.0
"""Seconds to the first token of a stream that somebody waits for."""

SLOW_WHOLE_P50 = 4.0
"""Seconds to the end of an answer that is no stream."""

SLOW_BACKGROUND_P50 = 60.0
"""The same for requests that nobody waits for."""

USUAL_SECONDS = 7 * 24 * 3600.0
"""That what is usual of a slot may be old."""

USUAL_SAMPLES = 20
"""From which on something is usual."""

SLOWER_SAMPLES = 10
"""The last ones, which are compared with it."""

SLOWER_TIMES, SLOWER_SECONDS = 2.0, 1.0
"""They are slower if half of them take longer by both."""

TROUBLE_SECONDS = 15 * 60.0
"""For which what a provider said last counts, if nothing was heard since."""

QUEUE_SHARE = 0.5
"""Of max_pending, from which on it is too busy."""

REFUSED_SECONDS = 60.0
"""For which a request that was refused because the queue was full counts."""

LAG_P99 = 0.1
"""Seconds from which on skyproxy itself is slow."""

LAG_SECONDS = 30.0
"""After the start, when the loop is late of itself."""

ALONE_SECONDS = 5.0
"""After the start, when the other machines are not met yet."""

MISSING_SECONDS = 10.0
"""For which a worker has not served: one that has ended is there again sooner."""

HOUR_SECONDS = 3600.0
LEAST_SPAN_SECONDS = 60.0
"""Seconds from which on a cost an hour is reckoned."""

AHEAD_SECONDS = 1.0
"""By which what is over may be ahead of a clock that nobody has set back."""

BETTER_SECONDS = 10.0
"""Between two looks at a slot that both find it better, before that is told. What is worse is told at once."""

FORGOTTEN_SECONDS = 30.0
"""Without a look, after which what is found is told at once."""
