"""A worker, as the parent tells it what to do."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import succeed
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.process.workers.messages import FIGURES, Refresh
from skyproxy.process.workers.worker import Worker
from skyproxy.web.observations import MOST_UNDER_WAY


class WorkerTests(SynchronousTestCase):
    """:class:`Worker`."""

    def test_files_are_written_where_they_matter_alone(self) -> None:
        written: list[str] = []

        def flushed(name: str) -> Any:
            return SimpleNamespace(flush=lambda: succeed(written.append(name)))

        parts = SimpleNamespace(
            batches=SimpleNamespace(hand_on=int),
            logging=SimpleNamespace(live_lines=int),
            ledger=flushed("costs"),
            bodies=flushed("bodies"),
        )
        service: Any = SimpleNamespace(parts=parts)
        role: Any = SimpleNamespace(own=object(), sent=SimpleNamespace(flush=int))
        worker = Worker(None, None, service, role)  # type: ignore[arg-type]
        told: Any = lambda most=MOST_UNDER_WAY: most  # noqa: E731
        self.patch(worker, "state", told)
        self.assertEqual(worker.handle(FIGURES), MOST_UNDER_WAY)
        self.assertIsNone(worker.handle(Refresh(every=True)))
        self.assertEqual(written, [])
        self.assertIsNone(self.successResultOf(worker.handle(Refresh(files=True, every=True))))
        self.assertEqual(written, ["costs", "bodies"])
