"""The rules that names of metrics are checked by."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.metric_rules import broken_rules

GOOD = """# HELP skyproxy_things_total Things that there were.
# TYPE skyproxy_things_total counter
skyproxy_things_total{color="red"} 1
# HELP skyproxy_wait_seconds How long they wait.
# TYPE skyproxy_wait_seconds histogram
skyproxy_wait_seconds_bucket{le="1.0"} 1
skyproxy_wait_seconds_bucket{le="+Inf"} 2
skyproxy_wait_seconds_sum 3
skyproxy_wait_seconds_count 2
# HELP skyproxy_size_bytes How large they are.
# TYPE skyproxy_size_bytes gauge
skyproxy_size_bytes 3
"""


class MetricRulesTests(SynchronousTestCase):
    def test_good_ones(self) -> None:
        self.assertEqual(broken_rules(GOOD), [])

    def test_bad_ones(self) -> None:
        for old, new, words in (
            ("skyproxy_size", "sky_size", "behind the name of what it is of"),
            ("skyproxy_size", "skyproxy_Size", "snake case"),
            ("skyproxy_size_bytes", "skyproxy_size_megabytes", "no base unit"),
            ("skyproxy_size_bytes", "skyproxy_bytes_size", "not at the end"),
            ("skyproxy_size_bytes", "skyproxy_size_gauge", "its type"),
            ("skyproxy_size_bytes", "skyproxy_size_count", "suffix of another type"),
            ("skyproxy_wait_seconds", "skyproxy_wait", "without a unit"),
            ("How large they are.", "Size", "no sentence"),
            ("things_total", "things", "without _total"),
            ('color="red"', 'instance="red"', "cannot be called"),
            ('color="red"', 'things="red"', "in its name"),
            ('color="red"', 'color=""', "as none"),
            ("skyproxy_size_bytes 3", 'skyproxy_size_bytes 3\nskyproxy_size_bytes{a="b"} 3', "different labels"),
            ("skyproxy_size_bytes 3", "skyproxy_size_bytes 3\nskyproxy_size_bytes 4", "twice"),
            ('le="+Inf"} 2', 'le="+Inf"} 0', "do not add up"),
            ('le="+Inf"} 2', 'le="3"} 2', "do not add up"),
            ('"red"} 1', '"red"} -1', "below 0"),
        ):
            with self.subTest(new):
                found = broken_rules(GOOD.replace(old, new))
                self.assertTrue(any(words in each for each in found), found)

    def test_old_names_may_be_bad_but_not_their_values(self) -> None:
        page = GOOD.replace("skyproxy_size_bytes", "skyproxy_megabytes")
        self.assertEqual(broken_rules(page, {"skyproxy_megabytes"}), [])
        self.assertTrue(broken_rules(page + "skyproxy_megabytes 4\n", {"skyproxy_megabytes"}))
