"""Which worker gets a connection, and which part of a limit."""

from __future__ import annotations

import os
from pathlib import Path
from unittest import skipIf

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.process.workers.count import NoWorkers, processors, worker_count
from skyproxy.process.workers.spreading import even_part, next_worker, restart_delay


class SpreadingTests(SynchronousTestCase):
    """:func:`next_worker` keeps workers even."""

    def test_nobody(self) -> None:
        self.assertIsNone(next_worker({}, None))
        self.assertIsNone(next_worker({}, 1))

    def test_the_fewest(self) -> None:
        self.assertEqual(next_worker({0: 3, 1: 2, 2: 5}, 1), 1)

    def test_equal_ones_take_turns(self) -> None:
        last: int | None = None
        given = []
        for _ in range(5):
            last = next_worker({0: 1, 1: 1, 2: 1}, last)
            given.append(last)
        self.assertEqual(given, [0, 1, 2, 0, 1])

    @given(st.lists(st.integers(0, 50), min_size=1, max_size=16), st.integers(1, 300))
    def test_many_at_once_end_even(self, before: list[int], number: int) -> None:
        counts = dict(enumerate(before))
        last: int | None = None
        for _ in range(number):
            last = next_worker(counts, last)
            assert last is not None
            counts[last] += 1
        grown = [counts[each] for each in counts if counts[each] > before[each]]
        self.assertLessEqual(max(grown) - min(counts.values()), 1)

    @given(st.integers(0, 10_000), st.integers(1, 256))
    def test_parts_add_up(self, whole: int, workers: int) -> None:
        parts = [even_part(whole, number, workers) for number in range(workers)]
        self.assertEqual(sum(parts), max(whole, workers) if whole else 0)
        self.assertLessEqual(max(parts) - min(parts), 1)

    def test_a_worker_that_keeps_ending_waits_longer(self) -> None:
        delays = [restart_delay(failures) for failures in range(8)]
        self.assertEqual(delays, [0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 10.0, 10.0])

    def test_how_many(self) -> None:
        self.assertEqual(worker_count(3, can_pass=True), 3)
        self.assertGreaterEqual(worker_count("auto", can_pass=True), 1)
        self.assertEqual((worker_count("auto", can_pass=False), worker_count(1, can_pass=False)), (1, 1))
        self.assertRaisesRegex(NoWorkers, "by a frozen program", worker_count, 2, can_pass=True, frozen=True)
        self.assertRaisesRegex(NoWorkers, "above 1 cannot be used on Windows", worker_count, 2, can_pass=False)

    @skipIf(not hasattr(os, "sched_getaffinity"), "containers have Linux")
    def test_as_many_as_a_container_has_processors(self) -> None:
        self.patch(os, "sched_getaffinity", lambda _: set(range(8)))
        version_2, version_1 = "0::{}\n", "12:cpuset:/\n4:cpu,cpuacct:{}\n0::/\n"
        for processes, name, files, many in (
            ("", "/", {}, 8),
            (version_2, "/", {"cpu.max": "max 100000\n"}, 8),
            (version_2, "/", {"cpu.max": "150000 100000\n"}, 2),
            (version_2, "/", {"cpu.max": "5000 100000\n"}, 1),
            (version_2, "/", {"cpu.max": "1600000 100000\n"}, 8),
            (version_2, "/", {"cpu.max": "nonsense\n"}, 8),
            # What is around it has less than it.
            (version_2, "/a.slice/b", {"a.slice/cpu.max": "300000 100000\n", "a.slice/b/cpu.max": "max 1\n"}, 3),
            (version_1, "/", {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 8),
            # It is named as it is known outside.
            (version_1, "/docker/0", {"cpu/cpu.cfs_quota_us": "400000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 4),
        ):
            root = Path(self.mktemp())
            texts = {f"sys/fs/cgroup/{file}": text for file, text in files.items()}
            for file, text in {**texts, "proc/self/cgroup": processes.format(name)}.items():
                (root / file).parent.mkdir(parents=True, exist_ok=True)
                (root / file).write_text(text)
            self.assertEqual(processors(root), many, (name, files))
        self.assertEqual(processors(Path(self.mktemp())), 8)
