from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from skyproxy.log.line_queue import LineQueue


class LineQueueTests(SynchronousTestCase):
    def test_lines_of_both_kinds_are_taken_in_their_order(self) -> None:
        queue = LineQueue(100)
        lines = [b"%d\n" % number for number in range(10)]
        for number, line in enumerate(lines):
            self.assertTrue(queue.add(line, number % 3 == 0))
        queue.take(4)
        self.assertEqual((queue.batch, queue.waiting), (lines[:4], 6))
        queue.take(100)
        self.assertEqual((queue.batch, queue.waiting), (lines[4:], 0))

    def test_the_batch_counts_until_it_is_written(self) -> None:
        queue = LineQueue(2)
        queue.add(b"a\n", False)
        queue.add(b"b\n", False)
        queue.take(2)
        self.assertFalse(queue.add(b"c\n", False))
        queue.batch = []
        self.assertTrue(queue.add(b"d\n", False))
        self.assertEqual(queue.dropped, 1)

    def test_losses_are_taken_once(self) -> None:
        queue = LineQueue(2)
        for _ in range(5):
            queue.add(b"a\n", False)
        self.assertEqual([queue.take_losses(), queue.take_losses()], [3, 0])
        queue.add(b"a\n", False)
        self.assertEqual(queue.take_losses(), 1)

    def test_crowded_from_a_quarter_on(self) -> None:
        queue = LineQueue(8)
        crowded = []
        for _ in range(4):
            queue.add(b"a\n", False)
            crowded.append(queue.crowded)
        self.assertEqual(crowded, [False, False, True, True])
